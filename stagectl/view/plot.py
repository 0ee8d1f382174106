"""A simulation as a picture in a file, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagectl.errors import UsageError
from stagectl.view.answer import answer, plain
from stagectl.view.file import write_file
from stagectl.view.seeds import short_names, visits

if TYPE_CHECKING:
    from stagectl.simulate import Simulation, Timeline

_UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}
FORMATS = tuple(f".{kind}" for kind in _UNDATED)  # the same simulation gives the same file
COLOURS = ("#30648a", "#c15412", "#1c8568", "#ab50b8", "#b88705", "#3b4094", "#8c3a39", "#7a8792")  # report.css's
INCHES_WIDE = 9.0
INCHES_A_SEED = 0.26
MOST_NAMES = 30


def check_plot(path: Path) -> None:
    """Raises UsageError where a plot cannot be written: no matplotlib, or a name that ends with no format of ours."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a plot is written as {', '.join(FORMATS)}", hint=f"for example {path.stem}.svg")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib, which is not installed", hint="pip install 'stagectl[simulate]'")


def save_plot(simulation: Simulation, path: Path) -> None:
    """Write the stages of every seed, and their performance against its thresholds, over the steps.

    Raises:
        UsageError: As `check_plot`.
        StorageError: The disk refused; what was there is as it was.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    style = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "stagectl", "axes.spines.top": False}
    picture = BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    with mpl.rc_context({**style, "axes.spines.right": False}):
        figure = _drawn(simulation, Figure, Patch)
        figure.savefig(picture, format=kind, dpi=160, bbox_inches="tight", metadata=_UNDATED[kind])
    write_file(path, picture.getvalue())


def _drawn(simulation: Simulation, figure_class: Any, patch_class: Any) -> Any:
    timelines = simulation.timelines
    rows = max(2, len(timelines)) * INCHES_A_SEED
    figure = figure_class(figsize=(INCHES_WIDE, rows + 4.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(rows, 3.0))
    figure.suptitle(_literal(plain(answer(simulation))), x=0.02, ha="left", fontsize=11, wrap=True)
    _draw_bars(above, timelines)
    _draw_summary(above, simulation)
    _draw_curves(below, timelines)
    names = [span.name for span in timelines[0].stages]
    handles = [patch_class(color=colour_of(index)) for index in range(len(names))]
    figure.legend(handles, [_literal(name) for name in names], loc="outside lower left", ncols=6, frameon=False)
    return figure


def _literal(name: str) -> str:
    """A name as it is: matplotlib takes what stands between dollars for mathematics."""
    return name.replace("$", r"\$")


def colour_of(stage: int) -> str:
    return COLOURS[stage % len(COLOURS)]


def _draw_bars(axes: Any, timelines: Sequence[Timeline]) -> None:
    """A bar a seed in its stages' colours; one that the data do not end has an arrow."""
    for row, timeline in enumerate(timelines):
        for start, end, stage in visits(timeline):
            axes.barh(
                row, end - start, left=start, height=0.72, color=colour_of(stage), edgecolor="white", linewidth=0.8
            )
        if timeline.is_censored:
            last = visits(timeline)[-1][2]
            axes.plot(timeline.total_steps, row, marker=">", color=colour_of(last), markersize=8, clip_on=False)
    names = short_names([timeline.trace for timeline in timelines])
    if len(names) > MOST_NAMES:
        names = []
    axes.set_yticks(range(len(names)), [_literal(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.invert_yaxis()


def _draw_summary(axes: Any, simulation: Simulation) -> None:
    """Under the bars the median step at which each stage is left, and its interval."""
    if simulation.summary is None:
        return
    row = len(simulation.timelines)
    for stage in simulation.summary.stages:
        left = stage.left
        if left.median is None:
            continue
        far = max(timeline.total_steps for timeline in simulation.timelines)
        ends = (0 if left.low is None else left.low, far if left.high is None else left.high)
        dashed = "--" if None in (left.low, left.high) else "-"
        axes.plot(ends, (row, row), color=colour_of(stage.index), linestyle=dashed, linewidth=1.8, marker="|")
        axes.plot(left.median, row, color=colour_of(stage.index), marker="o")


def _draw_curves(axes: Any, timelines: Sequence[Timeline]) -> None:
    faint = 1.0 if len(timelines) == 1 else max(0.25, 0.9 - 0.03 * len(timelines))
    for timeline in timelines:
        for curve in timeline.curves:
            colour = colour_of(curve.stage)
            axes.plot(curve.steps, curve.performance, color=colour, linewidth=1.4, alpha=faint)
            goal = [float("nan") if value is None else value for value in curve.threshold]
            axes.plot(curve.steps, goal, color=colour, linewidth=1.0, linestyle=(0, (5, 4)), alpha=faint)
        if len(timelines) == 1:
            for start, end, stage in visits(timeline):
                axes.axvspan(start, end, color=colour_of(stage), alpha=0.07, linewidth=0)
    axes.set_ylabel("performance")
    axes.set_xlabel("environment steps")
    axes.set_xlim(left=0)
    axes.grid(axis="y", color="#dfe2e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
