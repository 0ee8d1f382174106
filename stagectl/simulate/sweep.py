"""A sweep: what every variant of a curriculum would have done on the same traces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

WINDOW = 200  # episodes


@dataclass(frozen=True, slots=True)
class Axis:
    """A key of the curriculum, `performance_threshold` or `stages.0.performance_threshold`, and its values in turn."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Sweep:
    """What every combination of the axes' values comes to; a variant's index is its place on every axis.

    Attributes:
        axes: What was varied.
        stages: The stages' names.
        traces: The traces' names.
        left: (*axes, traces, stages): the total steps at which the stage was last left; NaN where it was not.
        steps: (*axes, traces, stages): the steps spent in it until then; NaN where it was not left.
        judged: (*axes, traces, stages): whether it was left by its performance and `window` more episodes were
            recorded, so that the exit can be judged.
        fell_back: (*axes, traces, stages): of the judged: whether the mean score of these episodes is below the
            threshold, by more than chance explains: a false exit (`exits`).
        finished: (*axes, traces): whether every stage that can be left was left.
        window: Episodes after an exit that judge it.
        notes: What must be known before any of it is believed, and by which way it was worked out.
    """

    axes: tuple[Axis, ...]
    stages: tuple[str, ...]
    traces: tuple[str, ...]
    left: Floats
    steps: Floats
    judged: Flags
    fell_back: Flags
    finished: Flags
    window: int = WINDOW
    notes: tuple[str, ...] = ()

    @classmethod
    def empty(
        cls,
        axes: Sequence[Axis],
        stages: Sequence[str],
        traces: Sequence[str],
        window: int = WINDOW,
        notes: Sequence[str] = (),
    ) -> Sweep:
        """A sweep to be filled in: as yet nothing was left."""
        shape = (*(len(axis.values) for axis in axes), len(traces))
        left, steps = np.full((2, *shape, len(stages)), math.nan)
        judged, fell_back = np.zeros((2, *shape, len(stages)), np.bool_)
        finished = np.zeros(shape, np.bool_)
        names = tuple(axes), tuple(stages), tuple(traces)
        return cls(*names, left, steps, judged, fell_back, finished, window, tuple(notes))

    def noted(self, *notes: str) -> Sweep:
        return replace(self, notes=(*self.notes, *notes))

    def variants(self) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
        """Each variant: its index into the arrays, and its values by key."""
        for index in product(*(range(len(axis.values)) for axis in self.axes)):
            yield index, {axis.key: axis.values[at] for axis, at in zip(self.axes, index, strict=True)}

    def median_steps(self) -> Floats:
        """(*axes, stages): the median over traces of the steps in each stage; NaN where half or more never left it."""
        never = np.where(np.isnan(self.steps), math.inf, self.steps)
        median = np.median(never, axis=-2)
        return np.where(np.isfinite(median), median, math.nan)

    def false_exit_share(self) -> Floats:
        """(*axes,): the share of all judged exits that were false; NaN where none is judged."""
        judged, fell_back = (flags.sum((-2, -1)) for flags in (self.judged, self.fell_back))
        return np.where(judged > 0, fell_back / np.maximum(judged, 1), math.nan)
