"""What a sweep does for each variant, compiled by numba: imported where a sweep is large enough for it.

All variants with one smoothing share one walk: the moving average over all that was recorded, and the greatest average
of each block of it. A stage that is entered on the way begins an average of its own. Rounded arithmetic forgets: once
that has come to the very numbers of the walk (`averages`) it goes on as the walk does, and whole blocks that do not
reach the threshold are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np

from stagectl.simulate.grid import NEVER
from stagectl.traces.trace import Floats, Whole

BLOCK = 512
OPEN, BY_PERFORMANCE, BY_TIME, TIMEOUT = range(4)  # what a stage is left by
PERFORMANCE, TIME, BOTH, EITHER = 1, 2, 3, 4  # places in KINDS

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compiled once and kept for later processes; anew in each where there is no folder to keep it in."""
    try:
        return cast("F", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast("F", numba.njit(nogil=True)(function))


class Scores(NamedTuple):
    """What was recorded of a stage, or of all: boundaries.

    Attributes:
        steps: Of every boundary.
        scored: Steps of those with scores.
        means: The mean of each such boundary's scores.
        sizes: The place of each one's number of scores among the numbers that there are; of no length: all have one.
        counted: The episodes before each one; one more than there are.
    """

    steps: Whole
    scored: Whole
    means: Floats
    sizes: Whole
    counted: Whole


class Walk(NamedTuple):
    """The moving average over all scores: value and weight after each boundary, the greatest value of each block."""

    shares: Floats
    keeps: Floats
    means: Floats
    weights: Floats
    tops: Floats


class Criteria(NamedTuple):
    """What ends the stage, of each variant."""

    kinds: Whole
    thresholds: Floats
    least_episodes: Whole
    time_steps: Whole
    most_steps: Whole


@compiled
def walk(scores: Scores, walked: Walk) -> None:
    """Fill in the walk."""
    share, keep, factor = walked.shares[0], walked.keeps[0], 0.0
    mean, weight, before = 0.0, 0.0, -1.0
    varied = len(scores.sizes) > 0
    for at in range(len(scores.means)):
        if varied:
            share, keep = walked.shares[scores.sizes[at]], walked.keeps[scores.sizes[at]]
        if varied or weight != before:
            before, weight = weight, keep * weight + share
            factor = share / weight
        mean += factor * (scores.means[at] - mean)
        walked.means[at] = mean
        walked.weights[at] = weight
    for block in range(len(walked.tops)):
        top = -np.inf
        for at in range(block * BLOCK, min((block + 1) * BLOCK, len(scores.means))):
            top = max(top, walked.means[at])
        walked.tops[block] = top


@compiled
def first_at_least(scores: Scores, walked: Walk, entry: int, first: int, stop: int, threshold: float) -> int:
    """Where the average that begins at `entry` is first at least the threshold, from `first` on; else `stop`."""
    at = entry
    if entry > 0:
        share, keep, factor = walked.shares[0], walked.keeps[0], 0.0
        mean, weight, before = 0.0, 0.0, -1.0
        varied = len(scores.sizes) > 0
        together = False
        while at < stop and not together:
            if varied:
                share, keep = walked.shares[scores.sizes[at]], walked.keeps[scores.sizes[at]]
            if varied or weight != before:
                before, weight = weight, keep * weight + share
                factor = share / weight
            mean += factor * (scores.means[at] - mean)
            if at >= first and mean >= threshold:
                return at
            together = mean == walked.means[at] and weight == walked.weights[at]
            at += 1
    at = max(at, first)
    while at < stop:
        if at % BLOCK == 0 and walked.tops[at // BLOCK] < threshold:
            at += BLOCK
        elif walked.means[at] >= threshold:
            return at
        else:
            at += 1
    return stop


@compiled
def _step_from(steps: Whole, step: int) -> int:
    """The step of the first boundary from there on."""
    at = np.searchsorted(steps, step)
    return int(steps[at]) if at < len(steps) else NEVER


@compiled
def _leave(
    scores: Scores,
    walked: Walk,
    entry: int,
    origin: int,
    budget: int,
    kind: int,
    threshold: float,
    least_episodes: int,
    time_steps: int,
    most_steps: int,
) -> tuple[int, int]:
    last = min(_step_from(scores.steps, budget), scores.steps[-1])
    out_of_time = _step_from(scores.steps, origin + most_steps)
    timed = _step_from(scores.steps, origin + time_steps)
    last_own = min(last, out_of_time)
    own, reason = timed if kind in (TIME, EITHER) else NEVER, BY_TIME
    if kind in (PERFORMANCE, EITHER) or (kind == BOTH and timed <= last_own):
        stop = np.searchsorted(scores.scored, min(last_own, own), side="right")
        mature = np.searchsorted(scores.counted, scores.counted[entry] + least_episodes) - 1
        first = max(entry, mature)
        if kind == BOTH:
            first = max(first, np.searchsorted(scores.scored, timed, side="right") - 1)
        at = first_at_least(scores, walked, entry, first, stop, threshold)
        if at < stop:
            own = max(scores.scored[at], timed) if kind == BOTH else scores.scored[at]
            reason = BY_PERFORMANCE
    if own <= last_own:
        return own, reason
    if out_of_time <= last:
        return out_of_time, TIMEOUT
    return NEVER, OPEN


@compiled
def leave(
    scores: Scores,
    walked: Walk,
    criteria: Criteria,
    entries: Whole,
    origins: Whole,
    budgets: Whole,
    left: Whole,
    reasons: Whole,
) -> None:
    """For each variant the step at which the stage is left, and by what.

    Args:
        scores: What was recorded.
        walked: The walk over it.
        criteria: Of each variant.
        entries: The first boundary with scores after the entry.
        origins: The step of the entry.
        budgets: The first boundary from this step on is the last.
        left: Filled in: NEVER where it is not.
        reasons: Filled in.
    """
    for variant in range(len(entries)):
        left[variant], reasons[variant] = _leave(
            scores,
            walked,
            entries[variant],
            origins[variant],
            budgets[variant],
            criteria.kinds[variant],
            criteria.thresholds[variant],
            criteria.least_episodes[variant],
            criteria.time_steps[variant],
            criteria.most_steps[variant],
        )
