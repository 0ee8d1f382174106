"""Node 0 of a run on several nodes: it begins each attempt on all of them, and ends it on all where one fails.

The others connect to it and do as they are told (`job/member.py`). A message is one JSON object:

    to node 0    {"run", "rank", "secret"}                who is there; by what only nodes of the run have
                 {"exit_code", "failure", "output"}       how the training process ended there, by itself
                 {"ended": true}                          nothing of the attempt is left there
    to another   {"secret"}                               to whom it speaks, likewise
                 {"attempt", "checkpoint"}                start the training process, from the checkpoint of that name
                 {"end": true}                            end it
                 {"over": true}                           the run is over
"""

from __future__ import annotations

import contextlib
import hmac
import math
import os
import select
import socket
import time
from typing import Any

from stagectl.errors import JobError
from stagectl.job.channel import Channel, Message
from stagectl.job.requests import is_managed
from stagectl.job.say import say
from stagectl.job.torchrun import JOIN_SECONDS, NODES_PORT, Nodes, Start, port_of, torchrun_command
from stagectl.job.training import KILL_SECONDS, PYTHON, Patience, run_attempt, training_command
from stagectl.recipe import Recipe
from stagectl.runs import Beginning, Ending, RunPaths

STRANGERS = 16  # so many connections may be open that have not said who they are
LAST_SECONDS = 30.0  # so long the end waits for a node that is not there, to tell it that the run is over
TICK_SECONDS = 1.0


