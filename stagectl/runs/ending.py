"""What a run came to, from how its training process ended and what its events say."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from stagectl.runs.events import EventLog
from stagectl.runs.liveness import State
from stagectl.runs.paths import RunPaths
from stagectl.runs.reader import StatusReader
from stagectl.runs.status import RunStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """How a training process ended. `exit_code` is minus the signal's number where a signal ended it.

    `killed_after`: it was asked to stop, and killed when this grace time in seconds had passed.
    `failure`: what failed, where more is known than the exit code tells.
    `node`: the node whose training process ended the attempt, where it was another one; without an exit code the node
    itself was lost.
    """

    exit_code: int | None
    killed_after: float | None = None
    failure: str = ""
    node: str = ""


def is_over(status: RunStatus) -> bool:
    """Whether the training told that it ended well, with nothing left to do: its stages or budget over, or as asked.

    What becomes of its process then, as its libraries are torn down, takes nothing of that back.
    """
    return status.exit_code == 0 and (has_trained(status) or status.stop_requested)


def has_trained(status: RunStatus) -> bool:
    """Whether nothing is left to train: its stages or its budget are over."""
    return status.end is not None or is_spent(status)


def is_spent(status: RunStatus) -> bool:
    """Whether the step budget is."""
    return status.total_timesteps is not None and status.step >= status.total_timesteps


def may_restart(ending: Ending, status: RunStatus) -> bool:
    """Whether the process died of itself, after it had begun to train, with something left to do."""
    died = ending.exit_code not in (0, -signal.SIGINT) and ending.killed_after is None and not ending.failure
    return died and status.ready and not is_over(status)


def outcome_of(ending: Ending, status: RunStatus) -> tuple[State, str]:
    """The run's outcome and what there is to say about it."""
    if is_over(status):
        outcome, message = _told_outcome(status)
        return outcome, "; ".join(filter(None, (message, _afterwards(ending))))
    if ending.killed_after is not None:
        return "stopped", f"killed: it did not stop within {ending.killed_after:g} s of being asked"
    if ending.exit_code == -signal.SIGINT:
        return "stopped", f"interrupted by SIGINT {_when(status)}"
    if ending.failure or ending.exit_code != 0:
        return "failed", ending.failure or _failure(ending, status)
    return _told_outcome(status)


def write_end(log: EventLog, ending: Ending, status: RunStatus, note: str = "") -> State:
    """Write how the run ended, with a note on who writes it; its outcome. Raises StorageError."""
    outcome, message = outcome_of(ending, status)
    log.append("run_ended", status.step, outcome=outcome, message="; ".join(filter(None, (message, note))))
    StatusReader(RunPaths(log.path.parent)).keep(log.size, after=1)  # whoever lists many runs reads no more
    return outcome


def _told_outcome(status: RunStatus) -> tuple[State, str]:
    """What the events of a training that ended well come to."""
    if status.end is not None:
        return _curriculum_outcome(status)
    if status.stop_requested and not is_spent(status):
        return "stopped", "as requested"
    if is_spent(status) and not _reached_end(status):
        where = f"stage {status.current + 1} of {len(status.curriculum)} ({status.name_of(status.current)})"
        budget = f"all {status.total_timesteps:,} steps are spent"
        return "budget_spent", f"{budget} in {where}; {_why_not_left(status)}"
    if not status.ready and not is_spent(status):
        return "failed", "the training process ended without one update_step_count; does it call stagectl.attach()?"
    told = f"the training process ended by itself at step {status.step:,}"
    if not _reached_end(status):
        return "stopped", f"{told}, before its stages were over"
    if status.total_timesteps is not None and not is_spent(status):
        return "stopped", f"{told}, before its {status.total_timesteps:,} steps were over"
    return "completed", ""


def _why_not_left(status: RunStatus) -> str:
    """What the stage that is on still waits for."""
    if not any(entry.episodes for entry in status.stages):
        return "no episode was told: task.complete(score) tells one"
    blocks = "; ".join(str(term) for term in status.waiting if not term.holds)
    return f"its criterion was not reached{f': {blocks}' if blocks else ''}"


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


def _afterwards(ending: Ending) -> str:
    """What became of the process of a training that was over."""
    if ending.killed_after is not None:
        return f"its process, which stayed, was killed {ending.killed_after:g} s after it was asked to stop"
    if ending.failure or ending.exit_code is None:
        return ending.failure
    return f"{_died(ending.exit_code, ending.node)} afterwards" if ending.exit_code else ""


def _failure(ending: Ending, status: RunStatus) -> str:
    if ending.exit_code is not None:
        return f"{_died(ending.exit_code, ending.node)} {_when(status)}"
    if ending.node:
        return f"{ending.node} was lost {_when(status)}"
    return "the training process's end was not seen"


def _died(exit_code: int, node: str) -> str:
    how = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    return f"the training process {f'on {node} ' if node else ''}{how}"


def _when(status: RunStatus) -> str:
    return f"at step {status.step:,}" if status.ready else "before its first rollout was over"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
