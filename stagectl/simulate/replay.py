"""Replay: the same curriculum that decides in training, fed with what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.errors import RecipeError, StagectlError, TraceError
from stagectl.simulate.aligned import Aligned, can_be_left
from stagectl.simulate.parts import boundaries_in_parts
from stagectl.simulate.recording import played_in
from stagectl.simulate.story import Story
from stagectl.simulate.timeline import Timeline
from stagectl.traces import Row, Trace

PROGRESS_ROWS = 20_000


def replay(
    curriculum: StagedProgressiveCurriculum,
    trace: Trace,
    budget: int | None = None,
    *,
    as_recorded: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
    before: Callable[[int], None] = lambda step: None,
    see: int | None = None,
    more: Iterable[Trace] | None = None,
) -> Timeline:
    """What the curriculum would have decided on the trace, deciding once after all rows of equal step.

    Aligned, where the trace tells the recipe's stages: a simulated visit to a stage sees what was recorded in the
    visit of the same number, at the same steps since its entry. What was recorded after the step at which it is left
    is left out; where nothing more was recorded, the timeline ends, and the stage is censored. As recorded: the
    scores drive whatever stage is on, as they came. The step that reaches `budget` is the last, as in training.

    Args:
        curriculum: At its start; it is played.
        trace: What was recorded.
        budget: Total steps.
        as_recorded: Pass over the stages that the trace tells.
        progress: Told now and then how many more rows were played.
        before: Told the step of each boundary that is not passed over, when its rows are told and nothing is decided.
        see: A step; the last boundary up to it is not passed over.
        more: What was recorded after the trace, in parts of which one at a time is held (`read_batches`); then it is
            as recorded.

    Raises:
        TraceError: Some of the trace's stages are the curriculum's, and some are not.
        RecipeError: The curriculum is of a user's class, and that raised.
    """
    as_recorded = as_recorded or more is not None
    passed_over = [] if as_recorded else _check_stages(curriculum, trace)
    aligned = Aligned(curriculum, trace) if trace.stage_names and not passed_over and not as_recorded else None
    notes = aligned.notes if aligned else passed_over
    story = Story(curriculum)
    curriculum.decide_between_steps()
    spent = False
    untold = told = 0
    if aligned:
        played = aligned.boundaries(story, budget, see)
    else:
        played = boundaries_in_parts(curriculum, chain([trace], more or ()), story, budget, see)
    for step, rows in played:
        with _users_class(curriculum, step):
            for row in rows:
                _tell(curriculum, row, told=aligned is not None)
            before(step)
            decision = curriculum.update_step_count(step)
        story.add(decision, has_scores=any(row.score is not None for row in rows))
        untold += len(rows)
        if untold >= PROGRESS_ROWS:
            progress(untold)
            told, untold = told + untold, 0
        spent = budget is not None and step >= budget
        if spent or curriculum.end is not None:
            break
    progress(max(len(trace) - told, 0))  # what was passed over, or is left out, is done too
    censored = can_be_left(curriculum) and not spent and curriculum.end is None
    return Timeline(
        stages=story.spans(censored=censored),
        decisions=tuple(story.decisions),
        total_steps=curriculum.total_steps,
        total_episodes=curriculum.total_episodes,
        notes=(*notes, *story.notes(censored=censored)),
        budget_spent=spent,
        trace=trace.name,
        aligned=aligned is not None,
        curves=story.curves(),
        finished=curriculum.end.outcome == "completed" if curriculum.end else not can_be_left(curriculum),
        differs_from=aligned.differs_from if aligned else None,
    )


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


def is_aligned(curriculum: StagedProgressiveCurriculum, trace: Trace, *, as_recorded: bool) -> bool:
    """Whether `replay` is aligned. Raises TraceError as that does."""
    return bool(trace.stage_names) and not as_recorded and not _check_stages(curriculum, trace)


def _check_stages(curriculum: StagedProgressiveCurriculum, trace: Trace) -> list[str]:
    known = {stage.name for stage in (*curriculum.stages, *curriculum.played)}
    recorded = set(played_in(trace))
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
