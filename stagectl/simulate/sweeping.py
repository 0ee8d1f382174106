"""A sweep: every variant of a recipe on the same traces, compiled where that is worth it and the recipe is plain."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stagectl.curriculum.numbers import LARGEST_SCORE
from stagectl.recipe import Recipe
from stagectl.simulate.axes import untouched
from stagectl.simulate.courses import courses_of
from stagectl.simulate.grid import THRESHOLD, NotPlainError, grid_of
from stagectl.simulate.replay import is_aligned
from stagectl.simulate.simulation import check_scores, curriculum_for, notes_of
from stagectl.simulate.sweep import WINDOW, Axis, Floats, Sweep
from stagectl.simulate.together import Places
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Trace

MEMORY = 2**31  # bytes for the walks that threads hold at once
WALK = 16  # bytes a boundary
WORTHWHILE = 5_000_000  # rows of all variants together, from which on loading the compiled sweep takes less time


def sweep(
    recipe: Recipe,
    traces: Sequence[Trace],
    axes: Sequence[Axis],
    *,
    as_recorded: bool = False,
    window: int = WINDOW,
    progress: Callable[[int], None] = lambda rows: None,
) -> Sweep:
    """What every combination of the axes' values comes to on every trace: the same, however it is worked out.

    Args:
        recipe: What is varied.
        traces: At least one.
        axes: At least one.
        as_recorded: Pass over the stages that the traces tell.
        window: Episodes after an exit that judge it.
        progress: Told now and then how many more rows were played, of all variants' together.

    Raises:
        RecipeError: A key or a value makes no sense in the recipe.
        TraceError: As `replay`.
    """
    variants = int(np.prod([len(axis.values) for axis in axes]))
    told = untouched(recipe, axes)
    if variants * sum(map(len, traces)) >= WORTHWHILE:
        try:
            swept = sweep_compiled(recipe, traces, axes, as_recorded=as_recorded, window=window, progress=progress)
            return swept.noted(*told)
        except NotPlainError as reason:
            told.append(f"each variant was played by itself: {reason}")
    swept = sweep_by_core(recipe, traces, axes, as_recorded=as_recorded, window=window, progress=progress)
    return swept.noted(*told)


def sweep_compiled(
    recipe: Recipe,
    traces: Sequence[Trace],
    axes: Sequence[Axis],
    *,
    as_recorded: bool = False,
    window: int = WINDOW,
    progress: Callable[[int], None] = lambda rows: None,
) -> Sweep:
    """The sweep of a plain recipe, compiled.

    Raises:
        NotPlainError: It cannot be; in words.
    """
    grid = grid_of(recipe, axes)
    for trace in traces:
        _check(recipe, trace, as_recorded=as_recorded)
    if importlib.util.find_spec("numba") is None:
        raise NotPlainError("numba is missing, with which this is much faster: pip install 'stagectl[simulate]'")
    names = [stage.name for stage in recipe.stages]
    swept = Sweep.empty(axes, names, [trace.name for trace in traces], window, notes_of(traces))
    for index, trace in enumerate(traces):
        check_scores(trace, recipe)
        _fill(swept, index, recipe, trace, grid, as_recorded=as_recorded, progress=progress)
    return swept


def _check(recipe: Recipe, trace: Trace, *, as_recorded: bool) -> None:
    curriculum = curriculum_for(recipe, trace, as_recorded=as_recorded)
    if curriculum.decides_itself:
        raise NotPlainError(f"{type(curriculum).__name__} decides itself")
    if trace.advances:
        raise NotPlainError(f"somebody sent the run of {trace.name} to another stage")
    if len(trace) and not np.nanmax(np.abs(trace.scores), initial=0.0) <= LARGEST_SCORE:
        raise NotPlainError(f"{trace.name} has scores that are too large")


def _fill(
    swept: Sweep,
    index: int,
    recipe: Recipe,
    trace: Trace,
    grid: Floats,
    *,
    as_recorded: bool,
    progress: Callable[[int], None],
) -> None:
    """Play every variant on one trace."""
    from stagectl.simulate.chain import Chain
    from stagectl.simulate.compiled import BY_PERFORMANCE, OPEN

    curriculum = curriculum_for(recipe, trace, as_recorded=as_recorded)
    aligned = is_aligned(curriculum, trace, as_recorded=as_recorded)
    courses = courses_of(curriculum, trace, aligned=aligned)
    shape = grid.shape[:-2]
    variants = grid.reshape(-1, *grid.shape[-2:])
    chain = Chain(variants, courses, curriculum.current_stage, recipe.trainer.total_timesteps)

    def play(group: Places) -> None:
        chain.play(group)
        progress(len(group) * len(trace))

    largest = max((len(course.scored) for course in courses if course is not None), default=0)
    with ThreadPoolExecutor(threads_for(largest)) as threads:
        list(threads.map(play, chain.groups()))
    judged, fell_back = (np.zeros(chain.left.shape, np.bool_) for _ in range(2))
    for stage, course in enumerate(courses):
        at = np.flatnonzero(chain.reasons[:, stage] == BY_PERFORMANCE)
        if course is not None and len(at):
            exits = chain.left[at, stage] - (chain.entered[at, stage] if course.restarts else 0)
            found = course.judges.fell_back(exits, variants[at, stage, THRESHOLD], swept.window)
            judged[at, stage], fell_back[at, stage] = found
    was_left = chain.reasons != OPEN
    steps = chain.left - chain.entered
    swept.left[..., index, :] = np.where(was_left, chain.left, np.nan).reshape(*shape, -1)
    swept.steps[..., index, :] = np.where(was_left, steps, np.nan).reshape(*shape, -1)
    swept.judged[..., index, :] = judged.reshape(*shape, -1)
    swept.fell_back[..., index, :] = fell_back.reshape(*shape, -1)
    swept.finished[..., index] = chain.finished().reshape(shape)


def threads_for(boundaries: int) -> int:
    """As many as there are processors; fewer where a walk over so many boundaries is long."""
    return max(1, min(os.cpu_count() or 1, MEMORY // max(1, WALK * boundaries)))
