"""What a follower does when its run is over, and with a connection that is: nothing is left on the cluster."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import JobError
from stagectl.launch.copy import write_own_end
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.follow import follow, main, start_follower
from stagectl.launch.sky import Place
from stagectl.launch.submit import submit
from stagectl.runs import FileLock, RunPaths, is_locked, judge, read_events, read_liveness, read_status, write_json
from tests.launch.test_following import FIRST, PLACE, end, event, make

MANAGED = Place("r-1", None)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return make(tmp_path)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks beside the reading, so that the answers come in the order that a test tells."""
    monkeypatch.setattr("stagectl.launch.attend.STEP_SECONDS", 3600.0)


class Cluster:
    """A run of which the follower's SkyPilot and the time are a test's."""

    def __init__(self, paths: RunPaths, place: Place = PLACE, **server: Any) -> None:
        self.paths = paths
        self.server = FakeServer(**{"output": [[FIRST, event(2), end(3)]], **server})
        self.seconds = 0.0
        self.waits: list[float] = []
        submit(paths, place, dict, FakeSky(self.server))

    def follow(self, sky: type[FakeSky] = FakeSky, lock: int = -1) -> None:
        follow(self.paths, sky(self.server), self.waits.append, lambda: self.seconds, lock)


def test_a_cluster_that_skypilot_does_not_take_back_is_offered_again_less_and_less_often(paths: RunPaths) -> None:
    cluster, said = Cluster(paths), []

    class Refusing(FakeSky):
        def down(self, place: Place, lock: int) -> None:
            said.append(judge(read_status(paths), read_liveness(paths)))
            if len(cluster.waits) < 8:
                raise JobError("SkyPilot says: scancel: permission denied")
            super().down(place, lock)

    cluster.follow(Refusing)
    assert cluster.server.gone == ["r-1"]
    assert cluster.waits == [15, 30, 60, 120, 240, 480, 600, 600]
    assert set(said) == {("completed", "all done; its cluster r-1 is not given back yet")}
    assert judge(read_status(paths), read_liveness(paths)) == ("completed", "all done")


def test_whoever_gives_the_cluster_back_holds_the_runs_lock(paths: RunPaths) -> None:
    held: list[int] = []

    class Noting(FakeSky):
        def down(self, place: Place, lock: int) -> None:
            held.append(lock)

    Cluster(paths).follow(Noting, lock=7)
    assert held == [7]


def test_a_managed_job_that_goes_on_after_the_runs_end_is_cancelled(tmp_path: Path) -> None:
    cluster = Cluster(make(tmp_path, "backend: sky, managed: true"), MANAGED, states={1: ["RUNNING"]})
    cluster.follow()
    assert cluster.server.states == {1: ["CANCELLED"]}


def test_a_managed_job_whose_end_skypilot_sees_late_is_left_alone(tmp_path: Path) -> None:
    states = {1: ["RUNNING", "RUNNING", "SUCCEEDED"]}
    cluster = Cluster(make(tmp_path, "backend: sky, managed: true"), MANAGED, states=states, down={"look": 1})
    cluster.follow()
    assert cluster.server.states == {1: ["SUCCEEDED"]}


def test_a_managed_job_of_which_the_follower_before_saw_the_end_is_looked_at_too(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    class Dying(FakeSky):
        def look(self, place: Place, job: int | None) -> Any:
            raise Killed

    cluster = Cluster(make(tmp_path, "backend: sky, managed: true"), MANAGED, states={1: ["RUNNING"]})
    with pytest.raises(Killed):
        cluster.follow(Dying)
    cluster.follow()
    assert cluster.server.states == {1: ["CANCELLED"]}


def test_a_job_that_tells_of_another_run_is_cancelled_and_nothing_of_it_is_kept(paths: RunPaths) -> None:
    cluster = Cluster(paths, Place("r-1", "lab"), output=[[event(1, "run_created"), event(2), end(3)]])
    cluster.follow()
    assert cluster.server.states == {1: ["CANCELLED"]}
    assert [told["event"] for told in read_events(paths.events)] == ["run_created", "run_ended"]
    assert "another run of that id" in read_events(paths.events)[-1]["message"]


def test_a_job_that_goes_on_after_an_end_is_followed_beyond_it(paths: RunPaths) -> None:
    cluster = Cluster(paths)

    class Slow(FakeSky):
        def tail(self, place: Place, job: int) -> Any:
            again = [event(4, "attempt_started", command=[]), *map(event, range(5, 30)), end(30)]
            for piece in [FIRST, event(2), end(3), *again]:
                cluster.seconds += 10
                yield piece

    cluster.follow(Slow)
    assert read_events(paths.events)[-1]["seq"] == 30


def test_a_connection_over_which_nothing_comes_for_long_is_made_again(paths: RunPaths) -> None:
    cluster = Cluster(paths)

    class HalfOpen(FakeSky):
        tails = 0

        def tail(self, place: Place, job: int) -> Any:
            self.tails += 1
            yield from (FIRST, event(2))
            while self.tails == 1:
                assert cluster.seconds < 3600
                cluster.seconds += 1
                yield ""
            yield end(3)

    cluster.follow(HalfOpen)
    assert read_events(paths.events)[-1]["message"] == "all done"
    assert 600 < cluster.seconds < 1800


def test_a_follower_that_fails_says_why_in_one_line_and_the_next_one_can_follow(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    Cluster(paths)
    monkeypatch.setattr("stagectl.launch.follow.follow", full)
    assert main([str(paths.folder)]) == 1
    assert capsys.readouterr().err == "stagectl: OSError: [Errno 28] No space left on device\n"
    assert not is_locked(paths.lock)


SLOW = """
class exceptions:
    class ClusterDoesNotExist(Exception): ...

def down(cluster):
    global began
    began = open("began", "w")
    open("go").close()

def get(request): ...
"""


def test_a_cluster_that_is_being_given_back_keeps_the_runs_lock_though_the_follower_is_killed(
    paths: RunPaths, tmp_path: Path
) -> None:
    Cluster(paths)
    write_own_end(paths, "failed", "no capacity")
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "__init__.py").write_text(SLOW)
    for name in ("began", "go"):
        os.mkfifo(tmp_path / name)
    command = [sys.executable, "-P", "-m", "stagectl.launch.follow", str(paths.folder)]
    follower = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    with (tmp_path / "began").open() as worker:
        follower.kill()
        follower.wait()
        assert is_locked(paths.lock)
        (tmp_path / "go").write_text("")
        worker.read()  # until it has ended


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # nobody waits for it, as intended
def test_a_follower_takes_over_the_lock_and_what_skypilot_says_is_private(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o022)
    monkeypatch.setattr("stagectl.launch.follow.PYTHON", ["/bin/sh", "-c", "read line < $2/go", "-"])
    os.mkfifo(paths.folder / "go")
    try:
        with FileLock(paths.lock) as lock:
            assert lock.acquire()
            start_follower(paths, lock)
        assert is_locked(paths.lock)
    finally:
        os.umask(before)
        (paths.folder / "go").write_text("\n")
    assert stat.S_IMODE((paths.folder / "sky.log").stat().st_mode) == 0o600


def test_what_was_asked_of_an_earlier_job_is_not_asked_of_the_next(paths: RunPaths) -> None:
    cluster = Cluster(paths)
    write_json(paths.stop_request, {"by": "stop", "time": 5.0})
    cluster.follow()
    assert not paths.stop_request.exists()
