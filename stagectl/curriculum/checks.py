"""What the values of a stage must be to one another, and the stages to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stagectl.curriculum.criteria import own_condition
from stagectl.curriculum.language import Aggregate, walk
from stagectl.curriculum.parser import parse_condition
from stagectl.curriculum.stages import END, Ramp, Stage, active
from stagectl.errors import Fault, Path

Written = Mapping[str, Any]  # what a stage says itself, read

_USED = {
    "performance": {"performance_threshold"},
    "time": {"time_threshold_steps"},
    "both": {"performance_threshold", "time_threshold_steps"},
    "either": {"performance_threshold", "time_threshold_steps"},
}
THRESHOLDS = {"performance_threshold": "performance", "time_threshold_steps": "time"}


def check_stage(stage: Stage, own: Written, path: Path) -> Iterator[Fault]:
    """What is wrong with a plain stage, or with a member of a group."""
    yield from _range_of_the_threshold(stage, own, path)
    yield from _ways_out(stage, own, path)
    if "advance_when" in own and "transition_criteria" in own:
        message = "`advance_when` and `transition_criteria` both say when the stage ends; keep one of them"
        yield Fault((*path, "advance_when"), message)
    for key in THRESHOLDS:
        if key in own and key not in _used_by(stage) and (reason := _why_unused(stage, key, own)):
            yield Fault((*path, key), reason)
    if stage.next and own_condition(stage) is None and any(edge.when is None for edge in stage.next):
        message = f"stage '{stage.name}' has no criterion of its own for a way out without `when:`"
        yield Fault((*path, "next"), message)


def check_group(group: Stage, own: Written, members: Sequence[Written], path: Path) -> Iterator[Fault]:
    """What is wrong with a group; `members` are what its members say themselves."""
    yield from _ways_out(group, own, path)
    for key in THRESHOLDS:
        used = [key in _used_by(stage) and key not in said for stage, said in zip(group.parallel, members, strict=True)]
        if key in own and not any(used):
            yield Fault((*path, key), f"no member of '{group.name}' leaves by this, so it has no effect")
    if sum(member.weight for member in group.parallel) <= 0:
        yield Fault((*path, "parallel"), "no member has a weight above 0, so none would be played")
    for at, (member, said) in enumerate(zip(group.parallel, members, strict=True)):
        yield from _member(member, said, group, (*path, "parallel", at))


def _member(member: Stage, said: Written, group: Stage, path: Path) -> Iterator[Fault]:
    """What a member says that only its group can mean, and a member that the group would wait for in vain."""
    if member.parallel:
        yield Fault(path, "a group cannot stand in a group")
        return
    for key in said:
        if key in GROUP_ALONE:
            instead = "" if key == "demote" else f"; give the group `{key}:`"
            yield Fault((*path, key), f"has no effect in a member of a group, which is left as a whole{instead}")
    if member.weight == 0 and group.done == "all" and member.transition_criteria not in ("time", None):
        message = f"'{member.name}' is never played, and the group waits until all are done; give it a weight"
        yield Fault((*path, "weight"), message)


GROUP_ALONE = (
    *("max_steps", "on_timeout", "rehearse", "next", "demote", "max_visits"),
    *("trainer", "on_enter", "evaluate"),
)  # what a group has as a whole, and not its members


def _used_by(stage: Stage) -> set[str]:
    """The thresholds by which the stage leaves."""
    return set() if stage.advance_when is not None else _USED.get(str(stage.transition_criteria), set())


def _why_unused(stage: Stage, key: str, own: Written) -> str:
    if "advance_when" in own:
        return f"`advance_when` says when stage '{stage.name}' ends, so this has no effect"
    if stage.advance_when is not None:
        return (
            f"the curriculum's `advance_when` says when stage '{stage.name}' ends, so this has no effect; "
            f"add `transition_criteria: {THRESHOLDS[key]}`"
        )
    if stage.transition_criteria is None:
        return f"`next` says when stage '{stage.name}' ends, so this has no effect; a way without `when:` goes by it"
    return (
        f"stage '{stage.name}' leaves by {stage.transition_criteria}, so this has no effect; "
        f"add `transition_criteria: {THRESHOLDS[key]}`, `both` or `either`"
    )


def _range_of_the_threshold(stage: Stage, own: Written, path: Path) -> Iterator[Fault]:
    threshold = stage.performance_threshold
    ends = (threshold.start, threshold.end) if isinstance(threshold, Ramp) else (threshold,)
    outside = [end for end in ends if isinstance(end, (int, float)) and not 0 < end <= 1]
    if outside and stage.score.bounded and "performance_threshold" in _used_by(stage):
        where = (*path, "performance_threshold") if "performance_threshold" in own else ("performance_threshold",)
        reason = f"{outside[0]:g} is outside the score's range (0, 1]"
        yield Fault(where, f"{reason}; `score: return` makes the plain return the score")


def _ways_out(stage: Stage, own: Written, path: Path) -> Iterator[Fault]:
    """Of a stage, or of a group."""
    if stage.name == END:
        yield Fault((*path, "name"), f"'{END}' is where a way out leads that ends the curriculum")
    if stage.next and "advance_when" in own:
        message = "`next` and `advance_when` both say when the stage ends; put the criterion into `next` as `when:`"
        yield Fault((*path, "next"), message)
    if "on_timeout" in own and stage.max_steps is None:
        yield Fault((*path, "on_timeout"), "has no effect without `max_steps:`, the steps after which it happens")
    conditions = [own_condition(stage), *(parse_condition(edge.when) for edge in stage.next if edge.when is not None)]
    nodes = [node for condition in conditions if condition is not None for node in walk(condition)]
    bound = any(isinstance(n, Aggregate) and n.function == "lower_bound" and not n.series.is_metric for n in nodes)
    if bound and not stage.score.bounded:
        message = f"stage '{stage.name}': lower_bound is of success rates, and this stage's score is the plain return"
        yield Fault(path, message)


def check_together(stages: Sequence[Stage], shared: Written) -> Iterator[Fault]:
    """What the curriculum says for stages of which none has a use for it, and names that are there twice."""
    if "on_timeout" in shared and all(stage.max_steps is None for stage in stages):
        yield Fault(("on_timeout",), "has no effect without `max_steps:`, the steps after which it happens")
    seen: dict[str, Path] = {}
    for index, top in enumerate(stages):
        for at, stage in enumerate(active(top), start=-1):
            path: Path = ("stages", index) if stage is top else ("stages", index, "parallel", at)
            if stage.name in seen:
                message = f"'{stage.name}' names {_place(seen[stage.name])} too; give each stage a `name:` of its own"
                yield Fault(path, message)
            seen.setdefault(stage.name, path)


def _place(path: Path) -> str:
    return f"stage {path[1]}" + (f"'s member {path[3]}" if len(path) > 2 else "")
