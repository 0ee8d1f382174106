"""What a follower does beside reading: looks at the job, and requests that are brought to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import JobError
from stagectl.launch.attend import Attendant
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.sky import Look, Place, UnreachableError
from stagectl.launch.submit import note, submission, submit
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import EventLog, create_run, read_json, write_json

MACHINE = {"infra": "aws/us-east-1", "cluster": "r-1", "region": "us-east-1", "hourly": 0.5}


class Attended:
    """A run whose job is looked after, and the time, which passes where a test says so."""

    def __init__(self, sky: type[FakeSky] = FakeSky, cluster: str | None = "r-1", **server: Any) -> None:
        file = Path.home() / "r.yaml"
        file.write_text("trainer: {total_timesteps: 100}\ncurriculum: {stages: [a]}\n")
        recipe = load_recipe(file)
        self.paths = create_run("r-1", write_resolved(recipe), file.parent, recipe.facts())
        self.server = FakeServer(**server)
        submit(self.paths, Place("r-1", cluster), dict, FakeSky(self.server))
        self.now = 0.0
        self.attendant = Attendant(self.paths, sky(self.server), 60.0, lambda: self.now)

    def begun(self) -> Attended:
        self.attendant.job, self.attendant.begun = 1, True
        return self

    def ask(self, name: str, **facts: Any) -> None:
        file = self.paths.stop_request if name == "stop" else self.paths.advance_request
        write_json(file, {"by": name, "time": 5.0, **facts})

    def pass_seconds(self, seconds: float) -> None:
        """A step a second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.attendant.look_if_due()
            self.attendant.serve_requests()

    @property
    def seen(self) -> dict[str, Any]:
        return dict(submission(self.paths)["seen"])

    @property
    def machines(self) -> list[dict[str, Any]]:
        return list(submission(self.paths)["machines"])


def test_the_job_is_looked_at_every_minute(home: Path) -> None:
    run = Attended(states={1: ["RUNNING", "RECOVERING"]}, machine=MACHINE).begun()
    run.pass_seconds(1)
    assert run.seen["state"] == "RUNNING"
    run.pass_seconds(58)
    assert run.seen["state"] == "RUNNING"
    run.pass_seconds(3)
    assert run.seen["state"] == "RECOVERING"


def test_a_job_that_something_befell_is_looked_at_more_often_until_it_tells_again(home: Path) -> None:
    run = Attended(states={1: ["RUNNING", "RECOVERING", "STARTING", "STARTING", "RUNNING", "WINDING_DOWN"]}).begun()
    run.pass_seconds(30)
    run.attendant.is_disturbed = True
    for state in ("RECOVERING", "STARTING", "STARTING"):
        run.pass_seconds(10)
        assert run.seen["state"] == state
    run.attendant.told()
    run.pass_seconds(10)
    assert run.seen["state"] == "RUNNING"
    run.pass_seconds(50)
    assert run.seen["state"] == "RUNNING"


def test_what_the_cluster_says_is_kept_before_there_is_a_job(home: Path) -> None:
    run = Attended()
    run.pass_seconds(1)
    assert run.seen["state"] == "INIT"


def test_a_job_that_has_just_come_is_looked_at_so_that_a_short_run_has_its_machine_too(home: Path) -> None:
    run = Attended(states={1: ["RUNNING"]}, machine=MACHINE)
    run.pass_seconds(1)
    run.attendant.started(1)
    run.pass_seconds(1)
    assert (run.seen["state"], len(run.machines)) == ("RUNNING", 1)


def test_a_look_that_fails_changes_nothing(home: Path) -> None:
    run = Attended(down={"look": 1}).begun()
    run.pass_seconds(10)
    assert "seen" not in submission(run.paths)
    run.pass_seconds(60)
    assert run.seen["state"] == "RUNNING"


def test_since_when_skypilot_has_not_answered_is_kept_until_it_does(home: Path) -> None:
    run = Attended(down={"look": 2}).begun()
    run.pass_seconds(1)
    since = submission(run.paths)["unreachable"]
    assert since >= submission(run.paths)["time"]
    run.pass_seconds(60)
    assert run.server.down == {"look": 0}
    assert submission(run.paths)["unreachable"] == since
    run.pass_seconds(60)
    assert submission(run.paths)["unreachable"] is None


def test_a_job_is_looked_at_as_soon_as_it_tells_its_first_event(home: Path) -> None:
    run = Attended(states={1: ["SETTING_UP", "RUNNING"]})
    run.attendant.started(1)
    run.pass_seconds(10)
    assert run.seen["state"] == "SETTING_UP"
    run.attendant.told()
    run.pass_seconds(1)
    assert run.seen["state"] == "RUNNING"


