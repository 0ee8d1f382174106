"""Criteria that are well formed and yet make no sense: they can never hold, or hold before anything happened."""

from __future__ import annotations

from collections.abc import Iterator

from stagectl.curriculum.criteria import own_condition
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
    Series,
    Sustained,
    Value,
    parse_condition,
)
from stagectl.curriculum.stages import Stage
from stagectl.errors import Fault, Path


def warnings_of(stages: tuple[Stage, ...], total_timesteps: int | None = None) -> list[Fault]:
    """What to warn of, with its path in the `curriculum:` block.

    Args:
        stages: The curriculum's stages.
        total_timesteps: The step budget of the run, where there is one.
    """
    return [
        Fault(path, f"stage '{stage.name}': {problem}: {condition}")
        for path, stage, condition in _conditions(stages)
        if (problem := _problem(stage, condition, total_timesteps))
    ]


def _conditions(stages: tuple[Stage, ...]) -> Iterator[tuple[Path, Stage, Condition]]:
    for index, top in enumerate(stages):
        for at, stage in enumerate(top.members):
            path: Path = ("stages", index, "parallel", at) if top.parallel else ("stages", index)
            own = own_condition(stage)
            if own is not None:
                yield path, stage, own
        for at, edge in enumerate(top.next):
            if edge.when is not None:
                yield ("stages", index, "next", at), top, parse_condition(edge.when)


def _problem(stage: Stage, condition: Condition, budget: int | None) -> str:
    entry = Standing(Evidence(stage, [condition]), 0, {**dict.fromkeys(COUNTERS, 0.0), "visits": 1.0})
    if entry.truth(condition) is True:
        return "this criterion holds as soon as the stage is entered"
    limit = min((steps for steps in (stage.max_steps, budget) if steps is not None), default=None)
    return "" if _can_hold(condition, stage, limit) else "this criterion can never hold"


def _can_hold(condition: Condition, stage: Stage, limit: int | None) -> bool:
    """False where it surely cannot: scores that are shares never pass 1, steps never the limit."""
    match condition:
        case And(conditions):
            return all(_can_hold(below, stage, limit) for below in conditions)
        case Or(conditions):
            return any(_can_hold(below, stage, limit) for below in conditions)
        case Sustained(below, steps):
            return _can_hold(below, stage, limit) and (limit is None or steps <= limit)
        case Compare(left, operator, Number(number)):
            low, high = _range(left, stage, limit)
            reachable = {">=": high >= number, ">": high > number, "<=": low <= number, "<": low < number}
            return reachable[operator]
        case Compare(Number(number), operator, right):
            mirrored = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}[operator]
            return _can_hold(Compare(right, mirrored, Number(number, str(number))), stage, limit)
    return True


def _range(value: Value, stage: Stage, limit: int | None) -> tuple[float, float]:
    """The least and the greatest that a value can be."""
    infinity = float("inf")
    of_scores = isinstance(value, Aggregate) and not value.series.is_metric
    if stage.score.bounded and (of_scores or value == Series("performance")):
        return 0.0, 1.0
    if isinstance(value, Counter):
        return 0.0, infinity if limit is None or value.name != "steps" else float(limit)
    return -infinity, infinity
