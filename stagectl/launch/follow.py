"""A run on a cluster, followed from here: `python -m stagectl.launch.follow RUN_FOLDER`.

To everything else on this machine the follower is the run's job process: it holds the run's lock, its events and
output arrive in the run's folder, and requests that are put there reach the cluster. It can end at any time: the next
one reads on. With the run's end it gives the run's own cluster back.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stagectl.errors import JobError, StagectlError
from stagectl.job.stored import stored_recipe
from stagectl.job.training import PYTHON
from stagectl.launch.copy import RunCopy
from stagectl.launch.sky import Place, Sky, SkyPilot, UnreachableError
from stagectl.launch.submit import await_job, note, note_following, submission
from stagectl.recipe import Recipe
from stagectl.runs import EventLog, FileLock, RunPaths, is_locked, read_json, read_status
from stagectl.runs.away import has_ended, shown_state

T = TypeVar("T")

POLL_SECONDS = 15.0  # SkyPilot's own look at a job comes no sooner
REQUEST_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """0: the run is over and all of it is here. 1: it cannot be followed. 6: another process follows it."""
    paths = RunPaths(Path(arguments[0]))
    with FileLock(paths.lock) as lock, (paths.folder / "sky.log").open("ab") as errors:
        if not lock.acquire():
            return 6
        try:
            follow(paths, SkyPilot(errors=errors))
        except StagectlError as error:
            errors.write(f"stagectl: {error}\n".encode())
            return error.exit_code
    return 0


def ensure_followed(paths: RunPaths) -> None:
    """Start a follower for a run that is on a cluster, has not ended, and has none."""
    if submission(paths) and not is_locked(paths.lock) and read_status(paths).ended is None:
        start_follower(paths)


def start_follower(paths: RunPaths) -> subprocess.Popen[bytes]:
    """A follower in a session of its own, so that it outlives the terminal."""
    command = [*PYTHON, "stagectl.launch.follow", str(paths.folder)]
    null = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)


def follow(paths: RunPaths, sky: Sky, wait: Callable[[float], object] = time.sleep) -> None:
    """Follow the run to its end.

    Raises:
        JobError: The launch came to nothing; the run has ended with it.
    """
    recipe = stored_recipe(paths)
    try:
        place, job = _reached(lambda: await_job(paths, sky), wait)
    except JobError as error:
        _end(paths, f"the launch failed: {error.message}")
        raise
    note_following(paths)
    over = threading.Event()
    carrier = threading.Thread(target=_carry_requests, args=(paths, recipe, place, job, sky, over), daemon=True)
    carrier.start()
    try:
        state = _copy(paths, place, job, sky, wait)
    finally:
        over.set()
    if read_status(paths).ended is None:
        _end(paths, f"SkyPilot says {shown_state(state)}, and the job told no end")
    if recipe.launch.cluster is None and not recipe.launch.managed:
        with contextlib.suppress(JobError):
            sky.down(place)


def _copy(paths: RunPaths, place: Place, job: int, sky: Sky, wait: Callable[[float], object]) -> str:
    """Keep the copy until it has the run's end, or there is no more to come; what SkyPilot said of the job last."""
    with RunCopy(paths) as copy:
        state, last = "", False
        while True:
            copy.begin()
            with contextlib.suppress(UnreachableError):
                for piece in sky.tail(place, job):
                    copy.feed(piece)
                    if copy.ended or copy.has_gap:
                        break
            if copy.ended or last:
                break
            state = _reached(lambda: sky.state(place, job), wait)
            note(paths, state=state, time=round(time.time(), 3))
            last = has_ended(state)  # once more, since the job may have ended between the two
            if not last:
                wait(POLL_SECONDS)
        if not copy.ended:
            with paths.log.open("a", encoding="utf-8") as log:
                log.writelines(f"{line}\n" for line in copy.messages)
    return state


def request_command(recipe: Recipe, run_id: str, request: Path) -> str:
    """The shell command that puts a request into the run's folder on the cluster, whole or not at all."""
    home = recipe.launch.task.get("envs", {}).get("STAGECTL_HOME")
    folder = f"{shlex.quote(home) if home else '~/.stagectl'}/runs/{shlex.quote(run_id)}/requests"
    text = shlex.quote(json.dumps(read_json(request)))
    return f"cd {folder} && printf %s {text} > .sent && mv .sent {request.name}"


def _carry_requests(paths: RunPaths, recipe: Recipe, place: Place, job: int, sky: Sky, over: threading.Event) -> None:
    """Bring each request that is put into the run's folder here to the one there."""
    seen: dict[Path, object] = {}
    while not over.wait(REQUEST_SECONDS):
        for request in (paths.stop_request, paths.advance_request):
            asked = read_json(request)
            if not asked or seen.get(request) == asked:
                continue
            stops = request == paths.stop_request
            try:
                if place.cluster is not None:
                    sky.run(place, request_command(recipe, paths.run_id, request))
                elif stops:
                    sky.cancel(place, job)
            except JobError:  # Slurm has no room for a command beside a job that takes all of the allocation
                if not stops:
                    continue
                with contextlib.suppress(JobError):
                    sky.cancel(place, job)
            seen[request] = asked


def _reached(call: Callable[[], T], wait: Callable[[float], object]) -> T:
    """The call's value; while the API server does not answer, it is asked again."""
    while True:
        try:
            return call()
        except UnreachableError:
            wait(POLL_SECONDS)


def _end(paths: RunPaths, message: str) -> None:
    """End a run whose job told no end, and will tell none."""
    status = read_status(paths)
    outcome = "stopped" if paths.stop_request.exists() else "failed"
    with EventLog(paths.events, attempt=status.attempt) as log:
        log.append("run_ended", status.step, outcome=outcome, message=message)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
