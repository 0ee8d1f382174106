"""One attempt: the training process started, or taken over, watched and, where asked or needed, ended whole."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from socket import socket
from typing import Any

from stagectl.errors import JobError
from stagectl.job.stored import stored_trainer
from stagectl.recipe import Recipe
from stagectl.runs import (
    ATTEMPT_VARIABLE,
    CHECKPOINT_VARIABLE,
    RUN_VARIABLE,
    Beginning,
    Ending,
    RunPaths,
    is_locked,
    is_same_process,
    living,
    process_identity,
    read_json,
    read_status,
    write_json,
)

PYTHON = (sys.executable, "-P", "-m")  # -P: a folder that happens to be called stagectl is not the package
TICK_SECONDS = 1.0
TERM_SECONDS = 5.0
KILL_SECONDS = 30.0


def run_attempt(
    paths: RunPaths,
    recipe: Recipe,
    attempt: int,
    start: Beginning,
    *,
    command: tuple[str, ...] = (),
    is_broken: Callable[[], bool] = lambda: False,
    wakers: Sequence[socket] = (),
) -> Ending:
    """Start the training process and stay with it to its end; no process of its group is left behind.

    Args:
        paths: The run.
        recipe: Its recipe.
        attempt: The attempt's number.
        start: Where it begins.
        command: What to start, where it is not the recipe's own command.
        is_broken: Whether the attempt is over by what happened elsewhere; the training process is ended then.
        wakers: What can be read once that is to be asked.
    """
    command = command or training_command(recipe)
    try:
        process = _start(paths, recipe, command, attempt, start)
    except OSError as error:
        return Ending(None, failure=f"cannot start {command[0]}: {error.strerror}")
    killed_after: float | None = None
    try:
        with contextlib.suppress(ProcessLookupError):  # it may have ended already
            write_json(paths.identity, {**read_json(paths.identity), "trainer": process_identity(process.pid)})
        patience = Patience(paths, recipe.launch.stop_grace)
        killed_after = _stay(process.pid, lambda: process.poll() is None and not is_broken(), patience, wakers)
    finally:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        end_processes(paths, process.pid)
    return Ending(process.returncode, killed_after)


def adopt_attempt(paths: RunPaths, recipe: Recipe) -> Ending:
    """Stay with a training process that another job started, to its end. Its exit code is its job's to know.

    Raises:
        JobError: What trains is not the process that the job started.
    """
    trainer = stored_trainer(paths)
    pid = trainer["pid"]
    killed_after = _stay(pid, lambda: is_same_process(trainer), Patience(paths, recipe.launch.stop_grace))
    end_processes(paths, pid)
    return Ending(read_status(paths).exit_code, killed_after)


def training_command(recipe: Recipe) -> tuple[str, ...]:
    """The command that trains; `python` in a recipe is the interpreter that runs stagectl."""
    if not recipe.trainer.command:
        return (*PYTHON, f"stagectl.trainers.{recipe.trainer.name}")
    program, *arguments = recipe.trainer.command
    return (sys.executable if program in ("python", "python3") else program, *arguments)


def end_processes(paths: RunPaths, group: int = -1) -> None:
    """Kill what an attempt left behind, also what went to a group of its own, as torchrun's ranks do.

    Raises:
        JobError: Some of it stays, so that another attempt would be a second one beside it.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while (left := living(group, RUN_VARIABLE, str(paths.folder))) or is_locked(paths.events):
        if time.monotonic() > deadline:  # a killed process may take a moment to let go of its files
            listed = ", ".join(map(str, left)) or f"who holds {paths.events}"
            raise JobError(f"processes of the training stay after they were killed: {listed}", hint="end them first")
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        time.sleep(0.02)


def _start(
    paths: RunPaths, recipe: Recipe, command: tuple[str, ...], attempt: int, start: Beginning
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        RUN_VARIABLE: str(paths.folder),
        ATTEMPT_VARIABLE: str(attempt),
        CHECKPOINT_VARIABLE: "" if start.checkpoint is None else str(start.checkpoint.folder),
        "WANDB_RUN_ID": paths.run_id,
        "WANDB_RESUME": "allow",
    }
    return start_process(command, paths.log, cwd=recipe.folder, env=environment)


def start_process(command: Sequence[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A process that outlives this one's terminal, its output added to a file; `options` are Popen's."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = subprocess.DEVNULL
    try:
        return subprocess.Popen(command, stdin=null, stdout=fd, stderr=fd, start_new_session=True, **options)
    finally:
        os.close(fd)


class Patience:
    """Until when a run is waited for that was asked to stop; asked again, it may be shorter.

    `given`: the grace time that holds.
    """

    def __init__(self, paths: RunPaths, grace: float) -> None:
        self.given = grace
        self._paths = paths
        self._grace = grace
        self._request: dict[str, Any] = {}
        self._deadline = math.inf

    def deadline(self) -> float:
        newest = read_json(self._paths.stop_request)
        if newest != self._request:
            self._request = newest
            asked = float(newest.get("grace", self._grace))
            if time.monotonic() + asked < self._deadline:
                self._deadline, self.given = time.monotonic() + asked, asked
        return self._deadline


def _stay(pid: int, lives: Callable[[], bool], patience: Patience, wakers: Sequence[socket] = ()) -> float | None:
    """Wait for the process; the grace time after which it had to be killed, None where it ended by itself."""
    killed_after: float | None = None
    killed = 0.0
    with _ended_signal(pid, *wakers) as wait:
        while lives():
            wait(TICK_SECONDS)
            now = time.monotonic()
            if killed_after is None and now >= patience.deadline() and lives():
                signal_group(pid, signal.SIGTERM)
                killed_after, killed = patience.given, now
            elif killed_after is not None and now >= killed + TERM_SECONDS and lives():
                signal_group(pid, signal.SIGKILL)
    return killed_after


@contextlib.contextmanager
def _ended_signal(pid: int, *wakers: socket) -> Iterator[Callable[[float], object]]:
    """A function that waits so many seconds, or until the process ends, or there is something to read."""
    if not hasattr(os, "pidfd_open"):
        yield time.sleep
        return
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:  # it was taken over, and has ended
        yield time.sleep
        return
    try:
        readable: list[int | socket] = [fd, *wakers]
        yield lambda seconds: select.select(readable, [], [], seconds)
    finally:
        os.close(fd)


def signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
