"""Replay: the same curriculum that decides in training, fed with what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.errors import RecipeError, StagectlError, TraceError
from stagectl.simulate.timeline import StageSpan, Timeline
from stagectl.traces import Row, Trace

DEFAULT_STAGES = 3


def replay(curriculum: StagedProgressiveCurriculum, trace: Trace, budget: int | None = None) -> Timeline:
    """What the curriculum would have decided on the trace, deciding once after all rows of equal step.

    Where the trace tells the stages, a score counts for the stage in which its episode began, as in training;
    otherwise for the stage that is on. The step that reaches `budget` is the last, as in training.

    Raises:
        TraceError: Some of the trace's stages are the curriculum's, and some are not.
        RecipeError: The curriculum is of a user's class, and that raised.
    """
    notes = _check_stages(curriculum, trace)
    by_stage = bool(trace.stage_names) and not notes
    curriculum.decide_between_steps()
    decisions: list[Decision] = []
    start, step = curriculum.current_stage, 0
    spent = False
    for step, rows in trace.boundaries():
        with _users_class(curriculum, step):
            for row in rows:
                _tell(curriculum, row, by_stage=by_stage)
            decision = curriculum.update_step_count(step)
        if decision is not None:
            decisions.append(decision)
        spent = budget is not None and step >= budget
        if spent or curriculum.end is not None:
            break
    stages = _spans(curriculum, decisions, step, start)
    if by_stage:
        notes += _differences(curriculum, decisions, start, trace)
    return Timeline(stages, tuple(decisions), step, curriculum.total_episodes, notes, spent)


def _tell(curriculum: StagedProgressiveCurriculum, row: Row, *, by_stage: bool) -> None:
    """What one row says, told as training told it."""
    curriculum.record_metrics(row.metrics)
    if row.advance_to is not None:
        curriculum.request_stage(row.advance_to)
    if row.score is not None:
        name = row.stage if by_stage and row.stage is not None else curriculum.stage.members[0].name
        visit = f"@{row.visit}" if row.visit is not None else ""
        curriculum.complete_task(f"{name}{visit}#", row.score)  # a task's id, for a stage may be named `a#1`


def default_curriculum(trace: Trace, stages: int | None = None) -> StagedProgressiveCurriculum:
    """The document's defaults, over the trace's own stages, else over that many (three, as in the document)."""
    names = list(trace.stage_names) or [f"stage_{index}" for index in range(stages or DEFAULT_STAGES)]
    return StagedProgressiveCurriculum([{"name": name, "curriculum": name} for name in names])


def _check_stages(curriculum: StagedProgressiveCurriculum, trace: Trace) -> tuple[str, ...]:
    known = {stage.name for stage in (*curriculum.stages, *curriculum.played)}
    recorded = set(trace.stage_names)
    if recorded <= known:
        return ()
    if recorded & known:
        unknown = ", ".join(sorted(recorded - known))
        hint = f"the recipe's stages are {', '.join(stage.name for stage in curriculum.stages)}"
        raise TraceError(f"{trace.name}: recorded in a stage that the recipe does not have: {unknown}", hint=hint)
    return ("none of the trace's stages is the recipe's: its scores drive whatever stage is on, as they came",)


def _differences(
    curriculum: StagedProgressiveCurriculum, decisions: list[Decision], start: int, trace: Trace
) -> tuple[str, ...]:
    """A note where a stage is not first entered at the step at which it was recorded to be."""
    recorded: dict[str, int] = {}
    for row, name in trace.entries():
        recorded.setdefault(name, int(trace.steps[row]))
    entered: dict[str, int] = {}
    for decision in decisions:
        if isinstance(decision, StageTransition):
            entered.setdefault(decision.to_name, decision.step)
    for index, stage in enumerate(curriculum.stages):
        if index != start and entered.get(stage.name) != recorded.get(stage.name):
            here, there = _at(entered.get(stage.name)), _at(recorded.get(stage.name))
            boundary = f"stage '{stage.name}' is {here}, in the trace {there}"
            return (f"{boundary}; a score counts only for the stage that it was recorded in, once that is entered",)
    return ()


def _at(step: int | None) -> str:
    return "never entered" if step is None else f"entered at step {step:,}"


@contextmanager
def _users_class(curriculum: StagedProgressiveCurriculum, step: int) -> Iterator[None]:
    """What a user's class raises is told with the class and the step."""
    try:
        yield
    except StagectlError:
        raise
    except Exception as error:
        if type(curriculum) is StagedProgressiveCurriculum:
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RecipeError(f"{type(curriculum).__name__} failed at step {step:,}: {reason}") from error


def _spans(
    curriculum: StagedProgressiveCurriculum, decisions: list[Decision], total_steps: int, start: int
) -> tuple[StageSpan, ...]:
    entered: dict[int, int] = {start: 0}
    left: dict[int, int] = {}
    for decision in decisions:
        if isinstance(decision, StageTransition):
            left[decision.from_stage] = decision.step
            entered[decision.to_stage] = decision.step
            left.pop(decision.to_stage, None)  # it is on again
        elif isinstance(decision, CurriculumEnd):
            left[decision.stage] = decision.step
    names = [stage.name for stage in curriculum.played]
    counted = dict(zip(names, curriculum.episodes(), strict=True))
    measured = dict(zip(names, curriculum.performance(), strict=True))
    return tuple(
        StageSpan(
            index=index,
            name=stage.name,
            entered=entered.get(index),
            left=left.get(index),
            steps=left.get(index, total_steps) - entered[index] if index in entered else 0,
            episodes=sum(counted[member.name] for member in stage.members),
            performance=None if stage.parallel else measured[stage.name],
        )
        for index, stage in enumerate(curriculum.stages)
    )
