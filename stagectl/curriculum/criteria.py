"""What must hold to leave a stage, term by term, and why it does not hold yet."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stagectl.curriculum.stages import Stage


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands in a stage: steps and episodes in it, its performance (NaN before any episode)."""

    steps: int
    episodes: int
    performance: float


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison `value >= target` of a criterion; a value of NaN (no data) never holds."""

    name: str
    value: float
    target: float

    @property
    def holds(self) -> bool:
        return self.value >= self.target

    def __str__(self) -> str:
        value, target = _number(self.value), _number(self.target)
        if value == target and not self.holds:  # what blocks by a hair must not read as reached
            value = repr(self.value)
        return f"{self.name} {value} of {target}"


def terms(stage: Stage, progress: Progress) -> tuple[Term, ...]:
    """The terms that must all hold to leave the stage; none where only the step budget ends it."""
    if stage.transition_criteria == "performance":
        return (
            Term("performance", progress.performance, stage.performance_threshold),
            Term("episodes", progress.episodes, stage.min_episodes),
        )
    if stage.transition_criteria == "time":
        return (Term("steps", progress.steps, stage.time_threshold_steps),)
    return ()


def holds(stage: Stage, progress: Progress) -> bool:
    """Whether the stage's criterion holds. A criterion over nothing is false."""
    needed = terms(stage, progress)
    return bool(needed) and all(term.holds for term in needed)


def _number(value: float) -> str:
    if math.isnan(value):
        return "no data"
    if float(value).is_integer() and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.3g}"
