"""A run's state: what its events say, held against what its processes say."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from stagectl.runs.files import read_json
from stagectl.runs.locks import is_locked
from stagectl.runs.paths import RunPaths
from stagectl.runs.process import is_same_process, is_suspended
from stagectl.runs.status import RunStatus

State = Literal["starting", "running", "stalled", "completed", "budget_spent", "stopped", "failed", "crashed"]
ENDED: frozenset[str] = frozenset({"completed", "budget_spent", "stopped", "failed", "crashed"})

STALL_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class Liveness:
    """What the operating system says of a run's processes."""

    job: bool
    trainer: bool
    suspended: bool


def read_liveness(paths: RunPaths) -> Liveness:
    """Proof of life is a lock that the kernel drops, or a process with the recorded pid, start and boot."""
    identity = read_json(paths.identity)
    trainer = identity.get("trainer")
    alive = is_same_process(trainer)
    return Liveness(
        job=is_locked(paths.lock),
        trainer=alive or is_locked(paths.events),
        suspended=bool(alive and trainer and is_suspended(trainer["pid"])),
    )


def judge(status: RunStatus, liveness: Liveness, now: float | None = None) -> tuple[State, str]:
    """A run's state, and what there is to say about it; two truths apart, never told falsely."""
    now = time.time() if now is None else now
    if status.ended is not None:
        return status.ended["outcome"], status.ended["message"]
    age = max(0.0, now - status.last_time)
    if liveness.suspended:
        return "stalled", "the training process is suspended; SIGCONT lets it go on"
    if liveness.job or liveness.trainer:
        unwatched = "" if liveness.job else "the job process is gone, training goes on by itself"
        if status.started is not None and age > STALL_SECONDS:
            return "stalled", f"no event for {age / 60:.0f} min"
        return ("running" if status.ready else "starting"), unwatched
    if status.started is None and age < 30:
        return "starting", ""
    if status.stop_requested:
        return "stopped", "as requested; its job process was gone"
    return "crashed", "its processes are gone and it has no recorded end"


def elapsed(status: RunStatus, state: State, now: float) -> float:
    """The seconds that a run's attempts have taken until now; of one that is over, until its last event."""
    return status.elapsed(status.last_time if state in ENDED else now)
