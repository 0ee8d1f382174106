"""The nodes that SkyPilot's variables tell, and torchrun's command on each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.errors import JobError
from stagectl.job.torchrun import JOIN_SECONDS, Nodes, find_nodes, torchrun_command
from stagectl.recipe import Recipe, load_recipe

TOLD = {
    "SKYPILOT_NUM_NODES": "2",
    "SKYPILOT_NODE_RANK": "1",
    "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2\n",
    "SKYPILOT_NUM_GPUS_PER_NODE": "4",
    "STAGECTL_NODES_SECRETS": "a-b",
}
HOSTS = ("10.0.0.1", "10.0.0.2")


def recipe(tmp_path: Path, launch: str) -> Recipe:
    file = tmp_path / "r.yaml"
    file.write_text(f"trainer: {{command: [python, t.py]}}\ncurriculum: {{stages: [a]}}\nlaunch: {launch}\n")
    return load_recipe(file)


@pytest.fixture
def two(tmp_path: Path) -> Recipe:
    return recipe(tmp_path, "{backend: sky, num_nodes: 2}")


def command(rank: int = 0, attempt: int = 1) -> tuple[str, ...]:
    return torchrun_command(
        ["python", "-m"], ["./train.sh", "--fast"], Nodes(HOSTS, rank, ("a", "b"), 4), "run", attempt
    )


def test_the_nodes_are_those_that_skypilot_tells(two: Recipe) -> None:
    assert find_nodes(two, TOLD) == Nodes(HOSTS, 1, ("a", "b"), 4)
    assert find_nodes(two, {**TOLD, "SKYPILOT_NUM_GPUS_PER_NODE": "0"}) == Nodes(HOSTS, 1, ("a", "b"), 1)


@pytest.mark.parametrize("launch", ["{backend: local}", "{backend: sky}", "{backend: sky, num_nodes: 1}"])
def test_a_job_of_one_node_needs_no_variable(tmp_path: Path, launch: str) -> None:
    assert find_nodes(recipe(tmp_path, launch), {}) is None


@pytest.mark.parametrize(
    "missing", ["SKYPILOT_NUM_NODES", "SKYPILOT_NODE_RANK", "SKYPILOT_NODE_IPS", "STAGECTL_NODES_SECRETS"]
)
def test_there_is_no_default_host(two: Recipe, missing: str) -> None:
    with pytest.raises(JobError, match=f"{missing} is not set"):
        find_nodes(two, {**TOLD, missing: ""})


def test_a_node_that_is_missing_from_the_list_is_said(two: Recipe) -> None:
    with pytest.raises(JobError, match=r"names 2 of 3 nodes: 10.0.0.1, 10.0.0.2"):
        find_nodes(two, {**TOLD, "SKYPILOT_NUM_NODES": "3"})


def test_every_node_meets_at_the_first_one_which_alone_has_rank_0() -> None:
    first, second = command(0), command(1)
    assert first[:3] == ("python", "-m", "torch.distributed.run")
    assert {"--nnodes=2", "--nproc-per-node=4", "--max-restarts=0", "--rdzv-id=run.1"} <= set(first)
    assert f"--rdzv-conf=timeout={JOIN_SECONDS:.0f}" in first
    assert next(word for word in first if word.startswith("--rdzv-endpoint=")).startswith("--rdzv-endpoint=10.0.0.1:")
    assert first[-3:] == ("--no-python", "./train.sh", "--fast")
    assert set(first) ^ set(second) == {"--node-rank=0", "--node-rank=1"}
    assert "--rdzv-backend=static" in first  # the other one numbers the nodes by their names


def test_what_is_left_of_an_attempt_cannot_join_the_next() -> None:
    def meeting(attempt: int) -> set[str]:
        return {word for word in command(0, attempt) if word.startswith(("--rdzv-endpoint", "--rdzv-id"))}

    assert not meeting(1) & meeting(2)
