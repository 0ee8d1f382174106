"""What a run came to, from how its training process ended and what its events say."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from stagectl.runs.liveness import State
from stagectl.runs.status import RunStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """How a training process ended. `exit_code` is minus the signal's number where a signal ended it.

    `killed_after`: it was asked to stop, and killed when this grace time in seconds had passed.
    `failure`: what failed, where more is known than the exit code tells.
    """

    exit_code: int | None
    killed_after: float | None = None
    failure: str = ""


def outcome_of(ending: Ending, status: RunStatus) -> tuple[State, str]:
    """The run's outcome and what there is to say about it."""
    if ending.killed_after is not None:
        return "stopped", f"killed: it did not stop within {ending.killed_after:g} s of being asked"
    if ending.exit_code == -signal.SIGINT:
        return "stopped", f"interrupted by SIGINT {_when(status)}"
    if ending.failure or ending.exit_code != 0:
        return "failed", ending.failure or _failure(ending.exit_code, status)
    if status.end is not None:
        return _curriculum_outcome(status)
    if status.stop_requested:
        return "stopped", "as requested"
    budget = status.total_timesteps
    spent = budget is not None and status.step >= budget
    if spent and not _reached_end(status):
        where = f"stage {status.current + 1} of {len(status.curriculum)} ({status.name_of(status.current)})"
        return "budget_spent", f"all {budget:,} steps are spent in {where}; its criterion was not reached"
    if not status.ready:
        return "failed", "the training process ended without one update_step_count; does it call stagectl.attach()?"
    if not spent and not _reached_end(status):
        return "stopped", f"the training process ended by itself at step {status.step:,}, before its stages were over"
    return "completed", ""


def _curriculum_outcome(status: RunStatus) -> tuple[State, str]:
    end = status.end or {}
    if end["outcome"] == "completed":
        return "completed", ""
    limit = status.curriculum[end["stage"]].max_steps
    return end["outcome"], f"stage '{end['name']}' did not reach its criterion within its {limit:,} steps (max_steps)"


def _reached_end(status: RunStatus) -> bool:
    """Whether the run stands in a stage that ends with the step budget alone."""
    stage = status.curriculum[status.current]
    return stage.transition_criteria is None and not stage.next


def _failure(exit_code: int | None, status: RunStatus) -> str:
    if exit_code is None:
        return "the training process's end was not seen"
    how = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    return f"the training process {how} {_when(status)}"


def _when(status: RunStatus) -> str:
    return f"at step {status.step:,}" if status.ready else "before its first rollout was over"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
