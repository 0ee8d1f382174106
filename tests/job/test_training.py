"""The job process: an attempt's end is told truly, however it comes, and so is the job's own failure."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import DamagedRunError
from stagectl.job import __main__ as job
from stagectl.job import training
from stagectl.recipe import Recipe, load_recipe, write_resolved
from stagectl.runs import (
    Beginning,
    Ending,
    EventLog,
    RunPaths,
    create_run,
    is_same_process,
    read_events,
    read_json,
    read_status,
    write_json,
)
from stagectl.session import Session

Make = Callable[..., tuple[RunPaths, Recipe]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def run(*command: str, budget: str = "") -> tuple[RunPaths, Recipe]:
        file = tmp_path / "recipe.yaml"
        trainer = f"trainer: {{command: {list(command)}{budget}}}"
        file.write_text(f"run: mine\n{trainer}\ncurriculum: {{stages: [a, b]}}\n")
        recipe = load_recipe(file)
        return create_run("mine", write_resolved(recipe), recipe.folder, recipe.facts()), recipe

    return run


def at_each_look(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """The job looks at once, and before each of its first looks one of the acts happens."""
    left = iter(acts)

    @contextlib.contextmanager
    def ended_signal(pid: int) -> Iterator[Callable[[float], object]]:
        fd = os.pidfd_open(pid)
        try:
            yield lambda _: next(left, lambda: select.select([fd], [], [], 0.01))()
        finally:
            os.close(fd)

    monkeypatch.setattr(training, "_ended_signal", ended_signal)


# ── an attempt ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="waits for a process without reaping it")
@pytest.mark.parametrize(("command", "exit_code"), [("true", 0), ("false", 1)])
def test_a_trainer_that_has_ended_before_it_is_looked_at_is_told_by_its_exit_code(
    make: Make, monkeypatch: pytest.MonkeyPatch, command: str, exit_code: int
) -> None:
    start = training._start

    def start_and_see_it_end(*arguments: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(training, "_start", start_and_see_it_end)
    assert training.run_attempt(*make(command), 1, Beginning()) == Ending(exit_code)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes of other groups on Linux only")
@pytest.mark.parametrize("leaves", ["os.fork() or time.sleep(600)", "os.fork() or (os.setsid(), time.sleep(600))"])
def test_a_child_that_a_finished_trainer_leaves_behind_is_gone_when_the_attempt_is_over(
    make: Make, tmp_path: Path, leaves: str
) -> None:
    paths, recipe = make("python", "train.py")
    lines = [
        "import os, time",
        "from pathlib import Path",
        "from stagectl.runs import FileLock",
        f"lock = FileLock(Path({str(paths.events)!r}))",
        "assert lock.acquire()",
        "kept = os.dup(lock.fd)",  # as a library's copy of it would be
        leaves,
    ]
    (tmp_path / "train.py").write_text("\n".join(lines))
    assert training.run_attempt(paths, recipe, 1, Beginning()) == Ending(0)
    with EventLog(paths.events, attempt=1) as log:
        assert log.append("attempt_ended")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
@pytest.mark.parametrize("graces", [[600.0, 0.0], [0.0], [0.0, 600.0]])
def test_of_several_requests_to_stop_the_one_that_leaves_the_least_time_holds_and_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, graces: list[float]
) -> None:
    paths, recipe = make("sleep", "600")
    asks = [lambda grace=grace: write_json(paths.stop_request, {"grace": grace}) for grace in graces]
    at_each_look(monkeypatch, *asks)
    assert training.run_attempt(paths, recipe, 1, Beginning()) == Ending(-signal.SIGTERM, killed_after=0.0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
def test_a_job_that_fails_leaves_no_trainer_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, recipe = make("sleep", "600")
    at_each_look(monkeypatch, lambda: paths.stop_request.write_text("garbage"))
    with pytest.raises(DamagedRunError):
        training.run_attempt(paths, recipe, 1, Beginning())
    assert not is_same_process(read_json(paths.identity)["trainer"])


# ── the job's own failure ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _signals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def attempting(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    monkeypatch.setattr(job, "run_attempt", lambda *_: act())


def refuse() -> None:
    raise RuntimeError("out of threads")


@pytest.mark.usefixtures("_signals_stay")
def test_a_job_that_fails_says_so_as_the_runs_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = make("true")
    attempting(monkeypatch, refuse)
    with pytest.raises(RuntimeError):
        job.main([str(paths.folder)])
    end = read_events(paths.events)[-1]
    assert (end["event"], end["outcome"]) == ("run_ended", "failed")
    assert end["message"] == "the job process failed: RuntimeError: out of threads"


@pytest.mark.usefixtures("_signals_stay")
def test_a_job_whose_recipe_cannot_be_read_says_so_as_the_runs_end(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, _ = make("true")
    paths.recipe.write_text("stages: [")
    assert job.main([str(paths.folder)]) == 2
    assert read_events(paths.events)[-1]["outcome"] == "failed"
    assert "recipe.yaml" in capsys.readouterr().out


@pytest.mark.usefixtures("_signals_stay")
def test_a_job_that_fails_while_its_trainer_writes_on_leaves_the_log_to_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = make("true")
    attempting(monkeypatch, refuse)
    with EventLog(paths.events, attempt=1):
        assert job.main([str(paths.folder)]) == 1
    assert read_status(paths).ended is None


@pytest.mark.usefixtures("_signals_stay")
def test_a_run_ends_at_its_own_step_and_not_at_one_of_a_metric(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = make("true")

    def train() -> Ending:
        with EventLog(paths.events, attempt=1) as log:
            log.append("ready", 0)
            log.append("progress", 100)
            log.append("metrics", 5000, metrics={"loss": 1.0})
        return Ending(0)

    attempting(monkeypatch, train)
    assert job.main([str(paths.folder)]) == 0
    assert [(event["event"], event["step"]) for event in read_events(paths.events)[-2:]] == [
        ("attempt_ended", 100),
        ("run_ended", 100),
    ]


# ── the end of a training that was over ─────────────────────────────────────────────────────────────────────


def trained(make: Make, monkeypatch: pytest.MonkeyPatch, ending: Ending) -> tuple[RunPaths, list[int]]:
    """A run whose script trains to the end of its budget, saves and says so; the numbers of its attempts."""
    paths, _ = make("true", budget=", total_timesteps: 200")
    begun: list[int] = []

    def attempt(paths: RunPaths, recipe: Recipe, number: int, start: Beginning) -> Ending:
        begun.append(number)
        log = EventLog(paths.events, attempt=number)
        folder = start.checkpoint and start.checkpoint.folder
        with Session(paths, recipe, log, resumed_from=folder) as session:
            while not session.should_stop:
                session.curriculum.get_task().complete(1.0)
                session.update_step_count(session.step + 10)
            with session.checkpoint():
                pass
        return ending

    monkeypatch.setattr(job, "run_attempt", attempt)
    return paths, begun


def last_events(paths: RunPaths) -> list[tuple[str, Any]]:
    return [(event["event"], event.get("outcome")) for event in read_events(paths.events)[-3:]]


OVER = [("training_ended", None), ("attempt_ended", None), ("run_ended", "completed")]


@pytest.mark.usefixtures("_signals_stay")
@pytest.mark.parametrize("exit_code", [0, -6, -11, 1])
def test_a_run_that_is_over_stays_so_when_its_process_dies_as_it_exits(
    make: Make, monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    paths, begun = trained(make, monkeypatch, Ending(exit_code))
    assert job.main([str(paths.folder)]) == 0
    assert (begun, last_events(paths)) == ([1], OVER)


@pytest.mark.usefixtures("_signals_stay")
@pytest.mark.parametrize(("lost", "attempts"), [(1, [1]), (2, [1]), (3, [1, 2])])
@pytest.mark.parametrize("exit_code", [0, -6])
def test_a_job_that_is_killed_on_its_last_words_leaves_a_run_that_ends_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch, exit_code: int, lost: int, attempts: list[int]
) -> None:
    paths, begun = trained(make, monkeypatch, Ending(exit_code))
    job.main([str(paths.folder)])
    end = read_events(paths.events)[-1]["message"]
    lines = paths.events.read_text().splitlines(keepends=True)
    paths.events.write_text("".join(lines[:-lost]))
    assert job.main([str(paths.folder)]) == 0
    assert (begun, last_events(paths)) == (attempts, OVER)
    if lost != 2:  # the exit code was lost with the event that told it
        assert read_events(paths.events)[-1]["message"] == end
