"""A run on a cluster, followed through everything that a cluster and its API server do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.curriculum import read_stages
from stagectl.job.lines import Output, event_line, output_line
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.follow import ensure_followed, follow
from stagectl.launch.sky import Place
from stagectl.launch.submit import end_of, submission, submit
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import FileLock, RunPaths, create_run, read_events, read_status
from stagectl.runs.away import has_ended, shown_state

PLACE = Place("r-1", "r-1", own=True)


def make(tmp_path: Path, launch: str = "backend: sky") -> RunPaths:
    file = tmp_path / "r.yaml"
    file.write_text(f"run: r-1\ntrainer: {{total_timesteps: 100}}\ncurriculum: {{stages: [a]}}\nlaunch: {{{launch}}}\n")
    recipe = load_recipe(file)
    return create_run("r-1", write_resolved(recipe), tmp_path, {}, created=CREATED)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return make(tmp_path)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks beside the reading, so that the answers come in the order that a test tells."""
    monkeypatch.setattr("stagectl.launch.attend.STEP_SECONDS", 3600.0)


STAGES = [stage.to_dict() for stage in read_stages({"stages": ["a"]})]
CREATED = {"seq": 1, "attempt": 0, "step": 0, "time": 5.0, "event": "run_created", "run": "r-1", "recipe": "r"}
CREATED |= {"backend": "sky", "target": None, "total_timesteps": 100, "stages": STAGES}
FIRST = event_line(CREATED)  # what every job tells first


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
    server = FakeServer(output=[[FIRST, event(2), output_line(Output(0, b"loss 1\n")), end(3)]])
    assert followed(paths, server) == []
    assert read_status(paths).ended is not None
    assert paths.log.read_bytes() == b"loss 1\n"
    assert server.gone == ["r-1"]


def test_a_named_cluster_stays(tmp_path: Path) -> None:
    paths, server = make(tmp_path, "backend: sky, cluster: lab"), FakeServer(output=[[FIRST, end(2)]])
    submit(paths, Place("r-1", "lab"), dict, FakeSky(server))
    follow(paths, FakeSky(server), lambda _: None)
    assert server.gone == []


def test_a_connection_that_breaks_is_made_again_and_nothing_counts_twice(paths: RunPaths) -> None:
    server = FakeServer(
        output=[
            [FIRST, event(2), event(3)],
            [FIRST, event(2), event(3), event(3), event(4)[:30]],
            [FIRST, *map(event, (2, 3, 4)), end(5)],
        ]
    )
    followed(paths, server)
    assert [told["seq"] for told in read_events(paths.events)] == [1, 2, 3, 4, 5]


def test_a_lost_line_is_read_again_from_the_start(paths: RunPaths) -> None:
    server = FakeServer(output=[[FIRST, event(2), event(4), end(5)], [FIRST, event(2), event(3), event(4), end(5)]])
    followed(paths, server)
    assert [told["seq"] for told in read_events(paths.events)] == [1, 2, 3, 4, 5]


def test_an_api_server_that_is_gone_for_a_while_is_waited_for(paths: RunPaths) -> None:
    server = FakeServer(
        output=[[FIRST, event(2)], [FIRST, event(2), end(3)]], down={"result": 2, "tail": 1, "look": 1, "down": 1}
    )
    assert len(followed(paths, server)) >= 3
    assert read_status(paths).ended is not None
    assert server.gone == ["r-1"]


def test_a_preempted_job_goes_on_as_the_same_run(tmp_path: Path) -> None:
    paths = make(tmp_path, "backend: sky, managed: true")
    again = [FIRST, event(2), event(3), event(4, "attempt_started", command=[]), end(5)]
    server = FakeServer(output=[[FIRST, event(2), event(3)], [], again], states={1: ["RECOVERING", "RUNNING"]})
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
    server = FakeServer(output=[[FIRST, event(2)], [FIRST, event(2), end(3)]], states={1: ["SUCCEEDED"]})
    followed(paths, server)
    assert read_events(paths.events)[-1]["message"] == "all done"


def test_one_wrong_word_of_skypilots_ends_nothing(paths: RunPaths) -> None:
    server = FakeServer(
        output=[[FIRST, event(2)], [], [FIRST, event(2), event(3), end(4)]], states={1: ["GONE", "RUNNING"]}
    )
    followed(paths, server)
    assert read_events(paths.events)[-1]["message"] == "all done"


def test_a_launch_that_comes_to_nothing_ends_the_run_with_the_reason(paths: RunPaths) -> None:
    followed(paths, FakeServer(fails="no capacity"))
    ended = read_status(paths).ended
    assert ended is not None
    assert ended["message"] == "the launch failed: SkyPilot says: no capacity"


