"""`run`: what it says before there is anything to watch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stagectl.cli import run_command
from stagectl.runs import RunPaths


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe whose job is not really started."""
    monkeypatch.setattr("stagectl.launch.local.check", lambda recipe: None)
    monkeypatch.setattr("stagectl.launch.local.start", lambda recipe: RunPaths(tmp_path / "runs" / "the-run"))
    file = tmp_path / "r.yaml"
    file.write_text("trainer: {total_timesteps: 1}\ncurriculum: {stages: [a, b]}\n")
    return str(file)


def test_detach_prints_the_id_alone(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", recipe, "--detach"]) == 0
    assert capsys.readouterr() == ("the-run\n", "")


def test_detach_as_json_prints_an_object(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", recipe, "--detach", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "run": "the-run"}


def test_who_waits_at_a_terminal_is_told_what_for(
    recipe: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run_command(["run", recipe, "--detach"]) == 0
    assert capsys.readouterr() == ("the-run\n", "checking the recipe …\n")
