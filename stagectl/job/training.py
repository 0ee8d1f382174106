"""One attempt: the training process started, watched and, where asked or needed, ended as a whole group."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from stagectl.recipe import Recipe
from stagectl.runs import (
    ATTEMPT_VARIABLE,
    RUN_VARIABLE,
    Ending,
    EventLog,
    RunPaths,
    process_identity,
    read_json,
    write_json,
)

PYTHON = (sys.executable, "-P", "-m")  # -P: a folder that happens to be called stagectl is not the package
TICK_SECONDS = 1.0
TERM_SECONDS = 5.0


def run_attempt(paths: RunPaths, recipe: Recipe, attempt: int) -> Ending:
    """Start the training process and stay with it to its end; no process of its group is left behind."""
    command = training_command(recipe)
    with EventLog(paths.events, attempt=attempt) as log:
        log.append("attempt_started", command=list(command))
    try:
        process = _start(paths, recipe, command, attempt)
    except OSError as error:
        return Ending(None, failure=f"cannot start {command[0]}: {error.strerror}")
    try:
        with contextlib.suppress(ProcessLookupError):  # it may have ended already
            write_json(paths.identity, {**read_json(paths.identity), "trainer": process_identity(process.pid)})
        killed_after = _stay(process, paths, recipe.launch.stop_grace)
    finally:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
    return Ending(process.returncode, killed_after)


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
        RUN_VARIABLE: str(paths.folder),
        ATTEMPT_VARIABLE: str(attempt),
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


def _stay(process: subprocess.Popen[bytes], paths: RunPaths, grace: float) -> float | None:
    """Wait for the process; the grace time after which it had to be killed, None where it ended by itself."""
    request: dict[str, Any] = {}
    deadline, given = math.inf, grace
    killed_after: float | None = None
    with _ended_signal(process.pid) as wait:
        while process.poll() is None:
            wait(TICK_SECONDS)
            now = time.monotonic()
            newest = read_json(paths.stop_request)
            if newest != request:  # asked, or asked again, which may shorten the time
                request = newest
                asked = float(request.get("grace", grace))
                if now + asked < deadline:
                    deadline, given = now + asked, asked
            if now >= deadline and process.poll() is None:
                signal_group(process.pid, signal.SIGTERM if killed_after is None else signal.SIGKILL)
                killed_after = given if killed_after is None else killed_after
                deadline = now + TERM_SECONDS
    return killed_after


@contextlib.contextmanager
def _ended_signal(pid: int) -> Iterator[Callable[[float], object]]:
    """A function that waits so many seconds, or until the process ends."""
    if not hasattr(os, "pidfd_open"):
        yield time.sleep
        return
    fd = os.pidfd_open(pid)
    try:
        yield lambda seconds: select.select([fd], [], [], seconds)
    finally:
        os.close(fd)


def signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
