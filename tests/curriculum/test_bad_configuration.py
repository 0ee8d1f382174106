from __future__ import annotations

from typing import Any

import pytest

from stagectl.curriculum import StagedProgressiveCurriculum, read_stages
from stagectl.errors import CurriculumError

A = {"curriculum": "a"}

FAULTS: list[tuple[dict[str, Any], str, str]] = [
    # configuration, path of the fault, what is said
    ({}, "stages", "at least one stage"),
    ({"stages": []}, "stages", "at least one stage"),
    ({"stages": None}, "stages", "expected a list, found nothing"),
    ({"stages": "a"}, "stages", "expected a list, found 'a'"),
    ({"stages": {"a": 1}}, "stages", "expected a list, found a mapping"),
    ({"stages": [7]}, "stages.0", "expected a stage"),
    ({"stages": [None]}, "stages.0", "expected a stage"),
    ({"stages": [["a"]]}, "stages.0", "expected a stage"),
    ({"stages": [{"name": "x"}]}, "stages.0", "needs `curriculum:`"),
    ({"stages": [{"curriculum": None}]}, "stages.0.curriculum", "expected text, found nothing"),
    ({"stages": [{"curriculum": 3}]}, "stages.0.curriculum", "expected text, found 3"),
    ({"stages": [{"curriculum": "  "}]}, "stages.0.curriculum", "is empty"),
    ({"stages": [""]}, "stages.0.curriculum", "is empty"),
    ({"stages": ["/"]}, "stages.0", "name"),
    ({"stages": [{**A, "name": ""}]}, "stages.0.name", "is empty"),
    ({"stages": [{**A, "name": 3}]}, "stages.0.name", "expected text, found 3"),
    ({"stages": ["x/a", "y/a"]}, "stages.1", "'a' names stage 0 too"),
    ({"stages": [{**A, "name": "n"}, {"curriculum": "b", "name": "n"}]}, "stages.1", "'n' names stage 0 too"),
    ({"stages": [{**A, "weight": -1}]}, "stages.0.weight", "-1 is outside [0, ∞)"),
    ({"stages": [{**A, "weight": "heavy"}]}, "stages.0.weight", "expected a number, found 'heavy'"),
    ({"stages": [{**A, "weight": True}]}, "stages.0.weight", "expected a number, found True"),
    ({"stages": [{**A, "wieght": 1}]}, "stages.0.wieght", "unknown key; did you mean 'weight'?"),
    ({"stages": ["a"], "stage": ["a"]}, "stage", "unknown key; did you mean 'stages'?"),
    ({"stages": ["a"], "weight": 1}, "weight", "unknown key"),
    ({"stages": ["a"], "zzz": 1}, "zzz", "unknown key; known: "),
    (
        {"stages": ["a", "b"], "performance_treshold": 1},
        "performance_treshold",
        "did you mean 'performance_threshold'?",
    ),
    ({"stages": ["a", "b"], "transition_criteria": "luck"}, "transition_criteria", "not one of performance, time"),
    ({"stages": ["a", "b"], "transition_criteria": "preformance"}, "transition_criteria", "mean 'performance'?"),
    ({"stages": ["a", "b"], "transition_criteria": None}, "transition_criteria", "nothing is not one of"),
    ({"stages": ["a", "b"], "transition_criteria": ["time"]}, "transition_criteria", "a list is not one of"),
    ({"stages": ["a", "b"], "performance_threshold": 1.5}, "performance_threshold", "outside the score's range (0, 1]"),
    ({"stages": ["a", "b"], "performance_threshold": 0}, "performance_threshold", "outside the score's range (0, 1]"),
    ({"stages": ["a", "b"], "performance_threshold": -1}, "performance_threshold", "outside the score's range (0, 1]"),
    ({"stages": ["a", "b"], "performance_threshold": "80%"}, "performance_threshold", "found '80%'; write 0.8"),
    (
        {"stages": ["a", "b"], "performance_threshold": None},
        "performance_threshold",
        "expected a number, found nothing",
    ),
    ({"stages": ["a", "b"], "performance_threshold": float("nan")}, "performance_threshold", "finite number"),
    ({"stages": ["a", "b"], "performance_threshold": 10**400}, "performance_threshold", "a finite number"),
    ({"stages": [{**A, "performance_threshold": 80}, "b"]}, "stages.0.performance_threshold", "`score: return`"),
    ({"stages": ["a", {"curriculum": "b", "performance_threshold": 2}]}, "stages.1.performance_threshold", "2 is"),
    (
        {"stages": ["a", "b"], "score": {"return": [0, 100]}, "performance_threshold": 80},
        "performance_threshold",
        "outside the score's range (0, 1]",
    ),
    ({"stages": ["a", "b"], "time_threshold_steps": 0}, "time_threshold_steps", "0 is less than 1"),
    ({"stages": ["a", "b"], "time_threshold_steps": 1.5}, "time_threshold_steps", "expected a whole number, found 1.5"),
    ({"stages": ["a", "b"], "time_threshold_steps": "1e400"}, "time_threshold_steps", "finite number"),
    ({"stages": ["a", "b"], "transition_smoothing": 0}, "transition_smoothing", "0 is outside (0, 1]"),
    ({"stages": ["a", "b"], "transition_smoothing": 1.01}, "transition_smoothing", "1.01 is outside (0, 1]"),
    ({"stages": ["a", "b"], "transition_smoothing": -0.1}, "transition_smoothing", "-0.1 is outside (0, 1]"),
    ({"stages": ["a", "b"], "ema": "zero_strat"}, "ema", "did you mean 'zero_start'?"),
    ({"stages": ["a", "b"], "min_episodes": 0}, "min_episodes", "0 is less than 1"),
    ({"stages": ["a", "b"], "max_steps": 0}, "max_steps", "0 is less than 1"),
    ({"stages": ["a", "b"], "max_steps": "many"}, "max_steps", "expected a number, found 'many'"),
    ({"stages": ["a", "b"], "on_timeout": "advanse"}, "on_timeout", "did you mean 'advance'?"),
    ({"stages": ["a", "b"], "score": "sucess"}, "score", "did you mean 'success'?"),
    ({"stages": ["a", "b"], "score": {"return": [1, 0]}}, "score", "must be below"),
    ({"stages": ["a", "b"], "score": {"return": [1]}}, "score", "expected two returns"),
    ({"stages": ["a", "b"], "score": {"return": 1}}, "score", "expected a list, found 1"),
    ({"stages": ["a", "b"], "score": {"reward": [0, 1]}}, "score", "{return: [low, high]}"),
    ({"stages": ["a", "b"], "env_overrides": [1]}, "env_overrides", "expected a mapping, found a list"),
    ({"stages": ["a", "b"], "env_overrides": None}, "env_overrides", "expected a mapping, found nothing"),
    ({"stages": [{**A, "env_overrides": 1}]}, "stages.0.env_overrides", "expected a mapping, found 1"),
    (
        {"stages": [{**A, "time_threshold_steps": 10}, "b"]},
        "stages.0.time_threshold_steps",
        "leaves by performance, so this has no effect",
    ),
    (
        {"stages": [{**A, "performance_threshold": 0.5}, "b"], "transition_criteria": "time"},
        "stages.0.performance_threshold",
        "leaves by time, so this has no effect",
    ),
    (
        {"stages": [{**A, "performance_threshold": 0.5, "advance_when": "steps > 1"}, "b"]},
        "stages.0.performance_threshold",
        "`advance_when` says when stage 'a' ends, so this has no effect",
    ),
    (
        {"stages": [{**A, "time_threshold_steps": 5, "advance_when": "steps > 1"}, "b"]},
        "stages.0.time_threshold_steps",
        "`advance_when` says when stage 'a' ends, so this has no effect",
    ),
    (
        {"stages": [{**A, "performance_threshold": 0.5}, "b"], "advance_when": "steps > 1"},
        "stages.0.performance_threshold",
        "the curriculum's `advance_when` says when stage 'a' ends, so this has no effect; add `transition_criteria: p",
    ),
    (
        {"stages": [{**A, "time_threshold_steps": 5, "next": [{"to": "b", "when": "steps > 1"}]}, "b"]},
        "stages.0.time_threshold_steps",
        "`next` says when stage 'a' ends, so this has no effect",
    ),
    ({"stages": [{**A, "on_timeout": "stop"}, "b"]}, "stages.0.on_timeout", "no effect without `max_steps:`"),
    ({"stages": ["a", "b"], "on_timeout": "stop"}, "on_timeout", "no effect without `max_steps:`"),
    (
        {"stages": ["a", {"curriculum": "b", "max_steps": 5, "on_timeout": "goto a"}]},
        "stages.1.on_timeout",
        "{goto: a}",
    ),
    ({"stages": ["a", "b"], "on_enter": {"reset": ["optimiser"]}}, "on_enter", "did you mean 'optimizer'?"),
    ({"stages": ["a", "b"], "on_enter": {"warmup": 3}}, "on_enter", "warmup: unknown key"),
    (
        {"stages": ["a", "b"], "evaluate": {"every": 10}},
        "evaluate",
        "lacks episodes; expected {every: STEPS, episodes: NUMBER}",
    ),
    ({"stages": ["a", "b"], "evaluate": {"every": 10, "episodes": 1, "earlier": 1}}, "evaluate", "true or false"),
    ({"stages": ["a", "b"], "trainer": {"lr": {"from": 1, "to": 0}}}, "trainer", "lacks over"),
    ({"stages": ["a", "b"], "trainer": 3}, "trainer", "expected a mapping, found 3"),
    ({"stages": ["a", "b"], "advance_when": 3}, "advance_when", "expected a criterion as text"),
    ({"stages": ["a", "b"], "rehearse": {"a": 0.1}}, "rehearse", "unknown key"),
    ({"stages": ["a", "b"], "start": 1}, "start", "expected text, found 1"),
]


