"""The installed `stagectl` command, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stagectl.runs import read_events

COMMAND = Path(sys.executable).with_name("stagectl")
RECIPES = Path(__file__).parent / "recipes"


@dataclass
class Stagectl:
    """Runs the command; `home` is its STAGECTL_HOME."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        options.setdefault("timeout", 180)
        command = [str(COMMAND), *map(str, arguments)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, **options)

    def json(self, *arguments: object) -> dict[str, Any]:
        done = self(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr + done.stdout
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    def start(self, recipe: Path, *overrides: str) -> str:
        """Start a run detached; its id."""
        done = self("run", recipe, "--detach", *overrides)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def folder(self, run_id: str) -> Path:
        return self.home / "runs" / run_id

    def events(self, run_id: str) -> list[dict[str, Any]]:
        return read_events(self.folder(run_id) / "events.jsonl")


def eventually(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """What `condition` gives once it is true; polled, as a user would look again."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"still not true after {seconds} s"
        time.sleep(0.05)
    return result


def make(home: Path) -> Stagectl:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "STAGECTL", "PYTEST"))}
    env = {**kept, "STAGECTL_HOME": str(home / "stagectl"), "HOME": str(home), "USER": "ada", "NO_COLOR": "1"}
    return Stagectl(home / "stagectl", env)


@pytest.fixture
def stagectl(tmp_path: Path) -> Iterator[Stagectl]:
    """The command; runs that a test leaves alive are stopped after it."""
    command = make(tmp_path)
    yield command
    _stop_all(command)


@pytest.fixture(scope="module")
def module_stagectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stagectl]:
    command = make(tmp_path_factory.mktemp("home"))
    yield command
    _stop_all(command)


def _stop_all(stagectl: Stagectl) -> None:
    for run in stagectl.json("list")["runs"]:
        if run["state"] in ("starting", "running", "stalled"):
            stagectl("stop", run["run"], "--grace", "0")
