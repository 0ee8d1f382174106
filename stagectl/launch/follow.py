"""A run on a cluster, followed from here: `python -m stagectl.launch.follow RUN_FOLDER`.

To everything else on this machine the follower is the run's job process: it holds the run's lock, its events and
output arrive in the run's folder, and requests that are put there reach the cluster. It can end at any time: the next
one reads on. With the run's end it gives the run's own cluster back.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stagectl.errors import JobError, StagectlError
from stagectl.job.stored import stored_recipe
from stagectl.job.training import PYTHON
from stagectl.launch.attend import Attendant
from stagectl.launch.copy import RunCopy, write_own_end
from stagectl.launch.sky import Sky, SkyPilot, UnreachableError
from stagectl.launch.submit import await_job, end_of, note, submission
from stagectl.runs import ENDED, FileLock, RunPaths, RunStatus, StatusReader, is_locked, judge, read_liveness
from stagectl.runs.away import has_ended, shown_state

T = TypeVar("T")

PAUSE_SECONDS = 15.0  # SkyPilot's own look at a job comes no sooner
LINGER_SECONDS = 60.0  # after a run's end its job sends on to W&B, half a minute at most
HANGING_LOOKS = 2  # more of them that say that the job is over, and its output is not waited for


def main(arguments: list[str]) -> int:
    """0: the run is over and all of it is here. 1: it cannot be followed. 6: another process follows it."""
    paths = RunPaths(Path(arguments[0]))
    with FileLock(paths.lock) as lock:
        if not lock.acquire():
            return 6
        try:
            follow(paths, SkyPilot(silent=False))
        except StagectlError as error:
            sys.stderr.write(f"stagectl: {error}\n")
            return error.exit_code
    return 0


def ensure_followed(paths: RunPaths) -> None:
    """Start a follower for a run that is on a cluster and has none, unless it is over and its cluster given back."""
    record = submission(paths)
    if record and "over" not in record and not is_locked(paths.lock) and not is_locked(paths.folder / "launch.lock"):
        start_follower(paths)


def start_follower(paths: RunPaths) -> None:
    """A follower in a session of its own, so that it outlives the terminal."""
    command = [*PYTHON, "stagectl.launch.follow", str(paths.folder)]
    null = subprocess.DEVNULL
    with (paths.folder / "sky.log").open("ab") as said:
        subprocess.Popen(command, stdin=null, stdout=said, stderr=said, start_new_session=True)


def await_end(paths: RunPaths) -> RunStatus:
    """Stay until a run on a cluster has ended, with a follower all the time; its status then."""
    reader, looks = StatusReader(paths), 0
    while judge(reader.read(), read_liveness(paths))[0] not in ENDED:
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
) -> None:
    """Follow the run to its end, and give its own cluster back.

    Raises:
        JobError: SkyPilot does not take the cluster back.
    """
    note(paths, followed=round(time.time(), 3))
    launch = stored_recipe(paths).launch
    attendant = Attendant(paths, sky, launch.stop_grace, clock)
    if end_of(paths) is None:  # else an earlier follower came so far
        with attendant.at_work():
            _carry(paths, sky, attendant, wait)
    if attendant.place.cluster is not None and launch.cluster is None:
        _reached(lambda: sky.down(attendant.place), wait)
    note(paths, over=round(time.time(), 3))


def _carry(paths: RunPaths, sky: Sky, attendant: Attendant, wait: Callable[[float], object]) -> None:
    """Stay with the run until it has its end here."""
    try:
        place, job = _reached(lambda: await_job(paths, sky), wait)
    except JobError as error:
        outcome = "stopped" if attendant.cancelled else "failed"
        write_own_end(paths, outcome, attendant.cancelled or f"the launch failed: {error.message}")
        return
    attendant.started(job)
    with RunCopy(paths, submission(paths)["after"]) as copy:
        state = _copy(copy, job, sky, attendant, wait)
    if copy.is_other:
        _reached(lambda: sky.cancel(place, job), wait)
        write_own_end(paths, "failed", "its files on the cluster were gone, and its job began anew; it was cancelled")
    elif not copy.ended:
        outcome = "stopped" if attendant.cancelled or state == "CANCELLED" else "failed"
        said = f"SkyPilot says {shown_state(state)}, and the job told no end"
        write_own_end(paths, outcome, attendant.cancelled or said, copy.messages)


def _copy(copy: RunCopy, job: int, sky: Sky, attendant: Attendant, wait: Callable[[float], object]) -> str:
    """Read the job's output until there is no more to come; what SkyPilot said of the job last."""
    state, ends, ended_at = "", 0, math.inf
    while ends < 2:  # one word of SkyPilot's may be wrong, and the job have told its end just before it
        copy.begin()
        attendant.ended_looks = 0
        with contextlib.suppress(UnreachableError):
            for piece in sky.tail(attendant.place, job):
                copy.feed(piece)
                attendant.begun = copy.has_news
                if copy.ended:
                    ended_at = min(ended_at, attendant.clock())
                hangs = not piece and attendant.ended_looks > HANGING_LOOKS
                if copy.has_gap or copy.is_other or hangs or attendant.clock() > ended_at + LINGER_SECONDS:
                    break
        if copy.is_other or (copy.ended and not copy.has_gap):
            break
        state = _reached(attendant.look, wait, JobError)
        ends = ends + 1 if has_ended(state) else 0
        if not ends:
            wait(PAUSE_SECONDS)
    return state


def _reached(call: Callable[[], T], wait: Callable[[float], object], failure: type[JobError] = UnreachableError) -> T:
    """The call's value; while it fails in that way, it is asked again."""
    while True:
        try:
            return call()
        except failure:
            wait(PAUSE_SECONDS)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
