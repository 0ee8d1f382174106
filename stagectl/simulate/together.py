"""The episodes that ended within one step boundary as one mean, as the core takes them: for millions of boundaries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum.smoothing import mean_of
from stagectl.traces.trace import Floats, Trace, Whole

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The step boundaries with scores among some rows of a trace.

    Attributes:
        trace: Whose they are.
        begun: The first of the rows.
        means: The mean of each boundary's scores.
        sizes: How many scores each has; None: one.
        rows: A row of each boundary, counted from `begun`; None: every row is one.
        largest: The greatest magnitude of a score; 0 without any.
    """

    trace: Trace
    begun: int
    means: Floats
    sizes: Whole | None
    rows: Places | None
    largest: float

    def __len__(self) -> int:
        return len(self.means)

    def values(self, first: int, last: int) -> tuple[Floats, Whole | None]:
        return self.means[first:last], None if self.sizes is None else self.sizes[first:last]

    def episodes(self, first: int, last: int) -> int:
        return last - first if self.sizes is None else int(self.sizes[first:last].sum())

    def before(self, first: int, episodes: int) -> int:
        """How many boundaries from `first` on have fewer than so many episodes together."""
        if episodes <= 1:
            return 0
        if self.sizes is None:
            return min(episodes - 1, len(self) - first)
        return int(np.cumsum(self.sizes[first:]).searchsorted(episodes))

    def steps(self, places: Places) -> Whole:
        return self.trace.steps[self.begun + (places if self.rows is None else self.rows[places])]

    def first_row(self, place: int) -> int:
        """The row of the trace at which a boundary begins."""
        if self.rows is None:
            return self.begun + place
        row = self.begun + int(self.rows[place])
        return self.begun + int(self.trace.steps[self.begun : row + 1].searchsorted(self.trace.steps[row]))


def boundaries_of(trace: Trace, first: int, last: int) -> Boundaries:
    """The boundaries with scores of the rows from `first` to before `last`, which are whole boundaries."""
    steps, scores = trace.steps[first:last], trace.scores[first:last]
    if first == last:
        return Boundaries(trace, first, scores, None, None, 0.0)
    counts = None if trace.counts is None else trace.counts[first:last]
    largest = max(float(scores.max()), -float(scores.min()))  # NaN where a row has no score
    if largest == largest and not (steps[1:] == steps[:-1]).any():
        return Boundaries(trace, first, scores, counts, None, largest)
    told = np.flatnonzero(~np.isnan(scores))
    if not len(told):
        return Boundaries(trace, first, scores[:0], None, told, 0.0)
    scores, steps = scores[told], steps[told]
    firsts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
    means, sizes = means_together(scores, None if counts is None else counts[told], firsts)
    largest = max(float(scores.max()), -float(scores.min()))
    return Boundaries(trace, first, means, sizes if sizes.max() > 1 else None, told[firsts], largest)


def means_together(values: Floats, counts: Whole | None, firsts: Places) -> tuple[Floats, Whole]:
    """The mean of the values of each boundary, rounded once as `mean_of` does, and how many they are.

    Args:
        values: The values of all boundaries.
        counts: How many values of one score each of them stands for; None: one.
        firsts: The place of each boundary's first value.
    """
    lasts = np.append(firsts[1:], len(values))
    sizes = lasts - firsts
    means = values[firsts]
    several = sizes > 1
    if counts is not None:
        total = np.add.reduceat(counts, firsts)
        for at in np.flatnonzero(several):
            part = slice(firsts[at], lasts[at])
            means[at] = _weighted_mean(values[part].tolist(), counts[part].tolist())
        return means, total
    sums, exact = _sums(values, firsts, sizes)
    means = np.where(several, sums / sizes, means)
    means = np.clip(means, np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts))
    for at in np.flatnonzero(~exact):
        means[at] = mean_of(values[firsts[at] : lasts[at]].tolist())
    return means, sizes


def _sums(values: Floats, firsts: Places, sizes: Whole) -> tuple[Floats, NDArray[np.bool_]]:
    """The sum of each boundary, and whether it is for certain the exact one, rounded once.

    Added up value by value; what each addition loses is known exactly (Knuth, TAOCP 2, 4.2.2, theorem B), and is added
    up too. Where nothing is lost in that, the two sums together are the exact one.
    """
    high, low = values[firsts], np.zeros(len(firsts))
    exact = np.ones(len(firsts), np.bool_)
    live = np.arange(len(firsts))
    for place in range(1, int(sizes.max(initial=1))):
        live = live[sizes[live] > place]
        high[live], lost = _added(high[live], values[firsts[live] + place])
        low[live], lost_again = _added(low[live], lost)
        exact[live] &= lost_again == 0
    return high + low, exact


def _added(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _weighted_mean(values: list[float], counts: list[int]) -> float:
    """As `mean_of` of each value so many times: a value times a power of two is exact."""
    parts = (v * 2.0**bit for v, n in zip(values, counts, strict=True) for bit in range(n.bit_length()) if n >> bit & 1)
    return min(max(math.fsum(parts) / sum(counts), min(values)), max(values))
