"""`stagectl run`: launch a recipe, then watch it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import Output, OutputOption, OverridesArgument, ProgressOption, print_json, say, warn

if TYPE_CHECKING:
    from stagectl.recipe import Recipe


def command(
    recipe: Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE", show_default=False)],
    overrides: OverridesArgument = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not watch; print the run's id alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and start nothing.")] = False,
    start: Annotated[str | None, typer.Option("--from", help="Begin in this stage.", metavar="STAGE")] = None,
    only: Annotated[str | None, typer.Option("--only", help="Train this stage alone.", metavar="STAGE")] = None,
    output: OutputOption = "table",
    progress: ProgressOption = "auto",
) -> None:
    """Launch a recipe as one run, and watch it.

    Ctrl-C leaves the view; the run goes on. A value laid over the recipe's: stagectl run R trainer.seed=3.
    """
    from stagectl.errors import UsageError
    from stagectl.launch import local
    from stagectl.recipe import load_recipe, only_stage

    if start and only:
        raise UsageError("--from and --only each choose the stages; give one of them")
    loaded = load_recipe(recipe, [*(overrides or []), *([f"curriculum.start={json.dumps(start)}"] if start else [])])
    loaded = only_stage(loaded, only) if only else loaded
    warn(loaded)
    if dry_run:
        _show_plan(loaded, output)
        return
    if sys.stderr.isatty():
        say("checking the recipe …")
    local.check(loaded)
    paths = local.start(loaded)
    if detach:
        _print_id(paths.run_id, output)
        return
    from stagectl.cli.watching import watch_run

    say(f"started run {paths.run_id}")
    raise typer.Exit(watch_run(paths, progress, output))


def _print_id(run_id: str, output: Output) -> None:
    if output == "json":
        print_json({"run": run_id})
    else:
        sys.stdout.write(f"{run_id}\n")


def _show_plan(recipe: Recipe, output: Output) -> None:
    from stagectl.launch.plan import plan_data

    plan = plan_data(recipe)
    if output == "json":
        print_json(plan)
        return
    from stagectl.view import show_plan

    show_plan(plan)