def test_a_job_that_seems_over_is_looked_at_again_soon(home: Path) -> None:
    run = Attended(states={1: ["FAILED_SETUP"]}).begun()
    run.pass_seconds(12)
    assert run.attendant.ended_looks == 3


def test_a_machine_is_noted_once_and_another_one_after_it(home: Path) -> None:
    run = Attended(machine=MACHINE).begun()
    run.pass_seconds(121)
    run.server.machine = {**MACHINE, "hourly": None}  # not known for once
    run.pass_seconds(60)
    assert [machine["hourly"] for machine in run.machines] == [0.5]
    run.server.machine = {**MACHINE, "region": "us-west-2", "hourly": 0.7}
    run.pass_seconds(60)
    assert [machine["region"] for machine in run.machines] == ["us-east-1", "us-west-2"]
    assert set(run.machines[0]) == {"infra", "cluster", "region", "hourly", "since"}


def test_a_machine_after_one_that_was_given_back_is_not_free_because_its_price_is_not_known(home: Path) -> None:
    run = Attended(machine=MACHINE).begun()
    run.pass_seconds(1)
    note(run.paths, over=submission(run.paths)["time"])
    submit(run.paths, Place("r-1.b", "r-1"), dict, FakeSky(run.server), again=True)
    run.server.machine = {**MACHINE, "hourly": None}
    run.pass_seconds(60)
    assert [machine["hourly"] for machine in run.machines] == [0.5, 0.0, None]


def test_a_price_that_is_known_later_is_the_machines(home: Path) -> None:
    run = Attended(machine={**MACHINE, "hourly": None}).begun()
    run.pass_seconds(1)
    run.server.machine = MACHINE
    run.pass_seconds(60)
    assert [machine["hourly"] for machine in run.machines] == [0.5]


def test_a_machine_that_stood_before_costs_the_run_from_its_submission_on(home: Path) -> None:
    run = Attended(machine={**MACHINE, "since": 7.0}).begun()
    run.pass_seconds(1)
    assert run.machines[0]["since"] == submission(run.paths)["time"]


def test_a_request_is_brought_as_a_file_and_once(home: Path) -> None:
    run = Attended().begun()
    run.ask("advance", to="b")
    run.pass_seconds(30)
    assert [list(files) for files in run.server.brought] == [[".stagectl/r-1/requests/advance.json"]]
    assert json.loads(next(iter(run.server.brought[0].values()))) == {"by": "advance", "time": 5.0, "to": "b"}
    assert not run.paths.advance_request.exists()
    run.ask("advance", to="b", time=6.0)
    run.pass_seconds(1)
    assert len(run.server.brought) == 2


def test_an_advance_waits_until_there_is_a_job_to_take_it(home: Path) -> None:
    run = Attended()
    run.ask("advance")
    run.pass_seconds(30)
    assert run.server.brought == []
    run.begun().pass_seconds(5)
    assert len(run.server.brought) == 1


def test_a_stop_is_brought_and_stays_here(home: Path) -> None:
    run = Attended().begun()
    run.ask("stop", grace=10)
    run.pass_seconds(50)
    assert len(run.server.brought) == 1
    assert run.paths.stop_request.exists()
    assert run.attendant.cancelled == ""


def test_a_stop_that_is_not_answered_within_its_time_cancels_the_job(home: Path) -> None:
    run = Attended().begun()
    run.ask("stop", grace=10)
    run.pass_seconds(69)
    assert run.server.states == {}
    run.pass_seconds(4)
    assert run.server.states == {1: ["CANCELLED"]}
    assert run.attendant.cancelled == "cancelled: it did not answer within 70 s of being asked to stop"


def test_a_stop_that_was_answered_cancels_nothing(home: Path) -> None:
    run = Attended().begun()
    run.ask("stop", grace=10)
    run.pass_seconds(5)
    with EventLog(run.paths.events, attempt=1) as log:
        log.append("request_answered", 7, request="stop")
    run.pass_seconds(300)
    assert run.server.states == {}
    assert len(run.server.brought) == 1


def test_a_server_that_does_not_answer_is_asked_again_less_and_less_often(home: Path) -> None:
    class Down(FakeSky):
        tries = 0

        def bring(self, place: Place, folder: Path) -> None:
            Down.tries += 1
            raise UnreachableError("SkyPilot's API server does not answer")

    run = Attended(Down).begun()
    run.ask("stop", grace=10)
    run.pass_seconds(3600)
    assert 60 < Down.tries < 75
    assert run.attendant.cancelled == ""  # nobody said no: it stops in good order when the server is back


