"""What a simulation comes to, in words: an estimate, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from stagectl.view.words import NOTHING, clean, short_steps, steps

if TYPE_CHECKING:
    from stagectl.simulate import Comparison, Difference, Estimate, Simulation, StageSpan, Summary, Timeline

Kind = Literal["", "stage", "number"]
Phrase = tuple[str, Kind]
"""A piece of a sentence: a stage's name, a number that matters, or words."""

DEFAULTS = "the defaults"
NOT_REACHED = "not reached in the data"


def whole_steps(value: float) -> str:
    return steps(round(value))


def few_steps(value: float) -> str:
    return short_steps(round(value))


def money(value: float) -> str:
    """`0.0026`, `0.42`, `1,240`: in whatever currency the price was given."""
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def median(estimate: Estimate, shown: Callable[[float], str] = whole_steps) -> str:
    """The median; a dash where the data do not reach it."""
    return NOTHING if estimate.median is None else shown(estimate.median)


def interval(estimate: Estimate, shown: Callable[[float], str] = few_steps) -> str:
    """`91k to 104k`; an end that the data do not bound is open."""
    if estimate.low is None and estimate.high is None:
        return NOTHING
    low, high = (None if end is None else shown(end) for end in (estimate.low, estimate.high))
    if high is None:
        return f"{low} or more"
    return f"{high} or less" if low is None else f"{low} to {high}"


def confidence(estimate: Estimate) -> str:
    """`90 %`: how sure the interval is."""
    return f"{estimate.confidence * 100:.0f} %"


def seeds(estimate: Estimate) -> str:
    return f"{estimate.reached} of {estimate.of}"


def at_least(span: StageSpan) -> str:
    """The steps in a stage; of a censored one the least that they can be."""
    return f"≥ {steps(span.steps)}" if span.censored else steps(span.steps)


def answer(simulation: Simulation) -> list[Phrase]:
    """A simulation in a sentence: where the last stage that is left would have been left, and how sure that is."""
    if simulation.summary is None:
        return _of_one(simulation.timelines[0])
    return _of_several(simulation.summary)


def verdicts(comparison: Comparison) -> list[list[Phrase]]:
    """For each recipe but the first, how much sooner or later it leaves all that can be left; a sentence each."""
    first = recipe_name(comparison.simulations[0])
    return [_verdict(told, first) for told in comparison.differences if told.stage is None]


def _verdict(told: Difference, first: str) -> list[Phrase]:
    name = clean(told.recipe or DEFAULTS)
    if told.steps.median is None:
        return [(f"{name} cannot be held against {first}: both are through in {seeds(told.steps)} traces.", "")]
    if told.steps.median == 0:
        return [(f"{name} is through at the same step as {first}.", "")]
    sooner = told.steps.median < 0
    size = told.steps.times(-1) if sooner else told.steps
    phrases: list[Phrase] = [
        (f"{name} is through ", ""),
        (f"{median(size)} steps {'sooner' if sooner else 'later'}", "number"),
    ]
    phrases += [(f" than {first}", ""), *_sure(size)]
    if told.cost is not None and told.cost.median is not None:
        phrases.append((f", which {'saves' if sooner else 'costs'} {money(abs(told.cost.median))}", ""))
    return [*phrases, (".", "")]


def _sure(estimate: Estimate) -> list[Phrase]:
    bounded = estimate.low is not None or estimate.high is not None
    return [(f" ({confidence(estimate)}: {interval(estimate)})", "")] if bounded else []


def recipe_name(simulation: Simulation) -> str:
    return clean(simulation.recipe or DEFAULTS)


def plain(phrases: list[Phrase]) -> str:
    return "".join(text for text, _ in phrases)


def _of_one(timeline: Timeline) -> list[Phrase]:
    left = [span for span in timeline.stages if span.left is not None]
    on = next((span for span in timeline.stages if span.entered is not None and span.left is None), None)
    phrases: list[Phrase] = []
    if left:
        last = max(left, key=lambda span: (span.left or 0, span.index))
        phrases += [
            (clean(last.name), "stage"),
            (" would have been left at ", ""),
            (f"{steps(last.left or 0)} steps", "number"),
        ]
    if on is not None and not timeline.finished:
        where = "within the budget" if timeline.budget_spent else "in the data"
        phrases += [("; ", "")] if left else []
        phrases += [(clean(on.name), "stage"), (f" is not left {where}, in {at_least(on)} steps", "")]
    elif timeline.finished:
        phrases.append((", and with it every stage that can be left", ""))
    return [*phrases, (".", "")]


def _of_several(summary: Summary) -> list[Phrase]:
    left = [stage for stage in summary.stages if stage.left.reached]
    if not left:
        first = summary.stages[0]
        return [(clean(first.name), "stage"), (f" would not have been left in any of {summary.seeds} seeds.", "")]
    last = left[-1]
    phrases: list[Phrase] = [(clean(last.name), "stage"), (" would have been left ", "")]
    if last.left.median is None:
        return [*phrases, (f"in {seeds(last.left)} seeds", "number"), (", too few for a median.", "")]
    phrases += [("at ", ""), (f"{median(last.left)} steps", "number"), *_sure(last.left)]
    return [*phrases, (f", in {seeds(last.left)} seeds.", "")]
