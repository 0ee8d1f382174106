"""`stagectl validate`: what it finds, and what it says it has not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.cli import run_command

NO_SUCH = "NoSuch-Environment-v0"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "r.yaml"
    file.write_text(f"trainer: {{total_timesteps: 1000}}\ncurriculum:\n  stages: [CartPole-v1, {NO_SUCH}]\n")
    return file


def test_what_is_not_imported_is_said_not_to_be_looked_at(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["validate", str(recipe)]) == 0
    fine, rest = capsys.readouterr().err.splitlines()
    assert fine == f"{recipe} is fine: 2 stages, CartPole-v1, {NO_SUCH}"
    assert rest == "what it names was not imported: whether the environments are there, --import tells"


def test_an_environment_that_is_not_there_is_found_by_import_with_its_place(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["validate", str(recipe), "--import"]) == 2
    said = capsys.readouterr().err
    assert f"{recipe}:3:" in said
    assert NO_SUCH in said


def test_all_that_is_wrong_is_told_with_its_place_and_the_nearest_known(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text("trainer: {total_timesteps: many}\ncurriculum: {stages: [a], performance_treshold: 0.5}\n")
    assert run_command(["validate", str(recipe)]) == 2
    said = capsys.readouterr().err
    assert f"{recipe}:1:" in said
    assert f"{recipe}:2:" in said
    assert "performance_threshold" in said
