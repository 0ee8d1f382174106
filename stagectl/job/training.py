"""One attempt: the training process started, watched and, where asked or needed, ended as a whole group."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from stagectl.recipe import Recipe
from stagectl.runs import EventLog, RunPaths, process_identity, read_json, write_json

PYTHON = (sys.executable, "-P", "-m")  # -P: a folder that happens to be called stagectl is not the package
TICK_SECONDS = 1.0
TERM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a training process ended. `exit_code` is minus the signal's number where a signal ended it.

    `killed`: we ended it, after it was asked to stop and the grace time had passed.
    `never_started`: why it could not even be started.
    """

    exit_code: int | None
    killed: bool = False
    never_started: str = ""


def run_attempt(paths: RunPaths, recipe: Recipe, attempt: int) -> Ending:
    """Start the training process and stay with it to its end; no process of its group is left behind."""
    command = training_command(recipe)
    with EventLog(paths.events, attempt=attempt) as log:
        log.append("attempt_started", command=list(command))
    try:
        process = _start(paths, recipe, command, attempt)
    except OSError as error:
        return Ending(None, never_started=f"cannot start {command[0]}: {error.strerror}")
    write_json(paths.identity, {**read_json(paths.identity), "trainer": process_identity(process.pid)})
    killed = _stay(process, paths, recipe.launch.stop_grace)
    _signal_group(process.pid, signal.SIGKILL)
    return Ending(process.returncode, killed)


def training_command(recipe: Recipe) -> tuple[str, ...]:
    """The command that trains; `python` in a recipe is the interpreter that runs stagectl."""
    if not recipe.trainer.command:
        return (*PYTHON, f"stagectl.trainers.{recipe.trainer.name}")
    program, *arguments = recipe.trainer.command
    return (sys.executable if program in ("python", "python3") else program, *arguments)


def _start(paths: RunPaths, recipe: Recipe, command: tuple[str, ...], attempt: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "STAGECTL_RUN": str(paths.folder),
        "STAGECTL_ATTEMPT": str(attempt),
        "WANDB_RUN_ID": paths.run_id,
        "WANDB_RESUME": "allow",
    }
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            cwd=recipe.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def _stay(process: subprocess.Popen[bytes], paths: RunPaths, grace: float) -> bool:
    """Wait for the process; whether it had to be killed since it did not stop within its grace time."""
    deadline: float | None = None
    killed = False
    with _ended_signal(process.pid) as wait:
        while process.poll() is None:
            wait(TICK_SECONDS)
            now = time.monotonic()
            if deadline is None and paths.stop_request.exists():
                deadline = now + float(read_json(paths.stop_request).get("grace", grace))
            if deadline is not None and now >= deadline and process.poll() is None:
                _signal_group(process.pid, signal.SIGKILL if killed else signal.SIGTERM)
                killed, deadline = True, now + TERM_SECONDS
    return killed


@contextlib.contextmanager
def _ended_signal(pid: int):  # type: ignore[no-untyped-def]
    """A function that waits so many seconds, or until the process ends."""
    if not hasattr(os, "pidfd_open"):
        yield time.sleep
        return
    fd = os.pidfd_open(pid)
    try:
        yield lambda seconds: select.select([fd], [], [], seconds)
    finally:
        os.close(fd)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
