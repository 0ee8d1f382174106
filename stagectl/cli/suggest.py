"""`stagectl suggest`: a threshold and a smoothing that recordings support."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stagectl.cli.combinations import check_overrides
from stagectl.cli.options import OutputOption, print_json, warn
from stagectl.cli.recordings import (
    ArgumentsArgument,
    AsRecorded,
    CountColumn,
    RunColumn,
    ScoreColumn,
    ScoreRange,
    StageColumn,
    StepColumn,
    StepFactor,
    StepsPerRow,
    Window,
    bar,
    catch_up_runs,
    check_columns,
    columns_of,
    split,
)


def command(
    arguments: ArgumentsArgument,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="The recipe whose stages it is for.")] = None,
    as_recorded: AsRecorded = False,
    window: Window = None,
    step_column: StepColumn = None,
    score_column: ScoreColumn = None,
    stage_column: StageColumn = None,
    run_column: RunColumn = None,
    count_column: CountColumn = None,
    steps_per_row: StepsPerRow = None,
    step_factor: StepFactor = 1,
    score_range: ScoreRange = None,
    output: OutputOption = "table",
) -> None:
    """Propose the lowest threshold, and a smoothing, whose exits hold in the recordings."""
    from stagectl.curriculum import metrics_named
    from stagectl.recipe import load_recipe
    from stagectl.simulate import default_recipe
    from stagectl.simulate.suggest import SMOOTHINGS, THRESHOLDS, suggest
    from stagectl.simulate.sweep import WINDOW
    from stagectl.traces import read_traces
    from stagectl.view import show_suggestion

    sources, overrides = split(arguments)
    check_overrides(overrides, int(recipe is not None))
    loaded = load_recipe(recipe, overrides) if recipe else None
    if loaded:
        warn(loaded)
    metrics = metrics_named(loaded.stages) if loaded else frozenset()
    units = (count_column, steps_per_row, step_factor, score_range)
    columns = columns_of(step_column, score_column, stage_column, run_column, *units, metrics)
    check_columns(sources, columns)
    catch_up_runs(sources)
    traces = read_traces(sources, columns)
    variants = len(THRESHOLDS.values) * len(SMOOTHINGS.values)
    with (
        contextlib.redirect_stdout(sys.stderr),
        bar(f"replaying {variants} variants", variants * sum(map(len, traces))) as progress,
    ):
        suggested = suggest(
            traces,
            loaded or default_recipe(traces, 2),
            as_recorded=as_recorded,
            window=window or WINDOW,
            progress=progress,
        )
    if output == "json":
        print_json(asdict(suggested))
    else:
        show_suggestion(suggested)
