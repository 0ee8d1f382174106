"""The chain of a plain curriculum's stages, played for all variants that share their smoothings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum.smoothing import share_of
from stagectl.simulate.compiled import (
    BLOCK,
    BY_PERFORMANCE,
    BY_TIME,
    OPEN,
    TIMEOUT,
    Criteria,
    Scores,
    Walk,
    leave,
    walk,
)
from stagectl.simulate.courses import Course
from stagectl.simulate.grid import (
    GOES_ON,
    KIND,
    LEAST_EPISODES,
    MOST_STEPS,
    NEVER,
    SMOOTHING,
    THRESHOLD,
    TIME_STEPS,
)
from stagectl.simulate.together import Places
from stagectl.traces.trace import Floats, Whole


class Chain:
    """Plays variants, and keeps what came of it.

    Attributes:
        entered: (variants, stages): total steps at which a stage is entered; where it is not, 0.
        left: The same of its exit.
        reasons: By what it is left.

    Args:
        grid: The variants (`grid_of`), (variants, stages, 7).
        courses: What each stage sees.
        begun: The stage that is on at the start.
        budget: Total steps.
    """

    def __init__(self, grid: Floats, courses: Sequence[Course | None], begun: int, budget: int | None) -> None:
        self.entered = np.zeros(grid.shape[:2], np.int64)
        self.left = np.zeros(grid.shape[:2], np.int64)
        self.reasons = np.full(grid.shape[:2], OPEN)
        self._grid = grid
        self._begun = begun
        self._budget = NEVER if budget is None else budget
        self._courses = courses
        same = {id(course): (course, *_scores_of(course)) for course in courses if course is not None}
        self._scores = [None if course is None else same[id(course)][1:] for course in courses]

    def groups(self) -> list[Places]:
        """Variants with the same smoothings."""
        _, group = np.unique(self._grid[:, self._begun :, SMOOTHING], axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        return np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)

    def play(self, group: Places) -> None:
        """Play the variants of one group."""
        playing, steps = group, np.zeros(len(group), np.int64)
        walked: tuple[Course, float, Walk] | None = None
        for stage in range(self._begun, self._grid.shape[1]):
            course, found = self._courses[stage], self._scores[stage]
            if course is None or found is None or not len(course.steps) or not len(playing):
                break
            scores, sizes = found
            smoothing = float(self._grid[group[0], stage, SMOOTHING])
            if walked is None or walked[0] is not course or walked[1] != smoothing:
                walked = (course, smoothing, _walk(scores, sizes, smoothing))
            clock = steps if course.restarts else np.zeros_like(steps)
            entries = course.scored.searchsorted(steps - clock, "right")
            if course.restarts or stage == self._begun:
                entries = np.zeros_like(entries)
            out = np.empty_like(steps), np.empty_like(steps)
            criteria = _criteria(self._grid[playing, stage])
            leave(scores, walked[2], criteria, entries, steps - clock, self._budget - clock, *out)
            self.entered[playing, stage] = steps
            self.left[playing, stage] = out[0] + clock
            self.reasons[playing, stage] = out[1]
            on = np.isin(out[1], (BY_PERFORMANCE, BY_TIME))
            on |= (out[1] == TIMEOUT) & (self._grid[playing, stage, GOES_ON] > 0)
            on &= out[0] + clock < self._budget  # the step that spends it is the last
            playing, steps = playing[on], (out[0] + clock)[on]

    def finished(self) -> NDArray[np.bool_]:
        """Whether each variant left every stage that can be left."""
        grid, reasons = self._grid[:, self._begun :], self.reasons[:, self._begun :]
        stopped = ((reasons == TIMEOUT) & (grid[..., GOES_ON] == 0)).any(axis=1)
        stays = (grid[..., KIND] == 0) & (grid[..., MOST_STEPS] == NEVER)
        on = (reasons == OPEN).argmax(axis=1)  # the first that is not left
        is_over = (reasons != OPEN).all(axis=1)
        found: NDArray[np.bool_] = ~stopped & (is_over | stays[np.arange(len(on)), on])
        return found


def _scores_of(course: Course) -> tuple[Scores, list[int]]:
    """A course as the compiled code takes it, and the numbers of scores that its boundaries have."""
    found = course.found
    if found.sizes is None:
        counted = np.arange(len(found) + 1)
        return Scores(course.steps, course.scored, found.means, np.empty(0, np.int64), counted), [1]
    sizes, places = np.unique(found.sizes, return_inverse=True)
    counted = np.concatenate([[0], np.cumsum(found.sizes)])
    return Scores(course.steps, course.scored, found.means, places.astype(np.int64), counted), sizes.tolist()


def _walk(scores: Scores, sizes: Sequence[int], smoothing: float) -> Walk:
    shares = np.array([share_of(size, smoothing) for size in sizes])
    count = len(scores.means)
    walked = Walk(
        np.ascontiguousarray(shares[:, 0]),
        np.ascontiguousarray(shares[:, 1]),
        np.empty(count),
        np.empty(count),
        np.empty(-(-count // BLOCK)),
    )
    walk(scores, walked)
    return walked


def _criteria(told: Floats) -> Criteria:
    """The criteria of some variants of one stage, told as (variants, 7)."""

    def whole(at: int) -> Whole:
        return told[:, at].astype(np.int64)

    thresholds = np.ascontiguousarray(told[:, THRESHOLD])
    return Criteria(whole(KIND), thresholds, whole(LEAST_EPISODES), whole(TIME_STEPS), whole(MOST_STEPS))
