"""What a run came to: the training's own last word holds, whatever becomes of its process then."""

from __future__ import annotations

from typing import Any

import pytest

from stagectl.curriculum import read_stages
from stagectl.runs import Ending, RunStatus, is_over, may_restart, outcome_of

ABORTED, SUCCEEDED = Ending(-6), Ending(0)
HUNG = Ending(-9, killed_after=30.0)


def status(*events: tuple[str, int, dict[str, Any]], criterion: str | None = None) -> RunStatus:
    """Of a run of 100 steps in two stages, with these events in its first attempt."""
    stages = read_stages({"stages": ["a", {"curriculum": "b", "transition_criteria": criterion} if criterion else "b"]})
    facts = {
        "recipe": "r",
        "backend": "local",
        "target": None,
        "total_timesteps": 100,
        "stages": [stage.to_dict() for stage in stages],
    }
    folded = RunStatus("r")
    told = [("run_created", 0, facts), ("attempt_started", 0, {}), ("ready", 0, {}), *events]
    for seq, (event, step, fields) in enumerate(told, 1):
        folded.apply({"seq": seq, "attempt": 1, "step": step, "time": float(seq), "event": event, **fields})
    return folded


MOVED = (
    "stage_transition",
    50,
    {"from_stage": 0, "to_stage": 1, "from_name": "a", "to_name": "b", "performance": 1.0, "reason": "performance"},
)
ENDED = (
    "curriculum_ended",
    80,
    {"stage": 1, "name": "b", "outcome": "completed", "performance": 1.0, "reason": "performance"},
)
MISSING = {"term": 'metric("q")', "value": None, "operator": ">=", "target": 8.0, "holds": False}
SPENT = ("progress", 100, {"waiting_for": [MISSING]})
EPISODES = ("episodes", 50, {"scores": [[0, 0.5]], "episodes": [1, 0], "performance": [0.5, None]})
STOPPED = ("request_answered", 70, {"request": "stop"})
TOLD = ("training_ended", 70, {"exit_code": 0})
DIED = ("attempt_ended", 70, {"exit_code": -6, "killed": False})


@pytest.mark.parametrize(
    ("before", "outcome", "message"),
    [
        ([MOVED, SPENT], "completed", ""),
        ([MOVED, ENDED], "completed", ""),
        (
            [EPISODES, SPENT],
            "budget_spent",
            'all 100 steps are spent in stage 1 of 2 (a); its criterion was not reached: metric("q") no data of 8; ',
        ),
        (
            [SPENT],
            "budget_spent",
            "all 100 steps are spent in stage 1 of 2 (a); no episode was told: task.complete(score) tells one; ",
        ),
        ([STOPPED], "stopped", "as requested; "),
        ([MOVED, STOPPED, SPENT], "completed", ""),
    ],
)
def test_a_training_that_told_its_end_has_it_however_its_process_ends_then(
    before: list[Any], outcome: str, message: str
) -> None:
    told = status(*before, TOLD, DIED)
    assert is_over(told)
    assert not may_restart(ABORTED, told)
    assert outcome_of(ABORTED, told) == (outcome, f"{message}the training process was killed by SIGABRT afterwards")
    hung = "its process, which stayed, was killed 30 s after it was asked to stop"
    assert outcome_of(HUNG, told) == (outcome, f"{message}{hung}")
    assert outcome_of(SUCCEEDED, told) == (outcome, message.removesuffix("; "))


@pytest.mark.parametrize("before", [[MOVED, SPENT], [MOVED, ENDED], [SPENT], [STOPPED]])
def test_a_process_that_dies_before_its_training_told_its_end_has_failed(before: list[Any]) -> None:
    """What it would have saved then is not there."""
    died = status(*before, DIED)
    assert may_restart(ABORTED, died)
    assert outcome_of(ABORTED, died)[0] == "failed"
    assert outcome_of(HUNG, died)[0] == "stopped"


def test_a_training_that_leaves_too_early_and_dies_is_begun_again() -> None:
    early = status(("progress", 60, {}), ("training_ended", 60, {"exit_code": 0}))
    assert not is_over(early)
    assert may_restart(ABORTED, early)
    assert outcome_of(SUCCEEDED, early)[0] == "stopped"


def test_a_script_that_ends_before_its_budget_is_stopped_also_in_a_stage_that_the_budget_ends() -> None:
    early = status(MOVED, ("progress", 60, {}), ("training_ended", 60, {"exit_code": 0}))
    told = "the training process ended by itself at step 60, before its 100 steps were over"
    assert outcome_of(SUCCEEDED, early) == ("stopped", told)


def test_a_word_of_an_attempt_before_counts_for_nothing() -> None:
    again = status(MOVED, SPENT, TOLD, DIED, ("attempt_started", 50, {}), ("ready", 50, {}))
    assert not is_over(again)
    assert again.attempt_ended is None


def test_an_attempt_that_found_nothing_left_to_train_needs_no_rollout() -> None:
    nothing_left = status(MOVED, SPENT, ("attempt_started", 100, {}), TOLD)
    assert not nothing_left.ready
    assert outcome_of(SUCCEEDED, nothing_left) == ("completed", "")
