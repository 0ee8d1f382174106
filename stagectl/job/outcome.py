"""What a run came to, from how its training process ended and what its events say."""

from __future__ import annotations

import signal

from stagectl.job.training import Ending
from stagectl.recipe import Recipe
from stagectl.runs import RunStatus
from stagectl.runs.status import State, reached_end


def outcome_of(ending: Ending, status: RunStatus, recipe: Recipe) -> tuple[State, str]:
    """The run's outcome and what there is to say about it."""
    if ending.never_started:
        return "failed", ending.never_started
    if ending.killed:
        return "stopped", f"killed: it did not stop within {recipe.launch.stop_grace:.0f} s of being asked"
    if ending.exit_code != 0:
        return "failed", _failure(ending.exit_code, status)
    if status.end is not None:
        return _curriculum_outcome(status)
    if status.stop_requested:
        return "stopped", "as requested"
    budget = recipe.trainer.total_timesteps
    spent = budget is not None and status.step >= budget
    if spent and not reached_end(status):
        stage = status.stages[status.current].stage.name
        where = f"stage {status.current + 1} of {len(status.stages)} ({stage})"
        return "budget_spent", f"all {budget:,} steps are spent in {where}; its criterion was not reached"
    return "completed", ""


def _curriculum_outcome(status: RunStatus) -> tuple[State, str]:
    end = status.end or {}
    if end["outcome"] == "completed":
        return "completed", ""
    limit = status.stages[end["stage"]].stage.max_steps
    return end["outcome"], f"stage '{end['name']}' did not reach its criterion within its {limit:,} steps (max_steps)"


def _failure(exit_code: int | None, status: RunStatus) -> str:
    if exit_code is None:
        return "the training process's end was not seen"
    how = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    when = f"at step {status.step:,}" if status.ready else "before its first rollout was over"
    return f"the training process {how} {when}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
