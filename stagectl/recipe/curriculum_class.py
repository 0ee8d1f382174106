"""From a recipe to the curriculum object, with the user's own class where the recipe names one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.errors import RecipeError, StagectlError, nearest
from stagectl.recipe.model import Recipe


def build_curriculum(recipe: Recipe) -> StagedProgressiveCurriculum:
    """The recipe's curriculum, at its start. Imports the module that `_target_` names, from the recipe's folder.

    Raises:
        RecipeError: The class cannot be imported, is no staged curriculum, or refuses its settings.
    """
    settings = {key: value for key, value in recipe.curriculum.items() if key != "_target_"}
    cls = _imported(recipe) if recipe.target else StagedProgressiveCurriculum
    try:
        return cls(**settings)
    except Exception as error:  # the class is the user's
        reason = str(error) if isinstance(error, StagectlError) else f"{type(error).__name__}: {error}"
        raise RecipeError(f"{recipe.name}: {cls.__name__} refuses the recipe's `curriculum:`: {reason}") from error


def import_from(folder: Path) -> None:
    """Let this process import what stands beside the recipe, as Python does for what stands beside a script."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _imported(recipe: Recipe) -> type[StagedProgressiveCurriculum]:
    module_name, _, class_name = str(recipe.target).rpartition(".")
    import_from(recipe.folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        hint = f"its file is looked up beside the recipe, in {recipe.folder}"
        raise RecipeError(f"curriculum._target_: cannot import {module_name}: {reason}", hint=hint) from error
    cls = getattr(module, class_name, None)
    if cls is None:
        close = nearest(class_name, [name for name in dir(module) if not name.startswith("_")])
        raise RecipeError(f"curriculum._target_: {module_name} has no {class_name}; {close}")
    if not (isinstance(cls, type) and issubclass(cls, StagedProgressiveCurriculum)):
        raise RecipeError(f"curriculum._target_: {recipe.target} is no subclass of StagedProgressiveCurriculum")
    return cls
