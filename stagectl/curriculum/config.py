"""Reading a `curriculum:` block into stages, with every fault and its path reported together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stagectl.curriculum.criteria import own_condition
from stagectl.curriculum.fields import (
    flag,
    list_of_text,
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
from stagectl.curriculum.graph import check_graph
from stagectl.curriculum.language import Aggregate, parse_condition, walk
from stagectl.curriculum.stages import END, BelowBest, Demotion, Edge, Evaluation, OnEnter, Ramp, Score, Stage
from stagectl.errors import CurriculumError, Fault, Path, nearest

RESETS = ("optimizer", "observation_stats", "return_stats")
CRITERIA = ("performance", "time", "both", "either")
OWN_CRITERION = {"transition_criteria", "performance_threshold", "time_threshold_steps", "advance_when", "next"}


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
    stages = []
    for index, entry in enumerate(entries):
        stage = _read_entry(entry, ("stages", index), shared, faults, last=index == len(entries) - 1)
        if stage is not None:
            stages.append(stage)
    _check_names(stages, faults)
    if len(stages) == len(entries):
        faults += check_graph(tuple(stages), start)
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


# ── one stage, or one group of them ─────────────────────────────────────────────────────────────────────────────


def _read_entry(entry: Any, path: Path, shared: dict[str, Any], faults: list[Fault], *, last: bool) -> Stage | None:
    if isinstance(entry, str):
        entry = {"curriculum": entry}
    if not isinstance(entry, Mapping):
        faults.append(Fault(path, "expected a stage: an environment's name, or a mapping with `curriculum:`"))
        return None
    if "parallel" in entry:
        return _read_group(entry, path, shared, faults)
    own = read_fields(STAGE_FIELDS, entry, path, faults)
    if "curriculum" not in own:
        if "curriculum" not in entry:
            faults.append(Fault(path, "a stage needs `curriculum:`, the environment that it trains in"))
        return None
    values = _defaulted(shared, own)
    values.setdefault("name", own["curriculum"].rstrip("/").rpartition("/")[2])
    leaves_by_next = "next" in own and all(edge.when is not None for edge in own["next"])
    if leaves_by_next or (last and not OWN_CRITERION & set(own)):
        values.update(transition_criteria=None, advance_when=None)
    if not values["name"]:
        faults.append(Fault(path, f"{own['curriculum']!r} gives no name; give the stage a `name:`"))
        return None
    stage = Stage(**values)
    _check_stage(stage, own, path, faults)
    return stage


def _read_group(entry: Mapping[str, Any], path: Path, shared: dict[str, Any], faults: list[Fault]) -> Stage | None:
    own = read_fields(GROUP_FIELDS, entry, path, faults)
    if "name" not in own and "name" not in entry:
        faults.append(Fault(path, "a group of parallel stages needs a `name:`"))
    inherited = {**shared, **{key: value for key, value in own.items() if key in _SHARED_FIELDS}}
    inherited["env_overrides"] = merge(shared.get("env_overrides", {}), own.get("env_overrides", {}))
    for_members = {key: value for key, value in inherited.items() if key not in _GROUP_ALONE}
    members = []
    for index, member in enumerate(own.get("parallel", [])):
        stage = _read_entry(member, (*path, "parallel", index), for_members, faults, last=False)
        if stage is not None:
            members.append(stage)
            if stage.parallel:
                faults.append(Fault((*path, "parallel", index), "a group cannot stand in a group"))
            elif isinstance(member, Mapping):
                _check_member(stage, member, (*path, "parallel", index), own, faults)
    if "parallel" in own and not own["parallel"]:
        faults.append(Fault((*path, "parallel"), "is empty; a group needs at least one stage"))
    if "name" not in own or not members:
        return None
    if sum(member.weight for member in members) <= 0:
        faults.append(Fault((*path, "parallel"), "no member has a weight above 0, so none would be played"))
    kept_keys = ("name", "done", "transition_smoothing", "ema", "min_episodes", *_GROUP_ALONE)
    kept = _defaulted({}, {key: value for key, value in {**inherited, **own}.items() if key in kept_keys})
    group = Stage(**{**kept, "parallel": tuple(members), "transition_criteria": "group"})
    _check_ways_out(group, own, path, faults)
    return group


def _check_member(
    member: Stage, entry: Mapping[str, Any], path: Path, group: Mapping[str, Any], faults: list[Fault]
) -> None:
    """What a member says that only its group can mean, and a member that the group would wait for in vain."""
    faults += [
        Fault((*path, key), f"has no effect in a member of a group, which is left as a whole; give the group `{key}:`")
        for key in entry
        if key in (*_WAYS, *_GROUP_ALONE) and key != "demote"
    ]
    if "demote" in entry:
        faults.append(Fault((*path, "demote"), "has no effect in a member of a group, which is left as a whole"))
    if member.weight == 0 and group.get("done", "all") == "all" and member.transition_criteria != "time":
        message = f"'{member.name}' is never played, and the group waits until all are done; give it a weight"
        faults.append(Fault((*path, "weight"), message))


def _defaulted(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The stage's own values over the curriculum's."""
    values = {**shared, **own}
    values["env_overrides"] = merge(shared.get("env_overrides", {}), own.get("env_overrides", {}))
    if "transition_criteria" in own and "advance_when" not in own:
        values.pop("advance_when", None)
    if "on_timeout" in values:
        values["on_timeout"], values["goto"] = values["on_timeout"]
    values.setdefault("min_episodes", max(1, round(1 / values.get("transition_smoothing", 0.1))))
    return values


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────


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


