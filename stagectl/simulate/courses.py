"""What each stage of a plain curriculum sees in a trace, and what its exits can be judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.simulate.exits import SURELY, is_below, own_rows
from stagectl.simulate.recording import Visit, visits_of
from stagectl.simulate.together import Boundaries, boundaries_of
from stagectl.traces import Trace
from stagectl.traces.trace import Floats, Whole

CLOSE = 1e-5  # of the greatest score: where sums over all rows may be too rough to judge by


@dataclass(frozen=True, eq=False)
class Course:
    """What was recorded for a stage, in steps since its entry where it `restarts` there; else for all, in total steps.

    Attributes:
        restarts: Whether a stage begins at the first row, whenever it is entered.
        steps: Of every boundary.
        scored: Steps of the boundaries with scores.
        found: Those boundaries.
        rows: Steps of the rows with scores, whose `scores` and `counts` judge an exit.
    """

    restarts: bool
    steps: Whole
    scored: Whole
    found: Boundaries
    rows: Whole
    scores: Floats
    counts: Whole

    def fell_back(self, exits: Whole, thresholds: Floats, window: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For exits at those steps, whether each can be judged, and whether it was a false one (`exits`)."""
        weighted = self.scores * self.counts
        counted, summed, squared = (_sums(values) for values in (self.counts, weighted, weighted * self.scores))
        first = self.rows.searchsorted(exits, "right")
        judged: NDArray[np.bool_] = counted[-1] - counted[first] >= window
        last = np.minimum(counted.searchsorted(counted[first] + window), len(self.rows))
        number = np.maximum(counted[last] - counted[first], 1)
        mean = (summed[last] - summed[first]) / number
        spread = np.sqrt(np.maximum((squared[last] - squared[first]) / number - mean * mean, 0.0) / number)
        above = mean + SURELY * spread - thresholds
        fell = judged & (above < 0)
        unsure = CLOSE * np.abs(self.scores).max(initial=1.0)
        for at in np.flatnonzero(judged & (np.abs(above) <= unsure)):
            part = slice(first[at], last[at])
            fell[at] = is_below(self.scores[part], self.counts[part], float(thresholds[at]))
        return judged, fell


def _sums(values: NDArray[Any]) -> NDArray[Any]:
    """The sum of the values before each, and of all."""
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])


def courses_of(curriculum: StagedProgressiveCurriculum, trace: Trace, *, aligned: bool) -> list[Course | None]:
    """For each stage what it sees when it is entered for the first time; None where nothing was recorded of it."""
    if not aligned:
        steps = trace.steps[np.flatnonzero(np.diff(trace.steps, prepend=-1))]
        course = _course(trace, steps, own_rows(trace, None, 0), restarts=False)
        return [course] * len(curriculum.stages)
    visits = visits_of(trace, curriculum)
    first = curriculum.current_stage
    found = [visits.get((stage.name, 1)) for stage in curriculum.stages]
    return [
        None if visit is None else _course_of_visit(trace, visit, decides_at_entry=index == first)
        for index, visit in enumerate(found)
    ]


def _course_of_visit(trace: Trace, visit: Visit, *, decides_at_entry: bool) -> Course:
    part = slice(visit.first, visit.last)
    steps = np.unique(np.append(trace.steps[part], visit.until)) - visit.entered
    if not decides_at_entry:  # one decision a step: what finished at that of the entry counts with the next boundary
        steps = steps[steps > 0]
    local = trace.steps - visit.entered
    rows = own_rows(trace, visit, 0)
    if len(steps):
        local = np.maximum(local, steps[0])
    return _course(replace(trace, steps=local), steps, rows if len(steps) else rows[:0], restarts=True)


def _course(trace: Trace, steps: Whole, rows: NDArray[np.intp], *, restarts: bool) -> Course:
    every = len(rows) == len(trace)
    own = (
        trace
        if every
        else replace(
            trace,
            steps=trace.steps[rows],
            scores=trace.scores[rows],
            counts=None if trace.counts is None else trace.counts[rows],
        )
    )
    found = boundaries_of(own, 0, len(rows))
    counts = np.ones(len(rows), np.int64) if own.counts is None else own.counts
    return Course(restarts, steps, found.steps(np.arange(len(found))), found, own.steps, own.scores, counts)
