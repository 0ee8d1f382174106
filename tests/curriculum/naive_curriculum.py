"""The stage machine a second time, as plainly as it can be said: everything recomputed from the whole history.

Shares no code and no arithmetic with the package: means are sums over written-out weights, not recurrences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

DEFAULTS = {
    "transition_criteria": "performance",
    "performance_threshold": 0.8,
    "time_threshold_steps": 100_000,
    "transition_smoothing": 0.1,
    "ema": "corrected",
    "max_steps": None,
    "on_timeout": "fail",
}


def weighted_mean(scores: list[float], smoothing: float, *, zero_start: bool = False) -> float:
    """The newest score weighs `a`, the one before `a·(1−a)`, …; what is left weighs 0, or is not there."""
    weights = [smoothing * (1 - smoothing) ** age for age in reversed(range(len(scores)))]
    total = math.fsum(weight * score for weight, score in zip(weights, scores, strict=True))
    return total if zero_start else total / math.fsum(weights)


@dataclass
class Naive:
    config: dict[str, Any]
    between_steps: bool
    steps: int = 0
    current: int = 0
    entered: int = 0
    over: bool = False
    scores: list[list[float]] = field(default_factory=list)
    nearest_call: float = math.inf  # how near a performance ever came to its threshold

    def __post_init__(self) -> None:
        self.stages = []
        for index, own in enumerate(self.config["stages"]):
            stage = {**DEFAULTS, **{k: v for k, v in self.config.items() if k != "stages"}, **own}
            stage.setdefault("min_episodes", max(1, round(1 / stage["transition_smoothing"])))
            named = any(k in own for k in ("transition_criteria", "performance_threshold", "time_threshold_steps"))
            if index == len(self.config["stages"]) - 1 and not named:
                stage["transition_criteria"] = None
            self.stages.append(stage)
        self.scores = [[] for _ in self.stages]

    def complete(self, stage: int, score: float) -> tuple[Any, ...] | None:
        self.scores[stage].append(score)
        return None if self.between_steps else self.decide()

    def tell_steps(self, steps: int) -> tuple[Any, ...] | None:
        self.steps = steps
        return self.decide()

    def performance(self, index: int) -> float | None:
        stage, scores = self.stages[index], self.scores[index]
        if not scores:
            return None
        return weighted_mean(scores, stage["transition_smoothing"], zero_start=stage["ema"] == "zero_start")

    def decide(self) -> tuple[Any, ...] | None:
        """`(from, to, step, reason)`, `(outcome, stage, step, reason)`, or nothing."""
        if self.over:
            return None
        stage = self.stages[self.current]
        in_stage = self.steps - self.entered
        if stage["transition_criteria"] == "time" and in_stage >= stage["time_threshold_steps"]:
            return self.leave("time", "completed")
        if stage["transition_criteria"] == "performance" and len(self.scores[self.current]) >= stage["min_episodes"]:
            performance = self.performance(self.current)
            assert performance is not None
            self.nearest_call = min(self.nearest_call, abs(performance - stage["performance_threshold"]))
            if performance >= stage["performance_threshold"]:
                return self.leave("performance", "completed")
        if stage["max_steps"] is not None and in_stage >= stage["max_steps"]:
            if stage["on_timeout"] == "advance":
                return self.leave("timeout", "completed")
            return self.finish({"stop": "stopped", "fail": "failed"}[stage["on_timeout"]], "timeout")
        return None

    def leave(self, reason: str, outcome: str) -> tuple[Any, ...]:
        if self.current == len(self.stages) - 1:
            return self.finish(outcome, reason)
        self.current += 1
        self.entered = self.steps
        return (self.current - 1, self.current, self.steps, reason)

    def finish(self, outcome: str, reason: str) -> tuple[Any, ...]:
        self.over = True
        return (outcome, self.current, self.steps, reason)
