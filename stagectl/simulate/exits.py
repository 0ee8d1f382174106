"""False exits: stages that were left by a performance that did not last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.curriculum.stages import Stage
from stagectl.simulate.recording import Visit, visits_of
from stagectl.simulate.story import BY_PERFORMANCE
from stagectl.simulate.sweep import WINDOW, Flags
from stagectl.simulate.timeline import Timeline
from stagectl.traces import Trace
from stagectl.traces.trace import Floats, Whole

SURELY = 1.645  # standard errors: 95 %, one-sided, of many rows
FEWEST = 2  # rows that judge an exit: one alone does not tell how far chance goes
CLOSE = 1e-4  # of the greatest score: where sums over all rows may be too rough to judge by


def false_exits(
    curriculum: StagedProgressiveCurriculum, trace: Trace, timeline: Timeline, window: int = WINDOW
) -> dict[int, bool]:
    """By a stage's index, whether its last exit was a false one; of the exits that the data can judge.

    An exit can be judged if the performance made it (not the time, under `either`), and `window` more episodes of the
    stage were recorded after it, in at least two rows. It is false if the mean of their scores is below the threshold
    by more than chance explains (Student's test), which happens to about one in twenty of the exits that just hold. The
    smoothed performance judges nothing here: having just reached the threshold, it is below it again after one failed
    episode.
    The curriculum is at its start, as it was before the timeline.
    """
    visits = visits_of(trace, curriculum) if timeline.aligned else None
    judged = {}
    for index, stage in enumerate(curriculum.stages):
        last = _last_exit(timeline, index)
        if last is None or last[0].threshold is None or stage.parallel:
            continue
        decision, entered, number = last
        visit = visits[stage.name, number] if visits is not None else None
        exit_at = decision.step if visit is None else visit.entered + decision.step - (entered or 0)
        judges = judges_of(trace, own_rows(trace, visit))
        before = 0 if visit is not None or entered is None else judges.episodes(entered)
        if not _performed(stage, decision, judges.episodes(exit_at) - before):
            continue
        can_be, fell = judges.fell_back(np.array([exit_at]), np.array([decision.threshold]), window)
        if can_be[0]:
            judged[index] = bool(fell[0])
    return judged


def _last_exit(timeline: Timeline, index: int) -> tuple[Decision, int | None, int] | None:
    """The decision by which a stage was last left, if by its performance or, under `either`, its time.

    Also the entry's step, None where the timeline begins with it, and its number.
    """
    begun = next((d.stage if isinstance(d, CurriculumEnd) else d.from_stage for d in timeline.decisions), None)
    entered: int | None = None
    number = int(index == begun)
    found = None
    for decision in timeline.decisions:
        left = decision.stage if isinstance(decision, CurriculumEnd) else decision.from_stage
        if left == index:
            found = (decision, entered, number) if decision.reason in BY_PERFORMANCE else None
        if isinstance(decision, StageTransition) and decision.to_stage == index:
            entered, number = decision.step, number + 1
    return found


def _performed(stage: Stage, decision: Decision, episodes: int) -> bool:
    """Whether the performance made the exit, and not the time under `either`."""
    if decision.reason != "either":
        return True
    performance, threshold = decision.performance, decision.threshold
    reached = performance is not None and threshold is not None and performance >= threshold
    return reached and episodes >= stage.min_episodes


def own_rows(trace: Trace, visit: Visit | None) -> NDArray[np.intp]:
    """The rows whose scores count for the stage: in a visit those of its own stage and visit, else all."""
    if visit is None:
        return np.flatnonzero(~np.isnan(trace.scores))
    part = slice(visit.first, visit.last)
    own = ~np.isnan(trace.scores[part])
    if trace.stage_codes is not None:
        told = trace.stage_codes[part]
        own &= (told < 0) | np.isin(told, [at for at, name in enumerate(trace.stage_names) if name == visit.stage])
    if trace.visits is not None:
        own &= (trace.visits[part] < 0) | (trace.visits[part] == visit.number)
    return visit.first + np.flatnonzero(own)


class Judges:
    """The scored rows of a stage, which judge its exits: their `steps`, `scores`, and `counts` of episodes."""

    def __init__(self, steps: Whole, scores: Floats, counts: Whole) -> None:
        self._steps = steps
        self._scores = scores
        self._counts = counts

    def episodes(self, until: int) -> int:
        """How many they tell of up to that step."""
        return int(self._counts[: int(self._steps.searchsorted(until, "right"))].sum())

    def fell_back(self, exits: Whole, thresholds: Floats, window: int) -> tuple[Flags, Flags]:
        """For exits at those steps, whether each can be judged, and whether it was a false one (`false_exits`)."""
        weighted = self._scores * self._counts
        with np.errstate(over="ignore", invalid="ignore"):
            counted, summed, squared = map(_sums, (self._counts, weighted, weighted * self._scores))
            first = self._steps.searchsorted(exits, "right")
            last = np.minimum(counted.searchsorted(counted[first] + window), len(self._steps))
            judged: Flags = (counted[-1] - counted[first] >= window) & (last - first >= FEWEST)
            first, last = first[judged], last[judged]
            parts = (sums[last] - sums[first] for sums in (counted, summed, squared))
            above = _at_most(last - first, *parts) - thresholds[judged]
        fell = above < 0
        sure = np.abs(above) > CLOSE * np.abs(self._scores).max(initial=1.0)
        for at in np.flatnonzero(~sure):
            part = slice(first[at], last[at])
            counts, over = self._counts[part], self._scores[part] - thresholds[judged][at]
            fell[at] = _at_most(np.array(len(over)), counts.sum(), counts @ over, counts @ over**2) < 0
        fell_back = np.zeros_like(judged)
        fell_back[judged] = fell
        return judged, fell_back


def judges_of(trace: Trace, rows: NDArray[np.intp]) -> Judges:
    counts = np.ones(len(rows), np.int64) if trace.counts is None else trace.counts[rows]
    return Judges(trace.steps[rows], trace.scores[rows], counts)


def _at_most(rows: Whole, episodes: Whole, summed: Floats, squared: Floats) -> Floats:
    """What the mean score is at most, surely, of so many rows and episodes, their scores' sum and that of the squares.

    Chance is told by how the rows differ, each as heavy as its episodes: a row that is a mean differs less. Student's
    quantile is that of the normal distribution, stretched (Wallace: Annals of Mathematical Statistics 30, 1959).
    """
    free = rows - 1
    mean = summed / episodes
    error = np.sqrt(np.maximum(squared / episodes - mean * mean, 0.0) / free)
    stretched = SURELY * (8 * free + 3) / (8 * free + 1)
    found: Floats = mean + np.sqrt(free * np.expm1(stretched**2 / free)) * error
    return found


def _sums(values: NDArray[Any]) -> NDArray[Any]:
    """The sum of the values before each, and of all."""
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
