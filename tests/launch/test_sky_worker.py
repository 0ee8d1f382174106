"""What the process that talks to SkyPilot makes of what goes wrong; a stand-in package raises it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stagectl.errors import JobError
from stagectl.job.training import PYTHON
from stagectl.launch.cluster import CodeOptions, start
from stagectl.launch.sky import Place, RefusedTaskError, SkyPilot, UnreachableError
from stagectl.recipe import load_recipe
from stagectl.runs.paths import runs_folder

PACKAGE = """
import os

class Task:
    @staticmethod
    def from_yaml_config(task):
        {check}
        return task

class Refused(Exception):
    '''One of SkyPilot's own.'''

Refused.__module__ = "sky.exceptions"

def launch(task, cluster_name):
    open(os.environ["TOOK"], "w").close()
    {launch}
"""


def launched(folder: Path, monkeypatch: pytest.MonkeyPatch, launch: str, check: str = "pass") -> bool:
    """Start a run with a SkyPilot that fails so; whether the run is kept."""
    (folder / "sky").mkdir()
    (folder / "sky" / "__init__.py").write_text(PACKAGE.format(launch=launch, check=check))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("TOOK", str(folder / "took"))
    file = folder / "r.yaml"
    file.write_text("run: r-1\ntrainer: {total_timesteps: 9}\ncurriculum: {stages: [a]}\nlaunch: {backend: sky}\n")
    with pytest.raises(JobError) as failed:
        start(load_recipe(file), SkyPilot(), CodeOptions(skip_git_check=True))
    kept = (runs_folder() / "r-1").exists()
    assert isinstance(failed.value, UnreachableError) == kept
    assert kept == ("the run is kept: stagectl run --resume r-1" in str(failed.value))
    return kept


@pytest.mark.parametrize(
    "launch",
    [
        "os.kill(os.getpid(), 9)",
        "import requests; raise requests.exceptions.HTTPError('502 Server Error: Bad Gateway')",
        "import requests; raise requests.exceptions.ChunkedEncodingError('broken')",
        "raise RuntimeError('Failed to get request ID from SkyPilot API server')",
        "raise KeyError('x')",
    ],
)
def test_a_launch_that_skypilot_may_have_taken_keeps_its_run(
    launch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched(tmp_path, monkeypatch, launch)
    assert (tmp_path / "took").exists()


@pytest.mark.parametrize("launch", ["raise Refused('no such accelerator')", "raise ValueError('no such cloud')"])
def test_a_launch_that_skypilot_refuses_leaves_no_run(
    launch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not launched(tmp_path, monkeypatch, launch)


def test_a_worker_whom_nobody_asks_since_its_follower_was_killed_ends_without_a_word() -> None:
    done = subprocess.run([*PYTHON, "stagectl.launch.sky_worker"], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_process_that_cannot_be_started_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagectl.launch.sky.PYTHON", ("/nowhere/python",))
    with pytest.raises(UnreachableError, match=r"no process that talks to SkyPilot can be started \(look\)"):
        SkyPilot().look(Place("r-1", "r-1"), 1)


def test_a_task_that_makes_no_sense_to_skypilot_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launched(tmp_path, monkeypatch, "pass", "raise ValueError('Invalid task')")
    with pytest.raises(RefusedTaskError, match="SkyPilot says: Invalid task") as refused:
        SkyPilot().check({"name": "r-1"})
    assert refused.value.exit_code == 2


def test_a_skypilot_that_is_not_installed_is_said_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sky.py").write_text("raise ModuleNotFoundError(name='sky')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(JobError, match=r"SkyPilot is not installed \(pip install 'stagectl\[sky\]'\)"):
        SkyPilot().check({"name": "r-1"})
