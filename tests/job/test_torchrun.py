"""torchrun's command on each node, from SkyPilot's variables alone."""

from __future__ import annotations

import pytest

from stagectl.errors import JobError
from stagectl.job.torchrun import torchrun_command

NODES = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2\n", "SKYPILOT_NUM_GPUS_PER_NODE": "4"}


def command(rank: int = 0, attempt: int = 1, *words: str) -> tuple[str, ...]:
    trained = words or ("python", "train.py", "--fast")
    return torchrun_command(trained, "run", attempt, {**NODES, "SKYPILOT_NODE_RANK": str(rank)})


def test_every_node_meets_at_the_first_one_and_only_that_one_is_the_host() -> None:
    first, second = command(0), command(1)
    assert first[0] == "torchrun"
    assert {"--nnodes=2", "--nproc-per-node=4", "--max-restarts=0", "--rdzv-id=run.1"} <= set(first)
    endpoint = next(word for word in first if word.startswith("--rdzv-endpoint="))
    assert endpoint.startswith("--rdzv-endpoint=10.0.0.1:")
    assert endpoint in second
    assert [word for word in first if "is_host" in word] == ["--rdzv-conf=is_host=1,join_timeout=600"]
    assert [word for word in second if "is_host" in word] == ["--rdzv-conf=is_host=0,join_timeout=600"]


def test_what_is_left_of_an_attempt_cannot_join_the_next() -> None:
    def meeting(attempt: int) -> set[str]:
        return {word for word in command(0, attempt) if word.startswith(("--rdzv-endpoint", "--rdzv-id"))}

    assert not meeting(1) & meeting(2)


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (("/usr/bin/python3", "train.py", "--fast"), ("train.py", "--fast")),
        (("python", "-P", "-m", "mine.train"), ("-m", "mine.train")),
        (("./train.sh",), ("--no-python", "./train.sh")),
    ],
)
def test_torchrun_is_told_what_to_start(words: tuple[str, ...], program: tuple[str, ...]) -> None:
    assert command(0, 1, *words)[-len(program) :] == program


def test_there_is_no_default_host() -> None:
    with pytest.raises(JobError, match="SKYPILOT_NODE_IPS is not set"):
        torchrun_command(["python", "t.py"], "run", 1, {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "0"})


def test_a_node_that_is_missing_from_the_list_is_said() -> None:
    with pytest.raises(JobError, match="names 2 of 3 nodes"):
        torchrun_command(["python", "t.py"], "run", 1, {**NODES, "SKYPILOT_NUM_NODES": "3", "SKYPILOT_NODE_RANK": "0"})
