"""Replay: the same curriculum that decides in training, fed with what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.errors import RecipeError, StagectlError, TraceError
from stagectl.simulate.aligned import Aligned, can_be_left
from stagectl.simulate.curves import GrowingCurve, left_at
from stagectl.simulate.timeline import Curve, StageSpan, Timeline
from stagectl.traces import Row, Trace

DEFAULT_STAGES = 3


def replay(
    curriculum: StagedProgressiveCurriculum, trace: Trace, budget: int | None = None, *, as_recorded: bool = False
) -> Timeline:
    """What the curriculum would have decided on the trace, deciding once after all rows of equal step.

    Aligned, where the trace tells the recipe's stages: a simulated visit to a stage sees what was recorded in the
    visit of the same number, at the same steps since its entry. What was recorded after the step at which it is left
    is left out; where nothing more was recorded, the timeline ends, and the stage is censored. As recorded: the
    scores drive whatever stage is on, as they came. The step that reaches `budget` is the last, as in training.

    Raises:
        TraceError: Some of the trace's stages are the curriculum's, and some are not.
        RecipeError: The curriculum is of a user's class, and that raised.
    """
    passed_over = [] if as_recorded else _check_stages(curriculum, trace)
    aligned = Aligned(curriculum, trace) if trace.stage_names and not passed_over and not as_recorded else None
    played = _Played(curriculum.current_stage, GrowingCurve(curriculum.current_stage))
    curriculum.decide_between_steps()
    spent = False
    for step, rows in aligned.boundaries(played.decisions) if aligned else trace.boundaries():
        with _users_class(curriculum, step):
            for row in rows:
                _tell(curriculum, row, told=aligned is not None)
            decision = curriculum.update_step_count(step)
        played.note(curriculum, decision, has_scores=any(row.score is not None for row in rows))
        spent = budget is not None and step >= budget
        if spent or curriculum.end is not None:
            break
    onward = can_be_left(curriculum)
    return Timeline(
        stages=_spans(curriculum, played, censored=onward and not spent and curriculum.end is None),
        decisions=tuple(played.decisions),
        total_steps=curriculum.total_steps,
        total_episodes=curriculum.total_episodes,
        notes=tuple(aligned.notes if aligned else passed_over),
        budget_spent=spent,
        trace=trace.name,
        aligned=aligned is not None,
        curves=tuple(played.finished_curves()),
        finished=curriculum.end.outcome == "completed" if curriculum.end else not onward,
        differs_from=aligned.differs_from if aligned else None,
    )


def default_curriculum(trace: Trace, stages: int | None = None) -> StagedProgressiveCurriculum:
    """The document's defaults, over the trace's own stages, else over that many (three, as in the document)."""
    names = list(trace.stage_names) or [f"stage_{index}" for index in range(stages or DEFAULT_STAGES)]
    return StagedProgressiveCurriculum([{"name": name, "curriculum": name} for name in names])


@dataclass
class _Played:
    """What has happened so far in a replay."""

    start: int
    curve: GrowingCurve
    decisions: list[Decision] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def note(self, curriculum: StagedProgressiveCurriculum, decision: Decision | None, *, has_scores: bool) -> None:
        """One step boundary."""
        if decision is not None:
            self.decisions.append(decision)
            self.curve.add(*left_at(decision))
        elif has_scores:
            performance = curriculum.progress().performance
            self.curve.add(curriculum.total_steps, performance, curriculum.performance_threshold)
        if isinstance(decision, StageTransition):
            self.curves = self.finished_curves()
            self.curve = GrowingCurve(decision.to_stage)

    def finished_curves(self) -> list[Curve]:
        curve = self.curve.curve()
        return [*self.curves, *([curve] if curve else [])]


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────


def _tell(curriculum: StagedProgressiveCurriculum, row: Row, *, told: bool) -> None:
    """What one row says, told as training told it."""
    curriculum.record_metrics(row.metrics)
    if row.advance_to is not None:
        curriculum.request_stage(row.advance_to)
    if row.score is None:
        return
    stage = _member(curriculum, row.stage if told else None)
    for _ in range(row.episodes):
        curriculum.complete_in(stage, row.score, row.visit if told else None)


def _member(curriculum: StagedProgressiveCurriculum, name: str | None) -> str:
    """The stage that is played: as told; else the one that is on, and of a group the member whose turn it is."""
    if name in (None, curriculum.stage.name):
        return curriculum.get_task().stage.name if curriculum.stage.parallel else curriculum.stage.name
    group = next((stage for stage in curriculum.stages if stage.name == name and stage.parallel), None)
    return str(name) if group is None else group.parallel[0].name


def _check_stages(curriculum: StagedProgressiveCurriculum, trace: Trace) -> list[str]:
    known = {stage.name for stage in (*curriculum.stages, *curriculum.played)}
    recorded = set(trace.stage_names)
    if recorded <= known:
        return []
    if recorded & known:
        unknown = ", ".join(sorted(recorded - known))
        names = ", ".join(stage.name for stage in curriculum.stages)
        hint = f"the recipe's stages are {names}; --as-recorded plays the scores whatever stage they are of"
        raise TraceError(f"{trace.name}: recorded in a stage that the recipe does not have: {unknown}", hint=hint)
    return ["none of the trace's stages is the recipe's: its scores drive whatever stage is on, as they came"]


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


# ── what came of it ─────────────────────────────────────────────────────────────────────────────────────────────


def _spans(curriculum: StagedProgressiveCurriculum, played: _Played, *, censored: bool) -> tuple[StageSpan, ...]:
    entered: dict[int, int] = {played.start: 0}
    left: dict[int, int] = {}
    for decision in played.decisions:
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
            steps=left.get(index, curriculum.total_steps) - entered[index] if index in entered else 0,
            episodes=sum(counted[member.name] for member in stage.members),
            performance=None if stage.parallel else measured[stage.name],
            censored=censored and index == curriculum.current_stage,
        )
        for index, stage in enumerate(curriculum.stages)
    )