class Leader:
    """The other nodes, as node 0 has them.

    Args:
        nodes: All of them.
        run_id: The port where they meet comes from it.
        seconds: A node that does not come within so long ends the run.
        command: Makes a node's command from the recipe's.

    Raises:
        JobError: The port cannot be had.
    """

    def __init__(
        self, nodes: Nodes, run_id: str, *, seconds: float = JOIN_SECONDS, command: Start = torchrun_command
    ) -> None:
        self._nodes = nodes
        self._run_id = run_id
        self._seconds = seconds
        self._command = command
        self._others: dict[int, Channel] = {}
        self._strangers: list[Channel] = []
        self._reports: list[tuple[int, Message]] = []
        self._ending: Ending | None = None
        self._door = _listen(nodes.hosts[0], port_of(run_id, NODES_PORT))

    def run_attempt(self, paths: RunPaths, recipe: Recipe, attempt: int, start: Beginning) -> Ending:
        """One attempt on all nodes, to its end on all; how it ended, by the first node that failed."""
        late = self._gather(Patience(paths, recipe.launch.stop_grace), is_managed(recipe))
        if late is not None:
            return late
        self._ending = None
        checkpoint = "" if start.checkpoint is None else start.checkpoint.folder.name
        for channel in self._others.values():
            channel.tell(attempt=attempt, checkpoint=checkpoint)
        command = self._command(PYTHON, training_command(recipe), self._nodes, self._run_id, attempt)
        wakers = [channel.socket for channel in self._others.values()]
        try:
            own = run_attempt(paths, recipe, attempt, start, command=command, is_broken=self._is_broken, wakers=wakers)
        finally:
            self._end_attempt()
            self._write_reports(paths)
        return own if self._ending is None or own.killed_after is not None else self._ending

    def close(self) -> None:
        """Tell all nodes that the run is over."""
        deadline = time.monotonic() + LAST_SECONDS
        while self._missing() and time.monotonic() < deadline:
            self._let_in()
        for channel in self._others.values():
            channel.tell(over=True)
        for channel in (*self._others.values(), *self._strangers):
            channel.close()
        self._door.close()

    def __enter__(self) -> Leader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gather(self, patience: Patience, managed: bool) -> Ending | None:
        """Wait until all nodes are there; how the attempt ended where one does not come.

        One that was there and is lost is waited for as long as it takes where SkyPilot replaces it, with this one.
        """
        replaced = managed and self._others.keys() >= set(self._missing())
        deadline, waited_for = time.monotonic() + (math.inf if replaced else self._seconds), ""
        while missing := ", ".join(self._nodes.name(rank) for rank in self._missing()):
            if missing != waited_for:
                say(f"waiting for {missing}")
                waited_for = missing
            now = time.monotonic()
            if now >= patience.deadline():
                return Ending(None, killed_after=patience.given)
            if now >= deadline:
                return Ending(None, failure=f"{missing} did not come within {self._seconds:g} s")
            self._let_in()
        return None

    def _missing(self) -> list[int]:
        for channel in self._others.values():
            while channel.has_news() and channel.hear() is not None:  # what it says of an attempt that is over
                pass
        return [rank for rank in range(1, len(self._nodes.hosts)) if rank not in self._here()]

    def _here(self) -> dict[int, Channel]:
        return {rank: channel for rank, channel in self._others.items() if not channel.lost}

    def _let_in(self) -> None:
        """Wait a moment for who knocks, or says who it is; who stays silent holds nobody up."""
        waiting = [self._door, *(stranger.socket for stranger in self._strangers)]
        if self._door in select.select(waiting, [], [], TICK_SECONDS)[0]:
            with contextlib.suppress(OSError):  # it has left again
                self._strangers.append(Channel(self._door.accept()[0]))
        for stranger in [stranger for stranger in self._strangers if stranger.has_news()]:
            self._strangers.remove(stranger)
            self._admit(stranger, stranger.hear() or {})
        while len(self._strangers) > STRANGERS:
            self._strangers.pop(0).close()

    def _admit(self, channel: Channel, hello: Message) -> None:
        rank: Any = hello.get("rank")
        question, answer = self._nodes.secrets
        known = hmac.compare_digest(ascii(hello.get("secret")), ascii(question))
        if not known or hello.get("run") != self._run_id or rank not in range(1, len(self._nodes.hosts)):
            channel.close()
            return
        if rank in self._others:
            self._others[rank].close()
        channel.tell(secret=answer)
        self._others[rank] = channel

    def _is_broken(self) -> bool:
        """Whether a node was lost, or failed."""
        for rank, channel in self._others.items():
            while self._ending is None and channel.has_news():
                message = channel.hear()
                if message is None:
                    self._ending = Ending(None, node=self._nodes.name(rank))
                elif message.get("failure") or message.get("exit_code"):
                    self._reports.append((rank, message))
                    self._ending = self._told(rank, message)
        return self._ending is not None

    def _told(self, rank: int, message: Message) -> Ending:
        name = self._nodes.name(rank)
        if message.get("failure"):
            return Ending(None, failure=f"{name}: {message['failure']}")
        return Ending(message["exit_code"], node=name)

    def _end_attempt(self) -> None:
        """Have it ended on all nodes; one that does not say so in time is lost."""
        for channel in self._here().values():
            channel.tell(end=True)
        deadline = time.monotonic() + KILL_SECONDS + 2 * TICK_SECONDS
        for rank, channel in self._here().items():
            while (message := channel.hear(max(0.0, deadline - time.monotonic()))) and "ended" not in message:
                self._reports.append((rank, message))
            if message is None:
                channel.close()

    def _write_reports(self, paths: RunPaths) -> None:
        """Put what failed on other nodes into the run's output, in the order in which they told it."""
        with paths.log.open("a", encoding="utf-8") as log:
            for rank, message in self._reports:
                if message.get("exit_code") and message.get("output"):
                    log.write(f"stagectl: the last lines of {self._nodes.name(rank)}:\n{message['output']}\n")
        self._reports.clear()


def _listen(host: str, port: int) -> socket.socket:
    try:
        door = socket.create_server((host, port))
    except OSError as error:
        message = f"node 0 ({host}) cannot wait for the others on port {port}: {os.strerror(error.errno or 0)}"
        raise JobError(message, hint="another run may have it; give this one another id, by run=ID") from None
    door.setblocking(False)
    return door
