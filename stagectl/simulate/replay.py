"""Replay: the same curriculum that decides in training, fed with what was recorded."""

from __future__ import annotations

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.errors import TraceError
from stagectl.simulate.timeline import StageSpan, Timeline
from stagectl.traces import Trace

DEFAULT_STAGES = 3


def replay(curriculum: StagedProgressiveCurriculum, trace: Trace) -> Timeline:
    """What the curriculum would have decided on the trace, deciding once after all rows of equal step.

    Where the trace tells the stages, a score counts for the stage in which its episode began, as in training;
    otherwise for the stage that is on.

    Raises:
        TraceError: Some of the trace's stages are the curriculum's, and some are not.
    """
    notes = _check_stages(curriculum, trace)
    by_stage = trace.stages is not None and not notes
    curriculum.decide_between_steps()
    decisions: list[Decision] = []
    step = 0
    for step, episodes in trace.boundaries():
        for stage, score in episodes:
            curriculum.complete_task(stage if by_stage and stage is not None else curriculum.stage.name, score)
        decision = curriculum.update_step_count(step)
        if decision is not None:
            decisions.append(decision)
        if curriculum.end is not None:
            break
    return _timeline(curriculum, decisions, step, notes)


def default_curriculum(trace: Trace, stages: int | None = None) -> StagedProgressiveCurriculum:
    """The document's defaults, over the trace's own stages, else over that many (three, as in the document)."""
    names = trace.stage_names() or [f"stage_{index}" for index in range(stages or DEFAULT_STAGES)]
    return StagedProgressiveCurriculum([{"name": name, "curriculum": name} for name in names])


def _check_stages(curriculum: StagedProgressiveCurriculum, trace: Trace) -> tuple[str, ...]:
    known = {stage.name for stage in curriculum.stages}
    recorded = set(trace.stage_names())
    if recorded <= known:
        return ()
    if recorded & known:
        unknown = ", ".join(sorted(recorded - known))
        hint = f"the recipe's stages are {', '.join(stage.name for stage in curriculum.stages)}"
        raise TraceError(f"{trace.name}: recorded in a stage that the recipe does not have: {unknown}", hint=hint)
    return ("none of the trace's stages is the recipe's: its scores drive whatever stage is on, as they came",)


def _timeline(
    curriculum: StagedProgressiveCurriculum, decisions: list[Decision], total_steps: int, notes: tuple[str, ...]
) -> Timeline:
    entered: dict[int, int] = {0: 0}
    left: dict[int, int] = {}
    for decision in decisions:
        if isinstance(decision, StageTransition):
            left[decision.from_stage] = entered[decision.to_stage] = decision.step
        elif isinstance(decision, CurriculumEnd):
            left[decision.stage] = decision.step
    episodes, performance = curriculum.episodes(), curriculum.performance()
    spans = tuple(
        StageSpan(
            index=index,
            name=stage.name,
            entered=entered.get(index),
            left=left.get(index),
            steps=left.get(index, total_steps) - entered[index] if index in entered else 0,
            episodes=episodes[index],
            performance=performance[index],
        )
        for index, stage in enumerate(curriculum.stages)
    )
    return Timeline(spans, tuple(decisions), total_steps, sum(episodes), notes)
