"""`stagectl simulate`: replay recorded metrics through a recipe's curriculum."""

from __future__ import annotations

import contextlib
import csv
import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stagectl.cli.options import print_json, warn
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
    columns_of,
    split,
)
from stagectl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stagectl.recipe import Recipe
    from stagectl.simulate import Price
    from stagectl.simulate.sweep import Axis
    from stagectl.traces import Trace

Output = Literal["table", "json", "csv"]
Rank = Literal["steps", "false_exits", "finished"]


def command(
    arguments: ArgumentsArgument,
    recipe: Annotated[
        list[Path] | None, typer.Option("--recipe", help="The recipe to try; several are compared; else the defaults.")
    ] = None,
    stages: Annotated[int | None, typer.Option("--stages", help="How many stages, without a recipe.", min=1)] = None,
    as_recorded: AsRecorded = False,
    sweep: Annotated[
        list[str] | None, typer.Option("--sweep", help="Vary a key; repeatable.", metavar="KEY=FROM:TO:STEP|KEY=a,b")
    ] = None,
    rank: Annotated[Rank, typer.Option("--rank", help="Which variants of a sweep come first.")] = "steps",
    window: Window = None,
    explain: Annotated[
        int | None, typer.Option("--explain", help="What the criterion waited for at that step.", metavar="STEP", min=0)
    ] = None,
    price: Annotated[str | None, typer.Option("--price", help="What a difference costs.", metavar="2.5/hour")] = None,
    steps_per_second: Annotated[str | None, typer.Option("--steps-per-second", help="How fast it trains.")] = None,
    step_column: StepColumn = None,
    score_column: ScoreColumn = None,
    stage_column: StageColumn = None,
    run_column: RunColumn = None,
    count_column: CountColumn = None,
    steps_per_row: StepsPerRow = None,
    step_factor: StepFactor = 1,
    score_range: ScoreRange = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="What to print.")] = "table",
) -> None:
    """Replay recordings: where would each stage have ended?"""
    from stagectl.curriculum import metrics_named
    from stagectl.recipe import load_recipe
    from stagectl.simulate import read_price
    from stagectl.simulate.axes import read_axis
    from stagectl.traces import read_traces

    sources, overrides = split(arguments)
    files = recipe or []
    _check(files, overrides, stages)
    axes = [read_axis(text) for text in sweep or []]
    cost = read_price(price, steps_per_second)
    if cost is not None and len(files) < 2:
        raise UsageError("--price is of the difference between recipes", hint="name two: --recipe A --recipe B")
    if len(files) > 1 and (axes or explain is not None):
        raise UsageError(f"{'--sweep' if axes else '--explain'} is of one recipe, and there are {len(files)}")
    recipes = [load_recipe(file, overrides) for file in files]
    for loaded in recipes:
        warn(loaded)
    metrics = frozenset(name for loaded in recipes for name in metrics_named(loaded.stages))
    units = (count_column, steps_per_row, step_factor, score_range)
    traces = read_traces(sources, columns_of(step_column, score_column, stage_column, run_column, *units, metrics))
    with contextlib.redirect_stdout(sys.stderr):  # what a user's class prints is no result
        if axes:
            show = _swept(traces, recipes, stages, axes, rank, window, as_recorded)
        elif explain is not None:
            show = _explained(traces, recipes, stages, explain, as_recorded)
        else:
            show = _simulated(traces, recipes, files, stages, cost, as_recorded)
    show(output)


def _check(files: Sequence[Path], overrides: Sequence[str], stages: int | None) -> None:
    if overrides and not files:
        raise UsageError(f"'{overrides[0]}' overrides a recipe, and there is none", hint="name it: --recipe RECIPE")
    if files and stages is not None:
        raise UsageError("--stages is for a trace without a recipe; the recipe has its own")


def _simulated(
    traces: Sequence[Trace],
    recipes: Sequence[Recipe],
    files: Sequence[Path],
    stages: int | None,
    price: Price | None,
    as_recorded: bool,
) -> Callable[[Output], None]:
    """Each recipe on all traces; several side by side."""
    from stagectl.simulate import comparison_of, default_recipe, simulate
    from stagectl.simulate.data import comparison_data, simulation_data, simulation_rows
    from stagectl.view import show_comparison, show_simulation

    tried: list[tuple[Recipe, str | None]] = [(default_recipe(traces, stages), None)]
    if recipes:
        tried = [(loaded, str(file)) for loaded, file in zip(recipes, files, strict=True)]
    with bar("replaying", len(tried) * sum(map(len, traces))) as progress:
        simulations = [
            simulate(traces, loaded, file=file, as_recorded=as_recorded, progress=progress) for loaded, file in tried
        ]
    rows = (row for simulation in simulations for row in simulation_rows(simulation))
    if len(simulations) == 1:
        (only,) = simulations
        return lambda output: _print(output, lambda: show_simulation(only), lambda: simulation_data(only), rows)
    compared = comparison_of(simulations, price)
    return lambda output: _print(output, lambda: show_comparison(compared), lambda: comparison_data(compared), rows)


def _swept(
    traces: Sequence[Trace],
    recipes: Sequence[Recipe],
    stages: int | None,
    axes: Sequence[Axis],
    rank: Rank,
    window: int | None,
    as_recorded: bool,
) -> Callable[[Output], None]:
    """Every variant of one recipe on all traces."""
    from stagectl.simulate import default_recipe
    from stagectl.simulate.data import sweep_data, sweep_rows
    from stagectl.simulate.sweep import WINDOW
    from stagectl.simulate.variants import sweep_by_core
    from stagectl.view import show_sweep

    recipe = recipes[0] if recipes else default_recipe(traces, stages)
    variants = math.prod(len(axis.values) for axis in axes)
    with bar(f"replaying {variants:,} variants", variants * sum(map(len, traces))) as progress:
        swept = sweep_by_core(recipe, traces, axes, as_recorded=as_recorded, window=window or WINDOW, progress=progress)
    return lambda output: _print(output, lambda: show_sweep(swept, rank), lambda: sweep_data(swept), sweep_rows(swept))


def _explained(
    traces: Sequence[Trace], recipes: Sequence[Recipe], stages: int | None, step: int, as_recorded: bool
) -> Callable[[Output], None]:
    """What each trace's replay waited for at a step."""
    from stagectl.simulate import default_recipe
    from stagectl.simulate.data import explanation_data
    from stagectl.simulate.explain import explain
    from stagectl.simulate.simulation import curriculum_for
    from stagectl.view import show_explanations

    recipe = recipes[0] if recipes else default_recipe(traces, stages)
    budget = recipe.trainer.total_timesteps
    told = [
        explain(
            partial(curriculum_for, recipe, trace, as_recorded=as_recorded),
            trace,
            step,
            budget,
            as_recorded=as_recorded,
        )
        for trace in traces
    ]
    data = [explanation_data(each) for each in told]
    rows = (
        {"trace": each["trace"], "step": each["step"], "stage": each["stage"], **term}
        for each in data
        for term in each["terms"]
    )
    return lambda output: _print(output, lambda: show_explanations(told), lambda: {"explanations": data}, rows)


def _print(
    output: Output, show: Callable[[], None], data: Callable[[], dict[str, Any]], rows: Iterable[dict[str, Any]]
) -> None:
    if output == "table":
        show()
    elif output == "json":
        print_json(data())
    else:
        listed = list(rows)
        writer = csv.DictWriter(sys.stdout, list(listed[0]) if listed else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
