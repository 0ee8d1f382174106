"""One recipe on all traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as changed

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.recipe import Recipe, build_curriculum
from stagectl.simulate.replay import replay
from stagectl.simulate.summary import Simulation, simulation_of
from stagectl.traces import Trace

DEFAULT_STAGES = 3


def simulate(
    traces: Sequence[Trace],
    recipe: Recipe | None = None,
    *,
    file: str | None = None,
    stages: int | None = None,
    as_recorded: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> Simulation:
    """Replay every trace through a recipe's curriculum, or through the document's defaults over so many stages.

    Args:
        traces: At least one.
        recipe: None: the defaults, over the traces' own stages where they tell any.
        file: The recipe's file, as it is to be named in the result.
        stages: How many stages, without a recipe.
        as_recorded: Pass over the stages that the traces tell.
        progress: Told now and then how many more rows were played.

    Raises:
        TraceError: A trace was recorded in stages that the recipe does not have.
        RecipeError: The recipe's class cannot be built, or fails.
    """
    budget = recipe.trainer.total_timesteps if recipe else None
    timelines = []
    for trace in traces:
        if recipe is None:
            curriculum = default_curriculum(traces, stages)
        else:
            curriculum = curriculum_for(recipe, trace, as_recorded=as_recorded)
        timelines.append(replay(curriculum, trace, budget, as_recorded=as_recorded, progress=progress))
    notes = [note if len(traces) == 1 else f"{trace.name}: {note}" for trace in traces for note in trace.notes]
    if not all(timeline.aligned for timeline in timelines):
        notes.append(
            "as recorded: the scores drive whatever stage is on, as they came; that another stage would have given the "
            "same scores is assumed"
        )
    return simulation_of(file, timelines, notes)


def curriculum_for(recipe: Recipe, trace: Trace, *, as_recorded: bool = False) -> StagedProgressiveCurriculum:
    """A recipe's curriculum at its start; where it names none, in the stage in which the recording began."""
    begun = None if as_recorded or recipe.curriculum.get("start") else trace.start
    if begun in [stage.name for stage in recipe.stages[1:]]:
        recipe = changed(recipe, curriculum={**recipe.curriculum, "start": begun})
    return build_curriculum(recipe)


def default_curriculum(traces: Sequence[Trace], stages: int | None = None) -> StagedProgressiveCurriculum:
    """The document's defaults, over the traces' own stages, else over that many (three, as in the document)."""
    told = [name for trace in traces for name in trace.stage_names]
    names = list(dict.fromkeys(told)) or [f"stage_{index}" for index in range(stages or DEFAULT_STAGES)]
    return StagedProgressiveCurriculum([{"name": name, "curriculum": name} for name in names])
