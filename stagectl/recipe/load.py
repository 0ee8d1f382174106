"""Recipes from their files, and the resolved recipe that a run keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stagectl.errors import CurriculumError
from stagectl.recipe.compose import read_recipe_data
from stagectl.recipe.model import Recipe, recipe_from_data
from stagectl.recipe.overrides import overridden
from stagectl.recipe.source import read_source, write_source


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, with `KEY=VALUE` overrides laid over it.

    Raises:
        RecipeError: Everything that is wrong, each with file, line and column.
    """
    source = read_recipe_data(path, overrides)
    own_keys = {str(path[0]) for path in source.places if path}
    try:
        recipe = recipe_from_data(source.data, name=path.stem, folder=path.resolve().parent, own_keys=own_keys)
    except CurriculumError as error:
        raise source.error(*error.faults) from None
    return replace(recipe, source=source)


def write_resolved(recipe: Recipe) -> str:
    """The recipe as YAML with everything resolved: what a run keeps, and reads back by `read_resolved`."""
    return write_source(recipe.to_data())


def read_resolved(path: Path, *, folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that a run keeps. `folder` is where the recipe's own modules and scripts are.

    Raises:
        RecipeError: The file is not what `write_resolved` wrote, or what is laid over it is wrong.
    """
    source = read_source(path)
    for override in overrides:
        source = overridden(source, override)
    try:
        recipe = recipe_from_data(source.data, name=path.stem, folder=folder)
    except CurriculumError as error:
        raise source.error(*error.faults) from None
    return replace(recipe, name=recipe.run or recipe.name)
