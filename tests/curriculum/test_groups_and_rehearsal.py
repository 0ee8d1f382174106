"""Stages that are active together, episodes of earlier stages, and how evenly each gets its share."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_curriculum import weighted_mean

from stagectl.curriculum import CurriculumEnd, Stage, StagedProgressiveCurriculum, StageTransition, read_stages
from stagectl.curriculum.sampling import Shares
from stagectl.errors import CurriculumError

PAIR = {"name": "pair", "parallel": [{"curriculum": "left", "weight": 3}, "right"]}


def group(stages: list[Any], **settings: Any) -> StagedProgressiveCurriculum:
    return StagedProgressiveCurriculum(stages, **{"min_episodes": 2, **settings})


def fed(curriculum: StagedProgressiveCurriculum, name: str, score: float, times: int = 2) -> Any:
    decisions = [curriculum.complete_task(name, score) for _ in range(times)]
    return next((decision for decision in decisions if decision), None)


def played(curriculum: StagedProgressiveCurriculum, episodes: int) -> list[str]:
    return [curriculum.get_task().stage.name for _ in range(episodes)]


# ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_group_is_one_stage_whose_members_are_played() -> None:
    curriculum = group([PAIR, "last"])
    assert [stage.name for stage in curriculum.stages] == ["pair", "last"]
    assert [stage.name for stage in curriculum.played] == ["left", "right", "last"]
    assert (curriculum.stage.name, curriculum.current_stage) == ("pair", 0)
    assert Counter(played(curriculum, 400)) == {"left": 300, "right": 100}
    assert curriculum.stage_probs() == [0.75, 0.25, 0.0]


def test_a_group_where_all_must_be_done_waits_for_the_last_of_them() -> None:
    curriculum = group([PAIR, "last"])
    assert fed(curriculum, "left", 1.0) is None
    together = pytest.approx(weighted_mean([1.0, 1.0, 0.9, 0.9], 0.1))
    assert fed(curriculum, "right", 0.9) == StageTransition(0, 1, "pair", "last", 0, together, "all done", None)


def test_a_group_where_any_may_be_done_goes_with_the_first() -> None:
    curriculum = group([{**PAIR, "done": "any"}, "last"])
    fed(curriculum, "left", 0.1, 1)
    together = pytest.approx(weighted_mean([0.1, 0.9, 0.9], 0.1))
    assert fed(curriculum, "right", 0.9) == StageTransition(0, 1, "pair", "last", 0, together, "any done", None)


def test_a_groups_performance_is_of_all_its_episodes_in_its_ways_out_and_in_what_is_told_of_it_alike() -> None:
    edge = {"to": "last", "when": "performance >= 0.5"}
    curriculum = group([{**PAIR, "next": [edge], "transition_smoothing": 1}, "last"])
    curriculum.decide_between_steps()
    fed(curriculum, "left", 0.25)
    fed(curriculum, "right", 0.75)
    decision = curriculum.update_step_count(10)
    assert curriculum._stage_performance[0] == 0.5
    assert decision == StageTransition(0, 1, "pair", "last", 10, 0.5, "next: performance >= 0.5", None)


def test_a_last_group_that_does_not_say_when_it_is_done_ends_with_the_step_budget_as_a_last_stage_does() -> None:
    curriculum = group(["first", PAIR])
    fed(curriculum, "first", 1.0)
    assert [fed(curriculum, name, 1.0, 50) for name in ("left", "right")] == [None, None]
    assert (curriculum.waiting_for(), curriculum.end) == ((), None)


@pytest.mark.parametrize(
    "said",
    [
        {"done": "all"},
        {"performance_threshold": 0.7},
        {"parallel": [{"curriculum": "left", "performance_threshold": 0.7}, "right"]},
    ],
)
def test_a_last_group_that_says_when_it_is_done_ends_the_curriculum(said: dict[str, Any]) -> None:
    curriculum = group(["first", {**PAIR, **said}])
    fed(curriculum, "first", 1.0)
    assert fed(curriculum, "left", 1.0) is None
    assert fed(curriculum, "right", 1.0).outcome == "completed"


def test_of_the_curriculums_and_the_groups_criterion_the_nearer_one_holds() -> None:
    pair = {**PAIR, "transition_criteria": "performance"}
    curriculum = group([pair, "last"], advance_when="steps >= 10")
    assert curriculum.update_step_count(50) is None
    assert [bool(fed(curriculum, name, 1.0)) for name in ("left", "right")] == [False, True]


def test_a_member_is_no_stage_to_go_to_and_the_group_is_named() -> None:
    with pytest.raises(CurriculumError, match=r"start: 'left' is a member of the group 'pair', .*; name the group"):
        group([PAIR, "last"], start="left")
    with pytest.raises(CurriculumError, match="'left' is a member of the group 'pair'"):
        group([PAIR, "last"]).request_stage("left")


def test_a_member_once_done_stays_done_though_it_falls() -> None:
    curriculum = group([PAIR, "last"], transition_smoothing=1)
    fed(curriculum, "left", 1.0)
    fed(curriculum, "left", 0.0)
    assert fed(curriculum, "right", 1.0).reason == "all done"


def test_a_group_entered_again_begins_afresh() -> None:
    stages = [{**PAIR, "max_visits": 3}, {"curriculum": "mid", "next": [{"to": "pair"}]}]
    curriculum = group(stages)
    late = curriculum.get_task()
    fed(curriculum, "left", 1.0)
    fed(curriculum, "right", 1.0)
    assert fed(curriculum, "mid", 1.0).to_name == "pair"
    assert (curriculum.episodes(), curriculum.state_dict()["done"]) == ([0, 0, 2], [])
    late.complete(1.0)
    assert curriculum.episodes() == [0, 0, 2]  # begun in the visit before
    assert fed(curriculum, "left", 1.0) is None
    assert fed(curriculum, "right", 1.0).to_name == "mid"


def test_members_have_criteria_of_their_own() -> None:
    members = [
        {"curriculum": "left", "advance_when": "mean(score, last=4) >= 0.5"},
        {"curriculum": "right", "transition_criteria": "time", "time_threshold_steps": 100},
        {"curriculum": "third", "performance_threshold": 0.3},
    ]
    curriculum = group([{"name": "three", "parallel": members}, "last"])
    fed(curriculum, "left", 0.5, 4)
    fed(curriculum, "third", 0.3)
    assert curriculum.update_step_count(99) is None
    assert [str(term) for term in curriculum.waiting_for()] == ["right: steps 99 of 100"]  # the others are done
    assert curriculum.update_step_count(100) is not None


def test_what_a_group_says_holds_for_its_members() -> None:
    stages = read_stages(
        {
            "stages": [{**PAIR, "performance_threshold": 0.5, "env_overrides": {"a": 1}}, "last"],
            "env_overrides": {"b": 2},
            "transition_smoothing": 0.2,
        }
    )
    assert [m.performance_threshold for m in stages[0].parallel] == [0.5, 0.5]
    assert [dict(m.env_overrides) for m in stages[0].parallel] == [{"a": 1, "b": 2}] * 2
    assert {stage.transition_smoothing for stage in (stages[0], *stages[0].parallel)} == {0.2}


@pytest.mark.parametrize(
    ("on_timeout", "said"),
    [("advance", "last"), ({"goto": "third"}, "third"), ("stop", "stopped"), ("fail", "failed")],
)
def test_a_group_may_run_out_of_steps(on_timeout: Any, said: str) -> None:
    curriculum = group([{**PAIR, "max_steps": 50, "on_timeout": on_timeout}, "last", "third"])
    assert curriculum.update_step_count(49) is None
    decision = curriculum.update_step_count(50)
    assert decision is not None
    assert (decision.outcome if isinstance(decision, CurriculumEnd) else decision.to_name) == said
    assert decision.reason == "timeout"


def test_a_group_may_be_left_by_ways_of_its_own_on_all_its_episodes() -> None:
    ways = [{"to": "third", "when": "episodes >= 4 and performance < 0.3"}, {"to": "last"}]
    for score, to in ((0.0, "third"), (0.9, "last")):
        curriculum = group([{**PAIR, "next": ways}, "last", "third"])
        fed(curriculum, "left", score)
        assert fed(curriculum, "right", score).to_name == to


def test_a_stage_may_be_sent_back_to_a_group_and_start_in_one() -> None:
    stages = ["a", PAIR, {"curriculum": "c", "demote": {"to": "pair", "below": 0.2, "patience": 10}}]
    curriculum = group(stages, start="pair")
    assert set(played(curriculum, 4)) == {"left", "right"}
    fed(curriculum, "left", 1.0)
    fed(curriculum, "right", 1.0)
    fed(curriculum, "c", 0.0)
    decision = curriculum.update_step_count(10)
    assert decision is not None
    assert (decision.reason, curriculum.stage.name, curriculum.progress().episodes) == ("demotion", "pair", 0)


def test_members_of_equal_weight_take_turns_and_one_of_none_is_never_played() -> None:
    members = ["x", "y", {"curriculum": "z", "weight": 0}]
    curriculum = group([{"name": "g", "parallel": members, "done": "any"}, "last"])
    order = played(curriculum, 6)
    assert [sorted(order[at : at + 2]) for at in (0, 2, 4)] == [["x", "y"]] * 3
    assert curriculum.stage_probs() == [0.5, 0.5, 0.0, 0.0]


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"parallel": ["a", "b"]}, "stages.0", "a group of parallel stages needs a `name:`"),
    ({"name": "g", "parallel": "a"}, "stages.0.parallel", "expected a list"),
    ({"name": "g", "parallel": [{"name": "h", "parallel": ["a"]}]}, "stages.0.parallel.0", "a group cannot stand in"),
    ({"name": "g", "parallel": ["a", "x/a"]}, "stages.0.parallel.1", "'a' names stage 0's member 0 too"),
    ({"name": "g", "parallel": ["g"]}, "stages.0.parallel.0", "'g' names stage 0 too"),
    ({"name": "g", "parallel": ["z"]}, "stages.1", "'z' names stage 0's member 0 too"),
    ({"name": "g", "parallel": ["a"], "done": "some"}, "stages.0.done", "not one of all, any"),
    ({"name": "g", "parallel": ["a"], "curriculum": "b"}, "stages.0.curriculum", "unknown key"),
    (
        {"name": "g", "parallel": ["a"], "demote": {"to": "z", "below": 0, "patience": 1}},
        "stages.0.demote",
        "unknown key",
    ),
    ({"name": "g", "parallel": [{"curriculum": "a", "weight": -1}]}, "stages.0.parallel.0.weight", "outside [0"),
    (
        {"name": "g", "done": "any", "parallel": [{"curriculum": "a", "weight": 0}]},
        "stages.0.parallel",
        "no member has a weight above 0",
    ),
    (
        {"name": "g", "parallel": [{"curriculum": "a", "weight": 0}, "b"]},
        "stages.0.parallel.0.weight",
        "never played, and the group waits until all are done",
    ),
    ({"name": "g", "parallel": [{"curriculum": "a", "max_steps": 5}]}, "stages.0.parallel.0.max_steps", "no effect"),
    (
        {"name": "g", "parallel": [{"curriculum": "a", "next": [{"to": "z"}]}]},
        "stages.0.parallel.0.next",
        "no effect",
    ),
    (
        {"name": "g", "time_threshold_steps": 5, "parallel": ["a"]},
        "stages.0.time_threshold_steps",
        "no member of 'g' leaves by this",
    ),
    ({"name": "g", "on_timeout": "stop", "parallel": ["a"]}, "stages.0.on_timeout", "no effect without `max_steps:`"),
    ({"name": "g", "parallel": [{"curriculum": "a", "rehearse": {"z": 0.1}}]}, "stages.0.parallel.0.rehearse", "no"),
]


@pytest.mark.parametrize(("entry", "path", "said"), FAULTS, ids=[f"{path}: {said}" for _, path, said in FAULTS])
def test_a_group_that_makes_no_sense_is_refused(entry: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(CurriculumError) as raised:
        read_stages({"stages": [entry, "z"]})
    found = {".".join(map(str, fault.path)): fault.message for fault in raised.value.faults}
    assert said in found.get(path, f"not told; told: {found}")


class Impatient(StagedProgressiveCurriculum):
    """A class of a user's own, which leaves as soon as the performance is there."""

    def _should_transition_to_next_stage(self) -> bool:
        return self._stage_performance[self._current_stage] >= 0.75


