"""The job as a cluster's task: the same run, told on standard output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stagectl.job.cluster import DEATHS
from stagectl.job.lines import Output, read_line
from stagectl.job.requests import Brought, brought_to
from stagectl.job.stored import note_submission, submission_ended
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import EventLog, RunPaths, create_run, read_events, read_json, write_json
from tests.folding import folded
from tests.job.luggage import pack

TRAIN = """
import sys, stagectl
print("training ü")
with stagectl.attach() as session:
    for step in range(100, 400, 100):
        task = session.curriculum.get_task()
        task.complete(1.0)
        session.update_step_count(step)
        if session.should_stop: break
print("no end", end="")
sys.exit({code})
"""
ENDLESS = TRAIN.format(code=0).replace("range(100, 400, 100)", "iter(int, 1)")  # for ever
CURRICULUM = "{min_episodes: 1, performance_threshold: 0.5, stages: [a, b]}"


@pytest.fixture
def luggage(tmp_path: Path) -> Path:
    """What travels with the task: a folder named by the run, with its resolved recipe."""
    return make(tmp_path, TRAIN.format(code=0))


def make(tmp_path: Path, script: str, launch: str = "") -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text(script)
    recipe = tmp_path / "recipe.yaml"
    trainer = "{command: [python, mine.py], total_timesteps: 300}"
    recipe.write_text(f"run: r-1\ntrainer: {trainer}\ncurriculum: {CURRICULUM}\nlaunch: {{backend: sky{launch}}}\n")
    return pack(tmp_path / "r-1", load_recipe(recipe))


def start(luggage: Path, submission: str = "r-1") -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "stagectl.job.cluster", str(luggage)]
    told = {"cwd": luggage.parent / "code", "env": {**os.environ, "STAGECTL_SUBMISSION": submission}}
    return subprocess.Popen(command, **told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(said: str) -> tuple[list[dict[str, object]], bytes]:
    held = [read_line(line) for line in said.splitlines()]
    assert None not in held
    output = b"".join(piece.text for piece in held if isinstance(piece, Output))
    return [event for event in held if isinstance(event, dict)], output


def test_all_events_and_the_whole_output_are_printed(luggage: Path, home: Path) -> None:
    job = start(luggage)
    said, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (0, "")
    paths = RunPaths(home / ".stagectl" / "runs" / "r-1")
    events, output = told(said)
    assert events == read_events(paths.events)
    assert events[0] == read_events(luggage / "events.jsonl")[0]
    assert events[-1]["event"] == "run_ended"
    assert output == paths.log.read_bytes()
    assert "training ü\n".encode() in output
    assert output.endswith(b"no end")
    assert read_line(said.splitlines()[-1]) == events[-1]  # whoever sees the end has all that was printed before it


def test_another_run_of_that_id_from_an_earlier_launch_is_not_gone_on_with(luggage: Path, home: Path) -> None:
    start(luggage).communicate(timeout=60)
    shutil.rmtree(luggage)
    pack(luggage, load_recipe(luggage.parent / "recipe.yaml"))
    again = start(luggage)
    said, errors = again.communicate(timeout=60)
    assert (again.returncode, said) == (6, "")
    assert "runs/r-1 on the cluster is another run of that id, of an earlier launch" in errors


@pytest.mark.parametrize("script", [TRAIN.format(code=0), "raise SystemExit(3)"])
def test_a_run_that_has_ended_and_is_started_again_by_skypilot_is_told_again_and_not_trained(
    tmp_path: Path, script: str
) -> None:
    luggage = make(tmp_path, script)
    first = told(start(luggage).communicate(timeout=60)[0])[0]
    again = start(luggage)
    assert told(again.communicate(timeout=60)[0])[0] == first
    assert again.returncode == 0


def test_a_run_that_was_stopped_and_is_submitted_again_goes_on_and_is_told_from_its_beginning(
    tmp_path: Path, home: Path
) -> None:
    luggage = make(tmp_path, ENDLESS, ", timeout_hours: 0.000001")
    first = told(start(luggage).communicate(timeout=60)[0])[0]
    assert first[-1]["outcome"] == "stopped"
    paths = RunPaths(home / ".stagectl" / "runs" / "r-1")
    write_json(paths.advance_request, {"to": "b", "time": 1.0})  # it is not asked of the second job
    recipe = luggage / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("timeout_hours: 1.0e-06", "timeout_hours: 100"))
    (tmp_path / "code" / "mine.py").write_text(TRAIN.format(code=0))
    second = told(start(luggage, "r-1.2").communicate(timeout=60)[0])[0]
    assert second[: len(first)] == first
    assert second[-1]["outcome"] == "completed"
    assert [event["request"] for event in second if event["event"] == "request_answered"] == ["stop"]


def test_a_runs_hours_count_from_its_submission_and_not_since_it_was_made(tmp_path: Path) -> None:
    luggage = make(tmp_path, TRAIN.format(code=0), ", timeout_hours: 1")
    events = luggage / "events.jsonl"
    made = read_events(events)[0]
    events.write_text(json.dumps({**made, "time": made["time"] - 7200}) + "\n")
    assert told(start(luggage).communicate(timeout=60)[0])[0][-1]["outcome"] == "completed"


def test_a_submission_that_goes_on_on_another_machine_keeps_its_time_and_what_it_goes_on_after(
    asked: tuple[RunPaths, Path, Brought],
) -> None:
    paths, _, _ = asked
    assert note_submission(paths, "r-1", 100.0) == 100.0
    assert not submission_ended(paths)
    with EventLog(paths.events, attempt=1) as log:
        log.append("run_ended", outcome="failed", message="")
    assert submission_ended(paths)
    assert note_submission(paths, "r-1", 200.0) == 100.0
    assert submission_ended(paths)
    assert note_submission(paths, "r-1.2", 300.0) == 300.0
    assert not submission_ended(paths)
    assert note_submission(paths, "r-1.2", 400.0) == 300.0
    assert not submission_ended(paths)


def test_a_trainer_that_fails_fails_the_clusters_job(tmp_path: Path) -> None:
    job = start(make(tmp_path, "import sys; sys.exit(3)"))
    events = told(job.communicate(timeout=60)[0])[0]
    assert job.returncode == 1
    assert events[-1]["outcome"] == "failed"


@pytest.mark.parametrize("how", ["SIGTERM", "timeout_hours"])
def test_a_cancelled_job_and_one_whose_time_is_over_stop_as_a_run_stops(tmp_path: Path, how: str) -> None:
    job = start(make(tmp_path, ENDLESS, ", timeout_hours: 0.000001" if how == "timeout_hours" else ""))
    lines = []
    with job:
        assert job.stdout is not None
        for line in job.stdout:
            lines.append(line)
            event = read_line(line)
            if how == "SIGTERM" and isinstance(event, dict) and event["event"] == "ready":
                os.kill(job.pid, signal.SIGTERM)
    assert told("".join(lines))[0][-1]["outcome"] == "stopped"


def test_a_recipe_that_cannot_be_read_is_said_in_one_line(luggage: Path) -> None:
    (luggage / "recipe.yaml").write_text("curriculum: {stages: []}\n")
    job = start(luggage)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 2
    assert errors.startswith("stagectl: ")
    assert "Traceback" not in errors


# ── what is asked of it ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def asked(luggage: Path, tmp_path: Path) -> tuple[RunPaths, Path, Brought]:
    """A run, the folder that requests are brought to, and who looks there."""
    recipe = load_recipe(tmp_path / "recipe.yaml")
    paths = create_run("r-1", write_resolved(recipe), tmp_path, recipe.facts())
    folder = brought_to(tmp_path, "r-1")
    folder.mkdir(parents=True)
    return paths, folder, Brought(paths, folder)


def test_a_request_that_is_brought_is_put_into_the_run_once(asked: tuple[RunPaths, Path, Brought]) -> None:
    paths, folder, brought = asked
    brought.look()
    assert read_json(paths.advance_request) == {}
    write_json(folder / "advance.json", {"to": "b", "time": 101.0})
    brought.look()
    assert read_json(paths.advance_request) == {"to": "b", "time": 101.0}
    paths.advance_request.unlink()  # as the training does that answers it
    brought.look()
    assert not paths.advance_request.exists()
    write_json(folder / "advance.json", {"to": "b", "time": 102.0})
    brought.look()
    assert read_json(paths.advance_request)["time"] == 102.0
    assert not paths.stop_request.exists()


def test_a_request_to_an_earlier_job_of_the_run_is_none_to_this_one(asked: tuple[RunPaths, Path, Brought]) -> None:
    paths, folder, _ = asked
    write_json(folder / "stop.json", {"by": "stop", "time": 99.0})
    brought = Brought(paths, folder)
    brought.look()
    assert not paths.stop_request.exists()
    write_json(folder / "stop.json", {"by": "stop", "time": 1.0})  # whatever the laptop's clock says
    brought.look()
    assert paths.stop_request.exists()


def test_a_request_that_is_still_on_its_way_is_taken_once_it_is_whole(asked: tuple[RunPaths, Path, Brought]) -> None:
    paths, folder, brought = asked
    (folder / "stop.json").write_text('{"by": "st')
    brought.look()
    assert not paths.stop_request.exists()
    write_json(folder / "stop.json", {"by": "stop", "grace": 3.0, "time": 101.0})
    brought.look()
    assert read_json(paths.stop_request)["grace"] == 3.0


def test_a_job_stops_by_a_request_that_is_brought_to_its_machine(tmp_path: Path, home: Path) -> None:
    job = start(make(tmp_path, ENDLESS))
    folder = brought_to(home, "r-1")
    folder.mkdir(parents=True)
    lines = []
    with job:
        assert job.stdout is not None
        for line in job.stdout:
            lines.append(line)
            event = read_line(line)
            if isinstance(event, dict) and event["event"] == "ready":
                write_json(folder / "stop.json", {"by": "stop", "time": event["time"]})
    assert told("".join(lines))[0][-1]["outcome"] == "stopped"


# ── a job process that is killed ────────────────────────────────────────────────────────────────────────────────

WAITS = """
import stagectl, time
from pathlib import Path
with stagectl.attach() as session:
    session.update_step_count(100)
    while Path("hold").exists(): time.sleep(0.01)
    session.update_step_count(300)
