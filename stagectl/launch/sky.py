"""SkyPilot, as far as stagectl uses it: one face, which `fake.py` has too.

Each call runs in a process of its own with a deadline (`sky_worker.py`): importing SkyPilot takes seconds, some of its
calls wait for ever, and some start a server. What it writes to its standard error is kept out of the terminal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol

from stagectl.errors import JobError
from stagectl.job.training import PYTHON


class UnreachableError(JobError):
    """The API server does not answer; what was asked may have been done or not."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's job is: its name, and the cluster that it runs on; None where SkyPilot manages it."""

    name: str
    cluster: str | None


class Sky(Protocol):
    """What is asked of SkyPilot. Every call raises UnreachableError or, where SkyPilot says no, JobError."""

    def check(self, task: Mapping[str, Any]) -> None:
        """Hold the task against SkyPilot's schema; nothing is sent."""

    def offer(self, task: Mapping[str, Any]) -> str:
        """What the task could run on, at which price, and what is chosen: SkyPilot's own table."""

    def launch(self, task: Mapping[str, Any], place: Place, lock: int) -> str:
        """Send the task; the request's id. `lock` is a descriptor that stays open as long as it may still be sent."""

    def result(self, request: str) -> int:
        """Wait until the launch is done; the job's number."""

    def find(self, place: Place) -> int | None:
        """The job of that name there, once every launch that may still bring it is over."""

    def state(self, place: Place, job: int) -> str:
        """What SkyPilot says of the job, in its words; GONE where its cluster is no more."""

    def tail(self, place: Place, job: int) -> Iterator[str]:
        """The job's output from its start, as it comes, in pieces; the end may come before the job's."""

    def run(self, place: Place, command: str) -> None:
        """Run a command on the cluster beside the job; not on a managed job's: SkyPilot would take it for the job."""

    def cancel(self, place: Place, job: int) -> None: ...

    def down(self, place: Place) -> None:
        """Give the cluster back; that it is gone already is fine."""


class SkyPilot:
    """The real one."""

    def __init__(self, *, errors: int | IO[bytes] = subprocess.DEVNULL, hurry: float = 1.0) -> None:
        """`errors`: where SkyPilot's own messages go. `hurry` divides the deadlines, for tests."""
        self._errors = errors
        self._hurry = hurry

    def check(self, task: Mapping[str, Any]) -> None:
        self._call("check", 60, task=task)

    def offer(self, task: Mapping[str, Any]) -> str:
        return str(self._call("offer", 120, task=task))

    def launch(self, task: Mapping[str, Any], place: Place, lock: int) -> str:
        return str(self._call("launch", 600, task=task, place=asdict(place), keep=lock))

    def result(self, request: str) -> int:
        return int(self._call("result", 24 * 3600, request=request))

    def find(self, place: Place) -> int | None:
        found = self._call("find", 3600, place=asdict(place))
        return None if found is None else int(found)

    def state(self, place: Place, job: int) -> str:
        return str(self._call("state", 120, place=asdict(place), job=job))

    def tail(self, place: Place, job: int) -> Iterator[str]:
        worker = self._start("tail", place=asdict(place), job=job)
        try:
            assert worker.stdout is not None
            for line in worker.stdout:
                yield line.decode(errors="replace")
        finally:
            _end(worker)

    def run(self, place: Place, command: str) -> None:
        self._call("run", 90, place=asdict(place), command=command)

    def cancel(self, place: Place, job: int) -> None:
        self._call("cancel", 300, place=asdict(place), job=job)

    def down(self, place: Place) -> None:
        self._call("down", 600, place=asdict(place))

    def _call(self, call: str, seconds: float, *, keep: int = -1, **arguments: Any) -> Any:
        worker = self._start(call, keep=keep, **arguments)
        try:
            said, _ = worker.communicate(timeout=seconds / self._hurry)
        except subprocess.TimeoutExpired:
            message = f"SkyPilot did not answer within {seconds / self._hurry:.0f} s ({call})"
            raise UnreachableError(message, hint="sky api info tells how its server is") from None
        finally:
            _end(worker)
        answers = said.decode().splitlines()
        if not answers:
            raise JobError(f"the process that talks to SkyPilot ended without an answer ({call})")
        answer = json.loads(answers[-1])
        if "error" in answer:
            kind = UnreachableError if answer["unreachable"] else JobError
            raise kind(answer["error"], hint=answer["hint"])
        return answer["value"]

    def _start(self, call: str, *, keep: int = -1, **arguments: Any) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [*PYTHON, "stagectl.launch.sky_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            pass_fds=[keep] if keep >= 0 else [],
        )
        assert worker.stdin is not None
        with worker.stdin as pipe:  # secrets go this way: an argument or a file would show them
            pipe.write(json.dumps({"call": call, **arguments}).encode())
        worker.stdin = None
        return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()
