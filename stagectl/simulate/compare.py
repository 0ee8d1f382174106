"""Recipes side by side on the same traces: what one saves over the other, in steps and in money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stagectl.curriculum.fields import parse_number
from stagectl.errors import UsageError
from stagectl.simulate.estimate import Estimate, Observation, estimate
from stagectl.simulate.summary import Simulation, left_at
from stagectl.simulate.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Price:
    """What a training machine costs, in whatever currency, and how fast it trains."""

    per_hour: float
    steps_per_second: float

    def __post_init__(self) -> None:
        if not (self.per_hour > 0 and self.steps_per_second > 0):
            raise UsageError("a price and the steps in a second are above 0")

    def of(self, steps: float) -> float:
        """What so many steps cost."""
        return steps / self.steps_per_second / 3600 * self.per_hour


def read_price(price: str | None, steps_per_second: str | None) -> Price | None:
    """A price as the command line writes it: `2.5/hour` and `40k`; None where neither is given.

    Raises:
        UsageError: One is without the other, or is no number.
    """
    if price is None and steps_per_second is None:
        return None
    if price is None or steps_per_second is None:
        raise UsageError("a cost needs both", hint="as in --price 2.5/hour --steps-per-second 40k")
    amount, slash, unit = price.partition("/")
    if slash and unit.strip() not in ("h", "hour"):
        raise UsageError(f"--price {price}: a price is by the hour", hint="as in --price 2.5/hour")
    try:
        return Price(parse_number(amount), parse_number(steps_per_second))
    except ValueError as error:
        raise UsageError(f"--price {price} --steps-per-second {steps_per_second}: {error}") from None


@dataclass(frozen=True, slots=True)
class Difference:
    """How much later (above zero) or earlier than the first recipe another one leaves a stage of the same name.

    Paired by trace: the median of the differences. `stage` None: leaves all stages that can be left. `cost` is the
    same in money, where a price was given.
    """

    recipe: str | None
    stage: str | None
    steps: Estimate
    cost: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several recipes on the same traces; each difference is from the first of them."""

    simulations: tuple[Simulation, ...]
    differences: tuple[Difference, ...]
    price: Price | None = None


def comparison_of(simulations: Sequence[Simulation], price: Price | None = None) -> Comparison:
    """Every recipe against the first, trace by trace."""
    first, *others = simulations
    differences = [
        Difference(other.recipe, stage, steps, steps.times(price.of(1)) if price else None)
        for other in others
        for stage in (*_shared_stages(first, other), None)
        for steps in [_difference(first, other, stage)]
    ]
    return Comparison(tuple(simulations), tuple(differences), price)


def _shared_stages(first: Simulation, other: Simulation) -> list[str]:
    """Names of stages that both have and either was seen to leave."""
    left = {span.name for s in (first, other) for timeline in s.timelines for span in timeline.stages if span.left}
    names = {span.name for span in other.timelines[0].stages}
    return [span.name for span in first.timelines[0].stages if span.name in names & left]


def _difference(first: Simulation, other: Simulation, stage: str | None) -> Estimate:
    """The median of the differences. Where one side alone was not seen to get there, its difference is censored."""
    pairs = [
        (_done_at(before, stage), _done_at(after, stage))
        for before, after in zip(first.timelines, other.timelines, strict=True)
    ]
    if all(a.seen for a, _ in pairs):  # greater than that, where b was not seen
        return estimate([Observation(b.value - a.value, b.seen) for a, b in pairs])
    if all(b.seen for _, b in pairs):
        return estimate([Observation(a.value - b.value, a.seen) for a, b in pairs]).times(-1)
    reached = sum(a.seen and b.seen for a, b in pairs)
    return Estimate(None, None, None, reached, len(pairs), 0.0)


def _done_at(timeline: Timeline, stage: str | None) -> Observation:
    if stage is not None:
        return left_at(timeline, next(span.index for span in timeline.stages if span.name == stage))
    lefts = [left_at(timeline, span.index) for span in timeline.stages]
    if timeline.finished:
        return Observation(max((left.value for left in lefts if left.seen), default=0.0))
    return Observation(max(left.value for left in lefts), seen=False)
