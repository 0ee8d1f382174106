"""`stagectl run` with a recipe for a cluster, as far as no cluster is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stagectl.cli import run_command
from stagectl.cli.cluster import copies_of
from stagectl.recipe import load_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "doorkey.yaml"
    file.write_text(
        "trainer: {total_timesteps: 1000, seed: 7}\n"
        "curriculum: {stages: [MiniGrid-Empty-5x5-v0]}\n"
        "launch: {backend: sky, infra: aws, accelerators: 'L4:1', secrets: [TOKEN]}\n"
    )
    return file


def test_a_dry_run_prints_the_task_without_its_secrets(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    assert run_command(["run", str(recipe), "--dry-run", "--gpus", "4", "--nodes", "1", "--spot"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    task = yaml.safe_load(shown)
    assert task["resources"]["accelerators"] == "L4:4"
    assert task["resources"]["use_spot"] is True
    assert task["num_nodes"] == 1
    assert task["secrets"] == {"TOKEN": "<hidden>"}


def test_a_dry_run_needs_no_secret(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", str(recipe), "--dry-run"]) == 0
    assert "TOKEN" in capsys.readouterr().out


def test_a_secret_that_is_not_set_stops_the_launch_and_leaves_no_run(
    recipe: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", str(recipe), "--skip-git-check"]) == 2
    assert "launch.secrets names TOKEN, which your environment does not have" in capsys.readouterr().err
    runs = home / ".stagectl" / "runs"
    assert not runs.exists() or list(runs.iterdir()) == []


def test_copies_differ_in_their_seed_and_in_their_name(recipe: Path) -> None:
    copies = copies_of(load_recipe(recipe, ["run=mine"]), 3)
    assert [(copy.run, copy.trainer.seed) for copy in copies] == [("mine.7", 7), ("mine.8", 8), ("mine.9", 9)]
    assert [copy.run for copy in copies_of(load_recipe(recipe), 2)] == [None, None]


def test_options_for_a_cluster_are_refused_for_a_run_of_this_machine(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", str(recipe), "launch.backend=local", "--nodes", "2"]) == 2
    assert "--nodes is for a cluster" in capsys.readouterr().err
