"""`stagectl simulate`: replay recorded metrics through a recipe's curriculum."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stagectl.cli.combinations import check
from stagectl.cli.options import given, print_json, say, warn
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
    own_recipe,
    split,
)
from stagectl.errors import TraceError, UsageError

if TYPE_CHECKING:
    from stagectl.recipe import Recipe
    from stagectl.simulate import Comparison, Price, Simulation
    from stagectl.simulate.explain import Explanation
    from stagectl.simulate.sweep import Axis, Sweep
    from stagectl.traces import Columns, Trace

Output = Literal["table", "json", "csv"]
Rank = Literal["steps", "false_exits", "finished"]
Data = dict[str, Any]


def command(
    context: typer.Context,
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
        str | None, typer.Option("--explain", help="What the criterion waited for at that step.", metavar="STEP")
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
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw it into that file: .svg or .png.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write all of it as one HTML file.")] = None,
) -> None:
    """Replay recordings: where would each stage have ended?"""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here uses
    from stagectl.curriculum import metrics_named
    from stagectl.recipe import load_recipe
    from stagectl.simulate import default_recipe, read_price
    from stagectl.simulate.axes import check_axes, read_axis
    from stagectl.simulate.explain import read_step
    from stagectl.simulate.sweep import WINDOW
    from stagectl.traces import read_traces

    sources, overrides = split(arguments)
    own = None if recipe else own_recipe(sources, overrides)
    files = recipe or ([own[0]] if own else [])
    axes = [read_axis(text) for text in sweep or []]
    check_axes(axes)
    cost = read_price(price, steps_per_second)
    step = None if explain is None else read_step(explain)
    check(given(context), overrides, len(files), output)
    if plot is not None:
        from stagectl.view.plot import check_plot

        check_plot(plot)
    recipes = [own[1]] if own else [load_recipe(file, overrides) for file in files]
    for loaded in recipes:
        warn(loaded)
    metrics = frozenset(name for loaded in recipes for name in metrics_named(loaded.stages))
    units = (count_column, steps_per_row, step_factor, score_range)
    columns = columns_of(step_column, score_column, stage_column, run_column, *units, metrics)
    check_columns(sources, columns)
    catch_up_runs(sources)
    is_of_one = len(sources) == 1 and len(files) < 2 and not axes and step is None
    streamed = _streamed(sources[0], columns, recipes, files, stages) if is_of_one else None
    traces = [] if streamed else read_traces(sources, columns)
    if stages is not None and (told_by := [trace.name for trace in traces if trace.stage_names]):
        raise UsageError(f"--stages is for recordings that tell no stage, and {told_by[0]} tells its own")
    task = _Task(traces, recipes or [default_recipe(traces, stages)], files or [None], as_recorded, streamed)
    with contextlib.redirect_stdout(sys.stderr):  # what a user's class prints is no result
        swept = task.sweep(axes, window or WINDOW) if axes else None
        told = task.explain(step) if step is not None else None
        compared = task.simulate(cost) if plot or report or (swept is None and told is None) else None
    if compared is not None:
        _write(task, compared, swept, rank, plot, report)
    if swept is not None:
        _print_sweep(swept, rank, output)
    elif told is not None:
        _print_explanations(told, output)
    elif compared is not None:
        _print_simulations(compared, output)


def _streamed(
    source: str, columns: Columns, recipes: Sequence[Recipe], files: Sequence[Path], stages: int | None
) -> Simulation | None:
    """The recipe on a recording that is replayed while it is read; None where it is to be read as a whole."""
    from stagectl.simulate import default_recipe, simulate_streamed
    from stagectl.traces import parts_of

    found = parts_of(source, columns)
    if found is None:
        return None
    rows, parts = found
    recipe = recipes[0] if recipes else default_recipe([], stages)
    file = str(files[0]) if files else None
    with contextlib.redirect_stdout(sys.stderr), bar("replaying", rows) as progress, contextlib.suppress(TraceError):
        return simulate_streamed(parts, recipe, file=file, progress=progress)
    return None


@dataclass(frozen=True)
class _Task:
    """The recordings, and the recipes to try on them with their files; None: the defaults."""

    traces: Sequence[Trace]
    recipes: Sequence[Recipe]
    files: Sequence[Path | None]
    as_recorded: bool
    streamed: Simulation | None  # of the one recording, where that is not held

    def simulate(self, price: Price | None) -> Comparison:
        """Each recipe on all recordings."""
        from stagectl.simulate import comparison_of, simulate

        if self.streamed:
            return comparison_of([self.streamed], price)
        with bar("replaying", len(self.recipes) * sum(map(len, self.traces))) as progress:
            simulations = [
                simulate(
                    self.traces,
                    recipe,
                    file=str(file) if file else None,
                    as_recorded=self.as_recorded,
                    progress=progress,
                )
                for recipe, file in zip(self.recipes, self.files, strict=True)
            ]
        return comparison_of(simulations, price)

    def sweep(self, axes: Sequence[Axis], window: int) -> Sweep:
        """Every variant of the recipe on all recordings."""
        from stagectl.simulate.axes import check_keys
        from stagectl.simulate.sweeping import sweep

        check_keys(axes, [stage.name for stage in self.recipes[0].stages])
        variants = math.prod(len(axis.values) for axis in axes)
        with bar(f"replaying {variants:,} variants", variants * sum(map(len, self.traces))) as progress:
            return sweep(
                self.recipes[0], self.traces, axes, as_recorded=self.as_recorded, window=window, progress=progress
            )

    def explain(self, step: int) -> list[Explanation]:
        """What each recording's replay waited for at a step."""
        from stagectl.simulate.explain import explain
        from stagectl.simulate.simulation import curriculum_for

        (recipe,) = self.recipes
        budget = recipe.trainer.total_timesteps
        told = []
        for trace in self.traces:
            fresh = partial(curriculum_for, recipe, trace, as_recorded=self.as_recorded)
            told.append(explain(fresh, trace, step, budget, as_recorded=self.as_recorded))
        return told


