"""Two nodes of the cluster train as one run, which the laptop sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import LAUNCH, SECONDS
from tests.e2e.conftest import RECIPES, Stagectl

pytestmark = pytest.mark.cluster


def test_two_nodes_train_as_one_run(laptop: Stagectl, unique: str, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "ranks.py").write_text((RECIPES / "ranks.py").read_text())
    recipe = folder / "two.yaml"
    stages = ["a", {"curriculum": "b", "rehearse": {"a": 0.2}}, {"curriculum": "c", "performance_threshold": 0.6}]
    trainer = {"command": ["python", "ranks.py", "."], "total_timesteps": "20k"}
    data = {"trainer": trainer, "curriculum": {"performance_threshold": 0.6, "stages": stages}}
    recipe.write_text(yaml.safe_dump({**data, "launch": {**LAUNCH, "cpus": "1+", "num_nodes": 2}}))
    run_id = f"two-{unique}"
    done = laptop("run", recipe, f"run={run_id}", timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr + laptop("logs", run_id).stdout
    assert laptop.json("status", run_id)["state"] == "completed"
    events = laptop.events(run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    (started,) = (event for event in events if event["event"] == "attempt_started")
    assert started["command"][-2:] == ["ranks.py", "."]
