"""What several seeds' timelines come to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stagectl.simulate.estimate import Estimate, Observation, estimate
from stagectl.simulate.timeline import Timeline


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One stage over all seeds: the total steps at which it was left, and the steps spent in it."""

    index: int
    name: str
    left: Estimate
    steps: Estimate


@dataclass(frozen=True, slots=True)
class Summary:
    """All seeds: the share of them that finish, and each stage. To finish is to leave every stage that can be left."""

    seeds: int
    finished: float
    stages: tuple[StageSummary, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one recipe would have done: a timeline for each trace, and where there are several, what they come to.

    `recipe` is the recipe's file; None: the defaults. `notes` say what must be known before any of it is believed.
    """

    recipe: str | None
    timelines: tuple[Timeline, ...]
    summary: Summary | None = None
    notes: tuple[str, ...] = ()


def simulation_of(recipe: str | None, timelines: Sequence[Timeline], notes: Sequence[str] = ()) -> Simulation:
    """The timelines of one recipe, with their summary where they are several."""
    return Simulation(recipe, tuple(timelines), summary_of(timelines) if len(timelines) > 1 else None, tuple(notes))


def summary_of(timelines: Sequence[Timeline]) -> Summary:
    """The median and its interval for each stage, over timelines of one recipe."""
    stages = tuple(
        StageSummary(
            index=span.index,
            name=span.name,
            left=estimate([left_at(timeline, span.index) for timeline in timelines]),
            steps=estimate(list(_steps_in(timelines, span.index))),
        )
        for span in timelines[0].stages
    )
    return Summary(len(timelines), sum(t.finished for t in timelines) / len(timelines), stages)


def left_at(timeline: Timeline, index: int) -> Observation:
    """The total steps at which a stage was left; else how far it was seen not to be, for ever once all is over."""
    left = timeline.stages[index].left
    return Observation(_sight(timeline), seen=False) if left is None else Observation(left)


def _steps_in(timelines: Sequence[Timeline], index: int) -> Iterator[Observation]:
    for timeline in timelines:
        span = timeline.stages[index]
        if span.left is not None:
            yield Observation(span.steps)
        elif span.entered is not None:
            yield Observation(_sight(timeline) - span.entered, seen=False)


def _sight(timeline: Timeline) -> float:
    return math.inf if timeline.is_over else timeline.total_steps
