"""Going on with a run on this machine: from its newest good checkpoint, or with the process that still trains."""

from __future__ import annotations

from stagectl.errors import RecipeError, RunExistsError, UsageError
from stagectl.job.stored import go_on_under, stored_recipe, stored_trainer
from stagectl.launch.local import check, start_job
from stagectl.recipe import Recipe, build_curriculum, changes, fingerprint
from stagectl.runs import (
    Beginning,
    FileLock,
    RunPaths,
    RunStatus,
    await_free,
    find_beginning,
    is_same_process,
    is_spent,
    read_json,
    read_liveness,
    read_status,
)


def resume(paths: RunPaths, recipe: Recipe, *, accept_changes: bool = False) -> RunStatus:
    """Start a job that goes on with the run, under that recipe; the run's status once it has begun.

    Where the job is gone and the training process is not, the new job takes it over. Of many at once one wins.

    Raises:
        RunExistsError: A job has the run.
        UsageError: There is nothing to go on with.
        RecipeError: The recipe differs in `trainer:` or `curriculum:`, and that was not accepted, or cannot be.
        DamagedRunError: The event log is damaged, or there are checkpoints, and none of them is good.
        JobError: The job did not start.
    """
    with FileLock(paths.lock) as lock:
        if not await_free(paths, lock.acquire):
            raise _held(paths)
        status = read_status(paths, whole=True)
        before = stored_recipe(paths)
        changed = changes(before, recipe)
        if read_liveness(paths).trainer:
            _check_adoptable(paths, changed)
            start_job(paths, lambda pid: read_json(paths.identity)["job"]["pid"] == pid, lock)
            return read_status(paths)
        _check_over(paths, status, before)
        if not accept_changes:
            check_changes(paths, changed)
        known = [fingerprint(before), *read_json(paths.identity).get("accepted_recipes", [])]
        start = find_beginning(paths, known)
        if status.ended is not None or changed:  # who crashed may be over all the same, and has yet to say so
            _check_going_on(paths, recipe, start)
        check(recipe)
        go_on_under(paths, recipe)
        for request in (paths.stop_request, paths.advance_request):
            request.unlink(missing_ok=True)
        start_job(paths, lambda _: read_status(paths).attempt > status.attempt, lock)
    return read_status(paths)


def check_completed(paths: RunPaths, status: RunStatus) -> None:
    """Raises UsageError where the run has nothing left to do, whatever its budget."""
    completed = status.ended is not None and status.ended["outcome"] == "completed"
    if completed and not (status.end is None and is_spent(status)):
        message = f"the run {paths.run_id} is completed: all its stages are over"
        raise UsageError(message, hint="begin a new one: stagectl run RECIPE")


def check_budget(paths: RunPaths, recipe: Recipe, step: int) -> None:
    """Raises UsageError where the recipe leaves no steps to a run that goes on from that one."""
    budget = recipe.trainer.total_timesteps
    if budget is not None and step >= budget:
        more = _accepting(paths, f"trainer.total_timesteps={2 * budget}")
        raise UsageError(f"the run {paths.run_id} has spent all its {budget:,} steps", hint=f"give it more: {more}")


def check_changes(paths: RunPaths, changed: list[str]) -> None:
    """Raises RecipeError where the recipe is not the run's own; for a change that was not accepted."""
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        hint = "to go on under the new recipe add --accept-recipe-change"
        raise RecipeError(f"the recipe is not the one that the run {paths.run_id} has:\n{lines}", hint=hint)


def _accepting(paths: RunPaths, change: str) -> str:
    return f"stagectl run --resume {paths.run_id} {change} --accept-recipe-change"


def _held(paths: RunPaths) -> RunExistsError:
    job = read_json(paths.identity).get("job")
    who = f"its job process {job['pid']}" if job and is_same_process(job) else "another process"
    hint = f"follow it: stagectl status {paths.run_id} --watch; end it: stagectl stop {paths.run_id}"
    return RunExistsError(f"the run {paths.run_id} is live: {who} has it", hint=hint)


def _check_adoptable(paths: RunPaths, changed: list[str]) -> None:
    stored_trainer(paths)
    if changed:
        message = f"the run {paths.run_id} still trains, under its own recipe; only its job process is gone"
        raise UsageError(message, hint=f"stop it first: stagectl stop {paths.run_id}")


def _check_over(paths: RunPaths, status: RunStatus, before: Recipe) -> None:
    """Whether the run is one to go on with."""
    check_completed(paths, status)
    if "job" not in read_json(paths.identity) and not before.trainer.command:
        message = f"the run {paths.run_id} was begun by a script, and its recipe does not say by which"
        raise UsageError(message, hint="with `trainer: {command: [python, train.py]}` stagectl can start it again")


def _check_going_on(paths: RunPaths, recipe: Recipe, start: Beginning) -> None:
    """Whether the curriculum, from its checkpoint on, has something left to do under the recipe."""
    check_budget(paths, recipe, start.step)
    if start.checkpoint is None:
        return
    curriculum = build_curriculum(recipe)
    curriculum.load_state_dict(read_json(start.checkpoint.folder / "curriculum.json"), accept_changes=True)
    if curriculum.end is not None:
        end = curriculum.end
        message = f"the curriculum of {paths.run_id} is over: it {end.outcome} in stage '{end.name}', by {end.reason}"
        more = _accepting(paths, f"curriculum.stages.{end.name}.max_steps=…")
        raise UsageError(message, hint=f"change what ended it: {more}")
