"""A node other than 0 of a run on several: it does as node 0 says (`job/leader.py`), and writes no event."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from stagectl.errors import JobError, StagectlError
from stagectl.job.channel import Channel, Message
from stagectl.job.say import say
from stagectl.job.torchrun import JOIN_SECONDS, NODES_PORT, Nodes, Start, port_of, torchrun_command
from stagectl.job.training import PYTHON, end_processes, run_attempt, training_command
from stagectl.recipe import Recipe
from stagectl.runs import Beginning, RunPaths, make_folder, read_checkpoint, write_json, write_whole
from stagectl.runs.paths import runs_folder

RETRY_SECONDS = 1.0
LINES, MOST = 20, 1 << 14  # of the output that is told of a process that failed: so many lines, at most so many bytes


def work(
    folder: Path, recipe: Recipe, nodes: Nodes, *, seconds: float = JOIN_SECONDS, command: Start = torchrun_command
) -> int:
    """Train as node 0 says, until it says that the run is over: 0 then.

    Args:
        folder: What travelled with the task: a folder named by the run, with its recipe.
        recipe: That recipe.
        nodes: All of them, and which this is.
        seconds: Where node 0 cannot be reached for so long, it is lost.
        command: Makes this node's command from the recipe's.

    Raises:
        JobError: Node 0 is lost.
    """
    paths = _own_folder(folder, nodes.rank)
    end_processes(paths)  # what an earlier job of this node left
    while True:
        with _reach(nodes, folder.name, seconds) as node_0:
            question, answer = nodes.secrets
            node_0.tell(run=folder.name, rank=nodes.rank, secret=question)
            known = node_0.hear() == {"secret": answer}
            while known and (message := node_0.hear()) is not None:
                if "over" in message:
                    return 0
                if "end" in message:
                    node_0.tell(ended=True)
                else:
                    words = command(PYTHON, training_command(recipe), nodes, folder.name, message["attempt"])
                    _attempt(paths, recipe, message, node_0, words)
        say(f"the connection to {nodes.name(0)} broke")
        time.sleep(RETRY_SECONDS)


def _own_folder(folder: Path, rank: int) -> RunPaths:
    """What this node has of the run: recipe and output. It may share the folder that travelled with other nodes."""
    paths = RunPaths(folder / f"node-{rank}" / folder.name)
    make_folder(paths.folder)
    write_whole(paths.recipe, RunPaths(folder).recipe.read_text(encoding="utf-8"))
    write_json(paths.identity, {"run": folder.name, "folder": str(Path.cwd())})
    return paths


def _reach(nodes: Nodes, run_id: str, seconds: float) -> Channel:
    """A connection to node 0, which may have yet to come. Raises JobError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Channel(socket.create_connection((nodes.hosts[0], port_of(run_id, NODES_PORT)), timeout=5.0))
        except OSError as error:
            if time.monotonic() >= deadline:
                message = f"{nodes.name(0)} could not be reached for {seconds:g} s: {error}"
                raise JobError(message) from None
        time.sleep(min(RETRY_SECONDS, seconds))


def _attempt(paths: RunPaths, recipe: Recipe, told: Message, node_0: Channel, command: tuple[str, ...]) -> None:
    """This node's part of an attempt; where it ends by itself, node 0 is told how."""
    name, run = Path(told["checkpoint"]).name, RunPaths(runs_folder() / paths.run_id)
    try:
        start = Beginning(read_checkpoint(run.checkpoints / name) if name else None)
    except StagectlError as error:
        node_0.tell(failure=f"{error.message}; STAGECTL_HOME must lie on a file system that all nodes mount")
        return
    begun = paths.log.stat().st_size if paths.log.exists() else 0
    ending = run_attempt(
        paths, recipe, told["attempt"], start, command=command, is_broken=node_0.has_news, wakers=[node_0.socket]
    )
    if ending.exit_code != -signal.SIGKILL or not node_0.has_news():
        node_0.tell(exit_code=ending.exit_code, failure=ending.failure, output=_last_lines(paths, begun))


def _last_lines(paths: RunPaths, begun: int) -> str:
    with paths.log.open("rb") as log:
        log.seek(max(begun, log.seek(0, os.SEEK_END) - MOST))
        return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-LINES:])
