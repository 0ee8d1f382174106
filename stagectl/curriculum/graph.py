"""The graph of stages: where each one's ways out lead, and whether it makes sense."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stagectl.curriculum.language import Condition
from stagectl.curriculum.parser import parse_condition
from stagectl.curriculum.stages import END, Stage
from stagectl.curriculum.ways import after_timeout, no_such_stage, ways_of
from stagectl.errors import Fault, Path, nearest


def check_graph(stages: tuple[Stage, ...], start: str | None = None) -> list[Fault]:
    """Unknown names, stages that are never reached, and loops without a way out."""
    faults = [*_unknown_names(stages, start), *_useless_ways(stages)]
    if faults or not stages:
        return faults
    names = [stage.name for stage in stages]
    first = names.index(start) if start else 0
    ways = {index: _leads_to(stages, index) for index in range(len(stages))}
    reached = _closure([first], ways) - {len(stages)}
    faults += [
        Fault(("stages", index), f"stage '{names[index]}' is never reached: no way leads to it")
        for index in range(first, len(stages))
        if index not in reached
    ]
    ending = {index for index in reached if _may_stay(stages[index]) or len(stages) in ways[index]}
    backwards: dict[int, set[int]] = {}
    for index in reached:
        for to in ways[index]:
            backwards.setdefault(to, set()).add(index)
    leads_out = _closure(ending, backwards)
    for index in sorted(reached - leads_out):
        if not any(stages[at].max_visits for at in _closure([index], ways) if at < len(stages)):
            message = f"stage '{names[index]}' is in a loop without a way out; a `max_visits` in it ends the loop"
            faults.append(Fault(("stages", index), message))
    return faults


def _leads_to(stages: tuple[Stage, ...], index: int) -> set[int]:
    """The indices that the stage's ways out lead to; `len(stages)` is the end."""
    leads = {way.to for way in ways_of(stages, index)}
    if stages[index].max_steps is not None:
        then = after_timeout(stages, index)
        leads.add(len(stages) if then is None else then)
    return leads


def _useless_ways(stages: tuple[Stage, ...]) -> Iterator[Fault]:
    """Ways out that are never taken, or lead nowhere else."""
    limited = {stage.name for stage in stages if stage.max_visits is not None}
    for index, stage in enumerate(stages):
        if stage.demote is not None and stage.demote.to == stage.name:
            message = "leads to the stage itself, where it is already; name the stage to go back to"
            yield Fault(("stages", index, "demote", "to"), message)
        taken: dict[Condition | None, str] = {}
        for at, edge in enumerate(stage.next):
            condition = parse_condition(edge.when) if edge.when is not None else None
            if condition in taken:
                message = f"is never taken: the way to '{taken[condition]}' before it has the same criterion"
                yield Fault(("stages", index, "next", at), message)
            elif edge.to not in limited:  # a way may close once its stage was entered often enough
                taken[condition] = edge.to


def _may_stay(stage: Stage) -> bool:
    """Whether the stage is to end with the step budget: nothing but a demotion leads out of it."""
    return not stage.next and stage.max_steps is None and stage.transition_criteria is None and not stage.advance_when


def _unknown_names(stages: tuple[Stage, ...], start: str | None) -> Iterable[Fault]:
    names = [stage.name for stage in stages]
    playable = [member.name for stage in stages for member in stage.members]
    if start is not None and start not in names:
        yield Fault(("start",), no_such_stage(stages, start))
    for index, stage in enumerate(stages):
        path: Path = ("stages", index)
        for at, edge in enumerate(stage.next):
            if edge.to not in (*names, END):
                yield Fault((*path, "next", at), no_such_stage(stages, edge.to, END))
        if stage.demote is not None and stage.demote.to not in names:
            yield Fault((*path, "demote", "to"), no_such_stage(stages, stage.demote.to))
        if stage.goto is not None and stage.goto not in names:
            yield Fault((*path, "on_timeout"), no_such_stage(stages, stage.goto))
        for name in stage.rehearse:
            if name not in playable or name in [member.name for member in stage.members]:
                others = [other for other in playable if other not in [member.name for member in stage.members]]
                yield Fault((*path, "rehearse", name), f"no other stage is named '{name}'; {nearest(name, others)}")


def _closure(start: Iterable[int], ways: dict[int, set[int]]) -> set[int]:
    seen: set[int] = set()
    waiting = list(start)
    while waiting:
        index = waiting.pop()
        if index not in seen:
            seen.add(index)
            waiting += ways.get(index, set())
    return seen
