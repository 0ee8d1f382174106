"""What each stage of a plain curriculum sees in a trace, and what its exits can be judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.simulate.exits import Judges, judges_of, own_rows
from stagectl.simulate.recording import Visit, visits_of
from stagectl.simulate.together import Boundaries, boundaries_of
from stagectl.traces import Trace
from stagectl.traces.trace import Whole


@dataclass(frozen=True, eq=False)
class Course:
    """What was recorded for a stage, in steps since its entry where it `restarts` there; else for all, in total steps.

    Attributes:
        restarts: Whether a stage begins at the first row, whenever it is entered.
        steps: Of every boundary.
        scored: Steps of the boundaries with scores.
        found: Those boundaries.
        judges: The rows with scores, which judge its exits.
    """

    restarts: bool
    steps: Whole
    scored: Whole
    found: Boundaries
    judges: Judges


def courses_of(curriculum: StagedProgressiveCurriculum, trace: Trace, *, aligned: bool) -> list[Course | None]:
    """For each stage what it sees when it is entered for the first time; None where nothing was recorded of it."""
    if not aligned:
        steps = trace.steps[np.flatnonzero(np.diff(trace.steps, prepend=-1))]
        course = _course(trace, steps, own_rows(trace, None), restarts=False)
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
    rows = own_rows(trace, visit)
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
    return Course(restarts, steps, found.steps(np.arange(len(found))), found, judges_of(trace, rows))
