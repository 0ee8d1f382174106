"""The wheel, as a user gets it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEELS = Path(sys.prefix) / "wheels"  # what `make test` fetched: the bare package's own needs


def test_the_wheel_in_an_empty_environment_gives_a_working_command(tmp_path: Path) -> None:
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT])
    (wheel,) = tmp_path.glob("stagectl-*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run([python, "-m", "pip", "install", "--no-index", "--find-links", WHEELS, wheel])
    assert "Launch a recipe as one run" in run([tmp_path / "venv" / "bin" / "stagectl", "--help"])
    assert run([python, "-c", "import stagectl; stagectl.attach"]) == ""
    (tmp_path / "trace.csv").write_text("step,score\n" + "".join(f"{step},1\n" for step in range(100, 4100, 100)))
    told = run([tmp_path / "venv" / "bin" / "stagectl", "simulate", tmp_path / "trace.csv"])
    assert told.startswith("stage_1 would have been left at 2,000 steps")


def run(command: list[object]) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
