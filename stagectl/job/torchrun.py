"""The nodes that SkyPilot gives, and torchrun's command on each of them: no second layer that restarts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stagectl.errors import JobError
from stagectl.recipe import Recipe

JOIN_SECONDS = 300.0  # a node that is later than this does not come
PORTS = 5_000
STARTERS = ("torchrun", "accelerate", "deepspeed", "torch.distributed.run", "torch.distributed.launch")
SECRETS_VARIABLE = "STAGECTL_NODES_SECRETS"  # two, with a - between them
NODES_PORT, RANKS_PORT = 20_000, 25_000  # the first ones: where nodes meet, where an attempt's ranks do

Start = Callable[..., tuple[str, ...]]  # makes a node's command, as torchrun_command does


@dataclass(frozen=True, slots=True)
class Nodes:
    """Where each node is, which of them this one is, and how many processes train on each.

    `secrets`: what a node says to node 0 first, and what it is answered; nobody else can.
    """

    hosts: tuple[str, ...]
    rank: int
    secrets: tuple[str, str]
    processes: int = 1

    def name(self, rank: int) -> str:
        return f"node {rank} ({self.hosts[rank]})"


def find_nodes(recipe: Recipe, environ: Mapping[str, str]) -> Nodes | None:
    """The nodes, as SkyPilot's variables say; None where the recipe's job has one.

    Raises:
        JobError: A variable of SkyPilot's is not there; there is no default host.
    """
    if recipe.launch.backend != "sky" or recipe.launch.task.get("num_nodes", 1) == 1:
        return None
    number, rank = int(_required(environ, "SKYPILOT_NUM_NODES")), int(_required(environ, "SKYPILOT_NODE_RANK"))
    hosts = tuple(_required(environ, "SKYPILOT_NODE_IPS").split())
    if len(hosts) != number:
        raise JobError(f"SKYPILOT_NODE_IPS names {len(hosts)} of {number} nodes: {', '.join(hosts)}")
    question, _, answer = _required(environ, SECRETS_VARIABLE).partition("-")
    return Nodes(hosts, rank, (question, answer), max(1, int(environ.get("SKYPILOT_NUM_GPUS_PER_NODE") or 0)))


def torchrun_command(
    python: Sequence[str], command: Sequence[str], nodes: Nodes, run_id: str, attempt: int
) -> tuple[str, ...]:
    """The training command as this node starts it, as each of its processes.

    Port and id of the rendezvous are the attempt's own, so that what is left of an earlier one joins no later one, and
    every node comes to the same without being told. A failure ends the attempt: `job/` alone starts another.

    The rendezvous is torch's `static` one, c10d's store at node 0: its `c10d` one numbers the nodes by their names, so
    that rank 0, which alone writes events, could be on any.
    """
    name = f"{run_id}.{attempt}"
    return (
        *python,
        "torch.distributed.run",
        f"--nnodes={len(nodes.hosts)}",
        f"--node-rank={nodes.rank}",
        f"--nproc-per-node={nodes.processes}",
        "--max-restarts=0",
        "--rdzv-backend=static",
        f"--rdzv-endpoint={nodes.hosts[0]}:{port_of(name, RANKS_PORT)}",
        f"--rdzv-id={name}",
        f"--rdzv-conf=timeout={JOIN_SECONDS:.0f}",
        "--no-python",
        *command,
    )


def starts_ranks(command: Sequence[str]) -> str:
    """What of the command starts processes of its own on each node; empty where it does not."""
    program = command[command.index("-m") + 1] if "-m" in command[:-1] else command[0]
    return program if program.rsplit("/", 1)[-1] in STARTERS else ""


def port_of(name: str, first: int) -> int:
    return first + zlib.crc32(name.encode()) % PORTS


def _required(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise JobError(
            f"{name} is not set: training on several nodes is started by SkyPilot, with what `stagectl run` gave it"
        )
    return environ[name]
