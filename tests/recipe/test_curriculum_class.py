"""The user's own curriculum class, which stands beside the recipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagectl.errors import RecipeError
from stagectl.recipe import build_curriculum, load_recipe

MODULE = """
from stagectl import StagedProgressiveCurriculum
class Patient(StagedProgressiveCurriculum):
    def __init__(self, patience, **settings):
        super().__init__(**settings)
        self.patience = patience
class Stranger:
    pass
class Broken(StagedProgressiveCurriculum):
    def __init__(self, **settings):
        raise KeyError("nothing there")
a_function = len
"""


@pytest.fixture(autouse=True)
def _modules_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("tested_"):
            del sys.modules[name]


def recipe_with(tmp_path: Path, target: str, extra: str = "") -> Path:
    (tmp_path / "tested_curricula.py").write_text(MODULE)
    (tmp_path / "tested_broken.py").write_text("import no_such_module_at_all\n")
    file = tmp_path / "r.yaml"
    file.write_text(f"trainer: {{total_timesteps: 1}}\ncurriculum: {{_target_: {target}, stages: [a, b]{extra}}}\n")
    return file


def test_a_class_beside_the_recipe_gets_the_blocks_settings_and_its_own(tmp_path: Path) -> None:
    curriculum = build_curriculum(load_recipe(recipe_with(tmp_path, "tested_curricula.Patient", ", patience: 3")))
    assert type(curriculum).__name__ == "Patient"
    assert curriculum.patience == 3  # type: ignore[attr-defined]
    assert [stage.name for stage in curriculum.stages] == ["a", "b"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tested_nosuch.Patient", "cannot import tested_nosuch: ModuleNotFoundError"),
        ("tested_broken.Patient", "cannot import tested_broken: ModuleNotFoundError: No module named 'no_such"),
        ("tested_curricula.Pateint", "has no Pateint; did you mean 'Patient'?"),
        ("tested_curricula.Stranger", "is no subclass of StagedProgressiveCurriculum"),
        ("tested_curricula.a_function", "is no subclass of StagedProgressiveCurriculum"),
        ("os.system", "is no subclass of StagedProgressiveCurriculum"),
        ("tested_curricula.Patient", "Patient refuses the recipe's `curriculum:`"),
        ("tested_curricula.Broken", "Broken refuses the recipe's `curriculum:`: KeyError: 'nothing there'"),
    ],
)
def test_a_class_that_cannot_serve_is_refused_in_one_line(tmp_path: Path, target: str, said: str) -> None:
    recipe = load_recipe(recipe_with(tmp_path, target))
    with pytest.raises(RecipeError) as raised:
        build_curriculum(recipe)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_setting_that_no_class_takes_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_with(tmp_path, "tested_curricula.Patient", ", patience: 1, whatever: 2"))
    with pytest.raises(RecipeError, match="whatever"):
        build_curriculum(recipe)
