"""Criteria that are well formed and yet make no sense: they can never hold, or hold before anything happened."""

from __future__ import annotations

import math
from typing import NamedTuple

from stagectl.curriculum.criteria import criteria_of
from stagectl.curriculum.evidence import Evidence, Standing
from stagectl.curriculum.language import (
    COUNTERS,
    Aggregate,
    And,
    Compare,
    Condition,
    Counter,
    Number,
    Or,
    Plateau,
    Series,
    Sustained,
    Value,
)
from stagectl.curriculum.stages import Stage
from stagectl.errors import Fault


def warnings_of(stages: tuple[Stage, ...], total_timesteps: int | None = None) -> list[Fault]:
    """What to warn of, with its path in the `curriculum:` block.

    Args:
        stages: The curriculum's stages.
        total_timesteps: The step budget of the run, where there is one.
    """
    found = []
    for index, top in enumerate(stages):
        if top.weight != 1:
            message = f"stage '{top.name}': a weight shares the episodes of a group among its members, and this is none"
            found.append(Fault(("stages", index, "weight"), f"{message}; it has no effect"))
        limits = _Limits(top.max_steps, total_timesteps)
        for path, stage, condition in criteria_of(top):
            if problem := _problem(stage, condition, limits):
                found.append(Fault(("stages", index, *path), f"stage '{stage.name}': {problem}: {condition}"))
    return found


class _Limits(NamedTuple):
    """The greatest step counts that there may be, where they have a limit: in a visit to the stage, in all."""

    max_steps: int | None
    total: int | None

    @property
    def steps(self) -> float:
        return min(steps for steps in (self.max_steps, self.total, math.inf) if steps is not None)


def _problem(stage: Stage, condition: Condition, limits: _Limits) -> str:
    entry = Standing(Evidence(stage, [condition]), 0, {**dict.fromkeys(COUNTERS, 0.0), "visits": 1.0})
    if entry.truth(condition) is True:
        return "this criterion holds as soon as the stage is entered"
    if _can_hold(condition, stage, limits):
        return ""
    return "this criterion can never hold" + _budget_is_why(condition, stage, limits)


def _budget_is_why(condition: Condition, stage: Stage, limits: _Limits) -> str:
    """The steps that would have to be more, where that would help."""
    if limits.total is not None and _can_hold(condition, stage, limits._replace(total=None)):
        return f" in a run of {limits.total:,} steps (`total_timesteps`)"
    if limits.max_steps is not None and _can_hold(condition, stage, limits._replace(max_steps=None)):
        return f" within {limits.max_steps:,} steps (`max_steps`)"
    return ""


def _can_hold(condition: Condition, stage: Stage, limits: _Limits) -> bool:
    """False where it surely cannot: scores that are shares never pass 1, steps never their limits."""
    match condition:
        case And(conditions):
            return all(_can_hold(below, stage, limits) for below in conditions)
        case Or(conditions):
            return any(_can_hold(below, stage, limits) for below in conditions)
        case Sustained(below, steps):
            return _can_hold(below, stage, limits) and steps <= limits.steps
        case Plateau(_, over):
            return over <= limits.steps
        case Compare(left, operator, Number(number)):
            low, high = _range(left, stage, limits)
            reachable = {">=": high >= number, ">": high > number, "<=": low <= number, "<": low < number}
            return reachable[operator]
        case Compare(Number(number), operator, right):
            mirrored = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}[operator]
            return _can_hold(Compare(right, mirrored, Number(number, str(number))), stage, limits)
    return True


def _range(value: Value, stage: Stage, limits: _Limits) -> tuple[float, float]:
    """The least and the greatest that a value can be."""
    of_scores = isinstance(value, Aggregate) and not value.series.is_metric
    if stage.score.bounded and (of_scores or value == Series("performance")):
        return 0.0, 1.0
    if isinstance(value, Counter):
        most = {"steps": limits.steps, "total_steps": limits._replace(max_steps=None).steps}
        return 0.0, most.get(value.name, math.inf)
    return -math.inf, math.inf