def test_a_class_of_ones_own_sees_a_group_as_one_stage() -> None:
    curriculum = Impatient([PAIR, "last"], min_episodes=1, transition_smoothing=0.5)
    assert fed(curriculum, "left", 0.5, 5) is None
    decision = fed(curriculum, "right", 1.0, 1)
    assert (decision.performance, decision.reason) == (curriculum._stage_performance[0], "Impatient")


@pytest.mark.parametrize(
    ("member", "remembers"),
    [
        ({}, False),
        ({"transition_criteria": "both"}, True),
        ({"performance_threshold": {"from": 0.9, "to": 0.1, "over": 100}}, True),
        ({"advance_when": "mean(score, last=5) > 0.5"}, False),
    ],
)
def test_a_member_that_may_be_done_by_steps_alone_and_stays_so_makes_every_boundary_count(
    member: dict[str, Any], remembers: bool
) -> None:
    pair = {"name": "pair", "parallel": [{"curriculum": "left", **member}, "right"]}
    assert group([pair, "last"]).remembers_steps is remembers


def test_a_member_done_at_a_boundary_to_which_nothing_but_steps_came_stays_done() -> None:
    members = [{"curriculum": "left", "transition_criteria": "both", "time_threshold_steps": 100}, "right"]
    curriculum = group([{"name": "pair", "parallel": members}, "last"], transition_smoothing=1, min_episodes=1)
    curriculum.decide_between_steps()
    left: list[Any] = []
    for steps, scores in ((50, [("left", 1.0)]), (100, []), (150, [("left", 0.0)]), (200, [("right", 1.0)])):
        for name, score in scores:
            curriculum.complete_task(name, score)
        left.append(curriculum.update_step_count(steps))
    assert [bool(decision) for decision in left] == [False, False, False, True]


