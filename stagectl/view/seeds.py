"""Several seeds of one recipe: a table of the stages' medians and intervals, and a bar a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from stagectl.view.answer import confidence, interval, median, seeds
from stagectl.view.curve import curve_lines, stage_style
from stagectl.view.grid import gap_for, grid
from stagectl.view.lines import DIM, aligned, fitted, joined, padded
from stagectl.view.timeline import CURVE_HEIGHT, axis_lines
from stagectl.view.words import NOTHING, clean, steps

if TYPE_CHECKING:
    from stagectl.simulate import Simulation, StageSummary, Timeline

HEADER = ("STAGE", "LEFT AT", "INTERVAL", "STEPS IN IT", "INTERVAL OF STEPS", "SURE", "SEEDS")
_RIGHT = frozenset(HEADER[1:])
_SHORT = {"STEPS IN IT": "STEPS", "INTERVAL OF STEPS": "INT. OF STEPS"}
_DROPS = ("INTERVAL OF STEPS", "INT. OF STEPS", "SURE")
MOST_BARS = 24


def summary_table(simulation: Simulation, width: int) -> Text:
    """A row a stage, at most `width` cells wide: the median step at which it is left, with its interval."""
    header = HEADER if gap_for(width) > 1 else tuple(_SHORT.get(name, name) for name in HEADER)
    rows = [
        [Text(cell, stage_style(index) if at == 0 else "") for at, cell in enumerate(cells)]
        for index, cells in enumerate(summary_rows(simulation))
    ]
    drops = [name for name in _DROPS if name in header]
    return grid(header, rows, width, right=frozenset(header[1:]), gives_way=("STAGE",), drops=drops)


def summary_text(simulation: Simulation) -> str:
    return aligned(HEADER, summary_rows(simulation), _RIGHT)


def summary_rows(simulation: Simulation) -> list[tuple[str, ...]]:
    """A row of `HEADER`'s columns for each stage; a median that the data do not reach is `≥` how far they go."""
    stages = simulation.summary.stages if simulation.summary else ()
    return [_row(stage, simulation.timelines) for stage in stages]


def seeds_picture(timelines: Sequence[Timeline], width: int) -> Text:
    """A bar a seed over the axis of all steps, in its stages' colours; under it the performance of all."""
    total = max(timeline.total_steps for timeline in timelines)
    shown = timelines[:MOST_BARS]
    names = short_names([timeline.trace for timeline in shown])
    name_width = min(max(map(cell_len, names)), max(8, width // 4))
    labels = [f" {_end(timeline)}" for timeline in shown]
    room = max(10, width - name_width - 4 - max(map(cell_len, labels)))
    lines = [
        fitted(Text.assemble(" ", padded(name, name_width), "  ", _bar(timeline, total, room), (label, DIM)), width)
        for name, label, timeline in zip(names, labels, shown, strict=True)
    ]
    if len(timelines) > MOST_BARS:
        lines.append(Text(f" … {len(timelines) - MOST_BARS} more seeds", DIM))
    gutter = name_width + 3
    curves = [curve for timeline in timelines for curve in timeline.curves]
    drawn = curve_lines(curves, total, (), room, CURVE_HEIGHT, gutter)
    lines += [Text(), *drawn] if drawn else []
    return joined([*lines, *axis_lines(total, room, gutter), _legend(timelines[0], width)])


def short_names(names: Sequence[str]) -> list[str]:
    """Names of files without the folders, and the name in them, that all share; one without a name gets its number."""
    parts = [clean(name).split("/") for name in names]
    for end in (0, -1) if len(parts) > 1 else (0,):
        while all(len(each) > 1 for each in parts) and len({each[end] for each in parts}) == 1:
            for each in parts:
                del each[end]
    return ["/".join(each) or f"seed {number}" for number, each in enumerate(parts, 1)]


def _row(stage: StageSummary, timelines: Sequence[Timeline]) -> tuple[str, ...]:
    left, inside = stage.left, stage.steps
    name = f"{stage.index + 1} {clean(stage.name)}"
    on = [timeline for timeline in timelines if timeline.stages[stage.index].censored]
    least = _least([timeline.total_steps for timeline in on]), _least([t.stages[stage.index].steps for t in on])
    at, spent = (median(e) if e.median is not None else seen for e, seen in zip((left, inside), least, strict=True))
    return (name, at, interval(left), spent, interval(inside), confidence(left), seeds(left))


def _least(seen: Sequence[int]) -> str:
    """What a median is at least where no more than half of the seeds get there: as far as the others are seen."""
    return f"≥ {steps(max(seen))}" if seen else NOTHING


def _end(timeline: Timeline) -> str:
    return f"{'≥ ' if timeline.is_censored else ''}{steps(timeline.total_steps)}"


def _bar(timeline: Timeline, total: int, room: int) -> Text:
    """The stages one after the other; where one is left a mark stands, so that it is seen without colour too."""
    parts = []
    at = 0
    for start, end, stage in visits(timeline):
        first, last = max(at, start * room // total), max(at + 1, -(-end * room // total))
        parts.append(("━" * (min(last, room) - first - 1) + "╸", stage_style(stage)))
        at = min(last, room - 1)
    line = Text.assemble(*parts)
    line.pad_right(max(0, room - line.cell_len))
    return line


def visits(timeline: Timeline) -> list[tuple[int, int, int]]:
    """Each visit to a stage: its first and last step, and the stage's index."""
    moves = timeline.transitions
    first = moves[0].from_stage if moves else next((s.index for s in timeline.stages if s.entered is not None), 0)
    starts = [(0, first), *((move.step, move.to_stage) for move in moves)]
    ends = [*(move.step for move in moves), timeline.total_steps]
    return [(start, end, stage) for (start, stage), end in zip(starts, ends, strict=True)]


def _legend(timeline: Timeline, width: int) -> Text:
    parts: list[tuple[str, str]] = [(" ", "")]
    for span in timeline.stages:
        parts += [("━ ", stage_style(span.index)), (f"{clean(span.name)}  ", DIM)]
    return fitted(Text.assemble(*parts), width)
