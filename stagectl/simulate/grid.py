"""The criteria of every variant of a plain recipe, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from stagectl.curriculum.stages import Stage
from stagectl.errors import RecipeError
from stagectl.recipe import Recipe
from stagectl.simulate.axes import varied
from stagectl.simulate.kernel import why_not_plain
from stagectl.simulate.sweep import Axis
from stagectl.traces.trace import Floats

NEVER = 1 << 62  # steps
KINDS = (None, "performance", "time", "both", "either")
KIND, THRESHOLD, SMOOTHING, LEAST_EPISODES, TIME_STEPS, MOST_STEPS, GOES_ON = range(7)
KEYS = frozenset(
    (
        *("transition_criteria", "performance_threshold", "transition_smoothing", "min_episodes"),
        *("time_threshold_steps", "max_steps", "on_timeout"),
    )
)


class NotPlainError(Exception):
    """What keeps a recipe's variants from being told in numbers, in words."""


def grid_of(recipe: Recipe, axes: Sequence[Axis]) -> Floats:
    """(*axes, stages, 7): what the constants above name, of each stage of each variant.

    Raises:
        NotPlainError: A stage has more than these numbers.
        RecipeError: A key or a value makes no sense in the recipe.
    """
    other = next((axis.key for axis in axes if axis.key.rpartition(".")[2] not in KEYS), None)
    if other is not None:
        raise NotPlainError(f"it varies {other}")
    base = _numbers(recipe.stages)
    shape = tuple(len(axis.values) for axis in axes)
    try:
        alone = [[_numbers(varied(recipe, {axis.key: value}).stages) for value in axis.values] for axis in axes]
    except RecipeError:  # a value may make sense only beside one of another axis
        return _one_by_one(recipe, axes, shape)
    changed = [np.any(np.array(tables) != base, axis=0) for tables in alone]
    if any((one & other).any() for one, other in combinations(changed, 2)):
        return _one_by_one(recipe, axes, shape)
    grid = np.broadcast_to(base, (*shape, *base.shape)).copy()
    for at, (tables, cells) in enumerate(zip(alone, changed, strict=True)):
        place = [1] * len(axes)
        place[at] = len(tables)
        grid[..., cells] = np.array(tables)[:, cells].reshape(*place, -1)
    return grid


def _one_by_one(recipe: Recipe, axes: Sequence[Axis], shape: tuple[int, ...]) -> Floats:
    """Where two axes say something of the same number."""
    keys = [axis.key for axis in axes]
    variants = product(*(axis.values for axis in axes))
    tables = [_numbers(varied(recipe, dict(zip(keys, values, strict=True))).stages) for values in variants]
    return np.array(tables).reshape(*shape, *tables[0].shape)


def _numbers(stages: Sequence[Stage]) -> Floats:
    for stage in stages:
        reason = why_not_plain(stage)
        if reason is not None:
            raise NotPlainError(reason)
        if stage.on_timeout == "goto" or stage.max_visits is not None:
            raise NotPlainError(f"stage '{stage.name}' may be entered again, or not at all")
    return np.array(
        [
            (
                KINDS.index(stage.transition_criteria),
                stage.performance_threshold,
                stage.transition_smoothing,
                stage.min_episodes,
                stage.time_threshold_steps,
                NEVER if stage.max_steps is None else stage.max_steps,
                stage.on_timeout == "advance",
            )
            for stage in stages
        ],
        np.float64,
    )