# ── rehearsal ───────────────────────────────────────────────────────────────────────────────────────────────────


def rehearsing() -> StagedProgressiveCurriculum:
    curriculum = group(["a", "b", {"curriculum": "c", "rehearse": {"a": 0.1, "b": 0.2}}])
    fed(curriculum, "a", 1.0)
    fed(curriculum, "b", 1.0)
    return curriculum


def test_a_stage_plays_a_share_of_earlier_ones() -> None:
    curriculum = rehearsing()
    assert curriculum.stage_probs() == pytest.approx([0.1, 0.2, 0.7])
    assert Counter(played(curriculum, 1000)) == {"a": 100, "b": 200, "c": 700}


def test_a_rehearsed_stages_falling_performance_is_seen_and_moves_nothing() -> None:
    curriculum = rehearsing()
    before = curriculum.performance()
    assert (before, curriculum.episodes()) == ([1.0, 1.0, None], [2, 2, 0])
    for _ in range(200):
        task = curriculum.get_task()
        task.complete(0.0 if task.stage.name == "a" else 0.5)
    a, b, c = curriculum.performance()
    assert a is not None
    assert a < 0.2
    assert (b, c) == (pytest.approx(0.5, abs=0.02), 0.5)
    assert curriculum.progress().episodes == curriculum.episodes()[2] == 140


