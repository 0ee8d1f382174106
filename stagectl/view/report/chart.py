"""A chart as data: bars of stages and curves over one axis of steps, which `report.js` draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from stagectl.view.report.html import embedded, tag

MOST_POINTS = 40_000  # of all curves together: about half a megabyte

KEYS = (
    "← → walk along the steps, with Shift in larger strides · + − zoom · 0 shows all · ↑ ↓ choose a row · Esc lets go; "
    "or drag over a range, and double-click to show all"
)


@dataclass(frozen=True)
class Bar:
    """A visit to a stage, from step to step. `open`: not over where the recording, or what is known, ends."""

    colour: int
    name: str
    start: int
    end: int
    told: str
    open: bool = False


@dataclass(frozen=True)
class Whisker:
    """A median and its interval; an end that is not known is open."""

    colour: int
    at: float
    low: float | None
    high: float | None
    told: str


@dataclass(frozen=True)
class Row:
    """A line of bars, or of whiskers; `ticks` are single steps of note, each with what is told of it."""

    name: str
    bars: Sequence[Bar] = ()
    whiskers: Sequence[Whisker] = ()
    ticks: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class Line:
    """A curve. `row` is the row that it belongs to; `goal` what it is to reach, at the same steps; `faint`: beside."""

    colour: int
    name: str
    row: str
    steps: Sequence[int]
    values: Sequence[float]
    goal: Sequence[float | None] = ()
    faint: bool = False


@dataclass(frozen=True)
class Panel:
    """Rows, or curves between two values, under one title."""

    title: str
    rows: Sequence[Row] = ()
    lines: Sequence[Line] = ()
    low: float = 0.0
    high: float = 1.0
    small: bool = False


@dataclass(frozen=True)
class Chart:
    """Panels under one another, over the steps from 0 to `end`."""

    end: int
    panels: Sequence[Panel]
    label: str = "stages and performance over steps"
    stages: Sequence[tuple[int, str]] = field(default=())

    def element(self) -> Element:
        """The figure: legend, the data, and the place where it is drawn."""
        legend = [tag("li", tag("span", name, class_=f"stage s{colour}")) for colour, name in self.stages]
        if any(row.ticks for panel in self.panels for row in panel.rows):
            legend.append(tag("li", "▲ checkpoint"))
        buttons = [
            tag("button", sign, type="button", data_zoom=what, aria_label=told)
            for sign, what, told in (("+", "in", "zoom in"), ("−", "out", "zoom out"), ("all", "all", "show all"))
        ]
        return tag(
            "figure",
            tag("div", tag("ul", *legend, class_="legend"), tag("div", *buttons, class_="zoom"), class_="bar"),
            tag("div", class_="drawing", aria_label=f"{self.label}; {KEYS}", tabindex=0, role="application"),
            tag("div", class_="tip", role="status", aria_live="polite", hidden=True),
            tag("noscript", "The chart needs JavaScript; the tables below say the same."),
            tag("figcaption", KEYS),
            embedded(self.to_data()),
            class_="chart",
        )

    def to_data(self) -> dict[str, Any]:
        drawn = sum(len(line.steps) for panel in self.panels for line in panel.lines)
        stride = max(1, -(-drawn // MOST_POINTS))
        return {"end": self.end, "panels": [_panel(panel, stride) for panel in self.panels]}


def curves_panel(title: str, lines: Sequence[Line], *, bounded: bool = False, small: bool = False) -> Panel:
    """Curves from 0 to 1 where they are shares, else between what holds them all, and 0."""
    known = [v for line in lines for v in (*line.values, *line.goal) if v is not None and math.isfinite(v)]
    low, high = min(0.0, *known, 0.0), max(float(bounded), *known, 0.0)
    return Panel(title, lines=lines, low=low, high=high if high > low else low + 1.0, small=small)


def _panel(panel: Panel, stride: int) -> dict[str, Any]:
    data: dict[str, Any] = {"title": panel.title}
    if panel.rows:
        data["rows"] = [_row(row) for row in panel.rows]
    if panel.lines:
        data |= {"low": panel.low, "high": panel.high, "small": panel.small}
        data["lines"] = [_line(line, stride) for line in panel.lines]
    return data


def _row(row: Row) -> dict[str, Any]:
    bars = [[b.colour, b.name, b.start, b.end, b.told, int(b.open)] for b in row.bars]
    whiskers = [[w.colour, w.at, w.low, w.high, w.told] for w in row.whiskers]
    return {"name": row.name, "bars": bars, "whiskers": whiskers, "ticks": [list(tick) for tick in row.ticks]}


def _line(line: Line, stride: int) -> dict[str, Any]:
    kept = sorted({*range(0, len(line.steps), stride), len(line.steps) - 1} - {-1})
    kept = [at for at in kept if math.isfinite(line.values[at])]
    goal = [line.goal[at] for at in kept] if line.goal else []
    return {
        "colour": line.colour,
        "name": line.name,
        "row": line.row,
        "x": [int(line.steps[at]) for at in kept],
        "y": [_rounded(line.values[at]) for at in kept],
        "goal": [None if value is None or not math.isfinite(value) else _rounded(value) for value in goal],
        "faint": line.faint,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
