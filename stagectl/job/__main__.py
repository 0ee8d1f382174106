"""Owns one run: starts its training process, stops it when asked, and writes how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from stagectl.errors import StagectlError
from stagectl.job.training import PYTHON, run_attempt
from stagectl.recipe import read_resolved
from stagectl.runs import (
    Ending,
    EventLog,
    FileLock,
    RunPaths,
    outcome_of,
    process_identity,
    read_json,
    read_status,
    write_json,
)

MIRROR_SECONDS = 30.0
FIRST_ATTEMPT = 1


def main(arguments: list[str]) -> int:
    """The exit code: 0 fine, 1 the training process failed, 6 another job has the run."""
    paths = RunPaths(Path(arguments[0]))
    with FileLock(paths.lock) as lock:
        if not lock.acquire():
            _say(f"another job process has the run {paths.run_id}")
            return 6
        try:
            return _run(paths)
        except Exception as error:
            with contextlib.suppress(StagectlError):  # the disk may refuse, or the trainer write on by itself
                _write_end(paths, Ending(None, failure=f"the job process failed: {type(error).__name__}: {error}"))
            if not isinstance(error, StagectlError):
                raise
            _say(str(error))
            return error.exit_code


def _run(paths: RunPaths) -> int:
    identity = {**read_json(paths.identity), "job": process_identity()}
    write_json(paths.identity, identity)
    recipe = read_resolved(paths.recipe, folder=Path(identity["folder"]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: write_json(paths.stop_request, {"by": "SIGTERM"}))
    mirror = _start_mirror(paths) if recipe.wandb.enabled else None
    ending = run_attempt(paths, recipe, FIRST_ATTEMPT)
    outcome = _write_end(paths, ending)
    if mirror is not None:
        _end_mirror(mirror)
    return int(outcome == "failed")


def _write_end(paths: RunPaths, ending: Ending) -> str:
    """Write how the run ended, once; its outcome."""
    with EventLog(paths.events, attempt=FIRST_ATTEMPT) as log:
        status = read_status(paths)
        if status.ended is not None:
            return str(status.ended["outcome"])
        outcome, message = outcome_of(ending, status)
        killed = ending.killed_after is not None
        log.append("attempt_ended", status.step, exit_code=ending.exit_code, killed=killed)
        log.append("run_ended", status.step, outcome=outcome, message=message)
    return outcome


def _start_mirror(paths: RunPaths) -> subprocess.Popen[bytes]:
    command = [*PYTHON, "stagectl.job.mirror", str(paths.folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ)


def _end_mirror(mirror: subprocess.Popen[bytes]) -> None:
    try:
        mirror.wait(MIRROR_SECONDS + 5)
    except subprocess.TimeoutExpired:
        mirror.kill()
        _say("the W&B mirror did not finish in time and was ended; what it has sent is in mirror.json")


def _say(text: str) -> None:
    sys.stdout.write(f"stagectl: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
