"""Smoothing of a stage's scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class Ema:
    """Exponential moving average `m ← (1−a)·m + a·x`.

    Corrected for its start at zero by the sum of its weights, `w = 1 − (1−a)ⁿ`, so that an early average is an
    honest mean (Kingma & Ba 2015, algorithm 1): `m ← m + a/w·(x−m)`, in which equal scores average to themselves
    exactly, whatever is rounded. With `zero_start` it is the plain recurrence from 0.

    Values that come together are equally old: `k` of them weigh `1 − (1−a)ᵏ` with their mean, in whatever order.
    """

    __slots__ = ("_mean", "_weight", "count", "smoothing", "zero_start")

    def __init__(self, smoothing: float, *, zero_start: bool = False) -> None:
        self.smoothing = smoothing
        self.zero_start = zero_start
        self.count = 0
        self._mean = 0.0
        self._weight = 0.0

    def add(self, value: float) -> None:
        self._fold(value, self.smoothing, 1.0 - self.smoothing, 1)

    def add_together(self, values: Sequence[float]) -> None:
        """Add values of one age. The result is the same, to the bit, for any order of them."""
        if values:
            self.add_mean(mean_of(values) if len(values) > 1 else values[0], len(values))

    def add_mean(self, mean: float, count: int) -> None:
        """Add so many values of one age by their mean."""
        self._fold(mean, *share_of(count, self.smoothing), count)

    def _fold(self, value: float, share: float, keep: float, count: int) -> None:
        self._weight = keep * self._weight + share
        if self.zero_start:
            self._mean = keep * self._mean + share * value
        else:
            self._mean += share / self._weight * (value - self._mean)
        self.count += count

    @property
    def value(self) -> float:
        """The average; NaN over nothing, so that every comparison with it is false."""
        return self._mean if self.count else math.nan

    def copy(self) -> Ema:
        copied = Ema(self.smoothing, zero_start=self.zero_start)
        copied.load_state_dict(self.state_dict())
        return copied

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self._mean, "weight": self._weight, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._mean, self._weight, self.count = float(state["mean"]), float(state["weight"]), int(state["count"])


def share_of(count: int, smoothing: float) -> tuple[float, float]:
    """What so many values of one age weigh in a moving average, and what is kept of those before."""
    keep = 1.0 - smoothing
    if count == 1:
        return smoothing, keep
    keep **= count
    return 1.0 - keep, keep


def mean_of(values: Sequence[float]) -> float:
    """The mean, rounded once: the same for any order of the values; of equal values exactly that value."""
    mean = math.fsum(values) / len(values)
    return min(max(mean, min(values)), max(values))
