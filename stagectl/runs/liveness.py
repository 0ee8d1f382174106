"""A run's state: what its events say, held against what its processes say, or SkyPilot of its job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from stagectl.runs.away import Away, has_ended, read_away, shown_state, standing
from stagectl.runs.files import read_json
from stagectl.runs.locks import is_locked
from stagectl.runs.paths import RunPaths
from stagectl.runs.process import is_same_process, is_suspended
from stagectl.runs.status import RunStatus

Going = Literal["starting", "running", "stalled", "recovering", "unfollowed"]
State = Literal[Going, "completed", "budget_spent", "stopped", "failed", "crashed"]
ENDED: frozenset[str] = frozenset({"completed", "budget_spent", "stopped", "failed", "crashed"})

STALL_SECONDS = 15 * 60
FIRST_SECONDS = 30  # in which a run that was only just made may have no process yet


@dataclass(frozen=True, slots=True)
class Liveness:
    """What the operating system says of a run's processes; of one on a cluster, of who submits or follows it here.

    `away`: where it is then, and what SkyPilot said of its job.
    """

    job: bool
    trainer: bool
    suspended: bool
    away: Away | None = None


def read_liveness(paths: RunPaths) -> Liveness:
    """Proof of life is a lock that the kernel drops, or a process with the recorded pid, start and boot."""
    identity = read_json(paths.identity)
    trainer = identity.get("trainer")
    alive = is_same_process(trainer)
    return Liveness(
        job=is_locked(paths.lock) or is_locked(paths.launch_lock),
        trainer=alive or is_locked(paths.events),
        suspended=bool(alive and trainer and is_suspended(trainer["pid"])),
        away=read_away(identity),
    )


def judge(status: RunStatus, liveness: Liveness, now: float | None = None) -> tuple[State, str]:
    """A run's state, and what there is to say about it; two truths apart, never told falsely."""
    now = time.time() if now is None else now
    away = liveness.away
    if away is not None and standing(away, status.ended) == "going":
        return _judge_away(status, away, now, followed=liveness.job)
    if status.ended is not None:
        return status.ended["outcome"], "; ".join(filter(None, (status.ended["message"], left_of(status, away))))
    silence = max(0.0, now - status.last_time)
    if liveness.suspended:
        return "stalled", "the training process is suspended; SIGCONT lets it go on"
    if liveness.job or liveness.trainer:
        unwatched = "" if liveness.job else "the job process is gone, training goes on by itself"
        if status.started is not None and silence > STALL_SECONDS:
            return "stalled", f"no event for {silence // 60:.0f} min"
        if status.started is not None and not status.ready and silence >= FIRST_SECONDS:
            untold = "no step was told yet; a script of yours tells them by session.update_step_count"
            return "starting", "; ".join(filter(None, (unwatched, untold)))
        return ("running" if status.ready else "starting"), unwatched
    if status.started is None and silence < FIRST_SECONDS:
        return "starting", ""
    if status.stop_requested:
        return "stopped", "as requested; its job process was gone"
    if status.backend == "sky" and status.started is None:
        return "crashed", f"it was not submitted to its cluster; `stagectl run --resume {status.run_id}` does that"
    return "crashed", f"its processes are gone and it has no recorded end; stagectl run --resume {status.run_id}"


def left_of(status: RunStatus, away: Away | None) -> str:
    """What still costs money though the run has ended; empty where nothing does."""
    if away is None or not away.own or standing(away, status.ended) != "ended":
        return ""
    return f"its cluster {away.cluster} is not given back yet"


def elapsed(status: RunStatus, state: State, now: float) -> float:
    """The seconds that a run's attempts have taken until now; of one that nobody sees go on, until its last event."""
    return status.elapsed(status.last_time if state in ENDED or state == "unfollowed" else now)


def age(seconds: float) -> str:
    """`40 s ago`, `3 min ago`, `5 h ago`; clocks that differ make no time negative."""
    return f"{_span(seconds)} ago"


def unanswered(away: Away, now: float) -> str:
    """For how long SkyPilot has not answered whoever follows the run; empty where it does."""
    return f"SkyPilot's API server has not answered for {_span(now - away.unreachable)}" if away.unreachable else ""


def _judge_away(status: RunStatus, away: Away, now: float, *, followed: bool) -> tuple[Going, str]:
    """The state of a run on a cluster whose end is not known here: only SkyPilot and the job can tell that."""
    said = f"SkyPilot said {shown_state(away.state)} {age(now - away.seen)}" if away.state else ""
    said = "; ".join(filter(None, (said, unanswered(away, now) if followed else "")))
    submitted = f"submitted {age(now - away.submitted)}"
    if not followed and now - away.submitted >= FIRST_SECONDS:
        return "unfollowed", f"{said or submitted}; `stagectl status {status.run_id}` catches up"
    if away.state == "RECOVERING":
        return "recovering", f"{said}; it brings the job back, which goes on from its last checkpoint"
    if status.started is None or status.ended is not None:
        return "starting", said or submitted
    if has_ended(away.state):
        return "stalled", f"{said}; the run's own end has not come"
    # a follower that has only begun, or a machine that is new, has still to tell
    quiet = now - max(status.last_time, away.followed, *(machine.since for machine in away.machines[-1:]))
    if quiet > STALL_SECONDS:
        return "stalled", f"no event for {(now - status.last_time) // 60:.0f} min; {said or submitted}"
    catching_up = "catching up; " if 0 < away.seen < away.followed else ""
    odd = catching_up or away.unreachable or (away.state and away.state != "RUNNING")
    return ("running" if status.ready else "starting"), f"{catching_up}{said}" if odd else ""


def _span(seconds: float) -> str:
    total = int(max(0.0, seconds))
    for unit, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if total >= unit:
            return f"{total // unit} {word}"
    return f"{total} s"
