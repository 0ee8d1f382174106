"""Running a job on this machine: a process of its own, which outlives the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stagectl.errors import Fault, JobError
from stagectl.job.stored import stored_recipe, stored_trainer
from stagectl.job.training import PYTHON, signal_group, start_process
from stagectl.recipe import Recipe, write_resolved
from stagectl.runs import (
    ATTEMPT_VARIABLE,
    CHECKPOINT_VARIABLE,
    ENDED,
    RUN_VARIABLE,
    Ending,
    EventLog,
    FileLock,
    RunPaths,
    RunStatus,
    StatusReader,
    create_run,
    is_over,
    judge,
    new_run_id,
    read_liveness,
    read_status,
    write_end,
    write_json,
)

OF_A_TRAINER = (RUN_VARIABLE, ATTEMPT_VARIABLE, CHECKPOINT_VARIABLE)  # another run's, where one starts this from there
START_SECONDS = 60.0
STOP_POLL_SECONDS = 0.2


def check(recipe: Recipe) -> None:
    """Find what would keep the recipe from training, by a process that imports what the recipe names.

    Raises:
        RecipeError: Everything that was found, placed in the recipe's file.
        JobError: That process itself failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(write_resolved(recipe), encoding="utf-8")
        command = [*PYTHON, "stagectl.trainers.check", str(file), str(recipe.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=recipe.folder)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        missing = "ModuleNotFoundError" in last[0]
        hint = "the bundled trainer needs the extra: pip install 'stagectl[train]'" if missing else ""
        raise JobError(f"the recipe could not be checked against its trainer: {last[0]}", hint=hint)
    faults = [Fault(tuple(fault["path"]), fault["message"]) for fault in json.loads(done.stdout)]
    if faults:
        raise recipe.error(*faults)


def start(recipe: Recipe) -> RunPaths:
    """Create the run and start its job process, detached from this terminal.

    Raises:
        RunExistsError: A run already has that id.
        StorageError: The home for runs cannot be written.
        JobError: The job process ended before it had started training.
    """
    paths = create_run(recipe.run or new_run_id(recipe.name), write_resolved(recipe), recipe.folder, recipe.facts())
    reader = StatusReader(paths)
    start_job(paths, lambda _: reader.read().started is not None)
    return paths


def request_stop(paths: RunPaths, grace: float | None = None) -> None:
    """Ask the run to save a checkpoint and end; after `grace` seconds (else the recipe's) its job kills it."""
    own = {} if grace is None else {"grace": grace}
    write_json(paths.stop_request, {"by": "stop", "time": round(time.time(), 3), **own})


def request_advance(paths: RunPaths, to: str | None = None) -> None:
    """Ask the run to go to a stage, else to its next one, at its next rollout."""
    write_json(paths.advance_request, {"by": "advance", "time": round(time.time(), 3), "to": to})


def await_stop(paths: RunPaths, grace: float | None = None) -> RunStatus:
    """Stay until a run that was asked to stop has ended; its status then. Where its job is gone, do the job's part.

    Raises:
        JobError: The job is gone, the grace time is over, and which process trains is not known.
    """
    if grace is None:
        grace = stored_recipe(paths).launch.stop_grace
    reader, deadline, killed = StatusReader(paths), time.monotonic() + grace, False
    while True:
        liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
        if judge(reader.read(), liveness)[0] in ENDED:
            break
        if liveness.trainer and not liveness.job and not killed and time.monotonic() >= deadline:
            signal_group(stored_trainer(paths)["pid"], signal.SIGKILL)
            killed = True
        time.sleep(STOP_POLL_SECONDS)
    status = reader.status
    if status.ended is None and (killed or is_over(status)):
        with EventLog(paths.events, attempt=status.attempt) as log:
            ending = Ending(status.exit_code, killed_after=grace if killed else None)
            write_end(log, ending, status, note="its job process was gone")
    return reader.read()


def start_job(paths: RunPaths, started: Callable[[int], bool], lock: FileLock | None = None) -> None:
    """Start the job process and wait until it has; `started` is asked with its pid. It takes over a lock held here.

    Raises:
        JobError: It ended before, without a word about the run's end.
    """
    held = () if lock is None else (lock.fd,)
    command = [*PYTHON, "stagectl.job", str(paths.folder), *map(str, held)]
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_TRAINER}
    try:
        job = start_process(command, paths.log, env=environment, pass_fds=held)
    finally:
        if lock is not None:
            lock.release()
    _await(lambda: started(job.pid) or job.poll() is not None, START_SECONDS)
    if job.poll() is not None and read_status(paths).ended is None:
        raise JobError(f"the job of run {paths.run_id} did not start", hint=f"its output is in {paths.log}")


def _await(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise JobError(
                f"the job process did not start within {seconds:.0f} s",
                hint="stagectl status latest tells whether it did later",
            )
        time.sleep(0.05)
