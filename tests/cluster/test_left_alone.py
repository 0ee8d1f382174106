"""A run that is left, killed on both sides, sent on and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import SECONDS, allocation, come_to_step, kill, processes, recipe_at, trainer
from tests.e2e.conftest import COMMAND, RECIPES, Stagectl, eventually

pytestmark = pytest.mark.cluster

ENDLESS = RECIPES / "endless.yaml"


def test_a_run_whose_every_process_is_killed_in_turn_is_caught_up_with_sent_on_and_stopped(
    laptop: Stagectl, tmp_path: Path, unique: str
) -> None:
    recipe, run_id = recipe_at(tmp_path / "code", ENDLESS), f"left-{unique}"
    events, log = laptop.folder(run_id) / "events.jsonl", laptop.folder(run_id) / "train.log"
    client = subprocess.Popen(
        [str(COMMAND), "run", str(recipe), f"run={run_id}", "trainer.checkpoint_every=50"],
        env=laptop.env,
        stdout=subprocess.DEVNULL,
    )
    come_to_step(laptop, run_id, 100)

    client.kill()
    client.wait()
    eventually(lambda: len(processes("launch.follow", run_id)) == 1)  # one that starts a process is two for an instant
    kill(processes("launch.follow", run_id))
    seen = events.read_bytes()
    step = laptop.json("status", run_id)["step"]
    come_to_step(laptop, run_id, step + 50)
    assert events.read_bytes().startswith(seen)

    os.kill(trainer("endless.py", run_id), signal.SIGKILL)
    eventually(lambda: any(event["attempt"] == 2 for event in laptop.events(run_id)), SECONDS)
    second = next(one for one in laptop.events(run_id) if one["event"] == "attempt_started" and one["attempt"] == 2)
    assert second["step"] > 0
    assert second["step"] % 50 == 0
    come_to_step(laptop, run_id, second["step"] + 100)

    advanced = laptop("advance", run_id, timeout=SECONDS)
    assert advanced.returncode == 0, advanced.stderr
    assert "it goes to second" in advanced.stderr

    stopped = laptop("stop", run_id, timeout=SECONDS)
    assert stopped.returncode == 0, stopped.stderr
    status = laptop.json("status", run_id)
    assert status["state"] == "stopped"
    assert [(one["from_name"], one["to_name"], one["reason"]) for one in status["transitions"]] == [
        ("first", "second", "manual")
    ]
    assert status["checkpoint"].endswith(f"{status['step']:012d}")  # saved when it was asked to stop
    told = laptop.events(run_id)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    printed = log.read_text()
    assert printed.splitlines().count(f"step {status['step']}") == 1
    assert printed.endswith(laptop("logs", run_id).stdout)
    eventually(lambda: allocation(run_id) is None, SECONDS)
    again = laptop("run", "--resume", run_id)
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
