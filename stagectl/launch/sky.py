"""SkyPilot, as far as stagectl uses it: one face, which `fake.py` has too.

Each call runs in a process of its own with a deadline (`sky_worker.py`): importing SkyPilot takes seconds, some of its
calls wait for ever, and some start a server. What it writes to its standard error is kept out of the terminal.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from stagectl.errors import JobError
from stagectl.job.training import PYTHON

IDLE_SECONDS = 1.0
PIECE = 1 << 16


class UnreachableError(JobError):
    """There is no answer, of the API server or at all; what was asked may have been done or not."""

    exit_code = 5
    kind = "unreachable"


class RefusedTaskError(JobError):
    """SkyPilot cannot read the task: something in the recipe's launch block makes no sense to it."""

    exit_code = 2
    kind = "recipe"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's job is.

    Attributes:
        name: The job's. No other one ever has it, so that it tells whether a job is this one.
        cluster: What it runs on; None where SkyPilot manages it.
        own: The cluster is the run's own, and is given back when the run is over.
    """

    name: str
    cluster: str | None
    own: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What SkyPilot says of a job, in its words, and of the machine that it is on, where there is one.

    The machine: `infra`, `cluster`, `region`, `hourly` in dollars for all nodes together (None where no price is
    known), and `since` when it is there, in seconds since the epoch.
    """

    state: str
    machine: Mapping[str, Any] | None = None


class Sky(Protocol):
    """What is asked of SkyPilot. Every call raises UnreachableError or, where SkyPilot says no, JobError.

    `lock` is a descriptor that stays open as long as what was asked may still be done.
    """

    def check(self, task: Mapping[str, Any]) -> None:
        """Hold the task against SkyPilot's schema, without a server. Raises RefusedTaskError."""

    def offer(self, task: Mapping[str, Any]) -> str:
        """What the task could run on, at which price, and what is chosen: SkyPilot's own table."""

    def launch(self, task: Mapping[str, Any], place: Place, lock: int) -> str:
        """Send the task; the request's id."""

    def result(self, request: str) -> int:
        """Wait until the launch is done; the job's number."""

    def cancel_launch(self, request: str) -> None:
        """Give up a launch that is under way; its job may have come to be all the same."""

    def find(self, place: Place) -> int | None:
        """The job of that name there, once every launch that may still bring it is over."""

    def look(self, place: Place, job: int | None) -> Look:
        """What SkyPilot says of the job, or of its cluster before there is one; GONE where the cluster is no more."""

    def tail(self, place: Place, job: int) -> Iterator[str]:
        """The job's output from its start, as it comes, in pieces; an empty one where nothing comes for a second.

        The end may come before the job's, or not at all.
        """

    def bring(self, place: Place, folder: Path) -> None:
        """Put the folder's files into the job's working folder on its cluster; there is no way to a managed job's."""

    def cancel(self, place: Place, job: int) -> None: ...

    def down(self, place: Place, lock: int) -> None:
        """Give the cluster back; that it is gone already is fine."""


FAILURES = {kind.kind: kind for kind in (JobError, UnreachableError, RefusedTaskError)}


class SkyPilot:
    """The real one."""

    def __init__(self, *, silent: bool = True) -> None:
        """`silent`: SkyPilot's own messages go nowhere, else to this process's standard error."""
        self._errors = subprocess.DEVNULL if silent else None

    def check(self, task: Mapping[str, Any]) -> None:
        self._call("check", 120, task=task)

    def offer(self, task: Mapping[str, Any]) -> str:
        return str(self._call("offer", 120, task=task))

    def launch(self, task: Mapping[str, Any], place: Place, lock: int) -> str:
        return str(self._call("launch", 600, task=task, place=asdict(place), keep=lock))

    def result(self, request: str) -> int:
        return int(self._call("result", 24 * 3600, request=request))

    def cancel_launch(self, request: str) -> None:
        self._call("cancel_launch", 120, request=request)

    def find(self, place: Place) -> int | None:
        found = self._call("find", 3600, place=asdict(place))
        return None if found is None else int(found)

    def look(self, place: Place, job: int | None) -> Look:
        return Look(**self._call("look", 120, place=asdict(place), job=job))

    def tail(self, place: Place, job: int) -> Iterator[str]:
        worker = self._start("tail", place=asdict(place), job=job)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        try:
            assert worker.stdout is not None
            pipe = worker.stdout.fileno()
            while True:
                if not select.select([pipe], [], [], IDLE_SECONDS)[0]:
                    yield ""
                elif data := os.read(pipe, PIECE):
                    yield decoder.decode(data)
                else:
                    return
        finally:
            _end(worker)

    def bring(self, place: Place, folder: Path) -> None:
        self._call("bring", 120, place=asdict(place), folder=str(folder))

    def cancel(self, place: Place, job: int) -> None:
        self._call("cancel", 300, place=asdict(place), job=job)

    def down(self, place: Place, lock: int) -> None:
        self._call("down", 600, place=asdict(place), keep=lock)

    def _call(self, call: str, seconds: float, *, keep: int = -1, **arguments: Any) -> Any:
        worker = self._start(call, keep=keep, **arguments)
        try:
            said, _ = worker.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            message = f"SkyPilot did not answer within {seconds:.0f} s ({call})"
            raise UnreachableError(message, hint="sky api info tells how its server is") from None
        finally:
            _end(worker)
        try:
            answer = json.loads(said)
        except ValueError:
            raise UnreachableError(f"the process that talks to SkyPilot ended without an answer ({call})") from None
        if "error" in answer:
            raise FAILURES[answer["kind"]](answer["error"], hint=answer["hint"])
        return answer["value"]

    def _start(self, call: str, *, keep: int = -1, **arguments: Any) -> subprocess.Popen[bytes]:
        try:
            worker = subprocess.Popen(
                [*PYTHON, "stagectl.launch.sky_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                pass_fds=[keep] if keep >= 0 else [],
            )
        except OSError as error:
            raise UnreachableError(f"no process that talks to SkyPilot can be started ({call}): {error}") from None
        assert worker.stdin is not None
        with contextlib.suppress(BrokenPipeError), worker.stdin as pipe:  # one that has died does not answer, either
            pipe.write(json.dumps({"call": call, **arguments}).encode())  # an argument or a file would show secrets
        worker.stdin = None
        return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()
