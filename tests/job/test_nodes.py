"""A run on several nodes: node 0 leads, the others do as they are told; the real torchrun connects their ranks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stagectl.job.torchrun import SECRETS_VARIABLE
from stagectl.recipe import load_recipe
from stagectl.runs import RUN_VARIABLE, RunPaths, living, read_events, write_json
from tests.e2e.conftest import eventually
from tests.folding import folded
from tests.job.luggage import pack

RANKS = Path(__file__).parents[1] / "e2e" / "recipes" / "ranks.py"
HOSTS = ("127.0.0.1", "127.0.0.2")


class Cluster:
    """Two nodes on this machine, which share their home, as an allocation of Slurm's does."""

    def __init__(self, tmp_path: Path, home: Path, recipe: str) -> None:
        file = tmp_path / "recipe.yaml"
        file.write_text(recipe)
        self.run_id = load_recipe(file).run
        self.folder = pack(tmp_path / "luggage" / self.run_id, load_recipe(file))
        self.paths = RunPaths(home / ".stagectl" / "runs" / self.run_id)
        self._code = tmp_path
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, rank: int) -> subprocess.Popen[bytes]:
        told = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NODE_IPS": "\n".join(HOSTS)}
        told[SECRETS_VARIABLE] = "question-answer"
        command = [sys.executable, "-P", "-m", "stagectl.job.cluster", str(self.folder)]
        node = subprocess.Popen(
            command,
            cwd=self._code,
            env={**os.environ, **told},
            stdout=subprocess.DEVNULL,  # which a pipe that nobody reads while it runs would stop
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(node)
        return node

    @property
    def events(self) -> list[dict[str, Any]]:
        return read_events(self.paths.events)

    def training(self, rank: int) -> list[int]:
        """The processes that train on another node than 0: torchrun and its rank."""
        return living(-1, RUN_VARIABLE, str(self.folder / f"node-{rank}" / self.run_id))

    def saved_in(self, attempt: int) -> bool:
        return any(event["event"] == "checkpoint" and event["attempt"] == attempt for event in self.events)

    def end(self) -> None:
        for node in self._started:
            node.kill()
            node.wait()


@pytest.fixture
def make(tmp_path: Path, home: Path) -> Iterator[Callable[[str], Cluster]]:
    """Makes the cluster for a run whose last stage ends at that performance."""
    made: list[Cluster] = []
    command = json.dumps(["python", str(RANKS), str(tmp_path)])

    def cluster(threshold: str) -> Cluster:
        recipe = (
            f"run: two-{uuid.uuid4().hex[:8]}\n"  # ports come from it
            f"trainer: {{command: {command}, total_timesteps: 200k, checkpoint_every: 500}}\n"
            "curriculum:\n"
            "  performance_threshold: 0.6\n"
            "  stages:\n"
            "  - a\n"
            "  - {curriculum: b, rehearse: {a: 0.2}}\n"
            f"  - {{curriculum: c, performance_threshold: {threshold}}}\n"
            "launch: {backend: sky, num_nodes: 2}\n"
        )
        made.append(Cluster(tmp_path, home, recipe))
        return made[-1]

    yield cluster
    for each in made:
        each.end()


def test_two_nodes_train_as_one_run(make: Callable[[str], Cluster], tmp_path: Path) -> None:
    cluster = make("0.6")
    second, first = cluster.start(1), cluster.start(0)
    assert first.wait(timeout=120) == 0, cluster.paths.log.read_text()
    assert second.wait(timeout=60) == 0
    one, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert list(dict.fromkeys(name for _, name in one)) == ["a", "b", "c"]
    assert cluster.events[-1]["outcome"] == "completed"


def test_a_rank_that_is_killed_and_a_node_that_is_lost_are_named_and_the_run_goes_on_from_its_checkpoint(
    make: Callable[[str], Cluster], tmp_path: Path
) -> None:
    cluster = make("0.999")
    second, first = cluster.start(1), cluster.start(0)
    eventually(lambda: cluster.saved_in(1))
    (rank,) = set(cluster.training(1)) & set(living(-1, "RANK", "1"))
    (other,) = set(living(-1, RUN_VARIABLE, str(cluster.paths.folder))) & set(living(-1, "RANK", "0"))
    os.kill(other, signal.SIGSTOP)  # so that its loss of the other is not seen before the other's end
    os.kill(rank, signal.SIGKILL)
    eventually(lambda: cluster.saved_in(2))
    for process in [second.pid, *cluster.training(1)]:
        with contextlib.suppress(ProcessLookupError):  # the rest ends with the first
            os.kill(process, signal.SIGKILL)
    third = cluster.start(1)
    eventually(lambda: cluster.saved_in(3))
    write_json(cluster.paths.stop_request, {"by": "stop"})
    assert first.wait(timeout=120) == 0, cluster.paths.log.read_text()
    assert third.wait(timeout=60) == 0
    reasons = [event["reason"] for event in cluster.events if event["event"] == "attempt_started" and "reason" in event]
    assert reasons[0].startswith("the training process on node 1 (127.0.0.2) ended with exit code 1 at step ")
    assert reasons[1].startswith("node 1 (127.0.0.2) was lost at step ")
    assert "stagectl: the last lines of node 1 (127.0.0.2):" in cluster.paths.log.read_text()
    one, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    told = [event["step"] for event in folded(cluster.events) if event["event"] in ("episodes", "progress")]
    assert told == sorted(set(told))
    assert cluster.events[-1]["outcome"] == "stopped"
