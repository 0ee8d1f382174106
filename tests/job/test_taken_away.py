"""A managed job whose machine is to be taken away waits for that, and goes on where the machine stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stagectl.job import __main__ as job
from stagectl.job.requests import ask_to_stop
from stagectl.recipe import Recipe, load_recipe, write_resolved
from stagectl.runs import Beginning, Ending, EventLog, RunPaths, create_run, read_events
from stagectl.session import Session

TERMINATED = Ending(-15)


class Managed:
    """A managed run of 200 steps, trained in this process; what happens at steps and waits is passed in."""

    def __init__(self, tmp_path: Path) -> None:
        file = tmp_path / "recipe.yaml"
        file.write_text(
            "run: mine\ntrainer: {command: [none], total_timesteps: 200, checkpoint_every: 50}\n"
            "curriculum: {stages: [a]}\nlaunch: {backend: sky, managed: true}\n"
        )
        self.recipe: Recipe = load_recipe(file)
        self.paths = create_run("mine", write_resolved(self.recipe), tmp_path, self.recipe.facts())
        self.at_step: dict[int, Callable[[], Any]] = {}  # each once; an Ending kills the training
        self.at_wait: dict[float, Callable[[], Any]] = {}  # each once, after so many seconds of waiting
        self.waited = 0.0

    def take_away(self) -> None:
        ask_to_stop(self.paths, "SIGTERM", taken=True)

    def run(self) -> list[dict[str, Any]]:
        with mock.patch.object(job, "run_attempt", self._attempt), mock.patch.object(job, "end_processes"):
            job._write_end(self.paths, job._Run(self.paths, self.recipe, [], None, self._wait).train())
        return read_events(self.paths.events)

    def _wait(self, seconds: float) -> None:
        self.waited += seconds
        for when in [when for when in self.at_wait if when <= self.waited]:
            self.at_wait.pop(when)()

    def _attempt(self, paths: RunPaths, recipe: Recipe, number: int, start: Beginning) -> Ending:
        log = EventLog(paths.events, attempt=number)
        session = Session(paths, recipe, log, resumed_from=start.checkpoint and start.checkpoint.folder)
        while not session.should_stop:
            act = self.at_step.pop(session.step + 10, lambda: None)
            if isinstance(ending := act(), Ending):
                log.close()
                return ending
            session.update_step_count(session.step + 10)
            if session.checkpoint_due:
                with session.checkpoint():
                    pass
        session.close()
        return Ending(0)


@pytest.fixture
def run(tmp_path: Path) -> Managed:
    return Managed(tmp_path)


def starts(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    told = [event for event in events if event["event"] == "attempt_started"]
    return [(event["step"], event.get("reason", "")) for event in told]


STAYED = "its machine was to be taken away, and stayed"


def test_where_the_machine_stays_the_run_goes_on_from_the_checkpoint_that_was_saved_for_it(run: Managed) -> None:
    run.at_step[120] = run.take_away
    events = run.run()
    assert starts(events) == [(0, ""), (120, STAYED)]
    assert run.waited >= job.TAKEN_SECONDS
    assert [event["event"] for event in events].count("request_answered") == 1
    assert events[-1]["outcome"] == "completed"


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_trainer_that_dies_of_it_has_not_failed_even_where_the_job_learns_of_the_machine_later(
    run: Managed, seconds: float
) -> None:
    run.at_step[120] = lambda: TERMINATED
    run.at_wait[seconds] = run.take_away
    assert starts(run.run()) == [(0, ""), (100, STAYED)]
    assert run.waited >= job.TAKEN_SECONDS


def test_a_trainer_that_dies_of_it_before_its_first_rollout_has_not_failed_the_run(run: Managed) -> None:
    run.at_step[10] = lambda: (run.take_away(), TERMINATED)[1]
    events = run.run()
    assert starts(events) == [(0, ""), (0, STAYED)]
    assert events[-1]["outcome"] == "completed"


def test_who_is_asked_to_stop_in_the_meantime_stops(run: Managed) -> None:
    run.at_step[120] = run.take_away
    run.at_wait[60.0] = lambda: ask_to_stop(run.paths, "timeout_hours: 1")
    events = run.run()
    assert starts(events) == [(0, "")]
    assert (events[-1]["event"], events[-1]["outcome"]) == ("run_ended", "stopped")


def test_a_training_that_is_through_when_its_machine_goes_is_completed_at_once(run: Managed) -> None:
    run.at_step[200] = run.take_away
    assert run.run()[-1]["outcome"] == "completed"
    assert run.waited == 0.0


def test_a_trainer_that_dies_while_the_machine_stays_is_started_again_soon(run: Managed) -> None:
    run.at_step[120] = lambda: TERMINATED
    events = run.run()
    assert starts(events) == [(0, ""), (100, "the training process was killed by SIGTERM at step 100")]
    assert run.waited == pytest.approx(job.TOLD_SECONDS)


def test_a_job_that_was_killed_between_the_stop_and_its_own_words_is_gone_on_with_by_the_next_machines(
    run: Managed,
) -> None:
    class KilledError(BaseException):
        pass

    def kill() -> None:
        raise KilledError

    run.at_step[120] = run.take_away
    run.at_wait[60.0] = kill
    with pytest.raises(KilledError):
        run.run()
    lines = run.paths.events.read_text().splitlines(keepends=True)
    assert '"attempt_ended"' in lines[-1]
    run.paths.events.write_text("".join(lines[:-1]))  # killed before that, too
    run.paths.stop_request.unlink()  # as the job does that is started on the next machine
    events = run.run()
    assert starts(events) == [(0, ""), (120, "resumed; its processes had gone")]
    assert events[-1]["outcome"] == "completed"
