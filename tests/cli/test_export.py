"""`export --to`: the file is whole, or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import stagectl
from stagectl.cli import run_command
from stagectl.runs import RunPaths


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A run with two episodes."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("run: told\ntrainer: {command: [none], total_timesteps: 20}\ncurriculum: {stages: [a, b]}\n")
    with stagectl.attach(recipe) as session:
        for step in (10, 20):
            session.curriculum.get_task().complete(1.0)
            session.update_step_count(step)
    return session.paths


@pytest.fixture
def before(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "trace.csv"
    file.write_text("what was there\n")
    return file


def test_a_trace_replaces_what_was_there(run: RunPaths, before: Path) -> None:
    assert run_command(["export", "told", "--to", str(before)]) == 0
    assert before.read_text() == "step,stage,score\n10,a,1.0\n20,a,1.0\n"
    assert list(before.parent.iterdir()) == [before]


def test_a_link_stays_a_link_to_the_file_that_is_written(run: RunPaths, before: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(before)
    assert run_command(["export", "told", "--to", str(link)]) == 0
    assert link.is_symlink()
    assert before.read_text().startswith("step,stage,score\n")


def test_a_damaged_log_leaves_what_was_there(run: RunPaths, before: Path) -> None:
    with run.events.open("a") as log:
        log.write("damage\n")
    assert run_command(["export", "told", "--to", str(before)]) == 7
    assert before.read_text() == "what was there\n"
    assert list(before.parent.iterdir()) == [before]


def test_a_run_without_episodes_leaves_no_file(run: RunPaths, tmp_path: Path) -> None:
    first = run.events.read_text().splitlines(keepends=True)[0]
    run.events.write_text(first)
    assert run_command(["export", "told", "--to", str(tmp_path / "new.csv")]) == 2
    assert not (tmp_path / "new.csv").exists()


def test_a_device_is_written_to_and_stays_a_device(run: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "told", "--to", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_a_folder_that_is_not_there_is_said(run: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "told", "--to", str(tmp_path / "no" / "trace.csv")]) == 8
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
