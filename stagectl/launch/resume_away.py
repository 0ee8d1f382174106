"""Going on with a run on a cluster: by the job that was submitted, or after its end by another one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stagectl.errors import JobError, RunExistsError, UsageError
from stagectl.job.stored import go_on_under, stored_recipe
from stagectl.launch.cluster import CodeOptions, checked_code, new_place, packed, unpacked
from stagectl.launch.follow import start_follower
from stagectl.launch.git import Code, find_code
from stagectl.launch.resume import check_budget, check_changes, check_completed
from stagectl.launch.sky import Place, Sky, UnreachableError
from stagectl.launch.submit import end_of, submission, submit
from stagectl.recipe import Recipe, changes, write_resolved
from stagectl.runs import EventReader, FileLock, RunPaths, read_status

GIVING_BACK_SECONDS = 180.0  # an own cluster, once its run is over


def resume_away(
    paths: RunPaths,
    recipe: Recipe,
    sky: Sky,
    options: CodeOptions,
    *,
    accept_changes: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """See to it that the run goes on, on its cluster, and is followed.

    One that has not ended goes on by its job, or is submitted where that was cut off. One that has ended is submitted
    again, and its new job goes on from the newest checkpoint there. A task that SkyPilot refuses leaves the run as it
    was; wherever else this is cut off, the same call goes on.

    Raises:
        UsageError: There is nothing to go on with, or the code is not committed and pushed.
        RecipeError: The recipe differs in `trainer:` or `curriculum:`, and that was not accepted.
        RunExistsError: Another process is about to go on with it.
        UnreachableError: Whether it is launched is not known; to be called again.
        JobError: SkyPilot refused the task.
    """
    before, record = stored_recipe(paths), submission(paths)
    recipe = replace(recipe, run=before.run)
    if end_of(paths) is None:
        if write_resolved(recipe) != write_resolved(before):
            message = f"the run {paths.run_id} is not over, and goes on under its own recipe"
            raise UsageError(message, hint=f"stop it first: stagectl stop {paths.run_id}")
        place = Place(**record["place"]) if record else new_place(before, paths.run_id)
        code = _code_again(paths, find_code(before.folder))
        submit(paths, place, lambda: packed(paths, place, before, code, environ), sky)
        start_follower(paths)
        return
    _check_going_on(paths, before, recipe)
    if not accept_changes:
        check_changes(paths, changes(before, recipe))
    code = checked_code(recipe.folder, options)
    with FileLock(paths.lock) as lock:
        _take_over(lock, paths, record)
        place = new_place(recipe, paths.run_id)
        code = _code_again(paths, unpacked(paths, code, options))
        task = packed(paths, place, recipe, code, environ)
        go_on_under(paths, recipe)
        try:
            submit(paths, place, lambda: task, sky, again=True)
        except UnreachableError:
            raise
        except JobError:
            go_on_under(paths, before)
            raise
        start_follower(paths, lock)


def outlives_job(paths: RunPaths) -> bool:
    """Whether the run's files are somewhere where its next job finds them."""
    return _kept(stored_recipe(paths)) is not None


def _check_going_on(paths: RunPaths, before: Recipe, recipe: Recipe) -> None:
    """Whether the run has something left to do, and its files are still there."""
    status = read_status(paths)
    check_completed(paths, status)
    check_budget(paths, recipe, status.step)
    if status.end is not None and not changes(before, recipe):
        message = (
            f"the curriculum of {paths.run_id} is over: it {status.end['outcome']} in stage '{status.end['name']}'"
        )
        raise UsageError(message, hint="change what ended it, and add --accept-recipe-change")
    if status.started is None:  # it has no files there yet
        return
    if _kept(before) is None:
        message = f"the files of {paths.run_id} went with its cluster: there is no checkpoint to go on from"
        hint = "begin a new one, and keep its files on a folder that stays: launch.envs.STAGECTL_HOME=/shared/stagectl"
        raise UsageError(message, hint=hint)
    if _kept(before) != _kept(recipe):
        message = f"the files of {paths.run_id} are on {_kept(before)}, where the recipe does not look for them"
        raise UsageError(message, hint="leave launch.cluster and launch.envs.STAGECTL_HOME as they were")


def _kept(recipe: Recipe) -> str | None:
    """Where the run's files outlive its job: a folder that stays, or a standing cluster."""
    folder = recipe.launch.task.get("envs", {}).get("STAGECTL_HOME")
    return str(folder) if folder else recipe.launch.cluster


def _take_over(lock: FileLock, paths: RunPaths, record: Mapping[str, Any]) -> None:
    """Take the run over from its follower, which may still be giving its cluster back, as that submission's."""
    deadline = time.monotonic() + GIVING_BACK_SECONDS
    while True:
        free = lock.acquire()
        if submission(paths).get("time") != record.get("time"):
            raise RunExistsError(f"another process goes on with the run {paths.run_id} already")
        if free:
            return
        if time.monotonic() > deadline:
            message = f"what the run {paths.run_id} had on its cluster is not given back yet"
            raise RunExistsError(message, hint=f"its follower tries on; {paths.folder / 'sky.log'} says why")
        time.sleep(0.2)


def _code_again(paths: RunPaths, code: Code) -> Code:
    """The code of the commit that the run was launched with by --git-ref, else what is there now."""
    kept = paths.folder / "code"
    if not kept.exists():
        return code
    return Code(kept, code.inside, next(iter(EventReader(paths.events).read()))["commit"])
