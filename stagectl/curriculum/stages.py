"""A curriculum's stages: what the recipe's `curriculum:` block says of each, read and checked."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from stagectl.curriculum.fields import (
    number,
    one_of,
    optional,
    parse_number,
    plain_mapping,
    read_fields,
    sequence,
    text,
    whole,
)
from stagectl.errors import CurriculumError, Fault, nearest

CRITERIA = ("performance", "time")


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
class Stage:
    """One phase of the curriculum.

    `transition_criteria` is None where the stage has no criterion of its own to leave by: the last stage, unless
    it names one, ends with the step budget. `max_steps` are steps in the stage; what then happens is `on_timeout`.
    """

    name: str
    curriculum: str
    weight: float = 1.0
    transition_criteria: str | None = "performance"
    performance_threshold: float = 0.8
    time_threshold_steps: int = 100_000
    transition_smoothing: float = 0.1
    ema: str = "corrected"
    min_episodes: int = 10
    max_steps: int | None = None
    on_timeout: str = "fail"
    score: Score = Score()
    env_overrides: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """The stage that `to_dict` described; keys of a later version are passed over."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        return cls(**{**values, "score": Score(**values["score"])})


def read_stages(config: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages of a `curriculum:` block; what stands in a stage overrides the curriculum's value for it.

    Raises CurriculumError with every fault and its path in the block.
    """
    faults: list[Fault] = []
    shared = read_fields(CURRICULUM_FIELDS, config, (), faults)
    entries = shared.pop("stages", [])
    if not entries and not any(fault.path[:1] == ("stages",) for fault in faults):
        faults.append(Fault(("stages",), "a curriculum needs at least one stage"))
    shared_env = shared.pop("env_overrides", {})
    stages = []
    for index, entry in enumerate(entries):
        last = index == len(entries) - 1
        stage = _read_stage(entry, index, shared, shared_env, faults, last=last)
        if stage is not None:
            stages.append(stage)
    _check_names(stages, faults)
    if faults:
        raise CurriculumError(*faults)
    return tuple(stages)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid deeply over `base`; neither is changed, nor shared with the result."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _read_score(value: Any) -> Score:
    if isinstance(value, Mapping):
        if list(value) != ["return"]:
            raise ValueError("expected success, return, or {return: [low, high]}")
        bounds = sequence(value["return"])
        if len(bounds) != 2:
            raise ValueError("expected two returns, the one that scores 0 and the one that scores 1")
        low, high = map(parse_number, bounds)
        if not low < high:
            raise ValueError(f"the return that scores 0 ({low:g}) must be below the one that scores 1 ({high:g})")
        return Score("return", low, high)
    return Score(one_of("success", "return")(value))


_SHARED_FIELDS = {
    "transition_criteria": one_of(*CRITERIA),
    "performance_threshold": number(),
    "time_threshold_steps": whole(1),
    "transition_smoothing": number(high=1, above=0),
    "ema": one_of("corrected", "zero_start"),
    "min_episodes": whole(1),
    "max_steps": optional(whole(1)),
    "on_timeout": one_of("advance", "stop", "fail"),
    "score": _read_score,
    "env_overrides": plain_mapping,
}
CURRICULUM_FIELDS = {"stages": sequence, **_SHARED_FIELDS}
STAGE_FIELDS = {"name": text, "curriculum": text, "weight": number(0), **_SHARED_FIELDS}


def _read_stage(
    entry: Any, index: int, shared: dict[str, Any], shared_env: dict[str, Any], faults: list[Fault], *, last: bool
) -> Stage | None:
    path = ("stages", index)
    if isinstance(entry, str):
        entry = {"curriculum": entry}
    if not isinstance(entry, Mapping):
        faults.append(Fault(path, "expected a stage: an environment's name, or a mapping with `curriculum:`"))
        return None
    own = read_fields(STAGE_FIELDS, entry, path, faults)
    if "curriculum" not in own:
        if "curriculum" not in entry:
            faults.append(Fault(path, "a stage needs `curriculum:`, the environment that it trains in"))
        return None
    values = {**shared, **own, "env_overrides": merge(shared_env, own.get("env_overrides", {}))}
    values.setdefault("name", own["curriculum"].rstrip("/").rpartition("/")[2])
    values.setdefault("min_episodes", max(1, round(1 / values.get("transition_smoothing", 0.1))))
    if last and not {"transition_criteria", "performance_threshold", "time_threshold_steps"} & set(own):
        values["transition_criteria"] = None
    if not values["name"]:
        faults.append(Fault(path, f"{own['curriculum']!r} gives no name; give the stage a `name:`"))
        return None
    stage = Stage(**values)
    _check_stage(stage, own, path, faults)
    return stage


def _check_stage(stage: Stage, own: Mapping[str, Any], path: tuple[str | int, ...], faults: list[Fault]) -> None:
    where = (*path, "performance_threshold") if "performance_threshold" in own else ("performance_threshold",)
    threshold = stage.performance_threshold
    if stage.transition_criteria == "performance" and stage.score.bounded and not 0 < threshold <= 1:
        reason = f"{threshold:g} is outside the score's range (0, 1]"
        fault = Fault(where, f"{reason}; `score: return` makes the plain return the score")
        if fault not in faults:
            faults.append(fault)
    if stage.transition_criteria == "performance" and "time_threshold_steps" in own:
        message = f"stage '{stage.name}' leaves by performance, so this has no effect; add `transition_criteria: time`"
        faults.append(Fault((*path, "time_threshold_steps"), message))
    if stage.transition_criteria == "time" and "performance_threshold" in own:
        message = f"stage '{stage.name}' leaves by time, so this has no effect; add `transition_criteria: performance`"
        faults.append(Fault((*path, "performance_threshold"), message))


def _check_names(stages: list[Stage], faults: list[Fault]) -> None:
    seen: dict[str, int] = {}
    for index, stage in enumerate(stages):
        if stage.name in seen:
            message = f"'{stage.name}' names stage {seen[stage.name]} too; give each stage a `name:` of its own"
            faults.append(Fault(("stages", index), message))
        seen.setdefault(stage.name, index)


def stage_index(stages: tuple[Stage, ...], name: str) -> int:
    """The index of the stage of that name; CurriculumError names the nearest where there is none."""
    names = [stage.name for stage in stages]
    if name not in names:
        raise CurriculumError(Fault((), f"no stage is named '{name}'; {nearest(name, names)}"))
    return names.index(name)
