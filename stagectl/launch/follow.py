"""A run on a cluster, followed from here: `python -m stagectl.launch.follow RUN_FOLDER`.

To everything else on this machine the follower is the run's job process: it holds the run's lock, its events and
output arrive in the run's folder, and requests that are put there reach the cluster. It can end at any time: the next
one reads on. With the run's end it gives the run's own cluster back, and a managed job is over.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stagectl.errors import JobError
from stagectl.job.stored import stored_recipe
from stagectl.job.training import PYTHON, start_process
from stagectl.launch.attend import Attendant, say_failure
from stagectl.launch.copy import RunCopy, write_own_end
from stagectl.launch.sky import Sky, SkyPilot, UnreachableError
from stagectl.launch.submit import await_job, end_of, note, submission
from stagectl.runs import ENDED, FileLock, RunPaths, RunStatus, StatusReader, judge, read_liveness, read_status
from stagectl.runs.away import has_ended, shown_state, standing
from stagectl.runs.liveness import unanswered

T = TypeVar("T")

PAUSE_SECONDS = 15.0  # SkyPilot's own look at a job comes no sooner
LINGER_SECONDS = 60.0  # after a run's end its job sends on to W&B, half a minute at most
HANGING_LOOKS = 2  # of them that say that the job is over, and its output is not waited for beyond these:
PATIENCE_SECONDS = 60.0  # without a word
SETUP_SECONDS = 10.0  # without a word, after some that were none of the job's own
UNREACHED_SECONDS = 60.0  # without one answer since this began, and the server that is asked may be another one
SILENT_SECONDS = 900.0  # without a word, and the connection may be dead
LAST_LOOKS = 6  # in which SkyPilot may see that a managed job has ended
LONGEST_PAUSE = 600.0  # between two tries to give something back that SkyPilot refuses


def main(arguments: list[str]) -> int:
    """0: the run is over and all of it is here. 1: it cannot be followed now. 6: another process follows it.

    Args:
        arguments: The run's folder; the descriptor of its lock, where whoever started this holds it already.
    """
    paths = RunPaths(Path(arguments[0]))
    with FileLock(paths.lock, int(arguments[1]) if len(arguments) > 1 else -1) as lock:
        if not lock.acquire():
            return 6
        try:
            follow(paths, SkyPilot(silent=False), lock=lock.fd)
        except Exception as error:  # a full disk, say: whoever looks at the run next starts another follower
            say_failure(error)
            return 1
    return 0


def ensure_followed(paths: RunPaths) -> None:
    """Start a follower for a run that is on a cluster and has none, unless it is over and its cluster given back."""
    liveness = read_liveness(paths)
    if liveness.away is None or liveness.job or standing(liveness.away, read_status(paths).ended) == "over":
        return
    start_follower(paths)


def start_follower(paths: RunPaths, lock: FileLock | None = None) -> None:
    """A follower in a session of its own, so that it outlives the terminal. It takes over a lock held here."""
    held = () if lock is None else (lock.fd,)
    command = [*PYTHON, "stagectl.launch.follow", str(paths.folder), *map(str, held)]
    start_process(command, paths.folder / "sky.log", pass_fds=held)


def await_end(paths: RunPaths, say: Callable[[str], object]) -> RunStatus:
    """Stay until a run on a cluster has ended, with a follower all the time; its status then.

    `say` is told when SkyPilot does not answer.
    """
    reader, looks, said = StatusReader(paths), 0, 0.0
    while judge(reader.read(), liveness := read_liveness(paths))[0] not in ENDED:
        if liveness.away and liveness.away.unreachable != said:
            said = liveness.away.unreachable
            say(f"{unanswered(liveness.away, time.time())}; waiting" if said else "SkyPilot's API server answers again")
        time.sleep(0.2)
        looks += 1
        if looks % 50 == 0:
            ensure_followed(paths)
    return reader.read()


def follow(
    paths: RunPaths,
    sky: Sky,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    lock: int = -1,
) -> None:
    """Follow the run to its end, and see to it that nothing of it is left on the cluster.

    `lock`: the descriptor of the run's lock, which is held until its cluster is given back, whatever becomes of this.
    """
    note(paths, followed=round(time.time(), 3))
    attendant = Attendant(paths, sky, stored_recipe(paths).launch.stop_grace, clock)
    if end_of(paths) is None:  # else an earlier follower came so far
        with attendant.at_work():
            _carry(paths, sky, attendant, wait)
    place, job = attendant.place, submission(paths).get("job")
    if place.own:
        _reached(attendant, lambda: sky.down(place, lock), wait, JobError, LONGEST_PAUSE)
    elif place.cluster is None and job is not None:
        _end_managed(attendant, job, sky, wait)
    note(paths, over=round(time.time(), 3))


def _carry(paths: RunPaths, sky: Sky, attendant: Attendant, wait: Callable[[float], object]) -> None:
    """Stay with the run until it has its end here."""
    try:
        place, job = _reached(attendant, lambda: await_job(paths, sky), wait)
    except UnreachableError:
        raise
    except JobError as error:
        outcome = "stopped" if attendant.cancelled else "failed"
        write_own_end(paths, outcome, attendant.cancelled or f"the launch failed: {error.message}")
        return
    attendant.started(job)
    with RunCopy(paths, submission(paths)["after"]) as copy:
        state = _copy(copy, job, sky, attendant, wait)
    if copy.is_other:
        _reached(attendant, lambda: sky.cancel(place, job), wait, JobError, LONGEST_PAUSE)
        write_own_end(paths, "failed", "its job tells of another run of that id; it was cancelled")
    elif not copy.ended:
        outcome = "stopped" if attendant.cancelled or state == "CANCELLED" else "failed"
        said = f"SkyPilot says {shown_state(state)}, and the job told no end"
        write_own_end(paths, outcome, attendant.cancelled or said, copy.messages)


def _end_managed(attendant: Attendant, job: int, sky: Sky, wait: Callable[[float], object]) -> None:
    """Cancel a job of which SkyPilot does not see that it is over: it would be started again, and train unseen."""
    for _ in range(LAST_LOOKS):
        if has_ended(_reached(attendant, lambda: sky.look(attendant.place, job), wait, JobError, LONGEST_PAUSE).state):
            return
        wait(PAUSE_SECONDS)
    _reached(attendant, lambda: sky.cancel(attendant.place, job), wait, JobError, LONGEST_PAUSE)


def _copy(copy: RunCopy, job: int, sky: Sky, attendant: Attendant, wait: Callable[[float], object]) -> str:
    """Read the job's output until there is no more to come; what SkyPilot said of the job last."""
    state, ends, ended_at = "", 0, math.inf
    if copy.has_news:
        attendant.told()
    while ends < 2:  # one word of SkyPilot's may be wrong, and the job have told its end just before it
        copy.begin()
        attendant.ended_looks, heard, patience = 0, attendant.clock(), PATIENCE_SECONDS
        with contextlib.suppress(UnreachableError):
            for piece in sky.tail(attendant.place, job):
                copy.feed(piece)
                if copy.is_disturbed:
                    attendant.is_disturbed = True
                elif copy.has_news:
                    attendant.told()
                now = attendant.clock()
                if piece:
                    heard, patience = now, PATIENCE_SECONDS if attendant.begun else SETUP_SECONDS
                ended_at = min(ended_at, now) if copy.ended else math.inf
                is_over = attendant.ended_looks >= HANGING_LOOKS
                hangs = not piece and now > heard + (patience if is_over else SILENT_SECONDS)
                if copy.has_gap or copy.is_other or hangs or now > ended_at + LINGER_SECONDS:
                    break
        if copy.is_other or (copy.ended and not copy.has_gap):
            break
        state = _reached(attendant, attendant.look, wait, JobError)
        ends = ends + 1 if has_ended(state) else 0
        if not ends:
            wait(PAUSE_SECONDS)
    return state


def _reached(
    attendant: Attendant,
    call: Callable[[], T],
    wait: Callable[[float], object],
    failure: type[JobError] = UnreachableError,
    longest: float = PAUSE_SECONDS,
) -> T:
    """The call's value; while it fails in that way, it is asked again, after pauses that grow up to the longest.

    Raises:
        UnreachableError: SkyPilot has not answered once since this follower began: another one may ask another server.
    """
    pause, since = PAUSE_SECONDS, math.inf
    while True:
        try:
            return call()
        except failure as error:
            attendant.reached |= not isinstance(error, UnreachableError)
            since = min(since, attendant.clock())
            if not attendant.reached and attendant.clock() >= since + UNREACHED_SECONDS:
                raise
            say_failure(error)
            wait(pause)
            pause = min(2 * pause, longest)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
