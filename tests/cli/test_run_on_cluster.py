"""`stagectl run` with a recipe for a cluster, as far as no cluster is needed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stagectl.cli import run_command
from stagectl.cli.cluster import copies_of
from stagectl.errors import JobError
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.recipe import load_recipe
from stagectl.runs import RunPaths
from stagectl.runs.paths import runs_folder


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
    launching(monkeypatch)
    assert run_command(["run", str(recipe), "--dry-run", "--gpus", "4", "--nodes", "1", "--spot"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    task = yaml.safe_load(shown)
    assert task["resources"]["accelerators"] == "L4:4"
    assert task["resources"]["use_spot"] is True
    assert task["num_nodes"] == 1
    assert task["secrets"] == {"TOKEN": "<hidden>"}


def test_a_dry_run_needs_no_secret_no_commit_and_no_skypilot_and_says_what_a_launch_would_stop_at(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch).down["check"] = 1
    monkeypatch.delenv("TOKEN")
    assert run_command(["run", str(recipe), "--dry-run", "--git-ref", "nowhere"]) == 0
    shown = capsys.readouterr()
    assert "TOKEN" in shown.out
    stops = [line.removeprefix("a launch would stop now: ") for line in shown.err.splitlines()]
    assert [stop.split()[0] for stop in stops] == ["--git-ref", "launch.secrets", "SkyPilot's"]


def test_a_dry_run_says_that_the_runs_id_is_taken(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch)
    assert run_command(["run", str(recipe), "run=mine", "-d", "--skip-git-check"]) == 0
    assert run_command(["run", str(recipe), "run=mine", "--dry-run", "--skip-git-check"]) == 0
    assert "a launch would stop now: a run named 'mine' exists already" in capsys.readouterr().err


def test_a_plan_as_json_of_a_task_that_skypilot_cannot_read_is_one_error(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch).cannot_read = "Invalid task"
    assert run_command(["run", str(recipe), "--dry-run", "-o", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "recipe"


def test_a_dry_run_of_a_task_that_skypilot_cannot_read_fails_as_the_launch_would(
    recipe: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch).cannot_read = "Invalid task"
    for dry in (["--dry-run"], []):
        assert run_command(["run", str(recipe), "--skip-git-check", *dry]) == 2
        assert "SkyPilot says: Invalid task" in capsys.readouterr().err
    assert list(runs_folder().iterdir()) == []


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


def test_what_asks_needs_a_terminal(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", str(recipe), "-c"]) == 2
    said = capsys.readouterr().err
    assert "--confirm asks, and there is no terminal" in said
    assert "leave --confirm out, or add --yes" in said


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_price_that_is_refused_leaves_nothing_behind(
    answer: str, recipe: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stagectl.launch.sky.SkyPilot", lambda: FakeSky(FakeServer()))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setenv("TOKEN", "hunter2")
    assert run_command(["run", str(recipe), "run=mine", "-c", "--skip-git-check"]) == 3
    said = capsys.readouterr().err
    assert "mine: 1 stage, 1,000 steps; the machine:\nFake  1x machine  $ 0.50\n" in said
    assert not (home / ".stagectl").exists()


def test_yes_tells_the_price_and_goes_on(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = launching(monkeypatch)
    assert run_command(["run", str(recipe), "run=mine", "-c", "-y", "-d", "--skip-git-check"]) == 0
    shown = capsys.readouterr()
    assert "$ 0.50" in shown.err
    assert shown.out == "mine\n"
    assert [place.cluster for place in server.jobs] == ["mine"]


def test_what_asks_or_takes_a_commit_is_refused_for_a_run_of_this_machine(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["-c"], ["--git-ref", "main"]):
        assert run_command(["run", str(recipe), "launch.backend=local", *option]) == 2
        assert "is for a cluster" in capsys.readouterr().err


def test_a_commit_that_is_not_there_is_said_and_leaves_nothing_behind(
    recipe: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", str(recipe), "--git-ref", "nowhere"]) == 2
    assert "--git-ref nowhere" in capsys.readouterr().err
    assert not (home / ".stagectl").exists()


def test_copies_of_which_one_cannot_be_launched_tell_which_go_on(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = launching(monkeypatch)
    monkeypatch.setattr(FakeSky, "launch", refusing_after(2, FakeSky.launch))
    assert run_command(["run", str(recipe), "run=mine", "--copies", "4", "--skip-git-check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "mine.7\nmine.8\n"
    assert "2 of 4 runs were started and go on; the next one: SkyPilot says: no quota" in shown.err
    assert [place.cluster for place in server.jobs] == ["mine.7", "mine.8"]


def test_a_launch_that_is_interrupted_is_kept_and_said(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    launching(monkeypatch)
    monkeypatch.setattr(FakeSky, "launch", interrupted)
    assert run_command(["run", str(recipe), "run=mine", "--skip-git-check"]) == 130
    said = capsys.readouterr().err
    assert "the run mine may have been launched" in said
    assert "stagectl status mine tells; stagectl stop mine takes it back" in said
    assert RunPaths(runs_folder() / "mine").events.exists()


def test_a_server_that_does_not_answer_has_an_exit_code_of_its_own(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch).down["launch"] = 1
    assert run_command(["run", str(recipe), "run=mine", "--skip-git-check", "-o", "json"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "unreachable"


def test_validate_refuses_what_no_cluster_can_train(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["validate", str(recipe), "launch.num_nodes=2"]) == 2
    assert "the bundled trainer trains in one process" in capsys.readouterr().err


def test_validate_asks_skypilots_schema_where_it_may_import_it(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch).cannot_read = "Invalid task"
    assert run_command(["validate", str(recipe)]) == 0
    assert "and whether SkyPilot takes the task, --import tells" in capsys.readouterr().err
    assert run_command(["validate", str(recipe), "--import"]) == 2
    assert "SkyPilot says: Invalid task" in capsys.readouterr().err


def test_a_plan_as_json_has_the_task(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch)
    assert run_command(["run", str(recipe), "--dry-run", "-o", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["task"]["secrets"] == {"TOKEN": "<hidden>"}
    assert plan["stages"][0]["name"] == "MiniGrid-Empty-5x5-v0"


def test_a_managed_job_takes_no_advance_and_says_so_at_once(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch)
    managed = ["launch.managed=true", "launch.envs.STAGECTL_HOME=/shared"]
    assert run_command(["run", str(recipe), "run=mine", "-d", "--skip-git-check", *managed]) == 0
    assert run_command(["advance", "mine"]) == 2
    assert "mine is a managed job" in capsys.readouterr().err
    assert not RunPaths(runs_folder() / "mine").advance_request.exists()


class Terminal(io.StringIO):
    """A person's answers."""

    def isatty(self) -> bool:
        return True


def launching(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """What is launched reaches a server without machines, and nobody follows it."""
    server = FakeServer()
    monkeypatch.setattr("stagectl.launch.sky.SkyPilot", lambda: FakeSky(server))
    monkeypatch.setattr("stagectl.launch.cluster.start_follower", lambda paths: None)
    monkeypatch.setattr("stagectl.launch.follow.start_follower", lambda *_: None)
    monkeypatch.setenv("TOKEN", "hunter2")
    return server


def refusing_after(number: int, launch: Callable[..., str]) -> Callable[..., str]:
    def limited(sky: FakeSky, task: Any, place: Any, lock: int) -> str:
        if len(sky.server.jobs) == number:
            raise JobError("SkyPilot says: no quota")
        return launch(sky, task, place, lock)

    return limited
