"""Two nodes of the cluster train as one run, which the laptop sees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import CLUSTER, LAUNCH, SECONDS, allocation
from tests.e2e.conftest import RECIPES, Stagectl, eventually

pytestmark = pytest.mark.cluster


def test_two_nodes_are_in_the_same_stage_at_every_step_and_one_of_them_tells(
    laptop: Stagectl, unique: str, tmp_path: Path
) -> None:
    run_id, code = f"two-{unique}", tmp_path / "code"
    kept = CLUSTER / "home" / run_id  # where each rank writes down what it saw
    kept.mkdir()
    shutil.chown(kept, "stagectl-test")
    code.mkdir()
    shutil.copy(RECIPES / "ranks.py", code)
    recipe = code / "two.yaml"
    stages = ["a", {"curriculum": "b", "rehearse": {"a": 0.2}}, {"curriculum": "c", "performance_threshold": 0.6}]
    trainer = {"command": ["python", "ranks.py", str(kept)], "total_timesteps": "20k"}
    data = {"trainer": trainer, "curriculum": {"performance_threshold": 0.6, "stages": stages}}
    recipe.write_text(yaml.safe_dump({**data, "launch": {**LAUNCH, "cpus": "1+", "num_nodes": 2}}))

    done = laptop("run", recipe, f"run={run_id}", timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr + laptop("logs", run_id).stdout
    assert laptop.json("status", run_id)["state"] == "completed"
    first, second = (json.loads((kept / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert {stage for _, stage in first} == {"a", "b", "c"}
    events = laptop.events(run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sum(event["event"] == "attempt_started" for event in events) == 1
    eventually(lambda: allocation(run_id) is None, SECONDS)
