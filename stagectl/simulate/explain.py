"""What a criterion was waiting for at a step of a replay."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, Term
from stagectl.curriculum.fields import parse_number
from stagectl.errors import RecipeError, UsageError
from stagectl.simulate.replay import replay
from stagectl.simulate.timeline import Timeline
from stagectl.traces import Trace


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a replay stood: at the last step boundary that is not after `asked`, before what was decided there.

    `entered`, `step` and `asked` are total steps; `decided` is what happened at that very step, in words.
    """

    trace: str
    asked: int
    step: int
    stage: str
    entered: int
    episodes: int
    performance: float | None
    terms: tuple[Term, ...]
    decided: str = ""


def explain(
    fresh: Callable[[], StagedProgressiveCurriculum],
    trace: Trace,
    asked: int,
    budget: int | None = None,
    *,
    as_recorded: bool = False,
) -> Explanation:
    """The terms of the criterion at a step. The replay is played twice: to find the boundary, and to stop at it.

    Args:
        fresh: A curriculum at its start, anew at each call.
        trace: What was recorded.
        asked: Total steps.
        budget: Total steps, as for `replay`.
        as_recorded: As for `replay`.

    Raises:
        UsageError: The replay's first boundary comes after the step.
        RecipeError: The curriculum is of a user's class, and cannot be copied.
    """
    steps: list[int] = []
    timeline = replay(fresh(), trace, budget, as_recorded=as_recorded, before=steps.append, see=asked)
    step = max((step for step in steps if step <= asked), default=None)
    if step is None:
        raise UsageError(f"--explain {asked}: nothing was recorded by then; the first step is {trace.steps[0]:,}")
    curriculum = fresh()
    seen: list[StagedProgressiveCurriculum] = []

    def keep(at: int) -> None:
        if at == step and not seen:
            seen.append(_undecided(curriculum, at))

    replay(curriculum, trace, budget, as_recorded=as_recorded, before=keep, see=asked)
    return _explained(seen[0], timeline, asked)


def read_step(text: str) -> int:
    """A total step count as the command line writes it, `120k`.

    Raises:
        UsageError: It is none.
    """
    try:
        step = parse_number(text)
    except ValueError:
        step = -1.0
    if step < 0 or not step.is_integer():
        raise UsageError(f"--explain {text}: is no step", hint="as in --explain 120k")
    return int(step)


def _undecided(curriculum: StagedProgressiveCurriculum, step: int) -> StagedProgressiveCurriculum:
    """A copy that has taken in the boundary, and stays where it is."""
    try:
        stays = copy.deepcopy(curriculum)
    except Exception as error:  # the class is the user's
        name = type(curriculum).__name__
        raise RecipeError(
            f"{name} cannot be looked into: a copy of it fails: {type(error).__name__}: {error}"
        ) from error
    vars(stays)["_decide"] = lambda: None
    stays.update_step_count(step)
    return stays


def _explained(curriculum: StagedProgressiveCurriculum, timeline: Timeline, asked: int) -> Explanation:
    now = curriculum.progress()
    decision = next((d for d in timeline.decisions if d.step == curriculum.total_steps), None)
    return Explanation(
        trace=timeline.trace,
        asked=asked,
        step=curriculum.total_steps,
        stage=curriculum.stage.name,
        entered=curriculum.total_steps - now.steps,
        episodes=now.episodes,
        performance=now.performance if now.episodes else None,
        terms=curriculum.waiting_for(),
        decided=_in_words(decision) if decision else "",
    )


def _in_words(decision: Decision) -> str:
    if isinstance(decision, CurriculumEnd):
        return f"the curriculum ended here: {decision.outcome} ({decision.reason})"
    return f"left here for '{decision.to_name}' ({decision.reason})"
