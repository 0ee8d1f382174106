"""What a replay and a sweep cost, beside those who only read the file, in one run.

python bench/simulate.py [ROUNDS [ROWS]]
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars

from stagectl import StagedProgressiveCurriculum
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import kernel, replay
from stagectl.simulate.sweep import Axis
from stagectl.simulate.sweeping import sweep_compiled
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Trace

TWO_COLUMNS = "import polars; polars.scan_csv({file!r}).select('step', 'success').collect()"
READERS = {
    "polars.read_csv": "import polars; polars.read_csv({file!r})",
    "polars, two columns lazily": TWO_COLUMNS,
    "the csv module": "import csv; [None for row in csv.reader(open({file!r}, newline=''))]",
}

# in a small process of its own, for a child's greatest memory is at least what its parent has had
MEASURE = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
wall = time.perf_counter() - start
if status:
    raise SystemExit(f"{sys.argv[1:4]} failed")
print(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {rounds} rounds, {time.strftime('%Y-%m-%d')}\n")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.csv"
        write(learner(rows), file)
        processes(file, rows, rounds)
    print("\n| in one process | M episodes a second of processor time |\n| --- | --- |")
    print(f"| replay | {rate(learner(rows), rounds):,.0f} |")
    with patch.object(kernel, "why_not", lambda curriculum: "the core alone is measured"):
        print(f"| the same by the core alone | {rate(learner(max(rows // 100, 1000)), 1):,.2f} |")
    sweeps(learner(max(rows // 10, 1000)), rounds)


def learner(rows: int) -> Trace:
    """One that comes to succeed in 97 of 100 episodes."""
    rng = np.random.default_rng(0)
    success = rng.random(rows) < np.clip(np.linspace(0, 1.2, rows), 0, 0.97)
    return Trace("learner", np.cumsum(rng.integers(1, 200, rows)), success.astype(float))


def write(trace: Trace, file: Path) -> None:
    returns = np.round(trace.scores * np.random.default_rng(1).random(len(trace)), 6)
    columns = {"step": trace.steps, "episode_return": returns, "success": trace.scores.astype(int)}
    polars.DataFrame(columns).write_csv(file)


def processes(file: Path, rows: int, rounds: int) -> None:
    """Whole processes, in turn: the ratio is of each round's pair."""
    told = {name: [sys.executable, "-c", code.format(file=str(file))] for name, code in READERS.items()}
    told["stagectl simulate"] = [sys.executable, "-m", "stagectl", "simulate", str(file), "--score-column", "success"]
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in told}
    for turn in range(rounds + 1):  # the first warms up
        for name, command in told.items():
            slow = name == "the csv module" and turn > 1
            if turn and not slow:
                measured[name].append(process(command))
    print(f"| {rows:,} rows, {file.stat().st_size / 1e6:.0f} MB | processor | ratio | wall | ratio | memory | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    peer = measured["polars.read_csv"]
    for name, runs in measured.items():
        cells = []
        for at, unit in enumerate(("{:.2f} s", "{:.2f} s", "{:.0f} MiB")):
            ratio = statistics.median(run[at] / other[at] for run, other in zip(runs, peer, strict=False))
            cells += [unit.format(statistics.median(run[at] for run in runs)), f"{ratio:.2f}"]
        print(f"| `{name}` | {' | '.join(cells)} |")


def process(command: list[str]) -> tuple[float, float, float]:
    """Processor and wall seconds, and the greatest memory in MiB, of one process."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    processor, wall, memory = map(float, done.stdout.split())
    return processor, wall, memory


def rate(trace: Trace, rounds: int) -> float:
    """Million episodes a second of processor time."""

    def play() -> None:
        replay(StagedProgressiveCurriculum(["a", "b", "c"]), trace)

    return len(trace) / 1e6 / min(seconds(play) for _ in range(rounds))


def sweeps(trace: Trace, rounds: int) -> None:
    """All variants of 100 thresholds and 100 smoothings, over four stages."""
    recipe = recipe_from_data({"curriculum": {"stages": ["a", "b", "c", "d"]}}, name="bench", folder=Path())
    axes = [
        Axis("performance_threshold", tuple(np.round(np.linspace(0.5, 0.95, 100), 4).tolist())),
        Axis("transition_smoothing", tuple(np.round(np.linspace(0.001, 0.1, 100), 4).tolist())),
    ]
    few = [Axis(axis.key, axis.values[::50]) for axis in axes]
    sweep_compiled(recipe, [trace], few)  # compiles
    whole = min(seconds(lambda: sweep_compiled(recipe, [trace], axes)) for _ in range(rounds))
    walls = min(seconds(lambda: sweep_compiled(recipe, [trace], axes), time.perf_counter) for _ in range(rounds))
    alone = seconds(lambda: sweep_by_core(recipe, [trace], few))
    print(f"\n| sweep of {len(trace):,} episodes | processor | wall | G variant-episodes a second of a processor |")
    print("| --- | --- | --- | --- |")
    print(f"| 10,000 variants | {whole:.2f} s | {walls:.2f} s | {1e4 * len(trace) / 1e9 / whole:.2f} |")
    print(f"| replay by replay (4 variants) | {alone:.2f} s | | {4 * len(trace) / 1e9 / alone:.2f} |")


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    function()
    return clock() - start


if __name__ == "__main__":
    main()