@pytest.mark.parametrize(("config", "path", "said"), FAULTS, ids=[f"{path}: {said}" for _, path, said in FAULTS])
def test_a_fault_is_told_with_its_path_and_reason(config: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(CurriculumError) as raised:
        read_stages(config)
    found = [(".".join(map(str, fault.path)), fault.message) for fault in raised.value.faults]
    assert len(found) == 1, found
    assert found[0][0] == path
    assert said in found[0][1]


def test_every_fault_is_told_at_once() -> None:
    config = {
        "stages": [{"curriculum": "a", "weight": -1, "nmae": "x"}, {"name": "no curriculum"}, 5],
        "transition_smoothing": 2,
        "ema": "?",
        "oops": 1,
    }
    with pytest.raises(CurriculumError) as raised:
        read_stages(config)
    paths = {".".join(map(str, fault.path)) for fault in raised.value.faults}
    assert paths == {"stages.0.weight", "stages.0.nmae", "stages.1", "stages.2", "transition_smoothing", "ema", "oops"}


def test_a_shared_threshold_out_of_range_is_told_once_however_many_stages_have_it() -> None:
    with pytest.raises(CurriculumError) as raised:
        read_stages({"stages": ["a", "b", "c", "d"], "performance_threshold": 9})
    assert len(raised.value.faults) == 1


def test_a_plain_return_as_score_may_have_any_threshold() -> None:
    assert read_stages({"stages": ["a", "b"], "score": "return", "performance_threshold": -200})[0]


def test_a_curriculum_built_in_a_notebook_is_checked_alike() -> None:
    with pytest.raises(CurriculumError, match="transition_smoothing: 2 is outside"):
        StagedProgressiveCurriculum(["a"], transition_smoothing=2)
    with pytest.raises(CurriculumError, match="unknown key"):
        StagedProgressiveCurriculum(["a"], rehearsal=1)
    with pytest.raises(ValueError, match="at least one stage"):
        StagedProgressiveCurriculum([])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("100k", 100_000),
        ("2M", 2_000_000),
        ("1e6", 1_000_000),
        ("400_000", 400_000),
        ("0.5M", 500_000),
        ("1.5k", 1500),
        ("+7", 7),
        (" 100k ", 100_000),
        (1e6, 1_000_000),
        (12, 12),
    ],
)
def test_steps_may_be_written_as_people_write_them(written: Any, read: int) -> None:
    stage = read_stages({"stages": ["a", "b"], "max_steps": written})[0]
    assert stage.max_steps == read
    assert isinstance(stage.max_steps, int)


@pytest.mark.parametrize("written", ["", "k", "1,000", "1 000", "0x10", "ten", "1kk", "--1", "1e", "nan", "inf", "1m"])
def test_what_is_no_number_is_not_taken_for_one(written: str) -> None:
    with pytest.raises(CurriculumError, match="max_steps: expected a"):
        read_stages({"stages": ["a", "b"], "max_steps": written})
