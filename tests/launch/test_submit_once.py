"""A run is submitted once: whichever step the client dies at, there is never a second job."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagectl.curriculum import Stage
from stagectl.errors import JobError, RunExistsError, StorageError
from stagectl.launch import submit as protocol
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.sky import Place, UnreachableError
from stagectl.launch.submit import await_job, submission, submit
from stagectl.runs import FileLock, RunPaths, create_run
from stagectl.runs import write_json as real_write

PLACE = Place("doorkey-1", "doorkey-1")
FACTS = {"recipe": "r", "backend": "sky", "target": None, "total_timesteps": 1, "stages": [Stage("a", "a").to_dict()]}
TASK = {"name": "doorkey-1", "run": "true"}


class Killed(BaseException):
    """kill -9 of the client: nothing of it runs any more."""


class Fuse:
    """Kills the client at its n-th step; a step is the moment before or after each write and each call."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class MortalSky(FakeSky):
    """A client's SkyPilot, before and after whose calls the client may die."""

    def __init__(self, server: FakeServer, fuse: Fuse) -> None:
        super().__init__(server)
        self._fuse = fuse

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return between(found, self._fuse) if name in ("launch", "result", "find") else found


def between(call: Callable[..., Any], fuse: Fuse) -> Callable[..., Any]:
    def step(*arguments: Any) -> Any:
        fuse()
        value = call(*arguments)
        fuse()
        return value

    return step


@pytest.fixture
def paths() -> RunPaths:
    return create_run("doorkey-1", "run: doorkey-1\n", Path("/"), FACTS)


def attempt(paths: RunPaths, server: FakeServer, fuse: Fuse, patch: pytest.MonkeyPatch) -> int | None:
    """One client, from nothing to the job's number; None where it died."""
    patch.setattr(protocol, "write_json", between(real_write, fuse))
    sky = MortalSky(server, fuse)
    try:
        submit(paths, PLACE, lambda: TASK, sky)
        return await_job(paths, sky)[1]
    except Killed:
        return None


STEPS = 10  # intent, launch, request, result, job: before and after each


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_client_killed_at_a_step_leaves_one_job_behind(
    step: int, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer()
    assert attempt(paths, server, Fuse(step), monkeypatch) is None
    assert attempt(paths, server, Fuse(0), monkeypatch) == 1
    assert server.jobs == [PLACE]


def test_no_step_is_forgotten(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempt(paths, FakeServer(), Fuse(STEPS + 1), monkeypatch) == 1


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_twenty_clients_that_die_one_after_another_never_make_a_second_job(
    step: int, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, chance = FakeServer(), random.Random(step)
    attempt(paths, server, Fuse(step), monkeypatch)
    for _ in range(19):
        server.down = {call: chance.randrange(2) for call in ("launch", "find", "result")}
        with contextlib.suppress(JobError):
            attempt(paths, server, Fuse(chance.randint(1, STEPS)), monkeypatch)
        assert len(server.jobs) <= 1
    server.down = {}
    assert attempt(paths, server, Fuse(0), monkeypatch) == 1
    assert server.jobs == [PLACE]


def test_a_server_that_is_down_at_submit_is_said_and_a_later_try_submits_once(paths: RunPaths) -> None:
    server = FakeServer(down={"launch": 1})
    with pytest.raises(UnreachableError, match="does not answer"):
        submit(paths, PLACE, lambda: TASK, FakeSky(server))
    submit(paths, PLACE, lambda: TASK, FakeSky(server))
    assert await_job(paths, FakeSky(server)) == (PLACE, 1)
    assert server.jobs == [PLACE]


def test_a_launch_whose_answer_was_lost_is_found_by_its_name(paths: RunPaths) -> None:
    class Lossy(FakeSky):
        def launch(self, task: Any, place: Place, lock: int) -> str:
            super().launch(task, place, lock)
            raise UnreachableError("the connection broke")

    server = FakeServer()
    with pytest.raises(UnreachableError):
        submit(paths, PLACE, lambda: TASK, Lossy(server))
    assert submit(paths, PLACE, lambda: TASK, FakeSky(server)) == 1
    assert server.jobs == [PLACE]


def test_a_launch_whose_answer_cannot_be_kept_is_found_by_its_name(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: dict[str, Any]) -> None:
        if "request" in data["sky"]:
            raise StorageError("run.json: No space left on device")
        real_write(path, data)

    server = FakeServer()
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "write_json", full)
        with pytest.raises(UnreachableError, match=r"the job was launched, and run\.json: No space left"):
            submit(paths, PLACE, lambda: TASK, FakeSky(server))
    assert submit(paths, PLACE, lambda: TASK, FakeSky(server)) == 1
    assert server.jobs == [PLACE]


def test_that_skypilot_cannot_say_whether_there_is_a_job_does_not_say_that_there_is_none(paths: RunPaths) -> None:
    class Unsure(FakeSky):
        def result(self, request: str) -> int:
            raise JobError("SkyPilot says: request not found")

        def find(self, place: Place) -> int | None:
            raise JobError("SkyPilot says: ssh: connection refused")

    server = FakeServer()
    submit(paths, PLACE, lambda: TASK, FakeSky(server))
    with pytest.raises(UnreachableError, match="connection refused"):
        await_job(paths, Unsure(server))
    assert await_job(paths, FakeSky(server)) == (PLACE, 1)
    assert server.jobs == [PLACE]


def test_who_would_submit_what_another_has_submitted_meanwhile_does_not(paths: RunPaths) -> None:
    server = FakeServer(down={"launch": 1})
    with pytest.raises(UnreachableError):
        submit(paths, PLACE, lambda: TASK, FakeSky(server))
    with pytest.raises(RunExistsError, match="another process has submitted"):
        submit(paths, Place("doorkey-1.b", "doorkey-1"), lambda: TASK, FakeSky(server))
    assert server.tasks == []


def test_a_refused_task_leaves_the_run_as_if_it_was_never_submitted(paths: RunPaths) -> None:
    with pytest.raises(JobError, match="no such accelerator"):
        submit(paths, PLACE, lambda: TASK, FakeSky(FakeServer(refuses="no such accelerator")))
    assert submission(paths) == {}


def test_a_launch_that_came_to_nothing_is_said_and_may_be_tried_again(paths: RunPaths) -> None:
    server = FakeServer(fails="no capacity")
    submit(paths, PLACE, lambda: TASK, FakeSky(server))
    with pytest.raises(JobError, match="no capacity"):
        await_job(paths, FakeSky(server))
    server.fails = ""
    server.tasks.clear()
    submit(paths, PLACE, lambda: TASK, FakeSky(server))
    assert await_job(paths, FakeSky(server)) == (PLACE, 1)


def test_while_one_client_may_still_send_no_other_does(paths: RunPaths) -> None:
    with FileLock(paths.folder / "launch.lock") as held:
        assert held.acquire()
        with pytest.raises(RunExistsError, match="another process is submitting"):
            submit(paths, PLACE, lambda: TASK, FakeSky(FakeServer()))
