"""Running a recipe as a SkyPilot job: what travels is packed, submitted once, and followed from here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from stagectl.errors import StagectlError
from stagectl.job.stored import SUBMISSION_VARIABLE
from stagectl.job.torchrun import SECRETS_VARIABLE
from stagectl.launch.follow import start_follower
from stagectl.launch.git import Code, at_ref, check_code, check_out, find_code
from stagectl.launch.sky import Place, RefusedTaskError, Sky, UnreachableError
from stagectl.launch.submit import submission, submit
from stagectl.launch.task import cluster_name, named_secrets, redacted, task_data
from stagectl.launch.wheel import build_wheel
from stagectl.recipe import Recipe, write_resolved
from stagectl.runs import RunPaths, check_name, create_run, make_folder, new_run_id, write_whole


class InterruptedLaunchError(StagectlError):
    """Ctrl-C came while the run was being submitted."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class CodeOptions:
    """Which of the user's code travels: that of a git ref, else the folder as it is, which git must know whole."""

    ref: str | None = None
    skip_git_check: bool = False


def planned_task(recipe: Recipe, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The task that a launch would send, as it may be shown: secrets hidden. Nothing is made for it."""
    run_id = recipe.run or f"{recipe.name}-DATE-XXXX"
    known = {**dict.fromkeys(recipe.launch.task.get("secrets", ()), "not set"), **environ}
    code = find_code(recipe.folder)
    return redacted(task_data(recipe, run_id, code, Path(f"RUN/{run_id}/luggage"), "stagectl.whl", known))


def hindrances(
    recipe: Recipe, sky: Sky, options: CodeOptions, environ: Mapping[str, str] = os.environ
) -> Iterator[StagectlError]:
    """What would stop a launch from here and now, though the recipe is fine.

    Raises:
        RefusedTaskError: SkyPilot's schema refuses the task.
    """
    checks: list[Callable[[], object]] = [
        lambda: check_name(recipe.run) if recipe.run else None,
        lambda: checked_code(recipe.folder, options),
        lambda: named_secrets(recipe, environ),
        lambda: sky.check(planned_task(recipe, environ)),
    ]
    for check in checks:
        try:
            check()
        except RefusedTaskError:
            raise
        except StagectlError as error:
            yield error


def start(recipe: Recipe, sky: Sky, options: CodeOptions, environ: Mapping[str, str] = os.environ) -> RunPaths:
    """Create the run, submit its job and follow it by a process that outlives the terminal.

    Raises:
        UsageError: The code is not committed and pushed, or a secret has no value.
        RunExistsError: A run already has that id.
        UnreachableError: Whether it is launched is not known; the run is kept, and `resume_away` goes on with it.
        InterruptedLaunchError: The same, and it is followed to find out.
        JobError: SkyPilot refused the task; nothing is left of the run.
    """
    code = checked_code(recipe.folder, options)
    run_id = recipe.run or new_run_id(recipe.name)
    recipe = replace(recipe, run=run_id)
    paths = create_run(run_id, write_resolved(recipe), recipe.folder, {**recipe.facts(), "commit": code.commit})
    place = new_place(recipe, run_id)
    try:
        task = packed(paths, place, recipe, unpacked(paths, code, options), environ)
        submit(paths, place, lambda: task, sky)
    except UnreachableError as error:
        raise UnreachableError(error.message, hint=f"the run is kept: stagectl run --resume {run_id}") from None
    except KeyboardInterrupt:
        if submission(paths):
            start_follower(paths)
            hint = f"stagectl status {run_id} tells; stagectl stop {run_id} takes it back"
            raise InterruptedLaunchError(f"the run {run_id} may have been launched", hint=hint) from None
        shutil.rmtree(paths.folder)
        raise
    except (StagectlError, OSError):
        shutil.rmtree(paths.folder)
        raise
    start_follower(paths)
    return paths


def new_place(recipe: Recipe, run_id: str) -> Place:
    """Where the run's next job is to be: where SkyPilot wants it, on the cluster that the recipe names, or on its own.

    A run of the same id that was here before may still have jobs there, so that the name is more than the id.
    """
    launch, name = recipe.launch, f"{run_id}.{token_hex(3)}"
    if launch.managed or launch.cluster:
        return Place(name, launch.cluster)
    return Place(name, cluster_name(run_id), own=True)


def checked_code(folder: Path, options: CodeOptions) -> Code:
    """The user's code around a folder. Raises UsageError where it cannot travel as the options want it."""
    code = find_code(folder)
    if options.ref is not None:
        return at_ref(code, options.ref)
    if not options.skip_git_check:
        check_code(code)
    return code


def unpacked(paths: RunPaths, code: Code, options: CodeOptions) -> Code:
    """The code that travels: that of a git ref is put into the run's folder."""
    if options.ref is None:
        return code
    folder = paths.folder / "code"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    return check_out(code, folder)


def packed(paths: RunPaths, place: Place, recipe: Recipe, code: Code, environ: Mapping[str, str]) -> dict[str, Any]:
    """The task under the place's name, with what travels beside the code in the run's folder."""
    luggage = RunPaths(paths.folder / "luggage")
    shutil.rmtree(luggage.folder, ignore_errors=True)
    make_folder(luggage.folder)
    write_whole(luggage.recipe, write_resolved(recipe))
    with paths.events.open(encoding="utf-8") as events:
        write_whole(luggage.events, events.readline())
    wheel = build_wheel(luggage.folder).name
    task = task_data(recipe, paths.run_id, code, luggage.folder, wheel, environ)
    if task.get("num_nodes", 1) > 1:
        task["secrets"] = {**task.get("secrets", {}), SECRETS_VARIABLE: f"{token_hex(16)}-{token_hex(16)}"}
    return {**task, "name": place.name, "envs": {**task.get("envs", {}), SUBMISSION_VARIABLE: place.name}}
