"""A sweep by the curriculum itself, one variant after the other: slow, and for everything that a recipe can say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stagectl.recipe import Recipe
from stagectl.simulate.axes import varied
from stagectl.simulate.exits import false_exits
from stagectl.simulate.replay import replay
from stagectl.simulate.simulation import check_scores, curriculum_for, notes_of
from stagectl.simulate.sweep import WINDOW, Axis, Sweep
from stagectl.traces import Trace


def sweep_by_core(
    recipe: Recipe,
    traces: Sequence[Trace],
    axes: Sequence[Axis],
    *,
    as_recorded: bool = False,
    window: int = WINDOW,
    progress: Callable[[int], None] = lambda rows: None,
) -> Sweep:
    """Replay every combination of the axes' values on every trace.

    Raises:
        RecipeError: A key or a value makes no sense in the recipe.
        TraceError: As `replay`.
    """
    names = [stage.name for stage in recipe.stages]
    sweep = Sweep.empty(axes, names, [trace.name for trace in traces], window, notes_of(traces))
    for trace in traces:
        check_scores(trace, recipe)
    for at, values in sweep.variants():
        variant = varied(recipe, values)
        for index, trace in enumerate(traces):
            curriculum = curriculum_for(variant, trace, as_recorded=as_recorded)
            budget = variant.trainer.total_timesteps
            timeline = replay(curriculum, trace, budget, as_recorded=as_recorded, progress=progress)
            place = (*at, index)
            sweep.finished[place] = timeline.finished
            for span in timeline.stages:
                if span.left is not None:
                    sweep.left[(*place, span.index)] = span.left
                    sweep.steps[(*place, span.index)] = span.steps
            fresh = curriculum_for(variant, trace, as_recorded=as_recorded)
            for stage, fell_back in false_exits(fresh, trace, timeline, window).items():
                sweep.judged[(*place, stage)] = True
                sweep.fell_back[(*place, stage)] = fell_back
    return sweep
