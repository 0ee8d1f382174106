"""What a visit to a stage has seen, and whether a condition holds on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stagectl.curriculum.criteria import PERFORMANCE, own_condition
from stagectl.curriculum.language import (
    COUNTERS,
    Aggregate,
    And,
    Compare,
    Condition,
    Counter,
    Not,
    Number,
    Or,
    Plateau,
    Series,
    Sustained,
    Threshold,
    Value,
    walk,
)
from stagectl.curriculum.measures import Measure, measure_of
from stagectl.curriculum.smoothing import Ema
from stagectl.curriculum.stages import BelowBest, Ramp, Stage


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison of a criterion with its value now; a value or target of NaN (no data) never holds."""

    name: str
    value: float
    target: float
    operator: str = ">="
    holds: bool = False

    def of(self, name: str) -> Term:
        """The same term, said to be of that stage."""
        return replace(self, name=f"{name}: {self.name}")

    def __str__(self) -> str:
        value, target = shown(self.value), shown(self.target)
        if value == target and not self.holds:  # what blocks by a hair must not read as reached
            value = repr(self.value)
        relation = "of" if self.operator == ">=" else self.operator
        return f"{self.name} {value} {relation} {target}"


class Evidence:
    """What one visit to a stage has seen: its scores smoothed, metrics, and the measures that conditions ask for.

    Everything is fed by step boundaries, and depends on the multiset of a boundary's scores, not on their order.
    """

    def __init__(self, stage: Stage, conditions: Sequence[Condition]) -> None:
        self.stage = stage
        self.smoothed = Ema(stage.transition_smoothing, zero_start=stage.ema == "zero_start")
        self.best = -math.inf
        nodes = [node for condition in conditions for node in walk(condition)]
        self.measures: dict[Aggregate | Plateau, Measure] = {
            node: measure_of(node) for node in nodes if isinstance(node, (Aggregate, Plateau))
        }
        self.since: dict[Sustained, int | None] = {node: None for node in nodes if isinstance(node, Sustained)}
        self.metrics: dict[str, float] = {}
        self.step_marks = _marks(nodes, "steps"), _marks(nodes, "total_steps")
        self.changes_with_steps = bool(self.since) or any(_varies(node) for node in nodes)
        threshold = stage.performance_threshold
        if isinstance(threshold, BelowBest):
            self.measures.setdefault(settled(threshold), measure_of(settled(threshold)))
        self.changes_with_steps |= isinstance(threshold, Ramp)

    @property
    def mature(self) -> bool:
        """Whether there are enough episodes for the performance to decide anything."""
        return self.smoothed.count >= self.stage.min_episodes

    def add_scores(self, step: int, scores: Sequence[float]) -> None:
        """The scores of the episodes that ended within one step boundary."""
        self.smoothed.add_together(scores)
        self._feed(Series("score"), step, scores)
        if self.mature:  # before, there is no performance
            self._feed(PERFORMANCE, step, [self.smoothed.value])
            self.best = max(self.best, self.smoothed.value)

    def add_metric(self, step: int, name: str, value: float) -> None:
        self.metrics[name] = value
        self._feed(Series(name, is_metric=True), step, [value])

    def threshold(self, steps: int) -> float:
        """The threshold in force; NaN where the stage has not found it yet."""
        threshold = self.stage.performance_threshold
        if isinstance(threshold, BelowBest):
            if self.measures[settled(threshold)].value != 1.0:
                return math.nan
            return max(self.best - threshold.margin, -math.inf if threshold.at_least is None else threshold.at_least)
        value = self.stage.threshold_at(steps)
        return math.nan if value is None else value

    def _feed(self, series: Series, step: int, values: Sequence[float]) -> None:
        for node, measure in self.measures.items():
            if node.series == series:
                measure.add(step, values)

    def state_dict(self) -> dict[str, Any]:
        return {
            "smoothed": self.smoothed.state_dict(),
            "best": self.best if math.isfinite(self.best) else None,
            "measures": {str(node): measure.state_dict() for node, measure in self.measures.items()},
            "since": {str(node): step for node, step in self.since.items()},
            "metrics": dict(self.metrics),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from that state; a measure that it does not know begins afresh."""
        self.smoothed.load_state_dict(state["smoothed"])
        self.best = -math.inf if state["best"] is None else float(state["best"])
        for node, measure in self.measures.items():
            if str(node) in state["measures"]:
                measure.load_state_dict(state["measures"][str(node)])
        self.since = {node: state["since"].get(str(node)) for node in self.since}
        self.metrics = {name: float(value) for name, value in state["metrics"].items()}


def settled(threshold: BelowBest) -> Plateau:
    """When a stage that finds its threshold itself has found it."""
    return Plateau(PERFORMANCE, threshold.over, threshold.margin)


def _marks(nodes: Sequence[Condition | Value], counter: str) -> list[int]:
    """The numbers that a step counter is compared with: only there can a comparison of it change."""
    pairs = [(n.left, n.right) for n in nodes if isinstance(n, Compare)]
    both = [*pairs, *((right, left) for left, right in pairs)]
    numbers = [math.ceil(b.value) for a, b in both if a == Counter(counter) and isinstance(b, Number)]
    return [mark for number in numbers for mark in (number, number + 1)]  # for >= and for >


def _varies(node: Condition | Value) -> bool:
    """Whether a comparison changes with the steps in another way than by passing a number."""
    if not isinstance(node, Compare):
        return False
    steps = [isinstance(side, Counter) and "steps" in side.name for side in (node.left, node.right)]
    return any(steps) and not any(isinstance(side, Number) for side in (node.left, node.right))


# ── evaluation ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stage stands at a step boundary: its evidence, and what the curriculum counts."""

    evidence: Evidence
    step: int
    counters: Mapping[str, float]

    def end_boundary(self) -> None:
        """Note since when each sustained condition has held."""
        for node, since in self.evidence.since.items():
            if not self.truth(node.condition):
                self.evidence.since[node] = None
            elif since is None:
                self.evidence.since[node] = self.step

    def truth(self, condition: Condition) -> bool | None:
        """Whether a condition holds; None where it stands on nothing, which holds nowhere, nor does its `not`."""
        match condition:
            case Compare(left, operator, right):
                return _compared(self.number(left), operator, self.number(right))
            case And(conditions):
                truths = [self.truth(below) for below in conditions]
                return False if False in truths else None if None in truths else True
            case Or(conditions):
                truths = [self.truth(below) for below in conditions]
                return True if True in truths else None if None in truths else False
            case Not(below):
                truth = self.truth(below)
                return None if truth is None else not truth
            case Plateau():
                value = self.evidence.measures[condition].value
                return None if math.isnan(value) else value == 1.0
            case Sustained(below, steps):
                since = self.evidence.since[condition]
                if since is None:
                    return None if self.truth(below) is None else False
                return self.step - since >= steps

    def number(self, value: Value) -> float:
        """A value now; NaN where it is undefined."""
        match value:
            case Number(number):
                return number
            case Counter(name):
                return self.counters[name]
            case Threshold(None):
                return self.evidence.threshold(int(self.counters["steps"]))
            case Threshold(float(margin)):
                return self.evidence.best - margin if math.isfinite(self.evidence.best) else math.nan
            case Aggregate():
                return self.evidence.measures[value].value
            case Series("performance", False):
                return self.evidence.smoothed.value if self.evidence.mature else math.nan
            case Series(name):
                return self.evidence.metrics.get(name, math.nan)
        raise AssertionError(value)

    def terms(self, condition: Condition | None) -> tuple[Term, ...]:
        """Each comparison of a condition with its value now, its target, and whether it, or its `not`, holds."""
        return tuple(dict.fromkeys(self._terms(condition, False)))

    def _terms(self, condition: Condition | None, negated: bool) -> tuple[Term, ...]:
        match condition:
            case None:
                return ()
            case Compare(left, operator, right):
                value, target = self._measured(left), self._measured(right)
                term = _term(str(left), value, target, operator, _compared(value, operator, target), negated)
                early = PERFORMANCE in (left, right) and not self.evidence.mature
                return (term, self._maturity()) if early else (term,)
            case And(conditions) | Or(conditions):
                return tuple(term for below in conditions for term in self._terms(below, negated))
            case Not(below):
                return self._terms(below, not negated)
            case Plateau():
                value = self.evidence.measures[condition].value
                return (_term(str(condition), value, 1.0, ">=", self.truth(condition), negated),)
            case Sustained(below, steps):
                since = self.evidence.since[condition]
                held = 0.0 if since is None else float(self.step - since)
                own = _term("steps it has held", held, float(steps), ">=", self.truth(condition), negated)
                return (*self._terms(below, negated), own)

    def _measured(self, value: Value) -> float:
        """The performance is shown from its first episode on; that it decides nothing so early `_maturity` tells."""
        return self.evidence.smoothed.value if value == PERFORMANCE else self.number(value)

    def _maturity(self) -> Term:
        """What an early performance waits for."""
        return Term("episodes", float(self.evidence.smoothed.count), float(self.evidence.stage.min_episodes))


def _term(name: str, value: float, target: float, operator: str, truth: bool | None, negated: bool) -> Term:
    return Term(f"not {name}" if negated else name, value, target, operator, truth is (not negated))


def terms_at_entry(stage: Stage) -> tuple[Term, ...]:
    """The terms of a stage's own criterion before anything was seen in it; of a group's, member by member."""
    if stage.parallel:
        return tuple(term.of(member.name) for member in stage.parallel for term in terms_at_entry(member))
    condition = own_condition(stage)
    counters = dict.fromkeys(COUNTERS, 0.0)
    evidence = Evidence(stage, [condition] if condition is not None else [])
    return Standing(evidence, 0, counters).terms(condition)


def _compared(left: float, operator: str, right: float) -> bool | None:
    if math.isnan(left) or math.isnan(right):
        return None
    return {">=": left >= right, ">": left > right, "<=": left <= right, "<": left < right}[operator]


def shown(value: float) -> str:
    """A number as a criterion's term shows it."""
    if math.isnan(value):
        return "no data"
    if float(value).is_integer() and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.3g}"
