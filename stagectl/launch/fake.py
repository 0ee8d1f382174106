"""A SkyPilot without machines, for tests of what goes wrong: public, so that users can test their own scripts by it.

`FakeServer` is what outlives its clients: requests, jobs, output. `FakeSky` has SkyPilot's face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagectl.errors import JobError
from stagectl.launch.sky import Look, Place, RefusedTaskError, UnreachableError


@dataclass(slots=True)
class FakeServer:
    """An API server with its clusters.

    Attributes:
        jobs: Every job that was ever started, as its place; its number is its index + 1.
        states: What `look` says of a job, one answer a look, the last for good.
        machine: The machine that it tells of.
        output: What `tail` gives: one list of pieces a connection, the last for good.
        down: The calls that find the server gone, by name, and how often each does.
        cannot_read: What SkyPilot says to a task that makes no sense to it.
        refuses: What the server says to a launch that it does not accept.
        fails: What it says to `result`, where an accepted launch comes to nothing.
        brought: The files that `bring` brought, by their paths: one dictionary a call.
        cancelled: The requests that were given up.
        gone: The clusters that were given back.
    """

    jobs: list[Place] = field(default_factory=list)
    tasks: list[Mapping[str, Any]] = field(default_factory=list)
    states: dict[int, list[str]] = field(default_factory=dict)
    output: list[list[str]] = field(default_factory=lambda: [[]])
    down: dict[str, int] = field(default_factory=dict)
    cannot_read: str = ""
    refuses: str = ""
    fails: str = ""
    machine: Mapping[str, Any] | None = None
    brought: list[dict[str, str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    gone: list[str | None] = field(default_factory=list)

    def accept(self, task: Mapping[str, Any], place: Place) -> str:
        """A launch arrives; its job is there as soon as somebody waits for it."""
        self.tasks.append(task)
        if not self.fails:
            self.jobs.append(place)
        return f"request-{len(self.tasks)}"


class FakeSky:
    """SkyPilot's face before a FakeServer."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server

    def check(self, task: Mapping[str, Any]) -> None:
        self._reach("check")
        if self.server.cannot_read:
            raise RefusedTaskError(f"SkyPilot says: {self.server.cannot_read}")

    def offer(self, task: Mapping[str, Any]) -> str:
        self._reach("offer")
        return "Fake  1x machine  $ 0.50\n"

    def launch(self, task: Mapping[str, Any], place: Place, lock: int) -> str:
        self.check(task)
        self._reach("launch")
        if self.server.refuses:
            raise JobError(f"SkyPilot says: {self.server.refuses}")
        return self.server.accept(task, place)

    def result(self, request: str) -> int:
        self._reach("result")
        if self.server.fails:
            raise JobError(f"SkyPilot says: {self.server.fails}")
        return int(request.removeprefix("request-"))

    def cancel_launch(self, request: str) -> None:
        self._reach("cancel_launch")
        self.server.cancelled.append(request)

    def find(self, place: Place) -> int | None:
        self._reach("find")
        return self.server.jobs.index(place) + 1 if place in self.server.jobs else None

    def look(self, place: Place, job: int | None) -> Look:
        self._reach("look")
        if place.cluster in self.server.gone:
            return Look("GONE")
        if job is None:
            return Look("INIT")
        left = self.server.states.get(job, ["RUNNING"])
        return Look(left.pop(0) if len(left) > 1 else left[0], self.server.machine)

    def tail(self, place: Place, job: int) -> Iterator[str]:
        self._reach("tail")
        left = self.server.output
        yield from left.pop(0) if len(left) > 1 else left[0]

    def bring(self, place: Place, folder: Path) -> None:
        self._reach("bring")
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.server.brought.append({str(path.relative_to(folder)): path.read_text() for path in files})

    def cancel(self, place: Place, job: int) -> None:
        self._reach("cancel")
        self.server.states[job] = ["CANCELLED"]

    def down(self, place: Place, lock: int) -> None:
        self._reach("down")
        self.server.gone.append(place.cluster)

    def _reach(self, call: str) -> None:
        if self.server.down.get(call, 0) > 0:
            self.server.down[call] -= 1
            raise UnreachableError("SkyPilot's API server does not answer", hint="sky api info tells how its server is")
