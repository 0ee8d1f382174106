"""The recipes in recipes/ideas: each says its idea, and the bundled trainer can run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.recipe import import_from, load_recipe
from stagectl.trainers.sb3 import check

IDEAS = sorted((Path(__file__).parents[2] / "recipes" / "ideas").glob("*.yaml"))


@pytest.mark.parametrize("file", IDEAS, ids=lambda file: file.stem)
def test_the_recipe_says_its_idea_and_can_be_trained(file: Path) -> None:
    assert file.read_text().startswith("# Idea: ")
    import_from(file.parent)
    assert check(load_recipe(file)) == []
