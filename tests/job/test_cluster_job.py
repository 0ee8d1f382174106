"""The job as a cluster's task: the same run, told on standard output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stagectl.job.lines import Output, read_line
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import RunPaths, read_events

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
    folder = tmp_path / "r-1"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(write_resolved(load_recipe(recipe)))
    return folder


def start(luggage: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "stagectl.job.cluster", str(luggage)]
    code = luggage.parent / "code"
    return subprocess.Popen(command, cwd=code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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
    assert events[-1]["event"] == "run_ended"
    assert output == paths.log.read_bytes()
    assert "training ü\n".encode() in output


def test_on_another_machine_the_run_goes_on_and_is_told_from_its_beginning(luggage: Path, home: Path) -> None:
    first = told(start(luggage).communicate(timeout=60)[0])[0]
    second = told(start(luggage).communicate(timeout=60)[0])[0]
    assert second[: len(first)] == first


def test_a_trainer_that_fails_fails_the_clusters_job(tmp_path: Path) -> None:
    job = start(make(tmp_path, "import sys; sys.exit(3)"))
    events = told(job.communicate(timeout=60)[0])[0]
    assert job.returncode == 1
    assert events[-1]["outcome"] == "failed"


@pytest.mark.parametrize("how", ["SIGTERM", "timeout_hours"])
def test_a_cancelled_job_and_one_whose_time_is_over_stop_as_a_run_stops(tmp_path: Path, how: str) -> None:
    script = TRAIN.format(code=0).replace("range(100, 400, 100)", "__import__('itertools').repeat(1)")
    job = start(make(tmp_path, script, ", timeout_hours: 0.000001" if how == "timeout_hours" else ""))
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