"""


def kill_jobs(run: subprocess.Popen[str], identity: Path, most: int) -> int:
    """Kill the job process as soon as it trains, and each that comes after it; how many there were."""
    killed: list[int] = []
    assert run.stdout is not None
    for line in run.stdout:
        event = read_line(line)
        began = isinstance(event, dict) and event["event"] == "ready"
        while began and run.poll() is None and len(killed) < most:
            pid = read_json(identity)["job"]["pid"]
            if pid not in killed and read_json(identity).get("trainer"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.01)
        if len(killed) == most:
            break
    return len(killed)


def test_a_job_process_that_is_killed_is_started_again_and_takes_its_training_over(tmp_path: Path, home: Path) -> None:
    run = start(make(tmp_path, WAITS))
    hold = tmp_path / "code" / "hold"
    hold.touch()
    paths = RunPaths(home / ".stagectl" / "runs" / "r-1")
    assert kill_jobs(run, paths.identity, 2) == 2
    hold.unlink()
    run.communicate(timeout=60)
    assert run.returncode == 0
    names = [event["event"] for event in read_events(paths.events)]
    assert names.count("attempt_started") == 1
    assert names[-1] == "run_ended"


def test_a_job_process_that_is_killed_over_and_over_without_a_step_is_given_up(tmp_path: Path, home: Path) -> None:
    run = start(make(tmp_path, WAITS))
    hold = tmp_path / "code" / "hold"
    hold.touch()
    paths = RunPaths(home / ".stagectl" / "runs" / "r-1")
    assert kill_jobs(run, paths.identity, DEATHS + 1) == DEATHS + 1
    run.communicate(timeout=60)
    assert run.returncode == 1
    assert "run_ended" not in paths.events.read_text()
    hold.unlink()


# ── a machine that is taken away ────────────────────────────────────────────────────────────────────────────────

HELD = """
import stagectl, time
from pathlib import Path
with stagectl.attach() as session:
    step = session.step
    while not session.should_stop:
        if step == 2000 and Path("hold").exists():
            time.sleep(0.01)
        else:
            step += 100
            session.curriculum.get_task().complete(float(step > 4000))
        session.update_step_count(step)
        if session.checkpoint_due:
            with session.checkpoint(): pass
