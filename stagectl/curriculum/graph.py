"""The graph of stages: where each one's ways out lead, and whether it makes sense."""

from __future__ import annotations

from collections.abc import Iterable

from stagectl.curriculum.stages import END, Stage
from stagectl.errors import Fault, Path, nearest


def check_graph(stages: tuple[Stage, ...], start: str | None = None) -> list[Fault]:
    """Unknown names, stages that are never reached, and loops without a way out."""
    faults = list(_unknown_names(stages, start))
    if faults or not stages:
        return faults
    names = [stage.name for stage in stages]
    first = names.index(start) if start else 0
    ways = {index: set(ways_out(stages, index)) for index in range(len(stages))}
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


def ways_out(stages: tuple[Stage, ...], index: int) -> Iterable[int]:
    """The indices that the stage's ways out lead to; `len(stages)` is the end."""
    stage = stages[index]
    names = {stage.name: at for at, stage in enumerate(stages)} | {END: len(stages)}
    if stage.next:
        yield from (names[edge.to] for edge in stage.next)
    elif stage.transition_criteria is not None or stage.advance_when is not None:
        yield index + 1
    if stage.demote is not None:
        yield names[stage.demote.to]
    if stage.max_steps is not None:
        yield names[stage.goto] if stage.goto else index + 1 if stage.on_timeout == "advance" else len(stages)


def _may_stay(stage: Stage) -> bool:
    """Whether the stage is to end with the step budget: nothing but a demotion leads out of it."""
    return not stage.next and stage.max_steps is None and stage.transition_criteria is None and not stage.advance_when


def _unknown_names(stages: tuple[Stage, ...], start: str | None) -> Iterable[Fault]:
    names = [stage.name for stage in stages]
    playable = [member.name for stage in stages for member in stage.members]
    if start is not None and start not in names:
        yield Fault(("start",), f"no stage is named '{start}'; {nearest(start, names)}")
    for index, stage in enumerate(stages):
        path: Path = ("stages", index)
        for at, edge in enumerate(stage.next):
            if edge.to not in (*names, END):
                yield Fault((*path, "next", at), f"no stage is named '{edge.to}'; {nearest(edge.to, [*names, END])}")
        if stage.demote is not None and stage.demote.to not in names:
            where = stage.demote.to
            yield Fault((*path, "demote", "to"), f"no stage is named '{where}'; {nearest(where, names)}")
        if stage.goto is not None and stage.goto not in names:
            yield Fault((*path, "on_timeout"), f"no stage is named '{stage.goto}'; {nearest(stage.goto, names)}")
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