def test_a_group_may_rehearse_and_a_member_be_rehearsed() -> None:
    stages = ["a", {**PAIR, "rehearse": {"a": 0.2}}, {"curriculum": "c", "rehearse": {"left": 0.5}}]
    curriculum = group(stages)
    fed(curriculum, "a", 1.0)
    assert Counter(played(curriculum, 100)) == {"a": 20, "left": 60, "right": 20}
    fed(curriculum, "left", 1.0)
    fed(curriculum, "right", 1.0)
    assert Counter(played(curriculum, 100)) == {"left": 50, "c": 50}
    curriculum.complete_task(curriculum.get_task().id, 0.0)
    assert sum(curriculum.episodes()) == 7


probabilities = st.lists(st.floats(1e-3, 1), min_size=1, max_size=8).map(lambda w: [x / sum(w) for x in w])


@given(probabilities, st.integers(1, 400), st.integers(0, 300))
def test_every_share_is_kept_to_less_than_one_episode_from_the_entry_on(
    probs: list[float], until: int, saved_at: int
) -> None:
    shares, given_ = Shares(probs), [0] * len(probs)
    for episode in range(1, until + 1):
        if episode == saved_at:
            state = json.loads(json.dumps(shares.state_dict()))
            shares = Shares(probs)
            shares.load_state_dict(state)
        given_[shares.next()] += 1
        assert max(abs(p * episode - n) for p, n in zip(probs, given_, strict=True)) < 1


