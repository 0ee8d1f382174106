"""Curves of performance in the terminal, on the axis of steps that the bars of the stages stand on.

Drawn here and not by plotext, whose figure has an axis of its own, beside that of the bars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from stagectl.view.lines import DIM
from stagectl.view.words import score

if TYPE_CHECKING:
    from stagectl.simulate import Curve

STAGE_STYLES = ("blue", "yellow", "green", "magenta", "cyan", "red")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille sign: four rows of two
_BRAILLE = 0x2800
_ROWS, _COLUMNS = 4, 2


def stage_style(index: int) -> str:
    """A stage's colour, the same in every picture; after six it begins again."""
    return STAGE_STYLES[index % len(STAGE_STYLES)]


def curve_lines(
    curves: Sequence[Curve], total: int, moves: Iterable[int], room: int, height: int, gutter: int
) -> list[Text]:
    """The curves over the steps from 0 to `total`, `room` cells wide, after a gutter with the scores.

    A threshold is a dashed line, a transition in `moves` an upright one; both give way to a curve.
    """
    values = [
        v for curve in curves for v in (*curve.performance, *curve.threshold) if v is not None and math.isfinite(v)
    ]
    if not values or total <= 0:
        return []
    low, high = min(0.0, *values), max(1.0 if max(values) <= 1 else 0.0, *values)
    grid = _Grid(room, height, total, low, high if high > low else low + 1.0)
    for step in moves:
        grid.upright(step)
    for curve in curves:
        grid.threshold(curve)
    for curve in curves:
        grid.curve(curve)
    labels = {0: score(grid.high), height - 1: score(low)}
    return [
        Text.assemble((labels.get(row, "").rjust(gutter - 1), DIM), (" ", ""), grid.line(row)) for row in range(height)
    ]


class _Grid:
    """Cells of a picture: dots of curves over signs behind them."""

    def __init__(self, width: int, height: int, total: int, low: float, high: float) -> None:
        self.width, self.height, self.total, self.low, self.high = width, height, total, low, high
        self._dots = [[0] * width for _ in range(height)]
        self._styles = [[DIM] * width for _ in range(height)]
        self._signs = [[" "] * width for _ in range(height)]

    def upright(self, step: int) -> None:
        column = self._column(step) // _COLUMNS
        for row in range(self.height):
            self._signs[row][column] = "│"

    def threshold(self, curve: Curve) -> None:
        for (start, goal), end in zip(
            zip(curve.steps, curve.threshold, strict=True), (*curve.steps[1:], curve.steps[-1]), strict=True
        ):
            if goal is None or not math.isfinite(goal):
                continue
            row = self._row(goal) // _ROWS
            for column in range(self._column(start) // _COLUMNS, self._column(end) // _COLUMNS + 1):
                self._signs[row][column] = "╌" if self._signs[row][column] == " " else self._signs[row][column]

    def curve(self, curve: Curve) -> None:
        points = [
            (self._column(step), self._row(value))
            for step, value in zip(curve.steps, curve.performance, strict=True)
            if math.isfinite(value)
        ]
        for (x, y), (to_x, to_y) in zip(points, points[1:] or points, strict=False):
            strides = max(abs(to_x - x), abs(to_y - y), 1)
            for at in range(strides + 1):
                self._dot(x + (to_x - x) * at // strides, y + (to_y - y) * at // strides, stage_style(curve.stage))

    def line(self, row: int) -> Text:
        cells = zip(self._dots[row], self._signs[row], self._styles[row], strict=True)
        return Text.assemble(*((chr(_BRAILLE + dots), style) if dots else (sign, DIM) for dots, sign, style in cells))

    def _dot(self, x: int, y: int, style: str) -> None:
        row, column = y // _ROWS, x // _COLUMNS
        self._dots[row][column] |= _DOTS[y % _ROWS][x % _COLUMNS]
        self._styles[row][column] = style

    def _column(self, step: float) -> int:
        return self._place(step / self.total, self.width * _COLUMNS)

    def _row(self, value: float) -> int:
        return self._place((self.high - value) / (self.high - self.low), self.height * _ROWS)

    def _place(self, share: float, cells: int) -> int:
        return min(cells - 1, max(0, int(share * cells)))
