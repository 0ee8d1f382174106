"""A sweep: a table of its variants, and a heat map where two keys were varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text

from stagectl.view.answer import few_steps
from stagectl.view.grid import gap_for, grid
from stagectl.view.lines import DIM, aligned, fitted, joined, labelled
from stagectl.view.words import NOTHING, clean

if TYPE_CHECKING:
    from stagectl.simulate.sweep import Sweep

FEW = 20  # variants that a terminal shows; a pipe gets all
_COLD, _HOT = (0x1B, 0x3A, 0x57), (0xF2, 0xD2, 0x7A)
RANKS = ("steps", "false_exits", "finished")


def sweep_panel(sweep: Sweep, width: int, rank: str = "steps") -> RenderableType:
    """The best variants as a table, the heat map and notes, at most `width` cells wide."""
    order = ranked(sweep, rank)
    header = sweep_header(sweep)
    if gap_for(width) == 1:  # the last word of a key is enough to know it by
        header = (*(_last_word(name) for name in header[: len(sweep.axes)]), *header[len(sweep.axes) :])
    rows = [[Text(cell) for cell in variant_cells(sweep, index)] for index in order[:FEW]]
    right = frozenset(header)
    parts: list[RenderableType] = [grid(header, rows, width, right=right, drops=_less_important(sweep))]
    if len(order) > FEW:
        parts.append(Text(f" … {len(order) - FEW:,} more variants; -o csv has all", DIM))
    if len(sweep.axes) == 2:
        parts += [Text(), heat_map(sweep, width)]
    if sweep.notes:
        parts += [Text(), joined(line for n in sweep.notes for line in labelled("note", [(clean(n), "")], width))]
    return Group(*parts)


def sweep_text(sweep: Sweep, rank: str = "steps") -> str:
    """All variants for a pipe: complete lines."""
    header = sweep_header(sweep)
    table = aligned(header, [variant_cells(sweep, index) for index in ranked(sweep, rank)], frozenset(header))
    return "\n".join([table, *([""] if sweep.notes else []), *map(clean, sweep.notes)])


def sweep_header(sweep: Sweep) -> tuple[str, ...]:
    """The columns of a variant: its values, steps in each stage and in all, false exits, traces that finish."""
    return (
        *(key_name(axis.key, sweep) for axis in sweep.axes),
        *map(clean, sweep.stages),
        "ALL",
        "FALSE EXITS",
        "FINISHED",
    )


def variant_cells(sweep: Sweep, index: tuple[int, ...]) -> tuple[str, ...]:
    values = [value_name(axis.values[at]) for axis, at in zip(sweep.axes, index, strict=True)]
    inside = [_steps(steps) for steps in sweep.median_steps()[index]]
    judged, false = int(sweep.judged[index].sum()), int(sweep.fell_back[index].sum())
    finished = sweep.finished[index]
    exits = f"{false} of {judged}" if judged else NOTHING
    return (*values, *inside, _steps(total_steps(sweep, index)), exits, f"{int(finished.sum())} of {finished.size}")


def total_steps(sweep: Sweep, index: tuple[int, ...]) -> float:
    """The median over traces of the step at which the last stage is left; NaN where half or more never get there."""
    import numpy as np

    left = sweep.left[index]
    latest = np.where(np.isnan(left).all(-1), math.inf, np.max(np.nan_to_num(left, nan=-math.inf), axis=-1))
    median = float(np.median(np.where(sweep.finished[index], latest, math.inf)))
    return median if math.isfinite(median) else math.nan


def ranked(sweep: Sweep, rank: str = "steps") -> list[tuple[int, ...]]:
    """The variants in order, the best first: by what is asked for, then fewest steps, then fewest false exits."""
    shares = sweep.false_exit_share()

    def key(index: tuple[int, ...]) -> tuple[float, ...]:
        steps, false = _last(total_steps(sweep, index)), _last(float(shares[index]))
        finished = -float(sweep.finished[index].mean())
        return {"false_exits": (false, steps), "finished": (finished, steps, false)}.get(rank, (steps, false))

    return sorted((index for index, _ in sweep.variants()), key=key)


def heat_map(sweep: Sweep, width: int) -> Text:
    """Total steps by the two keys: few steps dark, many bright, and in figures where there is room."""
    down, across = sweep.axes
    totals = [[total_steps(sweep, (i, j)) for j in range(len(across.values))] for i in range(len(down.values))]
    known = [value for row in totals for value in row if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    labels = [value_name(value) for value in down.values]
    heads = [value_name(value) for value in across.values]
    cells = [[_steps(value) for value in row] for row in totals]
    gutter = max(len(label) for label in labels) + 2
    size = max(len(text) for text in (*heads, *(cell for row in cells for cell in row))) + 2
    figures = gutter + size * len(heads) <= width
    size = size if figures else max(1, (width - gutter) // len(heads))
    lines = [Text(f" steps: {key_name(down.key, sweep)} ↓ {key_name(across.key, sweep)} →", DIM)]
    if figures:
        lines.append(Text(" " * gutter + "".join(head.rjust(size) for head in heads), DIM))
    for label, values, texts in zip(labels, totals, cells, strict=True):
        line = Text(label.rjust(gutter - 1) + " ", DIM)
        for value, shown in zip(values, texts, strict=True):
            line.append((shown if figures else "").rjust(size), _heat(value, low, high))
        lines.append(line)
    return joined(fitted(line, width) for line in lines)


def key_name(key: str, sweep: Sweep) -> str:
    """A key of the curriculum without its long path: `stages.0.performance_threshold` is the stage's name's."""
    first, _, rest = key.partition(".")
    number, _, last = rest.partition(".")
    if first == "stages" and number.isdigit() and int(number) < len(sweep.stages):
        return clean(f"{sweep.stages[int(number)]}.{last}")
    return clean(key)


def value_name(value: Any) -> str:
    return clean(f"{value:g}" if isinstance(value, float) else value)


def _last_word(key: str) -> str:
    """`empty.performance_threshold` as `empty.threshold`."""
    stage, dot, name = key.rpartition(".")
    return f"{stage}{dot}{name.rpartition('_')[2]}"


def _less_important(sweep: Sweep) -> Sequence[str]:
    return [clean(name) for name in reversed(sweep.stages)]


def _steps(value: float) -> str:
    return few_steps(value) if math.isfinite(value) else NOTHING


def _last(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _heat(value: float, low: float, high: float) -> Style:
    if not math.isfinite(value):
        return Style(color=DIM)
    share = (value - low) / (high - low) if high > low else 0.0
    red, green, blue = (round(c + (h - c) * share) for c, h in zip(_COLD, _HOT, strict=True))
    bright = red * 0.3 + green * 0.59 + blue * 0.11 > 128
    return Style(color="#101010" if bright else "#f4f4f4", bgcolor=f"#{red:02x}{green:02x}{blue:02x}")
