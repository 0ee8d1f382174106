"""Reading a `curriculum:` block into stages, with every fault and its path reported together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import stagectl.curriculum.values as read
from stagectl.curriculum.checks import GROUP_ALONE, check_group, check_stage, check_together
from stagectl.curriculum.fields import number, one_of, optional, plain_mapping, read_fields, sequence, text, whole
from stagectl.curriculum.graph import check_graph
from stagectl.curriculum.stages import Stage
from stagectl.errors import CurriculumError, Fault, Path

SAYS_WHEN = {
    *("transition_criteria", "performance_threshold", "time_threshold_steps", "advance_when"),
    *("next", "done"),
}  # a last stage that says none of these ends with the step budget


def read_stages(config: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages of a `curriculum:` block; what stands in a stage overrides the curriculum's value for it.

    Raises CurriculumError with every fault and its path in the block.
    """
    faults: list[Fault] = []
    shared = read_fields(CURRICULUM_FIELDS, config, (), faults)
    start = shared.pop("start", None)
    entries = shared.pop("stages", [])
    if not entries and not any(fault.path[:1] == ("stages",) for fault in faults):
        faults.append(Fault(("stages",), "a curriculum needs at least one stage"))
    found = [
        _read_entry(entry, ("stages", index), shared, faults, last=index == len(entries) - 1)
        for index, entry in enumerate(entries)
    ]
    stages = tuple(stage for stage in found if stage is not None)
    if len(stages) == len(entries):
        faults += check_together(stages, shared)
        faults += check_graph(stages, start)
    if faults:
        raise CurriculumError(*dict.fromkeys(faults))  # what is wrong in the curriculum is so in every stage
    return stages


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


# ── one stage, or one group of them ─────────────────────────────────────────────────────────────────────────────


def _read_entry(entry: Any, path: Path, shared: dict[str, Any], faults: list[Fault], *, last: bool) -> Stage | None:
    if isinstance(entry, str):
        entry = {"curriculum": entry}
    if not isinstance(entry, Mapping):
        faults.append(Fault(path, "expected a stage: an environment's name, or a mapping with `curriculum:`"))
        return None
    if "parallel" in entry:
        return _read_group(entry, path, shared, faults, last=last)
    own = read_fields(STAGE_FIELDS, entry, path, faults)
    if "curriculum" not in own:
        if "curriculum" not in entry:
            faults.append(Fault(path, "a stage needs `curriculum:`, the environment that it trains in"))
        return None
    values = _laid_over(shared, own)
    values.setdefault("name", own["curriculum"].rstrip("/").rpartition("/")[2])
    if not values["name"]:
        faults.append(Fault(path, f"{own['curriculum']!r} gives no name; give the stage a `name:`"))
        return None
    leaves_by_next = "next" in own and all(edge.when is not None for edge in own["next"])
    if leaves_by_next or (last and not SAYS_WHEN & set(own)):
        values.update(transition_criteria=None, advance_when=None)
    stage = _made(values)
    faults += check_stage(stage, own, path)
    return stage


def _read_group(
    entry: Mapping[str, Any], path: Path, shared: dict[str, Any], faults: list[Fault], *, last: bool
) -> Stage | None:
    own = read_fields(GROUP_FIELDS, entry, path, faults)
    if "name" not in entry:
        faults.append(Fault(path, "a group of parallel stages needs a `name:`"))
    if own.get("parallel") == []:
        faults.append(Fault((*path, "parallel"), "is empty; a group needs at least one stage"))
    values = _laid_over(shared, own)
    for_members = {key: values[key] for key in _SHARED_FIELDS if key in values and key not in GROUP_ALONE}
    if "min_episodes" not in {**shared, **own}:
        del for_members["min_episodes"]  # a member's own smoothing makes it
    entries = own.get("parallel", [])
    says_when = [set(e) & SAYS_WHEN if isinstance(e, Mapping) else set() for e in (own, *entries)]
    open_end = last and not any(says_when)
    members = [
        _read_entry(member, (*path, "parallel", at), for_members, faults, last=open_end)
        for at, member in enumerate(entries)
    ]
    played = tuple(member for member in members if member is not None)
    if "name" not in own or not played or len(played) < len(entries):
        return None
    kept = {key: values[key] for key in _OF_GROUPS if key in values}
    widest = next((member.score for member in played if not member.score.bounded), played[0].score)
    criteria = None if open_end else "group"
    group = _made({**kept, "score": widest, "parallel": played, "transition_criteria": criteria})
    said = [member if isinstance(member, Mapping) else {} for member in entries]
    faults += check_group(group, own, said, path)
    return group


def _laid_over(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The nearer values over the curriculum's, or the group's."""
    values = {**shared, **own}
    values["env_overrides"] = merge(shared.get("env_overrides", {}), own.get("env_overrides", {}))
    if "transition_criteria" in own and "advance_when" not in own:
        values.pop("advance_when", None)
    values.setdefault("min_episodes", max(1, round(1 / values.get("transition_smoothing", 0.1))))
    return values


def _made(values: dict[str, Any]) -> Stage:
    on_timeout, goto = values.pop("on_timeout", ("fail", None))
    return Stage(**values, on_timeout=on_timeout, goto=goto)


# ── the fields ──────────────────────────────────────────────────────────────────────────────────────────────────

_SHARED_FIELDS = {
    "transition_criteria": one_of("performance", "time", "both", "either"),
    "advance_when": read.condition,
    "performance_threshold": read.threshold,
    "time_threshold_steps": whole(1),
    "transition_smoothing": number(high=1, above=0),
    "ema": one_of("corrected", "zero_start"),
    "min_episodes": whole(1),
    "max_steps": optional(whole(1)),
    "on_timeout": read.timeout,
    "score": read.score,
    "env_overrides": plain_mapping,
    "trainer": read.trainer,
    "on_enter": read.on_enter,
    "evaluate": optional(read.evaluation),
}
_WAYS = {"rehearse": read.shares, "next": read.edges, "demote": read.demotion, "max_visits": whole(1)}
CURRICULUM_FIELDS = {"stages": sequence, "start": text, **_SHARED_FIELDS}
STAGE_FIELDS = {"name": text, "curriculum": text, "weight": number(0), **_SHARED_FIELDS, **_WAYS}
GROUP_FIELDS = {
    "name": text,
    "parallel": sequence,
    "done": one_of("all", "any"),
    **_SHARED_FIELDS,
    **{key: reader for key, reader in _WAYS.items() if key != "demote"},
}
_OF_GROUPS = (
    "name",
    "done",
    "transition_smoothing",
    "ema",
    "min_episodes",
    *(k for k in GROUP_ALONE if k in GROUP_FIELDS),
)