def test_two_heavy_members_do_not_make_a_light_one_wait_for_more_than_its_episode() -> None:
    """Who always plays the stage furthest behind has one of these wait for 1.02 episodes after the 28th."""
    weights = [1, 1, 20, 20, 1]
    shares, given_ = Shares([weight / 43 for weight in weights]), [0] * 5
    for episode in range(1, 430):
        given_[shares.next()] += 1
        assert max(abs(w * episode / 43 - n) for w, n in zip(weights, given_, strict=True)) < 1


@given(probabilities, st.integers(0, 200), st.integers(1, 200))
def test_over_any_window_every_share_is_kept_to_less_than_two_episodes(
    probs: list[float], begin: int, length: int
) -> None:
    shares = Shares(probs)
    order = [shares.next() for _ in range(begin + length)]
    counted = Counter(order[begin:])
    assert max(abs(p * length - counted[index]) for index, p in enumerate(probs)) < 2


def test_the_shares_go_on_from_a_saved_state_and_begin_anew_with_a_stage() -> None:
    one, other = rehearsing(), rehearsing()
    played(one, 7)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert played(one, 50) == played(other, 50)
    one.request_stage("c")
    one.update_step_count(1)
    assert played(one, 50) == played(rehearsing(), 50)


# ── as data ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stages_with_everything_read_back_from_what_they_wrote() -> None:
    stages = read_stages(
        {
            "stages": [
                {
                    "curriculum": "a",
                    "performance_threshold": {"from": 0.9, "to": 0.5, "over": "10k"},
                    "trainer": {"ent_coef": {"from": 0.02, "to": 0.001, "over": "200k"}, "net": {"size": [64, 64]}},
                    "on_enter": {"reset": ["optimizer"], "warmup_steps": "10k"},
                    "next": [{"to": "g", "when": "performance >= 0.5"}, {"to": "end"}],
                    "max_visits": 2,
                },
                {
                    **PAIR,
                    "rehearse": {"a": 0.1},
                    "done": "any",
                    "max_steps": 9,
                    "on_timeout": {"goto": "c"},
                    "name": "g",
                },
                {
                    "curriculum": "c",
                    "performance_threshold": {"below_best": 0.1, "over": 100},
                    "demote": {"to": "a", "margin": 0.2, "patience": 5},
                    "evaluate": {"every": "20k", "episodes": 50, "earlier": True},
                    "score": {"return": [0, 10]},
                    "max_visits": 2,
                },
            ]
        }
    )
    assert tuple(Stage.from_dict(json.loads(json.dumps(stage.to_dict()))) for stage in stages) == stages
