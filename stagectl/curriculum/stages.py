"""A curriculum's stages: what the recipe's `curriculum:` block says of each, as checked values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

END = "end"  # where an edge leads that ends the curriculum


@dataclass(frozen=True, slots=True)
class Score:
    """How a finished episode's score is made.

    `success`: 1 or 0, what the environment says in `info["is_success"]`, else whether the return is above 0.
    `return`: the return as it is, or scaled so that `low` is 0 and `high` is 1, and cut to that range.
    """

    kind: str = "success"
    low: float | None = None
    high: float | None = None

    def of(self, episode_return: float, is_success: bool | None = None) -> float:
        if math.isnan(episode_return):
            return math.nan
        if self.kind == "success":
            return float(episode_return > 0 if is_success is None else is_success)
        if self.low is None or self.high is None:
            return episode_return
        return min(max((episode_return - self.low) / (self.high - self.low), 0.0), 1.0)

    @property
    def bounded(self) -> bool:
        """Whether scores lie in [0, 1]."""
        return self.kind == "success" or self.low is not None


@dataclass(frozen=True, slots=True)
class Ramp:
    """A number that goes in a straight line from `start` to `end` over the first `over` steps in the stage."""

    start: float
    end: float
    over: int

    def at(self, steps: int) -> float:
        share = min(steps / self.over, 1.0)
        return self.end if share == 1.0 else self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class BelowBest:
    """A threshold that the stage finds itself: `margin` below its best performance, once that is a plateau.

    The performance is a plateau when it has moved by less than `margin` over the last `over` steps. The threshold is
    never below `at_least`, so that a plateau of failure ends nothing.
    """

    margin: float
    over: int
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A way out of a stage: to a stage's name or `end`, when a criterion holds; None: the stage's own."""

    to: str
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Demotion:
    """The way back: `to` a stage, when performance stays low for `patience` steps.

    Low is below the number `below`, or more than `margin` below the stage's best performance.
    """

    to: str
    patience: int
    below: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class OnEnter:
    """What happens to the learner when the stage is entered: what is `reset`, steps over which its rate warms up."""

    reset: tuple[str, ...] = ()
    warmup_steps: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Episodes played deterministically `every` so many steps; with `earlier` in the stages before it too."""

    every: int
    episodes: int
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One phase of the curriculum, or a group of stages that are active together.

    `transition_criteria` is None where the stage has no criterion of its own to leave by: the last stage, unless
    it names one, ends with the step budget. `max_steps` are steps in the stage; what then happens is `on_timeout`
    (`advance`, `stop`, `fail`, or `goto` with the stage in `goto`). A group's members stand in `parallel`; it is
    done when `done` (`all` or `any`) of them are.
    """

    name: str
    curriculum: str = ""
    weight: float = 1.0
    transition_criteria: str | None = "performance"
    advance_when: str | None = None
    performance_threshold: float | Ramp | BelowBest = 0.8
    time_threshold_steps: int = 100_000
    transition_smoothing: float = 0.1
    ema: str = "corrected"
    min_episodes: int = 10
    max_steps: int | None = None
    on_timeout: str = "fail"
    goto: str | None = None
    score: Score = Score()
    env_overrides: Mapping[str, Any] = field(default_factory=dict)
    rehearse: Mapping[str, float] = field(default_factory=dict)
    next: tuple[Edge, ...] = ()
    demote: Demotion | None = None
    max_visits: int | None = None
    parallel: tuple[Stage, ...] = ()
    done: str = "all"
    trainer: Mapping[str, Any] = field(default_factory=dict)
    on_enter: OnEnter = OnEnter()
    evaluate: Evaluation | None = None

    @property
    def members(self) -> tuple[Stage, ...]:
        """The stages whose environments are played: the group's, or this one."""
        return self.parallel or (self,)

    def threshold_at(self, steps: int) -> float | None:
        """The threshold in force after so many steps in the stage; None where the stage has yet to find it."""
        threshold = self.performance_threshold
        if isinstance(threshold, Ramp):
            return threshold.at(steps)
        return None if isinstance(threshold, BelowBest) else threshold

    def trainer_at(self, steps: int) -> dict[str, Any]:
        """The trainer's settings in force after so many steps in the stage."""
        return {name: value.at(steps) if isinstance(value, Ramp) else value for name, value in self.trainer.items()}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """The stage that `to_dict` described; keys of a later version are passed over."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        threshold = values.get("performance_threshold")
        if isinstance(threshold, Mapping):
            values["performance_threshold"] = BelowBest(**threshold) if "margin" in threshold else Ramp(**threshold)
        values["score"] = Score(**values["score"])
        values["next"] = tuple(Edge(**edge) for edge in values.get("next", ()))
        values["demote"] = Demotion(**values["demote"]) if values.get("demote") else None
        values["trainer"] = {key: _ramp_or_plain(value) for key, value in values.get("trainer", {}).items()}
        entered = values.get("on_enter", {})
        values["on_enter"] = OnEnter(tuple(entered.get("reset", ())), entered.get("warmup_steps", 0))
        values["evaluate"] = Evaluation(**values["evaluate"]) if values.get("evaluate") else None
        values["parallel"] = tuple(cls.from_dict(member) for member in values.get("parallel", ()))
        return cls(**values)


def _ramp_or_plain(value: Any) -> Any:
    return Ramp(**value) if isinstance(value, Mapping) and {"start", "end", "over"} == set(value) else value


def members_of(stages: tuple[Stage, ...]) -> Iterator[tuple[int, Stage]]:
    """Every stage that is played, with the index of the top-level stage that it belongs to."""
    for index, stage in enumerate(stages):
        for member in stage.members:
            yield index, member


def active(stage: Stage) -> tuple[Stage, ...]:
    """The stage itself, and its members where it is a group: all that see what happens while it is on."""
    return (stage, *stage.parallel)
