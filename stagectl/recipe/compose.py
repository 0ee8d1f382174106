"""From a recipe file to plain data: `defaults:` composed, overrides laid over, `${…}` resolved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stagectl.errors import Fault
from stagectl.recipe.defaults import composed
from stagectl.recipe.interpolation import interpolated
from stagectl.recipe.overrides import overridden
from stagectl.recipe.source import Source, read_source


def read_recipe_data(path: Path, overrides: Sequence[str] = ()) -> Source:
    """The file's data with everything resolved; places are those of the file.

    A file that is only a curriculum block counts as a recipe with nothing else.

    Raises:
        RecipeError: The file, an override, an entry of `defaults:` or an interpolation is wrong.
    """
    source = read_source(path)
    if "defaults" in source.data:
        source = composed(source, path)
    if "stages" in source.data and "curriculum" not in source.data:
        source = source.below("curriculum")
    source = _with_curriculum_file(source, path)
    for override in overrides:
        source = overridden(source, override)
    return interpolated(source)


def _with_curriculum_file(source: Source, path: Path) -> Source:
    """`trainer.curriculum: env/…/name` names a file with the curriculum block, as the seed's files do."""
    trainer = source.data.get("trainer")
    if not isinstance(trainer, dict) or "curriculum" not in trainer:
        return source
    named = trainer["curriculum"]
    if "curriculum" in source.data:
        message = "names a curriculum, but the recipe has a `curriculum:` block of its own; keep one of them"
        raise source.error(Fault(("trainer", "curriculum"), message))
    for folder in path.resolve().parents:
        file = folder / f"{str(named).strip('/')}.yaml"
        if file.is_file():
            block = read_source(file)
            rest = {key: value for key, value in trainer.items() if key != "curriculum"}
            places = {**source.places, **block.below("curriculum").places}
            return Source(source.name, {**source.data, "trainer": rest, "curriculum": block.data}, places)
    message = f"no folder above this file has {named}.yaml; the curriculum is looked up from there"
    raise source.error(Fault(("trainer", "curriculum"), message))
