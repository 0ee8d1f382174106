"""`export --to`: the file is whole, or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import stagectl
from stagectl.cli import run_command
from stagectl.runs import RunPaths
from stagectl.traces import Columns, read_run, read_traces


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
    assert before.read_text() == "step,stage,score\n0,a,\n10,a,1.0\n20,a,1.0\n"
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


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet", "no-suffix"])
def test_the_name_tells_the_format_and_every_format_is_read_back(run: RunPaths, tmp_path: Path, name: str) -> None:
    assert run_command(["export", "told", "--to", str(tmp_path / name)]) == 0
    (written,) = read_traces([str(tmp_path / name)])
    assert list(written.rows()) == list(read_run("told", run.events).rows())


def test_a_name_of_another_kind_of_table_is_refused(
    run: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["export", "told", "--to", str(tmp_path / "t.xlsx")]) == 2
    assert "end its name in .csv" in capsys.readouterr().err
    assert not (tmp_path / "t.xlsx").exists()


def test_a_run_that_logged_metrics_and_finished_no_episode_is_exported(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    stages = "[{curriculum: a, advance_when: 'metric(\"m\") >= 1'}, b]"
    recipe.write_text(f"run: metered\ntrainer: {{command: [none]}}\ncurriculum: {{stages: {stages}}}\n")
    with stagectl.attach(recipe) as session:
        session.log({"m": 2.0}, step=10)
        session.update_step_count(10)
    assert run_command(["export", "metered", "--to", str(tmp_path / "t.csv")]) == 0
    (read,) = read_traces([str(tmp_path / "t.csv")], Columns(metrics=frozenset({"m"})))
    assert [row.metrics for row in read.rows() if row.metrics] == [{"m": 2.0}]
    assert read.entries() == [(2, "b")]


def test_a_run_that_began_in_a_later_stage_says_so_in_its_first_row(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("run: later\ntrainer: {command: [none]}\ncurriculum: {stages: [a, b, c], start: b}\n")
    with stagectl.attach(recipe) as session:
        session.curriculum.get_task().complete(1.0)
        session.update_step_count(10)
    assert run_command(["export", "later", "--to", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "t.csv").read_text() == "step,stage,score\n0,b,\n10,b,1.0\n"
    (read,) = read_traces([str(tmp_path / "t.csv")])
    assert (read.start, len(read)) == ("b", 1)
    assert read_traces(["later"])[0].start == "b"
