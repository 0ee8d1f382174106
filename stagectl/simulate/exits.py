"""False exits: stages that were left by a performance that did not last."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.simulate.recording import Visit, visits_of
from stagectl.simulate.story import BY_PERFORMANCE
from stagectl.simulate.sweep import WINDOW
from stagectl.simulate.timeline import Timeline
from stagectl.traces import Trace

SURELY = 1.645  # standard errors: 95 %, one-sided


def false_exits(
    curriculum: StagedProgressiveCurriculum, trace: Trace, timeline: Timeline, window: int = WINDOW
) -> dict[int, bool]:
    """By a stage's index, whether its last exit was a false one; of the exits that the data can judge.

    An exit can be judged if the performance made it, and `window` more episodes of the stage were recorded after it.
    It is false if the mean of their scores is below the threshold by more than chance explains: by over 1.645 of its
    standard errors, which with as many episodes happens to one lasting exit in twenty. The smoothed performance
    judges nothing here: having just reached the threshold, it is below it again after one failed episode.
    """
    visits = visits_of(trace, curriculum) if timeline.aligned else None
    judged = {}
    for index, stage in enumerate(curriculum.stages):
        last = _last_exit(timeline, index)
        if last is None or stage.parallel:
            continue
        decision, entered, number = last
        if visits is None:
            rows = own_rows(trace, None, 0 if number == 1 else int(trace.steps.searchsorted(entered, "right")))
            fell = _fell_back(trace, rows, decision.step, decision.threshold, window)
        else:
            visit = visits[stage.name, number]
            exit_at = visit.entered + decision.step - entered
            fell = _fell_back(trace, own_rows(trace, visit, 0), exit_at, decision.threshold, window)
        if fell is not None:
            judged[index] = fell
    return judged


def _last_exit(timeline: Timeline, index: int) -> tuple[Decision, int, int] | None:
    """The decision by which a stage was last left, if its performance made it; the entry's step, and its number."""
    begun = next((d.stage if isinstance(d, CurriculumEnd) else d.from_stage for d in timeline.decisions), None)
    entered, number = 0, int(index == begun)
    found = None
    for decision in timeline.decisions:
        left = decision.stage if isinstance(decision, CurriculumEnd) else decision.from_stage
        if left == index:
            found = (decision, entered, number) if decision.reason in BY_PERFORMANCE else None
        if isinstance(decision, StageTransition) and decision.to_stage == index:
            entered, number = decision.step, number + 1
    return found


def own_rows(trace: Trace, visit: Visit | None, first: int) -> NDArray[np.intp]:
    """The rows whose scores count for the stage: in a visit those of its own stage and visit, else all from `first`."""
    if visit is None:
        return first + np.flatnonzero(~np.isnan(trace.scores[first:]))
    part = slice(visit.first, visit.last)
    own = ~np.isnan(trace.scores[part])
    if trace.stage_codes is not None:
        own &= (trace.stage_codes[part] == trace.stage_names.index(visit.stage)) | (trace.stage_codes[part] < 0)
    if trace.visits is not None:
        own &= (trace.visits[part] < 0) | (trace.visits[part] == visit.number)
    return visit.first + np.flatnonzero(own)


def _fell_back(trace: Trace, rows: NDArray[np.intp], exit_at: int, threshold: float | None, window: int) -> bool | None:
    """Whether it did; None where too little was recorded to tell."""
    counts = np.ones(len(rows), np.int64) if trace.counts is None else trace.counts[rows]
    until = int(trace.steps[rows].searchsorted(exit_at, "right"))
    if threshold is None or counts[until:].sum() < window:
        return None
    upto = int(counts[until:].cumsum().searchsorted(window)) + 1
    return is_below(trace.scores[rows][until : until + upto], counts[until : until + upto], threshold)


def is_below(scores: NDArray[np.float64], weights: NDArray[np.int64], threshold: float) -> bool:
    """Whether the mean of the scores is below the threshold by more than chance explains."""
    mean = np.average(scores, weights=weights)
    error = math.sqrt(np.average((scores - mean) ** 2, weights=weights) / weights.sum())
    return bool(mean + SURELY * error < threshold)
