"""`stagectl simulate`: replay recorded metrics through a recipe's curriculum."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from stagectl.cli.options import OutputOption, OverridesArgument, print_json, warn


def command(
    trace: Annotated[
        Path, typer.Argument(help="A CSV file of scores over steps.", metavar="TRACE", show_default=False)
    ],
    overrides: OverridesArgument = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="The recipe to try; else the defaults.")] = None,
    stages: Annotated[int | None, typer.Option("--stages", help="How many stages, without a recipe.", min=1)] = None,
    step_column: Annotated[str | None, typer.Option("--step-column", help="The column of steps.")] = None,
    score_column: Annotated[str | None, typer.Option("--score-column", help="The column of scores.")] = None,
    stage_column: Annotated[str | None, typer.Option("--stage-column", help="The column of stages' names.")] = None,
    output: OutputOption = "table",
) -> None:
    """Replay a recorded trace: where would each stage have ended?"""
    from stagectl.errors import UsageError
    from stagectl.recipe import build_curriculum, load_recipe
    from stagectl.simulate import default_curriculum, replay
    from stagectl.traces import Columns, read_csv

    if recipe is None and overrides:
        raise UsageError(f"'{overrides[0]}' overrides a recipe, and there is none", hint="name it: --recipe RECIPE")
    if recipe is not None and stages is not None:
        raise UsageError("--stages is for a trace without a recipe; the recipe has its own")
    loaded = load_recipe(recipe, overrides or []) if recipe else None
    if loaded is not None:
        warn(loaded)
    with contextlib.redirect_stdout(sys.stderr):  # what a user's class prints is no result
        curriculum = build_curriculum(loaded) if loaded else None
        metrics = curriculum.metric_names if curriculum else frozenset()
        recorded = read_csv(trace, Columns(step_column, score_column, stage_column, metrics))
        budget = loaded.trainer.total_timesteps if loaded else None
        timeline = replay(curriculum or default_curriculum(recorded, stages), recorded, budget)
    if output == "json":
        print_json({"trace": str(trace), "recipe": str(recipe) if recipe else None, **timeline.to_data()})
        return
    from stagectl.view import show_timeline

    show_timeline(timeline)
