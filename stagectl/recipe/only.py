"""One stage of a recipe alone: what training without the curriculum comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stagectl.curriculum.stages import END
from stagectl.errors import RecipeError, nearest
from stagectl.recipe.model import Recipe, recipe_from_data

OF_OTHERS = ("demote", "rehearse", "max_visits")  # what speaks of other stages
OWN_WORDS = ("transition_criteria", "performance_threshold", "time_threshold_steps", "advance_when")


def only_stage(recipe: Recipe, name: str) -> Recipe:
    """The recipe with that stage alone, which ends by the same criterion as it does among the others.

    Raises:
        RecipeError: No stage has that name.
    """
    names = [stage.name for stage in recipe.stages]
    if name not in names:
        raise RecipeError(f"{recipe.name}: no stage is named '{name}'; {nearest(name, names)}")
    stage = recipe.stages[names.index(name)]
    written = recipe.curriculum["stages"][names.index(name)]
    entry: dict[str, Any] = {"curriculum": written} if isinstance(written, str) else dict(written)
    entry = {key: value for key, value in entry.items() if key not in OF_OTHERS}
    if stage.next:
        entry["next"] = [{**edge, "to": END} for edge in entry["next"]]
    elif not stage.parallel and not any(word in entry for word in OWN_WORDS):
        own = {"advance_when": stage.advance_when} if stage.advance_when else {}
        entry.update(own or {"transition_criteria": stage.transition_criteria} if stage.transition_criteria else {})
    if stage.goto:
        entry["on_timeout"] = "advance"  # where it would go to is not there; it is over
    shared = {key: value for key, value in recipe.curriculum.items() if key not in ("stages", "start")}
    data = {**recipe.to_data(), "curriculum": {**shared, "stages": [entry]}}
    return replace(recipe_from_data(data, name=f"{recipe.name}-{name}", folder=recipe.folder), source=recipe.source)
