"""The ways out of a stage, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stagectl.curriculum.criteria import demotion_condition, own_condition
from stagectl.curriculum.language import Condition, Counter, Series, Sustained, Value, parse_condition, walk
from stagectl.curriculum.stages import END, Ramp, Stage
from stagectl.errors import CurriculumError, Fault, nearest


@dataclass(frozen=True, slots=True)
class Way:
    """A way out of a stage: the index it leads to, its criterion; None: the stage's own."""

    to: int
    condition: Condition | None
    reason: str


def ways_of(stages: tuple[Stage, ...], index: int) -> list[Way]:
    stage = stages[index]
    ways = []
    if stage.next:
        for edge in stage.next:
            to = len(stages) if edge.to == END else position(stages, edge.to)
            ways.append(Way(to, parse_condition(edge.when), f"next: {edge.when}") if edge.when else Way(to, None, ""))
    elif stage.transition_criteria is not None or stage.advance_when is not None:
        ways.append(Way(index + 1, None, ""))
    demotion = demotion_condition(stage)
    if stage.demote is not None and demotion is not None:
        ways.append(Way(position(stages, stage.demote.to), demotion, "demotion"))
    return ways


def after_timeout(stages: tuple[Stage, ...], index: int) -> int | None:
    """The index that the stage's time-out leads to; None where it ends the curriculum."""
    stage = stages[index]
    if stage.goto:
        return position(stages, stage.goto)
    return index + 1 if stage.on_timeout == "advance" else None


def metrics_named(stages: tuple[Stage, ...]) -> frozenset[str]:
    """The logged metrics that criteria name."""
    return frozenset(node.name for node in _nodes(stages) if isinstance(node, Series) and node.is_metric)


def remembers_steps(stages: tuple[Stage, ...]) -> bool:
    """Whether what a criterion makes of a step depends on the boundaries before it: a replay then needs them all.

    A member of a group stays done: it may have been done at a boundary to which nothing but steps had come.
    """
    members = [member for stage in stages for member in stage.parallel]
    of_members = [node for member in members for node in _walk(own_condition(member))]
    by_steps = any(isinstance(node, Counter) and "steps" in node.name for node in of_members)
    by_steps |= any(isinstance(member.performance_threshold, Ramp) for member in members)
    return by_steps or any(isinstance(node, Sustained) for node in _nodes(stages))


def _nodes(stages: tuple[Stage, ...]) -> Iterator[Condition | Value]:
    conditions = [way.condition for index in range(len(stages)) for way in ways_of(stages, index)]
    conditions += [own_condition(stage) for top in stages for stage in (top, *top.parallel)]
    for condition in conditions:
        yield from _walk(condition)


def _walk(condition: Condition | None) -> Iterator[Condition | Value]:
    if condition is not None:
        yield from walk(condition)


def position(stages: tuple[Stage, ...], name: str) -> int:
    """The index of the stage of that name; CurriculumError says what there is where there is none."""
    for index, stage in enumerate(stages):
        if stage.name == name:
            return index
    raise CurriculumError(Fault((), no_such_stage(stages, name)))


def no_such_stage(stages: tuple[Stage, ...], name: str, *others: str) -> str:
    """What is said of a name that no stage has; `others` might have stood there too."""
    for stage in stages:
        if name in (member.name for member in stage.parallel):
            return f"'{name}' is a member of the group '{stage.name}', which is on as a whole; name the group"
    return f"no stage is named '{name}'; {nearest(name, [*(stage.name for stage in stages), *others])}"
