"""How soon a follower knows that a job is over, or that nobody answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stagectl.launch.attend import Attendant
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.follow import await_end, follow
from stagectl.launch.sky import Place, UnreachableError
from stagectl.launch.submit import note, submit
from stagectl.runs import RunPaths, read_events, read_status
from tests.launch.test_following import FIRST, PLACE, end, event, make

SETUP = "(setup pid=3) no space left\n"


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return make(tmp_path)


class Hanging:
    """A run whose job's output never ends, and the time, which passes while nothing comes; the looks come in it."""

    def __init__(self, paths: RunPaths, monkeypatch: pytest.MonkeyPatch, *readings: list[str], **server: Any) -> None:
        self.seconds, self.readings = 0.0, list(readings)
        self.server = FakeServer(**server)
        self.attendant: Attendant
        run = self

        class Kept(Attendant):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                run.attendant = self

        class Sky(FakeSky):
            def tail(self, place: Place, job: int) -> Iterator[str]:
                yield from run.readings.pop(0)
                while True:
                    run.pass_time(1)
                    run.attendant.look_if_due()
                    yield ""

        monkeypatch.setattr("stagectl.launch.attend.STEP_SECONDS", 3600.0)
        monkeypatch.setattr("stagectl.launch.follow.Attendant", Kept)
        submit(paths, PLACE, dict, FakeSky(self.server))
        follow(paths, Sky(self.server), self.pass_time, lambda: self.seconds)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_setup_that_failed_ends_the_run_soon_though_its_output_does_not(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Hanging(paths, monkeypatch, [SETUP], [SETUP], states={1: ["SETTING_UP", "FAILED_SETUP"]})
    assert (read_status(paths).ended or {})["message"] == "SkyPilot says FAILED_SETUP, and the job told no end"
    assert run.readings == []  # its output was read once more
    assert run.seconds < 60 + 25  # the second look, which said so, came after a minute
    assert paths.log.read_text() == SETUP


def test_output_that_hangs_when_the_job_is_over_is_read_once_more(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hanging(paths, monkeypatch, [FIRST, event(2)], [FIRST, event(2), end(3)], states={1: ["FAILED"]})
    assert read_events(paths.events)[-1]["message"] == "all done"


def test_one_wrong_word_ends_no_reading(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {1: ["GONE", *["RUNNING"] * 15, "FAILED"]}
    run = Hanging(paths, monkeypatch, [SETUP], [SETUP], states=states)
    assert run.seconds > 14 * 60


def test_output_that_is_slow_to_begin_is_waited_for_longer(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Hanging(paths, monkeypatch, [], [], states={1: ["SUCCEEDED"]})
    assert 2 * 60 <= run.seconds < 3 * 60


@pytest.mark.parametrize("known", [{}, {"job": 1}])
def test_who_never_reaches_a_server_makes_room_for_another_follower(paths: RunPaths, known: dict[str, int]) -> None:
    server, now = FakeServer(down={"result": 99, "look": 99}), [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    submit(paths, PLACE, dict, FakeSky(server))
    note(paths, **known)
    with pytest.raises(UnreachableError):
        follow(paths, FakeSky(server), wait, lambda: now[0])
    assert 60 <= now[0] < 90
    assert read_status(paths).ended is None
    assert server.gone == []


def test_who_has_reached_the_server_stays_while_it_is_down(paths: RunPaths) -> None:
    server, now = FakeServer(output=[[FIRST, event(2)], [], [FIRST, event(2), end(3)]]), [0.0]

    def wait(seconds: float) -> None:
        if not now[0]:
            server.down["look"] = 40
        now[0] += seconds

    submit(paths, PLACE, dict, FakeSky(server))
    follow(paths, FakeSky(server), wait, lambda: now[0])
    assert now[0] >= 600
    assert read_events(paths.events)[-1]["message"] == "all done"


def test_who_waits_for_an_end_is_told_that_nobody_answers_and_when_somebody_does(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, said = FakeServer(output=[[FIRST, event(2), end(3)]]), list[str]()
    submit(paths, PLACE, dict, FakeSky(server))
    note(paths, unreachable=5.0)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: note(paths, unreachable=None),
        lambda: follow(paths, FakeSky(server)),
    ]
    monkeypatch.setattr("time.sleep", lambda _: steps.pop(0)())
    await_end(paths, said.append)
    assert [line.split(" for ")[0] for line in said] == [
        "SkyPilot's API server has not answered",
        "SkyPilot's API server answers again",
    ]
