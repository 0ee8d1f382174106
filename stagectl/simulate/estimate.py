"""A number estimated from several seeds, of which some may not have been recorded far enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import NamedTuple

CONFIDENCE = 0.9


class Observation(NamedTuple):
    """What one seed tells: the value; or where it was not `seen`, that it is greater than that."""

    value: float
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over seeds with its interval, in the unit of what was observed: steps, or money.

    Attributes:
        median: None where the data do not reach it: no more than half of the seeds were seen to get there.
        low, high: The interval that holds the median of all seeds that there could be; None: the data do not bound it.
        reached: How many of the seeds were seen to get there.
        of: How many seeds there are.
        confidence: How sure the interval is: 0.9; less with fewer than five seeds, whose whole range it then is.
    """

    median: float | None
    low: float | None
    high: float | None
    reached: int
    of: int
    confidence: float

    def times(self, factor: float) -> Estimate:
        """The same in another unit; a negative factor turns it around."""
        median, low, high = (None if v is None else v * factor for v in (self.median, self.low, self.high))
        return Estimate(median, *((high, low) if factor < 0 else (low, high)), self.reached, self.of, self.confidence)


def estimate(observations: Sequence[Observation], confidence: float = CONFIDENCE) -> Estimate:
    """The median of what was observed, and an interval for it, censored or not.

    The median is Kaplan and Meier's (JASA 53, 1958): the first value at which fewer than half of the seeds are left;
    the middle of two values where exactly half are left between them.

    The interval turns the beta product procedure around (Fay, Brittain, Proschan: Biostatistics 14, 2013): at each
    value seen, with Y seeds at risk, the share that is left falls by a factor distributed as Beta(Y, 1). Without
    censoring that is the exact binomial interval between order statistics. Between two of them it is interpolated
    (Hettmansperger, Sheather: Statistics & Probability Letters 4, 1986), so that it covers what it says and not
    more. A percentile bootstrap of the median covers 79 to 88 % with 4 to 20 seeds, where 90 % are asked for.
    """
    ordered = sorted(observations, key=lambda o: (o.value, not o.seen))
    values = [o.value for o in ordered if o.seen]
    at_risk = [len(ordered) - index for index, o in enumerate(ordered) if o.seen]
    if not values:
        return Estimate(None, None, None, 0, len(ordered), confidence)
    chances = _chances_below(at_risk)
    tail = (1 - confidence) / 2
    low, low_chance = _quantile(values, chances, at_risk, tail, len(ordered)), tail
    high, high_chance = _quantile(values, chances, at_risk, 1 - tail, len(ordered)), 1 - tail
    if chances[0] > tail:
        low, low_chance = values[0], chances[0]
    if chances[-1] < 1 - tail and ordered[-1].seen:
        high, high_chance = values[-1], chances[-1]
    held = min(confidence, round((1.0 if high is None else high_chance) - low_chance, 4))
    return Estimate(_median(values, at_risk), low, high, len(values), len(ordered), held)


def _median(values: Sequence[float], at_risk: Sequence[int]) -> float | None:
    left = Fraction(1)
    for index, (value, risk) in enumerate(zip(values, at_risk, strict=True)):
        left *= Fraction(risk - 1, risk)
        if left < Fraction(1, 2):
            return value
        if left == Fraction(1, 2):
            return (value + values[index + 1]) / 2 if index + 1 < len(values) else None
    return None


def _chances_below(at_risk: Sequence[int]) -> list[float]:
    """For each value seen, how sure it is that the median is not above it.

    The logarithm of a Beta(Y, 1) factor is exponential with rate Y: the chance that the product of the first j has
    fallen to one half is that of a sum of exponentials with distinct rates, in closed form (a hypoexponential).
    """
    chances: list[float] = []
    weights: dict[int, Fraction] = {}
    for risk in at_risk:
        weights = {rate: weight * Fraction(risk, risk - rate) for rate, weight in weights.items()}
        weights[risk] = prod((Fraction(rate, rate - risk) for rate in weights), start=Fraction(1))
        chances.append(float(sum(weight / 2**rate for rate, weight in weights.items())))
    return chances


def _quantile(
    values: Sequence[float], chances: Sequence[float], at_risk: Sequence[int], wanted: float, of: int
) -> float | None:
    """Where the chance that the median is below is what is wanted; None where it is so beyond what was seen."""
    for j in range(len(values) - 1):
        if chances[j] <= wanted <= chances[j + 1]:
            inside = (wanted - chances[j]) / (chances[j + 1] - chances[j])
            if wanted < 0.5:
                share = _interpolated(inside, of - at_risk[j] + 1, of)
            else:
                share = 1 - _interpolated(1 - inside, at_risk[j + 1], of)
            return values[j] + share * (values[j + 1] - values[j])
    return None


def _interpolated(inside: float, depth: int, of: int) -> float:
    """Hettmansperger and Sheather's share of the way inward, from the value that is `depth` values from the end."""
    return (of - depth) * inside / (depth + (of - 2 * depth) * inside)
