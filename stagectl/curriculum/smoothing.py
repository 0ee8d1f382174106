"""Smoothing of a stage's scores."""

from __future__ import annotations

import math


class Ema:
    """Exponential moving average `m ← (1−a)·m + a·x`.

    Corrected for its start at zero by the sum of its weights, `w = 1 − (1−a)ⁿ`, so that an early average is an
    honest mean (Kingma & Ba 2015, algorithm 1): `m ← m + a/w·(x−m)`, in which equal scores average to themselves
    exactly, whatever is rounded. With `zero_start` it is the plain recurrence from 0.
    """

    __slots__ = ("_mean", "_weight", "count", "smoothing", "zero_start")

    def __init__(self, smoothing: float, *, zero_start: bool = False) -> None:
        self.smoothing = smoothing
        self.zero_start = zero_start
        self.count = 0
        self._mean = 0.0
        self._weight = 0.0

    def add(self, value: float) -> None:
        keep = 1.0 - self.smoothing
        self._weight = keep * self._weight + self.smoothing
        if self.zero_start:
            self._mean = keep * self._mean + self.smoothing * value
        else:
            self._mean += self.smoothing / self._weight * (value - self._mean)
        self.count += 1

    @property
    def value(self) -> float:
        """The average; NaN over nothing, so that every comparison with it is false."""
        return self._mean if self.count else math.nan

    def state_dict(self) -> dict[str, float | int]:
        return {"mean": self._mean, "weight": self._weight, "count": self.count}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self._mean, self._weight, self.count = float(state["mean"]), float(state["weight"]), int(state["count"])
