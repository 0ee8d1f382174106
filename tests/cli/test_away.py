"""Runs on a cluster, as the commands show them: what is here, what nobody has heard yet, and what comes in the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stagectl.cli import run_command
from stagectl.cli.catching_up import LONGEST_SECONDS, await_news
from stagectl.cli.watching import watch_lines
from stagectl.runs import FileLock, RunStatus, is_locked, read_json, read_status, write_json
from stagectl.runs.paths import runs_folder
from tests.view.story import START, Story

Act = Callable[[], object]


class Cluster:
    """A run that trains elsewhere, of whose events those are here that were told; and a clock."""

    def __init__(self) -> None:
        self.story = Story(run="far").begin()
        self.paths = self.story.write(runs_folder())
        record = {
            "place": {"name": "far", "cluster": "far"},
            "time": START,
            "seen": {"state": "RUNNING", "time": START},
        }
        write_json(self.paths.identity, {"run": "far", "sky": record})
        self.paths.recipe.write_text("")
        self.now = START + 5 * 3600

    def tell(self) -> None:
        self.paths.events.write_text(self.story.lines())

    def end_on_its_own(self) -> dict[str, Any]:
        """End the run, whose cluster is its own and is not given back; its identity."""
        self.story.end()
        self.tell()
        identity = read_json(self.paths.identity)
        identity["sky"]["place"]["own"] = True
        write_json(self.paths.identity, identity)
        return identity

    def catch_up(self, *acts: Act) -> RunStatus:
        """What `status` shows then, where each look but the first finds that something happened."""
        happens: Iterator[Act] = iter(acts)

        def sleep(seconds: float) -> None:
            self.now += seconds
            next(happens, lambda: None)()
            self.tell()

        await_news(self.paths, lambda: self.now, sleep)
        return read_status(self.paths)


@pytest.fixture
def cluster(home: object) -> Cluster:
    return Cluster()


def nothing() -> None:
    """A look at which nothing has come."""


def test_status_waits_until_what_nobody_heard_is_here(cluster: Cluster) -> None:
    parts: list[Act] = [nothing, *[lambda: cluster.story.rollout([1.0])] * 4, nothing, nothing]
    assert cluster.catch_up(*parts).step == 4 * 2_048
    assert cluster.now - START - 5 * 3600 < LONGEST_SECONDS / 2


def test_status_does_not_wait_for_a_run_to_pause(cluster: Cluster) -> None:
    cluster.story.now = cluster.now
    assert cluster.catch_up(*[lambda: cluster.story.rollout([1.0])] * 99).step == 2_048


def test_status_shows_a_run_that_has_ended_at_once(cluster: Cluster) -> None:
    before = cluster.now
    cluster.story.end()
    cluster.tell()
    assert cluster.catch_up().ended is not None
    assert cluster.now == before


def test_status_does_not_wait_for_ever(cluster: Cluster) -> None:
    before = cluster.now
    assert cluster.catch_up().step == 0
    assert cluster.now - before == pytest.approx(LONGEST_SECONDS, abs=0.3)


def test_a_list_tells_what_is_known_and_asks_no_cluster(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", "-o", "json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["state"] == "unfollowed"
    assert "SkyPilot said RUNNING" in run["detail"]
    assert not is_locked(cluster.paths.lock)


def test_a_list_names_clusters_that_still_cost_money_though_their_runs_have_ended(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = cluster.end_on_its_own()
    assert run_command(["list"]) == 0
    assert capsys.readouterr().err == "far: its cluster far is not given back yet\n"
    identity["sky"]["over"] = cluster.now
    write_json(cluster.paths.identity, identity)
    assert run_command(["list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_list_shows_the_newest_and_tells_of_older_clusters_that_cost_money_all_the_same(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.end_on_its_own()
    for age, name in enumerate(["newest", "newer"]):
        paths = Story(run=name).begin().end().write(runs_folder())
        write_json(paths.identity, {"run": name})
        paths.recipe.write_text("")
        os.utime(paths.recipe, (START + 9e6 - age,) * 2)
    os.utime(cluster.paths.recipe, (START,) * 2)
    assert run_command(["list", "-n", "1"]) == 0
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["RUN", "newest"]
    assert shown.err.splitlines() == [
        "the newest 1 of 3 runs; all of them: stagectl list -n 0",
        "far: its cluster far is not given back yet",
    ]
    assert run_command(["list", "-n", "0"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["RUN", "newest", "newer", "far"]


def test_the_log_of_a_run_that_waits_for_its_machine_is_waited_for(
    home: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    cluster.paths.events.write_text(Story(run="far").lines())
    happens: Iterator[Act] = iter(
        [nothing, nothing, lambda: cluster.paths.log.write_text("it trains\n"), cluster.story.end, cluster.tell]
    )
    monkeypatch.setattr(time, "sleep", lambda _: next(happens)())
    with FileLock(cluster.paths.lock) as lock:
        assert lock.acquire()
        assert run_command(["logs", "far", "--follow"]) == 0
    assert capsys.readouterr().out == "it trains\n"


def test_lines_of_status_tell_a_state_that_no_event_brought(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = FileLock(cluster.paths.lock)
    happens: Iterator[Act] = iter([nothing, lock.acquire, nothing, lambda: cluster.story.end(), cluster.tell])
    monkeypatch.setattr(time, "sleep", lambda _: next(happens)())
    assert watch_lines(cluster.paths) == 0
    lock.release()
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["unfollowed", "stalled", "completed"]
