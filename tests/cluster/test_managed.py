"""A managed job whose machine is taken away: SkyPilot finds another, and the run goes on there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import CLUSTER, ENVIRONMENT, SECONDS, allocation, come_to_step, recipe_at
from tests.e2e.conftest import RECIPES, Stagectl, eventually
from tests.folding import folded

pytestmark = pytest.mark.cluster


def test_a_managed_job_whose_allocation_is_cancelled_goes_on_from_its_checkpoint_as_the_same_run(
    laptop: Stagectl, tmp_path: Path, unique: str
) -> None:
    kept = str(CLUSTER / "home" / "kept")
    recipe = recipe_at(tmp_path / "code", RECIPES / "endless.yaml", managed=True, envs={"STAGECTL_HOME": kept})
    wait = "trainer.command=[python, endless.py, waits=6500]"  # its first attempt does not end while it is looked at
    two_stages = ("trainer.total_timesteps=20k", "curriculum.max_steps=6k", "curriculum.on_timeout=advance")
    run_id = laptop.start(recipe, f"run=lost-{unique}", wait, "trainer.checkpoint_every=500", *two_stages)
    come_to_step(laptop, run_id, 6500, "checkpoint")  # in the second stage
    refused = laptop("advance", run_id)
    assert refused.returncode == 2
    assert "managed job" in refused.stderr
    first = allocation(run_id)
    assert first is not None
    subprocess.run(["scancel", first], env=ENVIRONMENT, check=True)

    eventually(lambda: laptop.json("status", run_id)["state"] == "recovering", SECONDS)
    watched = laptop("status", run_id, "--watch", "--progress", "plain", timeout=2 * SECONDS)
    assert watched.returncode == 0, watched.stdout + watched.stderr

    status = laptop.json("status", run_id)
    assert (status["state"], status["attempt"]) == ("completed", 2)
    assert status["resumed"]["step"] == 6500
    assert [(one["step"], one["reason"]) for one in status["transitions"]] == [(6000, "timeout")]
    told = laptop.events(run_id)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    steps = [event["step"] for event in folded(told) if event["event"] == "episodes"]
    assert steps == list(range(10, 12001, 10))  # none twice, none lost