def _read_threshold(value: Any) -> float | Ramp | BelowBest:
    if not isinstance(value, Mapping):
        return parse_number(value)
    if "below_best" in value:
        least = {"at_least": parse_number} if "at_least" in value else {}
        read = _read_all({"below_best": number(above=0), "over": whole(2), **least}, value)
        return BelowBest(read["below_best"], read["over"], read.get("at_least"))
    return read_ramp(value)


def read_ramp(value: Any) -> Ramp:
    """`{from: 0.9, to: 0.6, over: 500k}`."""
    read = _read_all({"from": parse_number, "to": parse_number, "over": whole(1)}, plain_mapping(value))
    return Ramp(read["from"], read["to"], read["over"])


def _read_all(table: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a small mapping, each of which must be there."""
    faults: list[Fault] = []
    read = read_fields(table, value, (), faults)
    missing = [key for key in table if key not in value]
    if missing:
        faults.append(Fault((), f"lacks {', '.join(missing)}"))
    if faults:
        raise ValueError("; ".join(map(str, faults)))
    return read


def _read_condition(value: Any) -> str:
    parse_condition(value)
    return str(value)


def _read_timeout(value: Any) -> tuple[str, str | None]:
    if isinstance(value, str) and value.startswith("goto:"):
        value = {"goto": value.removeprefix("goto:").strip()}
    if isinstance(value, Mapping):
        return "goto", str(_read_all({"goto": text}, value)["goto"])
    if value == "goto":
        raise ValueError("goto needs a stage: {goto: NAME}")
    return one_of("advance", "stop", "fail", "goto")(value), None


def _read_edges(value: Any) -> tuple[Edge, ...]:
    edges = []
    for entry in sequence(value):
        faults: list[Fault] = []
        read = read_fields({"to": text, "when": _read_condition}, plain_mapping(entry), (), faults)
        if "to" not in read and not faults:
            faults.append(Fault((), "a way out needs `to:`, a stage's name"))
        if faults:
            raise ValueError("; ".join(map(str, faults)))
        edges.append(Edge(read["to"], read.get("when")))
    if not edges:
        raise ValueError("is empty; `next:` lists ways out, each {to: NAME, when: CRITERION}")
    return tuple(edges)


def _read_demotion(value: Any) -> Demotion:
    faults: list[Fault] = []
    table = {"to": text, "below": parse_number, "margin": number(above=0), "patience": whole(1)}
    read = read_fields(table, plain_mapping(value), (), faults)
    if not faults and ("to" not in read or "patience" not in read or ("below" in read) == ("margin" in read)):
        faults.append(Fault((), "expected {to: NAME, patience: STEPS} and either `below:` or `margin:`"))
    if faults:
        raise ValueError("; ".join(map(str, faults)))
    return Demotion(**read)


def _read_shares(value: Any) -> dict[str, float]:
    shares = {name: parse_number(share) for name, share in plain_mapping(value).items()}
    if any(share <= 0 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ValueError("shares must be above 0, and below 1 together: what is left is the stage's own")
    return shares


def _read_trainer(value: Any) -> dict[str, Any]:
    """Settings as they are; `{from, to, over}` is a ramp over the steps in the stage."""
    settings = plain_mapping(value)
    ramps = {}
    for key, setting in settings.items():
        if isinstance(setting, Mapping) and {"from", "to"} & set(setting):
            try:
                ramps[key] = read_ramp(setting)
            except ValueError as error:
                raise ValueError(f"{key} {error}") from None
    return {**settings, **ramps}


def _read_on_enter(value: Any) -> OnEnter:
    faults: list[Fault] = []
    read = read_fields({"reset": list_of_text, "warmup_steps": whole()}, plain_mapping(value), (), faults)
    unknown = [name for name in read.get("reset", ()) if name not in RESETS]
    faults += [Fault(("reset",), f"cannot reset '{name}'; {nearest(name, RESETS)}") for name in unknown]
    if faults:
        raise ValueError("; ".join(map(str, faults)))
    return OnEnter(**read)


def _read_evaluation(value: Any) -> Evaluation:
    faults: list[Fault] = []
    table = {"every": whole(1), "episodes": whole(1), "earlier": flag}
    read = read_fields(table, plain_mapping(value), (), faults)
    if not faults and not {"every", "episodes"} <= read.keys():
        faults.append(Fault((), "expected {every: STEPS, episodes: NUMBER}"))
    if faults:
        raise ValueError("; ".join(map(str, faults)))
    return Evaluation(**read)


_SHARED_FIELDS = {
    "transition_criteria": one_of(*CRITERIA),
    "advance_when": _read_condition,
    "performance_threshold": _read_threshold,
    "time_threshold_steps": whole(1),
    "transition_smoothing": number(high=1, above=0),
    "ema": one_of("corrected", "zero_start"),
    "min_episodes": whole(1),
    "max_steps": optional(whole(1)),
    "on_timeout": _read_timeout,
    "score": _read_score,
    "env_overrides": plain_mapping,
    "trainer": _read_trainer,
    "on_enter": _read_on_enter,
    "evaluate": optional(_read_evaluation),
}
_GROUP_ALONE = {
    *("max_steps", "on_timeout", "goto", "rehearse", "next", "max_visits"),
    *("trainer", "on_enter", "evaluate"),
}  # a group's, not its members'
_WAYS = {"rehearse": _read_shares, "next": _read_edges, "demote": _read_demotion, "max_visits": whole(1)}
CURRICULUM_FIELDS = {"stages": sequence, "start": text, **_SHARED_FIELDS}
STAGE_FIELDS = {"name": text, "curriculum": text, "weight": number(0), **_SHARED_FIELDS, **_WAYS}
GROUP_FIELDS = {
    "name": text,
    "parallel": sequence,
    "done": one_of("all", "any"),
    **_SHARED_FIELDS,
    **{key: reader for key, reader in _WAYS.items() if key != "demote"},
}


# ── what a stage's values must be to one another ────────────────────────────────────────────────────────────────


def _check_stage(stage: Stage, own: Mapping[str, Any], path: Path, faults: list[Fault]) -> None:
    _check_threshold(stage, own, path, faults)
    _check_ways_out(stage, own, path, faults)
    unused = {
        "performance": ("time_threshold_steps", "time"),
        "time": ("performance_threshold", "performance"),
    }.get(str(stage.transition_criteria))
    if unused and unused[0] in own and stage.advance_when is None:
        key, other = unused
        message = (
            f"stage '{stage.name}' leaves by {stage.transition_criteria}, so this has no effect; "
            f"add `transition_criteria: {other}`, `both` or `either`"
        )
        faults.append(Fault((*path, key), message))
    for key in ("performance_threshold", "time_threshold_steps"):
        if "advance_when" in own and key in own:
            message = f"`advance_when` says when stage '{stage.name}' ends, so this has no effect"
            faults.append(Fault((*path, key), message))
    if "advance_when" in own and "transition_criteria" in own:
        message = "`advance_when` and `transition_criteria` both say when the stage ends; keep one of them"
        faults.append(Fault((*path, "advance_when"), message))
    _check_conditions(stage, path, faults)


def _check_threshold(stage: Stage, own: Mapping[str, Any], path: Path, faults: list[Fault]) -> None:
    if stage.transition_criteria not in ("performance", "both", "either") or stage.advance_when is not None:
        return
    threshold = stage.performance_threshold
    values = {float: [threshold], Ramp: [getattr(threshold, "start", 1), getattr(threshold, "end", 1)]}
    outside = [value for value in values.get(type(threshold), []) if not 0 < value <= 1]  # type: ignore[operator]
    if stage.score.bounded and outside:
        where = (*path, "performance_threshold") if "performance_threshold" in own else ("performance_threshold",)
        reason = f"{outside[0]:g} is outside the score's range (0, 1]"
        fault = Fault(where, f"{reason}; `score: return` makes the plain return the score")
        if fault not in faults:
            faults.append(fault)


def _check_ways_out(stage: Stage, own: Mapping[str, Any], path: Path, faults: list[Fault]) -> None:
    if stage.next and "advance_when" in own:
        message = "`next` and `advance_when` both say when the stage ends; put the criterion into `next` as `when:`"
        faults.append(Fault((*path, "next"), message))
    if stage.name == END:
        faults.append(Fault((*path, "name"), f"'{END}' is where a way out leads that ends the curriculum"))


def _check_conditions(stage: Stage, path: Path, faults: list[Fault]) -> None:
    own = own_condition(stage)
    texts = [edge.when for edge in stage.next if edge.when is not None]
    conditions = [condition for condition in [own, *map(parse_condition, texts)] if condition is not None]
    nodes = [node for condition in conditions for node in walk(condition)]
    bound = any(isinstance(n, Aggregate) and n.function == "lower_bound" and not n.series.is_metric for n in nodes)
    if bound and not stage.score.bounded:
        message = f"stage '{stage.name}': lower_bound is of success rates, and this stage's score is the plain return"
        faults.append(Fault(path, message))
    if stage.next and own is None and any(edge.when is None for edge in stage.next):
        message = f"stage '{stage.name}' has no criterion of its own for a way out without `when:`"
        faults.append(Fault((*path, "next"), message))


def _check_names(stages: list[Stage], faults: list[Fault]) -> None:
    seen: dict[str, Path] = {}
    for index, stage in enumerate(stages):
        places: list[tuple[Path, str]] = [(("stages", index), stage.name)]
        places += [(("stages", index, "parallel", at), member.name) for at, member in enumerate(stage.parallel)]
        for path, name in places:
            if name in seen:
                message = f"'{name}' names {_place(seen[name])} too; give each stage a `name:` of its own"
                faults.append(Fault(path, message))
            seen.setdefault(name, path)


def _place(path: Path) -> str:
    return f"stage {path[1]}" + (f"'s member {path[3]}" if len(path) > 2 else "")
