"""What a run keeps of its recipe reads back as the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import RecipeError
from stagectl.recipe import Recipe, load_recipe, read_resolved, write_resolved
from stagectl.recipe.model import recipe_from_data
from stagectl.recipe.source import parse_source

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes").rglob("*.yaml"))
TESTED = [*sorted((ROOT / "tests" / "data" / "recipes").glob("*.yaml"))]
COMPOSED = ROOT / "tests" / "data" / "metta_configs" / "user" / "staged_progressive_example.yaml"


def there_and_back(recipe: Recipe, folder: Path) -> Recipe:
    file = folder / "resolved.yaml"
    file.write_text(write_resolved(recipe))
    return read_resolved(file, folder=recipe.folder)


@pytest.mark.parametrize("file", [*SHIPPED, *TESTED, COMPOSED], ids=lambda file: str(file.relative_to(ROOT)))
def test_a_resolved_recipe_reads_back_equal(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    again = there_and_back(recipe, tmp_path)
    assert replace(again, name=recipe.name) == recipe
    assert write_resolved(again) == write_resolved(recipe)


def test_a_resolved_recipe_is_named_after_its_run(tmp_path: Path) -> None:
    recipe = load_recipe(ROOT / "tests" / "data" / "recipes" / "whole.yaml")
    assert there_and_back(recipe, tmp_path).name == "tester.whole"


texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=8),
    st.sampled_from(
        ["1e6", "3e-4", "1_000", "on", "null", "~", "2001-01-01", "0x10", "1:30", "=", "<<", "- a", "#", "12e4"]
    ),
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(texts, below, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(texts, values, max_size=3), st.lists(texts.filter(str.strip), max_size=3))
def test_any_environment_settings_and_tags_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, overrides: dict[str, Any], tags: list[str]
) -> None:
    data = {
        "trainer": {"total_timesteps": 1},
        "curriculum": {"stages": ["a", "b"], "env_overrides": overrides},
        "wandb": {"tags": tags},
    }
    recipe = recipe_from_data(data, name="resolved", folder=Path("/"))
    again = there_and_back(recipe, tmp_path_factory.mktemp("resolved"))
    assert again == recipe


@given(values)
def test_what_json_writes_is_read_as_it_was_meant(value: Any) -> None:
    """YAML is read as people write it by hand; quoted text stays text, numbers stay numbers."""
    assert parse_source(json.dumps({"a": value}, ensure_ascii=False), "r.yaml").data == {"a": value}


def test_a_resolved_recipe_is_plain_yaml_for_everybody() -> None:
    recipe = load_recipe(ROOT / "tests" / "data" / "recipes" / "whole.yaml")
    data = yaml.safe_load(write_resolved(recipe))
    assert data["run"] == "tester.whole"
    assert data["curriculum"]["stages"][0]["name"] == "navigation"
    assert "${" not in write_resolved(recipe)


def test_a_damaged_resolved_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("trainer: {total_timesteps: 1}\n")
    with pytest.raises(RecipeError, match="there is no `curriculum:`"):
        read_resolved(tmp_path / "recipe.yaml", folder=tmp_path)


@pytest.mark.parametrize(("written", "kept"), [("all", None), ("null", None), ("3", 3)])
def test_how_many_checkpoints_are_kept_survives(tmp_path: Path, written: str, kept: int | None) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(f"trainer: {{keep_checkpoints: {written}}}\ncurriculum: {{stages: [a]}}\n")
    recipe = load_recipe(file)
    assert recipe.trainer.keep_checkpoints == kept
    file.write_text(write_resolved(recipe))
    assert read_resolved(file, folder=tmp_path).trainer.keep_checkpoints == kept
