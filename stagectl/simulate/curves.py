"""The performance over a visit, thinned while it grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import repeat

import numpy as np

from stagectl.curriculum import Decision
from stagectl.simulate.averages import Places
from stagectl.simulate.timeline import Curve

POINTS = 512


class GrowingCurve:
    """A curve of at most 512 points, however many are added: every 2ᵏ-th with the least k that does, and the last."""

    def __init__(self, stage: int) -> None:
        self._stage = stage
        self._points: list[tuple[int, float, float]] = []
        self._last: tuple[int, float, float] | None = None
        self._every = 1
        self._added = 0

    def add(self, step: int, performance: float, threshold: float) -> None:
        """The performance after the episodes of a step, and the threshold in force; NaN where there is none yet."""
        if math.isnan(performance):
            return
        self._last = (step, performance, threshold)
        if self._added % self._every == 0:
            self._points.append(self._last)
        self._added += 1
        if len(self._points) == POINTS:
            self._points = self._points[::2]
            self._every *= 2

    def extend(self, number: int, points: Callable[[Places], tuple[list[int], list[float]]], threshold: float) -> None:
        """Add so many points at once; `points` gives the steps and the performances of some of them."""
        begun, end = self._added, self._added + number
        while self._added < end:
            first = -(-self._added // self._every) * self._every
            wanted = min(POINTS - len(self._points), -(-(end - first) // self._every))
            steps, performances = points(np.arange(first, first + wanted * self._every, self._every) - begun)
            self._points += zip(steps, performances, repeat(threshold))
            self._added = end
            if len(self._points) == POINTS:
                self._added = first + (wanted - 1) * self._every + 1
                self._points = self._points[::2]
                self._every *= 2
        (step,), (performance,) = points(np.array([number - 1]))
        self._last = (step, performance, threshold)

    def curve(self) -> Curve | None:
        """None where there was no performance."""
        if self._last is None:
            return None
        is_last_there = (self._added - 1) % self._every == 0
        steps, performance, thresholds = zip(*self._points, *([] if is_last_there else [self._last]), strict=True)
        return Curve(self._stage, steps, performance, tuple(None if math.isnan(t) else t for t in thresholds))


def left_at(decision: Decision) -> tuple[int, float, float]:
    """The point at which a stage is left: what the decision tells of it."""
    return decision.step, or_nan(decision.performance), or_nan(decision.threshold)


def or_nan(value: float | None) -> float:
    return math.nan if value is None else value
