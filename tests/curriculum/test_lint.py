"""Criteria that make no sense are warned of: they can never hold, or hold before anything happened."""

from __future__ import annotations

from typing import Any

import pytest

from stagectl.curriculum import read_stages, warnings_of

NEVER, AT_ONCE = "can never hold", "holds as soon as the stage is entered"


def warned(advance_when: str, budget: int | None = None, **settings: Any) -> list[str]:
    stages = read_stages({"stages": [{"curriculum": "a", "advance_when": advance_when, **settings}, "b"]})
    return [str(fault) for fault in warnings_of(stages, budget)]


@pytest.mark.parametrize(
    ("criterion", "problem"),
    [
        ("steps >= 0", AT_ONCE),
        ("not steps >= 100", AT_ONCE),
        ("visits >= 1 or performance >= 0.8", AT_ONCE),
        ("performance > 1", NEVER),
        ("1 < performance", NEVER),
        ("mean(score, last=100) >= 1.2 and steps >= 10", NEVER),
        ("lower_bound(success, 0.95) < 0", NEVER),
        ("performance > 1 or ema(score, 0.1) > 1", NEVER),
        ("sustained(performance > 1, for=10)", NEVER),
    ],
)
def test_a_criterion_that_makes_no_sense_is_told_with_its_stage_and_its_words(criterion: str, problem: str) -> None:
    (line,) = warned(criterion)
    assert line.startswith("stages.0: stage 'a': ")
    assert problem in line


@pytest.mark.parametrize(
    "criterion",
    [
        "performance >= 1",
        "performance > 1 or steps >= 10",
        'metric("loss") < -5',
        "total_steps >= 10",
        "std(score, last=9) < 0.1",
    ],
)
def test_a_criterion_that_may_hold_is_not_warned_of(criterion: str) -> None:
    assert warned(criterion) == []


def test_more_steps_than_the_stage_or_the_run_has_are_never_reached() -> None:
    assert NEVER in warned("steps >= 1M", max_steps=1000)[0]
    assert NEVER in warned("steps >= 1M", budget=1000)[0]
    assert NEVER in warned("sustained(performance >= 0.5, for=1M)", budget=1000)[0]
    assert NEVER in warned("plateau(performance, over=1M, less_than=0.1)", budget=1000)[0]
    assert NEVER in warned("total_steps >= 1M", budget=1000)[0]
    assert warned("steps >= 1M", budget=2_000_000) == []
    assert warned("total_steps >= 1M", max_steps=1000) == []


def test_the_steps_that_are_too_few_are_named() -> None:
    assert (
        "can never hold in a run of 1,000,000 steps (`total_timesteps`): steps >= 2M"
        in warned("steps >= 2M", budget=1_000_000)[0]
    )
    assert "can never hold within 1,000 steps (`max_steps`)" in warned("steps >= 2M", max_steps=1000)[0]


def test_a_groups_limit_is_its_members_too() -> None:
    members = [{"curriculum": "left", "advance_when": "steps >= 2k"}, {"curriculum": "right"}]
    stages = read_stages({"stages": [{"name": "pair", "parallel": members, "max_steps": 1000}, "last"]})
    (fault,) = warnings_of(stages)
    assert fault.path == ("stages", 0, "parallel", 0)
    assert "stage 'left': this criterion can never hold within 1,000 steps" in fault.message


def test_a_groups_scores_are_of_its_members_kind() -> None:
    def group(**score: Any) -> list[str]:
        pair = {
            "name": "pair",
            "parallel": ["left", {"curriculum": "right", **score}],
            "next": [{"to": "last", "when": "performance >= 200"}],
        }
        return [str(fault) for fault in warnings_of(read_stages({"stages": [pair, "last"]}))]

    assert len(group()) == 1
    assert group(score="return") == []


def test_a_weight_outside_a_group_is_warned_of_unless_it_is_the_documents() -> None:
    (fault,) = warnings_of(read_stages({"stages": [{"curriculum": "a", "weight": 0.5}, "b"]}))
    assert str(fault).startswith("stages.0.weight: stage 'a': a weight shares the episodes of a group")
    assert warnings_of(read_stages({"stages": [{"curriculum": "a", "weight": 1.0}, "b"]})) == []


def test_returns_have_no_bounds() -> None:
    assert warned("performance >= 200", score="return") == []


def test_ways_out_are_looked_at_too() -> None:
    stages = read_stages({"stages": [{"curriculum": "a", "next": [{"to": "b", "when": "performance > 2"}]}, "b"]})
    (fault,) = warnings_of(stages)
    assert fault.path == ("stages", 0, "next", 0)


def test_a_threshold_below_the_best_never_falls_under_its_floor() -> None:
    (stage, _) = read_stages(
        {
            "stages": [
                {"curriculum": "a", "performance_threshold": {"below_best": 0.05, "over": 10, "at_least": 0.5}},
                "b",
            ]
        }
    )
    from stagectl.curriculum.evidence import Evidence

    evidence = Evidence(stage, [])
    for step in range(0, 40, 2):
        evidence.add_scores(step, [0.15])
    assert evidence.threshold(40) == 0.5
    for step in range(40, 400, 2):
        evidence.add_scores(step, [0.9])
    assert evidence.threshold(400) == pytest.approx(0.85, abs=0.01)