def test_a_stop_that_skypilot_refuses_to_bring_cancels_the_job_in_the_end(home: Path) -> None:
    class Refusing(FakeSky):
        def bring(self, place: Place, folder: Path) -> None:
            raise JobError("SkyPilot says: no")

    run = Attended(Refusing).begun()
    run.ask("stop", grace=10)
    run.pass_seconds(60)
    assert run.server.states == {}
    run.pass_seconds(80)
    assert run.server.states == {1: ["CANCELLED"]}
    assert run.attendant.cancelled == "cancelled, since it could not be asked to stop: SkyPilot says: no"


@pytest.mark.parametrize("state", ["PENDING", "SETTING_UP"])
def test_a_stop_before_the_job_has_started_cancels_it(home: Path, state: str) -> None:
    run = Attended(states={1: [state]})
    run.attendant.job = 1
    run.ask("stop")
    run.pass_seconds(3)
    assert run.server.states == {1: ["CANCELLED"]}
    assert run.attendant.cancelled == "stopped before its job had started"


def test_a_stop_of_a_job_that_runs_waits_until_its_events_are_here(home: Path) -> None:
    run = Attended(states={1: ["RUNNING"]})
    run.attendant.job = 1
    run.ask("stop")
    run.pass_seconds(10)
    assert run.server.states == {1: ["RUNNING"]}
    assert run.server.brought == []
    run.begun().pass_seconds(3)
    assert len(run.server.brought) == 1


def test_a_job_that_runs_and_tells_nothing_is_cancelled_in_the_end(home: Path) -> None:
    run = Attended(states={1: ["RUNNING"]})
    run.attendant.job = 1
    run.ask("stop", grace=10)
    run.pass_seconds(69)
    assert run.server.states == {1: ["RUNNING"]}
    run.pass_seconds(5)
    assert run.server.states == {1: ["CANCELLED"]}
    assert run.attendant.cancelled == "cancelled: it told nothing within 70 s of the request to stop"


def test_what_fails_in_an_unforeseen_way_is_said_and_tried_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(FakeSky):
        broken = 2

        def bring(self, place: Place, folder: Path) -> None:
            if Odd.broken:
                Odd.broken -= 1
                raise BrokenPipeError(32, "Broken pipe")
            super().bring(place, folder)

        def look(self, place: Place, job: int | None) -> Look:
            if Odd.broken:
                raise MemoryError
            return super().look(place, job)

    run = Attended(Odd).begun()
    run.ask("stop")
    run.pass_seconds(70)
    assert len(run.server.brought) == 1
    assert run.seen["state"] == "RUNNING"
    assert "stagectl: BrokenPipeError: [Errno 32] Broken pipe\n" in capsys.readouterr().err


def test_a_stop_does_not_wait_for_ever_for_what_skypilot_cannot_say(home: Path) -> None:
    class Blind(FakeSky):
        def look(self, place: Place, job: int | None) -> Look:
            raise JobError("SkyPilot says: no status")

    run = Attended(Blind)
    run.attendant.job = 1
    run.ask("stop", grace=10)
    run.pass_seconds(69)
    assert run.server.states == {}
    run.pass_seconds(60)
    assert run.server.states == {1: ["CANCELLED"]}


def test_a_stop_while_the_launch_is_under_way_gives_it_up_even_if_the_server_is_down_at_first(home: Path) -> None:
    run = Attended(down={"cancel_launch": 3})
    run.ask("stop")
    run.pass_seconds(5)
    assert run.server.cancelled == []
    run.pass_seconds(20)
    assert set(run.server.cancelled) == {"request-1"}
    assert run.attendant.cancelled == "stopped before its job had started"


def test_a_stop_cancels_a_managed_job(home: Path) -> None:
    run = Attended(cluster=None, states={1: ["RUNNING"]}).begun()
    run.ask("stop")
    run.pass_seconds(3)
    assert run.server.states == {1: ["CANCELLED"]}
    assert run.server.brought == []
    assert "managed" in run.attendant.cancelled


def test_nothing_of_a_request_is_left_on_this_machine(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    run = Attended().begun()
    run.ask("stop")
    run.pass_seconds(3)
    assert list((tmp_path / "t").iterdir()) == []
    assert read_json(run.paths.stop_request)["by"] == "stop"
