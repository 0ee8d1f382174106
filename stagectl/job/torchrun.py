"""torchrun over the nodes that SkyPilot gives: a command for each node, and no second layer that restarts."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from stagectl.errors import JobError

FIRST_PORT, PORTS = 20_000, 10_000
JOIN_SECONDS = 600  # a node that is later than this is lost


def torchrun_command(command: Sequence[str], run_id: str, attempt: int, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The training command as this node starts it, by SkyPilot's variables.

    Port and id of the rendezvous are the attempt's own, so that what is left of an earlier one joins no later one, and
    every node comes to the same without being told. A failure ends the attempt: `job/` alone starts another.

    Raises:
        JobError: A variable of SkyPilot's is not there; there is no default host.
    """
    nodes, rank = _whole(environ, "SKYPILOT_NUM_NODES"), _whole(environ, "SKYPILOT_NODE_RANK")
    hosts = _required(environ, "SKYPILOT_NODE_IPS").split()
    if len(hosts) != nodes:
        raise JobError(f"SKYPILOT_NODE_IPS names {len(hosts)} of {nodes} nodes: {', '.join(hosts)}")
    name = f"{run_id}.{attempt}"
    port = FIRST_PORT + zlib.crc32(name.encode()) % PORTS
    return (
        "torchrun",
        f"--nnodes={nodes}",
        f"--node-rank={rank}",
        f"--nproc-per-node={max(1, int(environ.get('SKYPILOT_NUM_GPUS_PER_NODE') or 0))}",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={hosts[0]}:{port}",
        f"--rdzv-id={name}",
        f"--rdzv-conf=is_host={int(rank == 0)},join_timeout={JOIN_SECONDS}",
        *_program(command),
    )


def _program(command: Sequence[str]) -> tuple[str, ...]:
    """torchrun starts Python itself, and is told where the program is none of Python's."""
    first, *rest = command
    if first.rsplit("/", 1)[-1].startswith("python") and rest:
        return tuple(word for word in rest if word != "-P")
    return ("--no-python", *command)


def _required(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise JobError(f"{name} is not set: training on several nodes is started by SkyPilot, which sets it")
    return environ[name]


def _whole(environ: Mapping[str, str], name: str) -> int:
    return int(_required(environ, name))
