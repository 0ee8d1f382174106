"""Running a job on this machine: a process of its own, which outlives the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stagectl.errors import Fault, JobError
from stagectl.job.training import PYTHON
from stagectl.recipe import Recipe, write_resolved
from stagectl.runs import RunPaths, create_run, is_locked, new_run_id, read_status, write_json

START_SECONDS = 60.0


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
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        job = subprocess.Popen(
            [*PYTHON, "stagectl.job", str(paths.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    _await(lambda: read_status(paths).started is not None or job.poll() is not None, START_SECONDS)
    if job.poll() is not None and read_status(paths).ended is None:
        raise JobError(f"the job of run {paths.run_id} did not start", hint=f"its output is in {paths.log}")
    return paths


def request_stop(paths: RunPaths, grace: float | None = None) -> None:
    """Ask the run to checkpoint and end; after `grace` seconds (else the recipe's) its job kills it."""
    write_json(paths.stop_request, {"by": "stop", **({} if grace is None else {"grace": grace})})


def is_running(paths: RunPaths) -> bool:
    return is_locked(paths.lock)


def _await(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise JobError(
                f"the job process did not start within {seconds:.0f} s",
                hint="stagectl status latest tells whether it did later",
            )
        time.sleep(0.05)
