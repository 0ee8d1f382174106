"""`simulate`: its output is the result alone, and a user's class is the user's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagectl.cli import run_command

CLASS = """
from stagectl import StagedProgressiveCurriculum
print("loaded")
class Loud(StagedProgressiveCurriculum):
    def _should_transition_to_next_stage(self):
        print("asked")
        return {answer}
"""


@pytest.fixture(autouse=True)
def _modules_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("tested_loud", None)


def simulate(folder: Path, answer: str) -> int:
    (folder / "tested_loud.py").write_text(CLASS.format(answer=answer))
    (folder / "trace.csv").write_text("step,score\n10,1\n20,1\n30,1\n")
    (folder / "r.yaml").write_text(
        "trainer: {total_timesteps: 20}\ncurriculum: {_target_: tested_loud.Loud, stages: [a, b], min_episodes: 1}\n"
    )
    return run_command(["simulate", str(folder / "trace.csv"), "--recipe", str(folder / "r.yaml"), "-o", "json"])


def test_what_a_users_class_prints_is_no_part_of_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(tmp_path, "False") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["transitions"] == []
    assert err.startswith("loaded\nasked\n")


def test_what_a_users_class_raises_is_an_error_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path, "1 / 0") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["message"]) == (
        "recipe",
        "Loud failed at step 10: ZeroDivisionError: division by zero",
    )


def test_the_recipes_step_budget_ends_the_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(tmp_path, "False") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["total_steps"], data["budget_spent"]) == (20, True)