def test_a_state_that_is_not_known_is_named_and_is_no_end() -> None:
    assert shown_state("HIBERNATING") == "unknown (HIBERNATING)"
    assert not has_ended("HIBERNATING")
    assert shown_state("RECOVERING") == "RECOVERING"
    assert has_ended("FAILED_OF_A_NEW_KIND")


def test_the_end_is_the_jobs_last_word_only_when_its_output_is_over(paths: RunPaths) -> None:
    """A job that goes on with a run tells the ends that the run had before."""
    again = event(4, "attempt_started", command=[])
    server = FakeServer(output=[[FIRST, event(2), end(3, "stopped"), again, end(5)]])
    followed(paths, server)
    assert [told["seq"] for told in read_events(paths.events)] == [1, 2, 3, 4, 5]


def test_a_job_that_lingers_after_the_runs_end_is_not_waited_for_for_ever(paths: RunPaths) -> None:
    seconds = [0.0]

    class Lingering(FakeSky):
        def tail(self, place: Place, job: int) -> Any:
            yield from [FIRST, event(2), end(3)]
            while seconds[0] < 100:
                seconds[0] += 1
                yield ""

    server = FakeServer()
    submit(paths, PLACE, dict, FakeSky(server))
    follow(paths, Lingering(server), lambda _: None, lambda: seconds[0])
    assert server.gone == ["r-1"]
    assert 30 < seconds[0] < 100


def test_a_run_whose_files_there_were_lost_is_here_what_its_job_tells(paths: RunPaths) -> None:
    followed(paths, FakeServer(output=[[FIRST, event(2), event(3), end(4, "stopped")]]))
    server = FakeServer(output=[[FIRST, event(2, "attempt_started", command=[]), end(3)]])
    submit(paths, PLACE, dict, FakeSky(server), again=True)
    follow(paths, FakeSky(server), lambda _: None)
    assert [told["event"] for told in read_events(paths.events)] == ["run_created", "attempt_started", "run_ended"]
    assert (end_of(paths) or {})["message"] == "all done"


def test_a_job_of_the_same_name_that_is_another_runs_is_not_taken_for_this_ones(paths: RunPaths) -> None:
    other = event_line({**CREATED, "time": 4.0})
    server = FakeServer(output=[[other, event(2), end(3)]])
    followed(paths, server)
    assert [told["event"] for told in read_events(paths.events)] == ["run_created", "run_ended"]
    assert read_events(paths.events)[-1]["outcome"] == "failed"
    assert server.states[1] == ["CANCELLED"]


def test_an_end_before_the_submission_is_an_earlier_ones(paths: RunPaths) -> None:
    followed(paths, FakeServer(output=[[FIRST, event(2), end(3, "stopped")]]))
    server = FakeServer(output=[[FIRST, event(2), end(3, "stopped"), event(4, "attempt_started", command=[]), end(5)]])
    submit(paths, PLACE, dict, FakeSky(server), again=True)
    assert end_of(paths) is None
    follow(paths, FakeSky(server), lambda _: None)
    assert (end_of(paths) or {})["seq"] == 5


def test_a_cluster_is_given_back_by_the_next_follower_where_the_first_could_not(paths: RunPaths) -> None:
    class Killed(BaseException):
        pass

    class Dying(FakeSky):
        def down(self, place: Place, lock: int) -> None:
            raise Killed

    server = FakeServer(output=[[FIRST, event(2), end(3)]])
    submit(paths, PLACE, dict, FakeSky(server))
    with pytest.raises(Killed):
        follow(paths, Dying(server), lambda _: None)
    assert server.gone == []
    server.output = [[]]
    follow(paths, FakeSky(server), lambda _: None)
    assert server.gone == ["r-1"]
    assert [told["event"] for told in read_events(paths.events)].count("run_ended") == 1


def test_a_failed_launch_leaves_no_cluster_behind(paths: RunPaths) -> None:
    server = FakeServer(fails="file mounts")
    followed(paths, server)
    assert server.gone == ["r-1"]


def test_a_run_has_a_follower_until_it_is_over(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[RunPaths] = []
    monkeypatch.setattr("stagectl.launch.follow.start_follower", started.append)
    ensure_followed(paths)
    assert started == []  # it is none of a cluster's
    server = FakeServer(output=[[FIRST, end(2)]])
    submit(paths, PLACE, dict, FakeSky(server))
    with FileLock(paths.launch_lock) as sending:
        assert sending.acquire()
        ensure_followed(paths)
    assert started == []
    ensure_followed(paths)
    assert started == [paths]
    follow(paths, FakeSky(server), lambda _: None)
    ensure_followed(paths)
    assert started == [paths]
