"""The criteria of a stage, as conditions: what must hold to leave it, and what sends it back."""

from __future__ import annotations

from collections.abc import Iterator

from stagectl.curriculum.language import (
    And,
    Compare,
    Condition,
    Counter,
    Number,
    Or,
    Series,
    Sustained,
    Threshold,
    Value,
)
from stagectl.curriculum.parser import parse_condition
from stagectl.curriculum.stages import BelowBest, Ramp, Stage
from stagectl.errors import Path

PERFORMANCE = Series("performance")


def own_condition(stage: Stage) -> Condition | None:
    """The stage's own criterion; None where only the step budget ends it, and for a group."""
    if stage.advance_when is not None:
        return parse_condition(stage.advance_when)
    performance = And(
        (
            Compare(PERFORMANCE, ">=", Threshold()),
            Compare(Counter("episodes"), ">=", _whole(stage.min_episodes)),
        )
    )
    steps = Compare(Counter("steps"), ">=", _whole(stage.time_threshold_steps))
    forms: dict[str | None, Condition | None] = {
        "performance": performance,
        "time": steps,
        "both": And((*performance.conditions, steps)),
        "either": Or((performance, steps)),
    }
    return forms.get(stage.transition_criteria)


def demotion_condition(stage: Stage) -> Condition | None:
    """Low performance, for as long as the demotion is patient."""
    if stage.demote is None:
        return None
    low = stage.demote.below
    target: Value = Threshold(best_minus=stage.demote.margin) if low is None else Number(low, f"{low:g}")
    return Sustained(Compare(PERFORMANCE, "<", target), stage.demote.patience)


def criteria_of(top: Stage) -> Iterator[tuple[Path, Stage, Condition]]:
    """Every criterion of a stage or a group: its path in what the stage says, whose it is, and what must hold.

    A demotion's is not among them.
    """
    for at, stage in enumerate(top.members):
        own = own_condition(stage)
        if own is not None:
            yield (("parallel", at) if top.parallel else ()), stage, own
    for at, edge in enumerate(top.next):
        if edge.when is not None:
            yield ("next", at), top, parse_condition(edge.when)


def _whole(number: int) -> Number:
    return Number(number, str(number))


def describe(stage: Stage) -> str:
    """The stage's own criterion in words."""
    if stage.parallel and stage.transition_criteria is not None:
        return f"{stage.done} of {', '.join(member.name for member in stage.parallel)} done"
    condition = own_condition(stage)
    if condition is None:
        return "until the step budget is spent"
    if stage.advance_when is not None:
        return str(condition)
    threshold = stage.performance_threshold
    if isinstance(threshold, Ramp):
        words = f"{threshold.start:g} to {threshold.end:g} over {threshold.over:,} steps"
    elif isinstance(threshold, BelowBest):
        least = "" if threshold.at_least is None else f", at least {threshold.at_least:g}"
        words = f"its best plateau - {threshold.margin:g}{least}"
    else:
        words = f"{threshold:g}"
    return str(condition).replace("threshold", words)
