"""What the commands that read recordings share: options that say what is in them, and a bar while they are played."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import say
from stagectl.errors import UsageError

if TYPE_CHECKING:
    from stagectl.recipe import Recipe
    from stagectl.traces import Columns

PATIENCE = 1.0  # seconds without a bar
LONG = 10.0  # seconds, of which a pipe is told

ArgumentsArgument = Annotated[
    list[str],
    typer.Argument(
        help="Recordings: files, globs, a run's id, - for standard input; then values laid over the recipe's.",
        metavar="TRACE|KEY=VALUE",
        show_default=False,
    ),
]
AsRecorded = Annotated[
    bool, typer.Option("--as-recorded", help="Let scores drive whatever stage is on, whatever stage they are of.")
]
Window = Annotated[
    int | None, typer.Option("--window", help="Episodes after an exit that judge it; 200.", min=1, show_default=False)
]
StepColumn = Annotated[str | None, typer.Option("--step-column", help="The column of steps.")]
ScoreColumn = Annotated[str | None, typer.Option("--score-column", help="The column of scores.")]
StageColumn = Annotated[str | None, typer.Option("--stage-column", help="The column of stages' names.")]
RunColumn = Annotated[str | None, typer.Option("--run-column", help="The column that tells several runs apart.")]
CountColumn = Annotated[str | None, typer.Option("--count-column", help="How many episodes a score is the mean of.")]
StepsPerRow = Annotated[int | None, typer.Option("--steps-per-row", help="Steps of a row, without a column.", min=1)]
StepFactor = Annotated[int, typer.Option("--step-factor", help="Environment steps in one of the column's.", min=1)]
ScoreRange = Annotated[
    str | None, typer.Option("--score-range", help="The scores that count as 0 and as 1.", metavar="LOW:HIGH")
]

OPTIONS = {  # by which each of a table's `Columns` is told
    "step": "--step-column",
    "score": "--score-column",
    "stage": "--stage-column",
    "run": "--run-column",
    "count": "--count-column",
    "steps_per_row": "--steps-per-row",
    "step_factor": "--step-factor",
    "score_range": "--score-range",
}


def columns_of(
    step: str | None,
    score: str | None,
    stage: str | None,
    run: str | None,
    count: str | None,
    steps_per_row: int | None,
    step_factor: int,
    score_range: str | None,
    metrics: frozenset[str] = frozenset(),
) -> Columns:
    """What the options say of the recordings.

    Raises:
        UsageError: They contradict each other.
    """
    from stagectl.traces import Columns

    if steps_per_row is not None and (step is not None or step_factor != 1):
        other = "--step-column" if step is not None else "--step-factor"
        raise UsageError(f"--steps-per-row counts steps without a column of them, and {other} is about one")

    low_high = _range(score_range) if score_range is not None else (0.0, 1.0)
    return Columns(
        step=step,
        score=score,
        stage=stage,
        metrics=metrics,
        run=run,
        count=count,
        steps_per_row=steps_per_row,
        step_factor=step_factor,
        score_range=low_high,
    )


def check_columns(sources: Sequence[str], columns: Columns) -> None:
    """Refuse to say what is in the recordings where all are runs: a run knows that of itself.

    Raises:
        UsageError: So it is.
    """
    from stagectl.traces import Columns, run_of

    told = [option for name, option in OPTIONS.items() if getattr(columns, name) != getattr(Columns(), name)]
    if told and all(run_of(source) for source in sources):
        raise UsageError(f"{told[0]} is for tables, and {sources[0]} is a run, which says itself what its numbers are")


def catch_up_runs(sources: Sequence[str]) -> None:
    """Have the runs of ours that are named by their ids, and are on a cluster, told whole."""
    from stagectl.cli.catching_up import catch_up
    from stagectl.traces import run_of

    for source in sources:
        if not Path(source).exists() and (paths := run_of(source)) is not None:
            catch_up(paths)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The traces, and the overrides: what has a `=` and is no file."""
    overrides = [word for word in arguments if "=" in word and not Path(word).exists()]
    traces = [word for word in arguments if word not in overrides]
    if not traces:
        raise UsageError("there is no TRACE to replay", hint="a file of scores over steps, or a run's id")
    return traces, overrides


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for what takes over a second, or a line; the function is told how much more is done."""
    if not sys.stderr.isatty():
        yield _estimate(what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    task = shown.add_task(what, total=total)
    begun = time.monotonic()

    def advance(more: int) -> None:
        shown.advance(task, more)
        if not shown.live.is_started and time.monotonic() - begun > PATIENCE:
            shown.start()

    try:
        yield advance
    finally:
        shown.stop()


def _estimate(what: str, total: int) -> Callable[[int], None]:
    """Off a terminal: one line with the time that it will take, where that is long."""
    begun = time.monotonic()
    done, is_said = 0, False

    def advance(more: int) -> None:
        nonlocal done, is_said
        done += more
        passed = time.monotonic() - begun
        if not is_said and passed > PATIENCE and done:
            is_said = True
            left = passed * (total - done) / done
            if left > LONG:
                say(f"{what}: about {left:,.0f} s more")

    return advance


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        values = float(low), float(high)
    except ValueError:
        values = (0.0, 0.0)
    if not colon or not values[0] < values[1]:
        raise UsageError(f"--score-range {text} is no range", hint="write LOW:HIGH, as in --score-range 0:200")
    return values


def own_recipe(sources: Sequence[str], overrides: Sequence[str]) -> tuple[Path, Recipe] | None:
    """The recipe that the runs among the recordings were trained by, and its file; None where they are not all runs.

    Raises:
        UsageError: The runs have different recipes.
        RecipeError: What is laid over it is wrong.
    """
    from stagectl.job.stored import stored_recipe
    from stagectl.traces import run_of

    runs = [run for run in map(run_of, sources) if run is not None]
    if not sources or len(runs) < len(sources):
        return None
    recipes = [stored_recipe(run, overrides) for run in runs]
    for run, other in zip(runs, recipes, strict=True):
        if other.stages != recipes[0].stages:
            message = f"the runs {runs[0].run_id} and {run.run_id} have different curricula"
            raise UsageError(message, hint=f"name the recipe to try: --recipe {runs[0].recipe}")
    return runs[0].recipe, recipes[0]
