"""The ways out of a stage, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass

from stagectl.curriculum.criteria import criteria_of, demotion_condition
from stagectl.curriculum.language import Condition, Counter, Sustained, metrics_in, walk
from stagectl.curriculum.parser import parse_condition
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


def can_end(stages: tuple[Stage, ...]) -> bool:
    """Whether some stage has a way, or a time-out, that ends the curriculum."""
    return any(
        any(way.to == len(stages) for way in ways_of(stages, index))
        or (stage.max_steps is not None and after_timeout(stages, index) in (None, len(stages)))
        for index, stage in enumerate(stages)
    )


def after_timeout(stages: tuple[Stage, ...], index: int) -> int | None:
    """The index that the stage's time-out leads to; None where it ends the curriculum."""
    stage = stages[index]
    if stage.goto:
        return position(stages, stage.goto)
    return index + 1 if stage.on_timeout == "advance" else None


def metrics_named(stages: tuple[Stage, ...]) -> frozenset[str]:
    """The logged metrics that criteria name."""
    return frozenset(
        name for stage in stages for _, _, condition in criteria_of(stage) for name in metrics_in(condition)
    )


def remembers_steps(stages: tuple[Stage, ...]) -> bool:
    """Whether what a criterion makes of a step depends on the boundaries before it: a replay then needs them all.

    A member of a group stays done: it may have been done at a boundary to which nothing but steps had come.
    """
    for stage in stages:
        for _, of, condition in criteria_of(stage):
            nodes = list(walk(condition))
            by_steps = any(isinstance(node, Counter) and "steps" in node.name for node in nodes)
            if any(isinstance(node, Sustained) for node in nodes) or (of in stage.parallel and by_steps):
                return True
        if stage.demote is not None or any(isinstance(m.performance_threshold, Ramp) for m in stage.parallel):
            return True
    return False


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
