"""One recipe on all traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as changed
from pathlib import Path

import numpy as np

from stagectl.curriculum import StagedProgressiveCurriculum, members_of
from stagectl.errors import TraceError
from stagectl.recipe import Recipe, build_curriculum
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate.recording import played_in
from stagectl.simulate.replay import replay
from stagectl.simulate.summary import Simulation, simulation_of
from stagectl.traces import Trace
from stagectl.traces.trace import Floats, Whole

DEFAULT_STAGES = 3
AS_RECORDED = (
    "as recorded: the scores drive whatever stage is on, as they came; that another stage would have given the same "
    "scores is assumed"
)
FEW_NAMES = 2  # which are written out
LATE, FEW_ROWS = 0.1, 20  # share of the steps before the first row, where there are more rows than a few


def simulate(
    traces: Sequence[Trace],
    recipe: Recipe,
    *,
    file: str | None = None,
    as_recorded: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> Simulation:
    """Replay every trace through a recipe's curriculum.

    Args:
        traces: At least one.
        recipe: Its step budget ends a replay as it ends training.
        file: The recipe's file, as it is to be named in the result; None: the defaults.
        as_recorded: Pass over the stages that the traces tell.
        progress: Told now and then how many more rows were played.

    Raises:
        TraceError: A trace was recorded in stages that the recipe does not have, or has no scores for a criterion.
        RecipeError: The recipe's class cannot be built, or fails.
    """
    timelines = []
    for trace in traces:
        check_scores(trace, recipe)
        curriculum = curriculum_for(recipe, trace, as_recorded=as_recorded)
        budget = recipe.trainer.total_timesteps
        timelines.append(replay(curriculum, trace, budget, as_recorded=as_recorded, progress=progress))
    notes = [*notes_of(traces), *outside(span_of(trace, recipe) for trace in traces)]
    if not all(timeline.aligned for timeline in timelines):
        notes.append(AS_RECORDED)
    return simulation_of(file, timelines, notes)


def notes_of(traces: Sequence[Trace]) -> list[str]:
    """What the readers have to say of the traces, and which of them begin late; what is so of several is told once."""
    of: dict[str, list[str]] = {}
    for trace in traces:
        for note in dict.fromkeys((*trace.notes, *late(trace.steps, len(trace)))):
            of.setdefault(note, []).append(trace.name)
    return [note if len(traces) == 1 else f"{_named(names)}: {note}" for note, names in of.items()]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= FEW_NAMES else f"{names[0]} and {len(names) - 1} more"


def late(steps: Whole | Sequence[int], rows: int) -> list[str]:
    """A note where nothing was recorded for a good part of the steps, of which the first and the last are looked at."""
    if rows < FEW_ROWS or steps[0] <= LATE * steps[-1]:
        return []
    return [f"the recording begins at step {steps[0]:,}; the steps before it count for the first stage"]


def span_of(trace: Trace, recipe: Recipe) -> tuple[float, float]:
    """The extent of the scores that the recipe takes to be from 0 to 1."""
    bounded = {stage.name: stage.score.bounded for _, stage in members_of(recipe.stages)}
    scores = trace.scores
    if trace.stage_codes is not None:
        told = [bounded.get(name, False) for name in trace.stage_names]
        scores = scores[np.array([*told, any(bounded.values())])[trace.stage_codes]]  # the last is for -1, of none
    elif not any(bounded.values()):
        scores = scores[:0]
    return extent(scores)


def extent(scores: Floats) -> tuple[float, float]:
    """The least and the greatest; infinite, crosswise, without any."""
    return float(np.fmin.reduce(scores, initial=np.inf)), float(np.fmax.reduce(scores, initial=-np.inf))


def outside(spans: Iterable[tuple[float, float]]) -> list[str]:
    """A note where scores are not what the recipe takes them for, as where they are returns and no successes."""
    least, greatest = zip(*spans, strict=True)
    low, high = min(least), max(greatest)
    if low >= 0 and high <= 1:
        return []
    mend = "say `score: return` in the recipe; a table's can be scaled by --score-range LOW:HIGH"
    return [f"scores go from {low:g} to {high:g}, where the recipe takes them to be from 0 to 1: {mend}"]


def check_scores(trace: Trace, recipe: Recipe) -> None:
    """Refuse a trace without any score where the first stage is left by its performance."""
    stage = recipe.stages[0]
    needs = stage.transition_criteria in ("performance", "both") and stage.advance_when is None
    if needs and bool(np.isnan(trace.scores).all()):
        hint = "name the column of scores: --score-column NAME"
        raise TraceError(f"{trace.name}: has no score, and stage '{stage.name}' is left by its performance", hint=hint)


def curriculum_for(recipe: Recipe, trace: Trace, *, as_recorded: bool = False) -> StagedProgressiveCurriculum:
    """A recipe's curriculum at its start; where it names none, in the stage in which the recording began."""
    begun = None if as_recorded or recipe.curriculum.get("start") else trace.start
    if begun in [stage.name for stage in recipe.stages[1:]]:
        recipe = changed(recipe, curriculum={**recipe.curriculum, "start": begun})
    return build_curriculum(recipe)


def default_recipe(traces: Iterable[Trace], stages: int | None = None) -> Recipe:
    """The document's defaults, over the traces' own stages, else over that many (three, as in the document)."""
    told = [name for trace in traces for name in played_in(trace)]
    names = list(dict.fromkeys(told)) or [f"stage_{index}" for index in range(stages or DEFAULT_STAGES)]
    curriculum = {"stages": [{"name": name, "curriculum": name} for name in names]}
    return recipe_from_data({"curriculum": curriculum}, name="defaults", folder=Path.cwd())