"""
MANAGED = ", managed: true, envs: {STAGECTL_HOME: /kept}"


def trained(said: str) -> list[dict[str, object]]:
    """What training told, without what every attempt says anew."""
    ends = ("attempt_started", "ready", "training_ended", "attempt_ended", "run_ended", "request_answered")
    of_a_run = ("seq", "attempt", "time", "path")
    kept = [event for event in folded(told(said)[0]) if event["event"] not in (*ends, "checkpoint")]
    return [{key: value for key, value in event.items() if key not in of_a_run} for event in kept]


STARTS = """
import subprocess, sys
from stagectl.job.requests import hold_sigterm
hold_sigterm()
job = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1], *sys.argv[2:]])
job.terminate()
sys.exit(job.wait())
"""
HEEDS = """
import sys
from pathlib import Path
from stagectl.job.requests import heed_sigterm, is_taken_away
from stagectl.recipe import load_recipe
from stagectl.runs import RunPaths
paths = RunPaths(Path(sys.argv[1]))
heed_sigterm(paths, load_recipe(Path(sys.argv[2])))
print(is_taken_away(paths))
"""


def test_a_signal_to_a_job_that_is_just_starting_is_not_lost(tmp_path: Path) -> None:
    make(tmp_path, "", MANAGED)
    (tmp_path / "requests").mkdir()
    command = [sys.executable, "-P", "-c", STARTS, HEEDS, tmp_path, tmp_path / "recipe.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_managed_run_whose_machine_is_taken_away_goes_on_on_the_next_one_as_if_it_never_was(
    tmp_path: Path, home: Path, by_itself: bool
) -> None:
    """SIGTERM goes to the job, or to every process of the machine, the trainer too; then everything is killed."""
    luggage = make(tmp_path, HELD, MANAGED)
    recipe, hold = luggage / "recipe.yaml", tmp_path / "code" / "hold"
    recipe.write_text(recipe.read_text().replace("total_timesteps: 300", "total_timesteps: 5000"))
    hold.touch()
    paths = RunPaths(home / ".stagectl" / "runs" / "r-1")
    first = start(luggage)
    with first:
        assert first.stdout is not None
        for line in first.stdout:
            event = read_line(line)
            if isinstance(event, dict) and event["step"] == 2000 and event["event"] in ("episodes", "progress"):
                identity = read_json(paths.identity)
                every = [first.pid, identity["job"]["pid"], identity["trainer"]["pid"]]
                for pid in every[:1] if by_itself else every:
                    os.kill(pid, signal.SIGTERM)
            if isinstance(event, dict) and event["event"] == "attempt_ended":
                for pid in every[:2]:
                    os.kill(pid, signal.SIGKILL)
    hold.unlink()
    assert "run_ended" not in paths.events.read_text()
    second = start(luggage)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    events = told(said)[0]
    assert [event["outcome"] for event in events if event["event"] == "run_ended"] == ["completed"]
    assert [event["attempt"] for event in events if event["event"] == "attempt_started"] == [1, 2]
    answered = [event["attempt"] for event in events if event["event"] == "request_answered"]
    assert answered == ([1] if by_itself else [])
    paths.folder.rename(paths.folder.with_name("before"))
    assert trained(said) == trained(start(luggage).communicate(timeout=60)[0])
