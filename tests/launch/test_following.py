"""A run on a cluster, followed through everything that a cluster and its API server do."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import JobError
from stagectl.job.lines import Output, event_line, output_line
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.follow import follow, request_command
from stagectl.launch.sky import Place
from stagectl.launch.submit import submission, submit
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import RunPaths, create_run, read_events, read_status, write_json
from stagectl.runs.away import has_ended, shown_state

PLACE = Place("r-1", "r-1")


def make(tmp_path: Path, launch: str = "backend: sky") -> RunPaths:
    file = tmp_path / "r.yaml"
    file.write_text(f"run: r-1\ntrainer: {{total_timesteps: 100}}\ncurriculum: {{stages: [a]}}\nlaunch: {{{launch}}}\n")
    recipe = load_recipe(file)
    return create_run("r-1", write_resolved(recipe), tmp_path, recipe.facts())


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return make(tmp_path)


def event(seq: int, name: str = "ready", **fields: Any) -> str:
    facts = {"seq": seq, "attempt": 1, "step": seq, "time": 5.0 + seq, "event": name, **fields}
    return f"(r-1, pid=7) {event_line(facts)}"


def end(seq: int, outcome: str = "completed") -> str:
    return event(seq, "run_ended", outcome=outcome, message="all done")


def followed(paths: RunPaths, server: FakeServer) -> list[float]:
    """Follow to the end; how long it waited each time."""
    waits: list[float] = []
    submit(paths, PLACE, dict, FakeSky(server))
    follow(paths, FakeSky(server), waits.append)
    return waits


def test_the_runs_end_is_the_followers_and_the_runs_own_cluster_is_given_back(paths: RunPaths) -> None:
    server = FakeServer(output=[[event(2), output_line(Output(0, b"loss 1\n")), end(3)]])
    assert followed(paths, server) == []
    assert read_status(paths).ended is not None
    assert paths.log.read_bytes() == b"loss 1\n"
    assert server.gone == ["r-1"]


def test_a_named_cluster_stays(tmp_path: Path) -> None:
    server = FakeServer(output=[[end(2)]])
    followed(make(tmp_path, "backend: sky, cluster: lab"), server)
    assert server.gone == []


def test_a_connection_that_breaks_is_made_again_and_nothing_counts_twice(paths: RunPaths) -> None:
    server = FakeServer(
        output=[[event(2), event(3)], [event(2), event(3), event(3), event(4)[:30]], [event(4), end(5)]]
    )
    followed(paths, server)
    assert [told["seq"] for told in read_events(paths.events)] == [1, 2, 3, 4, 5]


def test_a_lost_line_is_read_again_from_the_start(paths: RunPaths) -> None:
    server = FakeServer(output=[[event(2), event(4), end(5)], [event(2), event(3), event(4), end(5)]])
    followed(paths, server)
    assert [told["seq"] for told in read_events(paths.events)] == [1, 2, 3, 4, 5]


def test_an_api_server_that_is_gone_for_a_while_is_waited_for(paths: RunPaths) -> None:
    server = FakeServer(output=[[event(2)], [end(3)]], down={"result": 2, "tail": 1, "state": 1})
    assert len(followed(paths, server)) >= 3
    assert read_status(paths).ended is not None


def test_a_preempted_job_goes_on_as_the_same_run(tmp_path: Path) -> None:
    paths = make(tmp_path, "backend: sky, managed: true")
    again = [event(2), event(3), event(4, "attempt_started", command=[]), end(5)]
    server = FakeServer(output=[[event(2), event(3)], [], again], states={1: ["RECOVERING", "RUNNING"]})
    submit(paths, Place("r-1", None), dict, FakeSky(server))
    follow(paths, FakeSky(server), lambda _: None)
    assert [told["event"] for told in read_events(paths.events)][1:] == ["ready"] * 2 + [
        "attempt_started",
        "run_ended",
    ]
    assert submission(paths)["seen"]["state"] in ("RECOVERING", "RUNNING")
    assert server.gone == []


def test_a_job_that_tells_no_end_ends_with_what_skypilot_says(paths: RunPaths) -> None:
    server = FakeServer(output=[["(setup pid=3) no space left\n"]], states={1: ["FAILED_SETUP"]})
    followed(paths, server)
    ended = read_status(paths).ended
    assert ended is not None
    assert ended["outcome"] == "failed"
    assert ended["message"] == "SkyPilot says FAILED_SETUP, and the job told no end"
    assert "no space left" in paths.log.read_text()


def test_a_job_that_ended_between_two_looks_is_read_once_more(paths: RunPaths) -> None:
    server = FakeServer(output=[[event(2)], [event(2), end(3)]], states={1: ["SUCCEEDED"]})
    followed(paths, server)
    assert read_events(paths.events)[-1]["message"] == "all done"


def test_a_launch_that_comes_to_nothing_ends_the_run_with_the_reason(paths: RunPaths) -> None:
    with pytest.raises(JobError, match="no capacity"):
        followed(paths, FakeServer(fails="no capacity"))
    ended = read_status(paths).ended
    assert ended is not None
    assert ended["message"] == "the launch failed: SkyPilot says: no capacity"


def test_a_state_that_is_not_known_is_named_and_is_no_end() -> None:
    assert shown_state("HIBERNATING") == "unknown (HIBERNATING)"
    assert not has_ended("HIBERNATING")
    assert shown_state("RECOVERING") == "RECOVERING"
    assert has_ended("FAILED_OF_A_NEW_KIND")


def test_a_request_put_here_reaches_the_cluster(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagectl.launch.follow.REQUEST_SECONDS", 0.01)
    arrived = threading.Event()

    class Waiting(FakeSky):
        def run(self, place: Place, command: str) -> None:
            super().run(place, command)
            arrived.set()

        def tail(self, place: Place, job: int) -> Any:
            yield event(2)
            assert arrived.wait(20)
            yield end(3, "stopped")

    server = FakeServer()
    write_json(paths.stop_request, {"by": "it's me", "grace": 5})
    submit(paths, PLACE, dict, FakeSky(server))
    follow(paths, Waiting(server))
    assert len(server.commands) == 1


def test_a_stop_that_finds_no_room_beside_the_job_cancels_it(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagectl.launch.follow.REQUEST_SECONDS", 0.01)
    cancelled = threading.Event()

    class Full(FakeSky):
        def run(self, place: Place, command: str) -> None:
            raise JobError("no room")

        def cancel(self, place: Place, job: int) -> None:
            super().cancel(place, job)
            cancelled.set()

        def tail(self, place: Place, job: int) -> Any:
            yield event(2)
            assert cancelled.wait(20)

    server = FakeServer()
    write_json(paths.stop_request, {"by": "stop"})
    submit(paths, PLACE, dict, FakeSky(server))
    follow(paths, Full(server))
    ended = read_status(paths).ended
    assert ended is not None
    assert (ended["outcome"], ended["message"]) == ("stopped", "SkyPilot says CANCELLED, and the job told no end")


def test_the_command_that_carries_a_request_leaves_it_there_whole(tmp_path: Path) -> None:
    paths = make(tmp_path)
    write_json(paths.stop_request, {"by": "it's me; rm -rf ~", "grace": 5})
    home = tmp_path / "there"
    (home / ".stagectl/runs/r-1/requests").mkdir(parents=True)
    recipe = load_recipe(tmp_path / "r.yaml")
    command = request_command(recipe, "r-1", paths.stop_request)
    subprocess.run(["bash", "-c", command], check=True, env={"HOME": str(home), "PATH": os.environ["PATH"]})
    there = home / ".stagectl/runs/r-1/requests"
    assert [file.name for file in there.iterdir()] == ["stop.json"]
    assert json.loads((there / "stop.json").read_text()) == {"by": "it's me; rm -rf ~", "grace": 5}
