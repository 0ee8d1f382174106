"""The benchmarks run, and print a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.parametrize(
    "command", ["startup.py 1 2000 60", "overhead.py 2048", "curriculum.py 1", "simulate.py 1 2000", "launch.py 1"]
)
def test_a_benchmark_prints_its_table(command: str) -> None:
    script, *arguments = command.split()
    done = subprocess.run([sys.executable, BENCH / script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| --- |" in done.stdout
