"""One stage of a recipe alone: what training without the curriculum comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stagectl.curriculum.config import SAYS_WHEN
from stagectl.curriculum.stages import END, Stage
from stagectl.curriculum.ways import no_such_stage
from stagectl.errors import RecipeError
from stagectl.recipe.model import Recipe, recipe_from_data

OF_OTHERS = ("demote", "rehearse", "max_visits")  # what speaks of other stages


def only_stage(recipe: Recipe, name: str) -> Recipe:
    """The recipe with that stage alone, which ends by the same criterion as it does among the others.

    Raises:
        RecipeError: No stage has that name.
    """
    names = [stage.name for stage in recipe.stages]
    if name not in names:
        raise RecipeError(f"{recipe.name}: {no_such_stage(recipe.stages, name)}")
    stage = recipe.stages[names.index(name)]
    written = recipe.curriculum["stages"][names.index(name)]
    entry: dict[str, Any] = {"curriculum": written} if isinstance(written, str) else dict(written)
    entry = {key: value for key, value in entry.items() if key not in OF_OTHERS}
    if stage.next:
        by_criterion = {edge.get("when"): {**edge, "to": END} for edge in entry["next"]}
        entry["next"] = list(by_criterion.values())
    elif stage.transition_criteria is not None and not SAYS_WHEN & set(entry):
        entry.update(_criterion(stage))
    if stage.goto:
        entry["on_timeout"] = "advance"  # where it would go to is not there; it is over
    of_all = ("stages", "start") if stage.max_steps is not None else ("stages", "start", "on_timeout")
    shared = {key: value for key, value in recipe.curriculum.items() if key not in of_all}
    data = {**recipe.to_data(), "curriculum": {**shared, "stages": [entry]}}
    return replace(recipe_from_data(data, name=f"{recipe.name}-{name}", folder=recipe.folder), source=recipe.source)


def _criterion(stage: Stage) -> dict[str, Any]:
    """What says when the stage ends, though it would be the last."""
    if stage.parallel:
        return {"done": stage.done}
    return (
        {"advance_when": stage.advance_when}
        if stage.advance_when
        else {"transition_criteria": stage.transition_criteria}
    )