def _write(
    task: _Task, compared: Comparison, swept: Sweep | None, rank: Rank, plot: Path | None, report: Path | None
) -> None:
    if plot is not None:
        from stagectl.view.plot import save_plot

        save_plot(compared.simulations[0], plot)
        say(f"wrote {plot}")
    if report is not None:
        from stagectl.recipe import write_resolved
        from stagectl.view.file import write_file
        from stagectl.view.report import simulation_report

        named = [(str(file or recipe.name), recipe) for file, recipe in zip(task.files, task.recipes, strict=True)]
        texts = [(name, write_resolved(recipe)) for name, recipe in named]
        write_file(report, simulation_report(compared, texts, swept, rank))
        say(f"wrote {report}")


def _print_simulations(compared: Comparison, output: Output) -> None:
    from stagectl.simulate.data import comparison_data, simulation_data, simulation_rows

    def show() -> None:
        from stagectl.view import show_comparison, show_simulation  # json and csv need no rich

        if len(compared.simulations) == 1:
            show_simulation(compared.simulations[0])
        else:
            show_comparison(compared)

    def data() -> Data:
        only = compared.simulations[0]
        return simulation_data(only) if len(compared.simulations) == 1 else comparison_data(compared)

    _print(output, show, data, (row for simulation in compared.simulations for row in simulation_rows(simulation)))


def _print_sweep(swept: Sweep, rank: Rank, output: Output) -> None:
    from stagectl.simulate.data import sweep_data, sweep_rows
    from stagectl.view import show_sweep

    _print(output, lambda: show_sweep(swept, rank), lambda: sweep_data(swept), sweep_rows(swept))


def _print_explanations(told: list[Explanation], output: Output) -> None:
    from stagectl.simulate.data import explanation_data, explanation_rows
    from stagectl.view import show_explanations

    rows = (row for each in told for row in explanation_rows(each))
    _print(output, lambda: show_explanations(told), lambda: {"explanations": [*map(explanation_data, told)]}, rows)


def _print(output: Output, show: Callable[[], None], data: Callable[[], Data], rows: Iterable[Data]) -> None:
    if output == "table":
        show()
    elif output == "json":
        print_json(data())
    else:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({key: _harmless(cell) for key, cell in row.items()})


def _harmless(cell: Any) -> Any:
    """Without what a terminal would obey: a name comes from whoever wrote the recording."""
    return "".join(filter(str.isprintable, cell)) if isinstance(cell, str) else cell
