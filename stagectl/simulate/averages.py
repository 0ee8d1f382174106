"""All values that a moving average takes on over millions of scores, to the bit as `Ema` gives them, in numpy.

The average is a chain: each value needs the one before it. Here many stretches of the chain, the lanes, are walked at
the same time, each from a guess of the value at which it begins. Rounded arithmetic forgets: two walks over the same
scores come together after some `10 / smoothing` of them, and where they have once had the same value they have it for
ever. So each lane is walked again from where the lane before it ended, until it meets the walk from the guess; where it
does not, to its end. What comes out is one unbroken walk from the first score to the last, whatever was guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from stagectl.curriculum.smoothing import Ema, share_of
from stagectl.traces.trace import Floats, Whole

LANES = 32, 2048  # fewer at a time are not worth the calls, more do not fit the cache
LENGTH, MEETING = 500, 48  # values in a lane at least, and 48 / smoothing, so that its walks come together within it
IN_TURN = 1 << 16  # values that are walked one by one, at most

Places = NDArray[np.intp]


class Averages:
    """The average after each of some values, and the weight that it had (`Ema`).

    `lanes` is (lanes, values in a lane), a lane after the other; `weights` has one weight for each value, or for all.
    """

    def __init__(self, lanes: Floats, weights: Sequence[float]) -> None:
        self._lanes = lanes
        self._weights = weights

    def __len__(self) -> int:
        return int(self._lanes.size)

    def at(self, places: Places) -> Floats:
        found: Floats = self._lanes[np.divmod(places, self._lanes.shape[1])]
        return found

    def state(self, length: int) -> tuple[float, float]:
        """Average and weight after so many values, at least one."""
        mean = float(self.at(np.array([length - 1]))[0])
        return mean, self._weights[length - 1 if len(self._weights) > 1 else 0]

    def first_at_least(self, threshold: float) -> int | None:
        """The place of the first average that is at least that."""
        tops: Floats = self._lanes.max(axis=1)
        if float(tops.max()) < threshold:
            return None
        lane = int(np.argmax(tops >= threshold))
        place: int = lane * self._lanes.shape[1] + int(np.argmax(self._lanes[lane] >= threshold))
        return place

    def best(self, number: int) -> tuple[float, int]:
        """The greatest of the first `number`, at least one, and the last place of it."""
        full, rest = divmod(number, self._lanes.shape[1])
        parts = [(0, self._lanes[:full])] if full else []
        parts += [(full, self._lanes[full : full + 1, :rest])] if rest else []
        best, place = -math.inf, 0
        for first, lanes in parts:
            tops = lanes.max(axis=1)[::-1]
            lane = len(tops) - 1 - int(tops.argmax())
            if tops.max() >= best:
                best = float(tops.max())
                at = lanes.shape[1] - 1 - int(lanes[lane, ::-1].argmax())
                place = (first + lane) * self._lanes.shape[1] + at
        return best, place


def averages(ema: Ema, values: Floats, counts: Whole | None = None) -> Averages:
    """The averages after each value, or where `counts` are given, after each mean of so many values of one age.

    The Ema, which is no `zero_start`, stays as it is. There may be fewer averages than values, at least one: ask again
    for the rest, with an Ema that has come that far.
    """
    state = ema.state_dict()
    mean, weight = state["mean"], state["weight"]
    sizes = np.array([1]) if counts is None else np.unique(counts)
    shares = {size: share_of(size, ema.smoothing) for size in sizes.tolist()}
    if any(keep * weight + share != weight for share, keep in shares.values()):
        return _beginning(mean, weight, shares, values[:IN_TURN], None if counts is None else counts[:IN_TURN])
    length = (
        max(LENGTH, math.ceil(MEETING / ema.smoothing), len(values) // LANES[1]) | 1
    )  # odd: the cache likes no 2ⁿ apart
    lanes = len(values) // length
    used = lanes * length if lanes >= LANES[0] else min(len(values), IN_TURN)
    factors = np.array([share / weight for share, _ in shares.values()])
    if counts is not None:
        factors = factors[np.searchsorted(sizes, counts[:used])]
    if lanes < LANES[0]:
        each = repeat(float(factors[0]), used) if counts is None else factors.tolist()
        return Averages(np.array([_walk(mean, each, values[:used].tolist())]), [weight])
    shape = (lanes, length)
    factors = factors.reshape((1, 1) if counts is None else shape)
    return Averages(_in_lanes(mean, values[:used].reshape(shape), factors), [weight])


def _beginning(
    mean: float, weight: float, shares: Mapping[int, tuple[float, float]], values: Floats, counts: Whole | None
) -> Averages:
    """The first averages, until the weight has come to where it stays."""
    means, weights = [], []
    for value, size in zip(values.tolist(), repeat(1) if counts is None else counts.tolist(), strict=False):
        share, keep = shares[size]
        before, weight = weight, keep * weight + share
        mean += share / weight * (value - mean)
        means.append(mean)
        weights.append(weight)
        if weight == before and all(keep * weight + share == weight for share, keep in shares.values()):
            break
    return Averages(np.array([means]), weights)


def _walk(mean: float, factors: Iterable[float], values: Iterable[float]) -> list[float]:
    return [mean := mean + factor * (value - mean) for factor, value in zip(factors, values, strict=True)]


def _in_lanes(first: float, values: Floats, factors: Floats) -> Floats:
    """The averages, (lanes, length) as the values; `factors` are (lanes, length) too, or (1, 1)."""
    lanes, length = values.shape
    guesses = _guesses(first, values, factors)
    walked = np.empty((length, lanes))
    mean, move = guesses, np.empty(lanes)
    for scores, factor, out in zip(
        values.T, np.broadcast_to(factors.T, (length, factors.shape[0])), walked, strict=True
    ):
        np.subtract(scores, mean, out=move)
        np.multiply(move, factor, out=move)
        mean = np.add(mean, move, out=out)
    begun = _meet(first, guesses, walked, values, factors)
    ends = walked[-1].tolist()
    for lane in range(1, lanes):
        if begun[lane] != ends[lane - 1]:
            own = factors[min(lane, len(factors) - 1)]
            _walk_again(ends[lane - 1], walked[:, lane], values[lane], own)
            ends[lane] = walked[-1, lane]
    return walked.T


def _guesses(first: float, values: Floats, factors: Floats) -> Floats:
    """Where each lane begins, but for rounding: what is left of the beginning, and what each value adds."""
    factors = np.broadcast_to(factors, (len(factors), values.shape[1]))
    kept = np.cumprod(1.0 - factors[:, ::-1], axis=1)[:, ::-1]
    weights = np.empty_like(kept)
    weights[:, :-1] = factors[:, :-1] * kept[:, 1:]
    weights[:, -1] = factors[:, -1]
    ends = np.einsum("ij,ij->i", values, np.broadcast_to(weights, values.shape))
    begun = [first]
    for left, end in zip(np.broadcast_to(kept[:, 0], ends.shape)[:-1].tolist(), ends[:-1].tolist(), strict=True):
        begun.append(left * begun[-1] + end)
    return np.array(begun)


def _meet(first: float, guesses: Floats, walked: Floats, values: Floats, factors: Floats) -> list[float]:
    """Walk the lanes again from where those before them ended, until they meet the walks from the guesses.

    Those that meet are put right. Where each lane now begins.
    """
    begun = guesses.copy()
    wanted = np.concatenate([[first], walked[-1, :-1]])
    astray = np.flatnonzero(wanted != begun)
    most = len(walked) // 3
    again = np.empty((most, len(astray)))
    met = np.full(len(astray), -1)
    mean, live = wanted[astray], np.arange(len(astray))
    for row in range(most if len(astray) else 0):
        lanes = astray[live]
        factor = factors[lanes, row] if len(factors) > 1 else factors[0]
        mean = mean + factor * (values[lanes, row] - mean)
        again[row, live] = mean
        same = mean == walked[row, lanes]
        if same.any():
            met[live[same]] = row
            mean, live = mean[~same], live[~same]
            if not len(live):
                break
    rows = met.max(initial=-1) + 1
    walked[:rows, astray] = np.where(np.arange(rows)[:, np.newaxis] <= met, again[:rows], walked[:rows, astray])
    right = astray[met >= 0]
    begun[right] = wanted[right]
    found: list[float] = begun.tolist()
    return found


def _walk_again(mean: float, walked: Floats, values: Floats, factors: Floats) -> None:
    """Walk one lane from there, until it meets the walk that was."""
    if len(factors) == 1 and values.min() == values.max():
        _stand(mean, walked, float(values[0]), float(factors[0]))
        return
    each = repeat(float(factors[0])) if len(factors) == 1 else factors.tolist()
    for row, (value, factor, old) in enumerate(zip(values.tolist(), each, walked.tolist(), strict=False)):
        mean += factor * (value - mean)
        if mean == old:
            return
        walked[row] = mean


def _stand(mean: float, walked: Floats, value: float, factor: float) -> None:
    """Walk one lane of equal values, until nothing changes any more."""
    for row in range(len(walked)):
        before, mean = mean, mean + factor * (value - mean)
        if mean == before:
            walked[row:] = mean
            return
        walked[row] = mean
