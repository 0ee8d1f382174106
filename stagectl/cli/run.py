"""`stagectl run`: launch a recipe, or go on with a run, then watch it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.cluster import (
    ConfirmOption,
    CopiesOption,
    CpusOption,
    GitRefOption,
    GpusOption,
    HoursOption,
    NodesOption,
    SkipGitOption,
    SpotOption,
    YesOption,
    ask_first,
    copies_of,
    resume_on_cluster,
    say_what_stops,
    show_task,
    start_on_cluster,
    with_cluster_options,
)
from stagectl.cli.options import (
    Output,
    OutputOption,
    OverridesArgument,
    ProgressOption,
    complete_run,
    print_json,
    say,
    warn,
)

if TYPE_CHECKING:
    from stagectl.recipe import Recipe
    from stagectl.runs import RunPaths, RunStatus

ResumeOption = Annotated[
    str | None,
    typer.Option(
        help="Go on with this run from its newest checkpoint; its own recipe where none is named.",
        metavar="RUN_ID",
        autocompletion=complete_run,
    ),
]


def command(
    recipe: Annotated[
        Path | None, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE", show_default=False)
    ] = None,
    overrides: OverridesArgument = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not watch; print the run's id alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and start nothing.")] = False,
    start: Annotated[str | None, typer.Option("--from", help="Begin in this stage.", metavar="STAGE")] = None,
    only: Annotated[str | None, typer.Option("--only", help="Train this stage alone.", metavar="STAGE")] = None,
    resume: ResumeOption = None,
    accept: Annotated[
        bool, typer.Option("--accept-recipe-change", help="With --resume: go on under a recipe that differs.")
    ] = False,
    gpus: GpusOption = None,
    nodes: NodesOption = None,
    cpus: CpusOption = None,
    spot: SpotOption = None,
    timeout_hours: HoursOption = None,
    git_ref: GitRefOption = None,
    skip_git_check: SkipGitOption = False,
    copies: CopiesOption = 1,
    confirm: ConfirmOption = False,
    yes: YesOption = False,
    output: OutputOption = "table",
    progress: ProgressOption = "auto",
) -> None:
    """Launch a recipe as one run, or go on with a run, and watch it.

    Ctrl-C leaves the view; the run goes on. A value laid over the recipe's: stagectl run R trainer.seed=3.
    """
    from stagectl.errors import UsageError

    if start and only:
        raise UsageError("--from and --only each choose the stages; give one of them")
    laid_over = list(overrides or [])
    if resume is not None:
        if start or only or dry_run:
            raise UsageError("--from, --only and --dry-run are for a new run; --resume goes on with one")
        paths = _resume(resume, recipe, laid_over, (git_ref, skip_git_check), accept=accept)
    else:
        if recipe is None:
            raise UsageError(
                "Missing argument 'RECIPE'", hint="stagectl run RECIPE; to go on: stagectl run --resume RUN_ID"
            )
        if accept:
            raise UsageError("--accept-recipe-change goes with --resume RUN_ID")
        loaded = _load(recipe, laid_over, start, only)
        loaded = with_cluster_options(loaded, (gpus, nodes, cpus, spot, timeout_hours))
        if dry_run:
            _show_plan(loaded, (git_ref, skip_git_check), output)
            return
        ask_first(loaded, copies, git_ref, confirm=confirm, yes=yes)
        if copies > 1:
            _start_copies(loaded, copies, (git_ref, skip_git_check), output)
            return
        paths = _start(loaded, (git_ref, skip_git_check))
    if detach:
        _print_id(paths.run_id, output)
        return
    from stagectl.cli.watching import watch_run

    if resume is None:
        say(f"started run {paths.run_id}")
    raise typer.Exit(watch_run(paths, progress, output))


def _load(file: Path, overrides: list[str], start: str | None, only: str | None) -> Recipe:
    from stagectl.recipe import load_recipe, only_stage

    loaded = load_recipe(file, [*overrides, *([f"curriculum.start={json.dumps(start)}"] if start else [])])
    loaded = only_stage(loaded, only) if only else loaded
    warn(loaded)
    return loaded


def _start_copies(recipe: Recipe, copies: int, code: tuple[str | None, bool], output: Output) -> None:
    """So many runs, and their ids; the first that does not start is the last, and those before it go on."""
    from stagectl.errors import StagectlError

    for number, copy in enumerate(copies_of(recipe, copies)):
        try:
            _print_id(_start(copy, code).run_id, output)
        except StagectlError as error:
            if number:
                error.message = f"{number} of {copies} runs were started and go on; the next one: {error.message}"
            raise


def _start(recipe: Recipe, code: tuple[str | None, bool]) -> RunPaths:
    """Start a run where the recipe says. `code`: --git-ref and --skip-git-check."""
    from stagectl.launch import local

    if recipe.launch.backend == "sky":
        return start_on_cluster(recipe, code)
    _say_checking()
    local.check(recipe)
    return local.start(recipe)


def _resume(
    run_id: str, file: Path | None, overrides: list[str], code: tuple[str | None, bool], *, accept: bool
) -> RunPaths:
    from stagectl.errors import UsageError
    from stagectl.job.stored import stored_recipe
    from stagectl.launch.resume import resume
    from stagectl.recipe import load_recipe
    from stagectl.runs import find_run, read_status

    paths = find_run(run_id)
    if file is not None and "=" in file.name and not file.exists():  # the first of the overrides
        file, overrides = None, [str(file), *overrides]
    recipe = stored_recipe(paths, overrides) if file is None else load_recipe(file, overrides)
    backend = stored_recipe(paths).launch.backend
    if recipe.launch.backend != backend:
        raise UsageError(f"{paths.run_id} was launched with backend: {backend}, and its files are there")
    if backend == "sky":
        resume_on_cluster(paths, recipe, code, accept=accept)
        return paths
    attempt = read_status(paths).attempt
    _say_checking()
    status = resume(paths, recipe, accept_changes=accept)
    if status.attempt == attempt:
        ended = status.ended and f"was over, and its end is written now: {status.ended['outcome']}"
        say(f"{paths.run_id} {ended or f'goes on with the process that trains: attempt {attempt}, under a new job'}")
        return paths
    for reason in status.resumed["rejected"] if status.resumed else ():
        say(f"passed over a checkpoint: {reason}")
    say(f"{paths.run_id} {_where(status)}")
    return paths


def _where(status: RunStatus) -> str:
    from stagectl.view.words import steps

    if status.resumed is not None and status.resumed["path"] is None:
        return f"begins again at step 0, attempt {status.attempt}: it has no checkpoint"
    stage = f"stage {status.current + 1} of {len(status.curriculum)} ({status.name_of(status.current)})"
    step = status.step if status.resumed is None else status.resumed["step"]  # it may train on already
    return f"resumes {stage} at step {steps(step)}, attempt {status.attempt}"


def _say_checking() -> None:
    if sys.stderr.isatty():
        say("checking the recipe …")


def _print_id(run_id: str, output: Output) -> None:
    if output == "json":
        print_json({"run": run_id})
    else:
        sys.stdout.write(f"{run_id}\n")


def _show_plan(recipe: Recipe, code: tuple[str | None, bool], output: Output) -> None:
    if recipe.launch.backend != "sky":
        _show_stages(recipe, output)
    elif output == "table":
        show_task(recipe)
        say_what_stops(recipe, code)
    else:
        say_what_stops(recipe, code)
        _show_stages(recipe, output)


def _show_stages(recipe: Recipe, output: Output) -> None:
    from stagectl.launch.plan import plan_data

    plan = plan_data(recipe)
    if output == "json":
        print_json(plan)
        return
    from stagectl.view import show_plan

    show_plan(plan)
