"""Two processes under torchrun train as one run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import RECIPES, Stagectl, eventually
from tests.e2e.test_commands import trainer_pid
from tests.folding import folded


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "ranks.yaml"
    words = ["python", "-m", "torch.distributed.run", "--standalone", "--max-restarts", "0", "--nproc-per-node", "2"]
    command = json.dumps([*words, str(RECIPES / "ranks.py"), str(tmp_path)])
    file.write_text(
        f"trainer: {{command: {command}, total_timesteps: 20k}}\n"
        "curriculum:\n"
        "  performance_threshold: 0.6\n"
        "  stages: [a, {curriculum: b, rehearse: {a: 0.2}}, {curriculum: c, performance_threshold: 0.6}]\n"
    )
    return file


def seen(folder: Path) -> list[list[tuple[int, str]]]:
    """The stage that each rank was in at every step of its last attempt."""
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_both_ranks_are_in_the_same_stage_at_every_step_and_one_of_them_records(
    stagectl: Stagectl, tmp_path: Path, recipe: Path
) -> None:
    done = stagectl("run", recipe, "run=two")
    assert done.returncode == 0, done.stdout + stagectl("logs", "two").stdout
    first, second = seen(tmp_path)
    assert first == second
    assert list(dict.fromkeys(name for _, name in first)) == ["a", "b", "c"]
    events = stagectl.events("two")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    checkpoint = stagectl.folder("two") / stagectl.json("status", "two")["checkpoint"]
    assert (checkpoint / "model.txt").read_text() == "0"
    trace = tmp_path / "trace.csv"
    assert stagectl("export", "two", "--to", trace).returncode == 0
    simulated = stagectl.json("simulate", trace, "--recipe", recipe)
    assert simulated["transitions"] == stagectl.json("status", "two")["transitions"]


def test_where_torchrun_is_killed_its_ranks_go_too_and_both_go_on_from_the_checkpoint(
    stagectl: Stagectl, tmp_path: Path, recipe: Path
) -> None:
    endless = ("curriculum.stages.c.performance_threshold=0.999", "trainer.total_timesteps=60k")  # it is killed first
    run_id = stagectl.start(recipe, "trainer.checkpoint_every=500", *endless)
    eventually(lambda: any(event["event"] == "checkpoint" for event in stagectl.events(run_id)))
    os.kill(trainer_pid(stagectl, run_id), signal.SIGKILL)  # its ranks are in sessions of their own
    assert stagectl("status", run_id, "--watch").returncode == 0, stagectl("logs", run_id).stdout
    events = stagectl.events(run_id)
    (resumed,) = (event for event in events if event["event"] == "attempt_started" and event["attempt"] == 2)
    first, second = seen(tmp_path)
    assert first == second
    assert first[0][0] == resumed["step"] + 100
    told = [event["step"] for event in folded(events) if event["event"] in ("episodes", "progress")]
    assert told == sorted(set(told))
