"""The shipped recipes over five seeds, as a table; README.md has it between its markers.

    python bench/recipes.py [RECIPE ...] [--seeds 5] [--at-once 1] [--write]

Each run is `stagectl run`, in a home of its own; seconds are from the training process's start to the run's end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("stagectl"))
RECIPES = ("doorkey", "doorkey_direct", "keycorridor")
BEGIN, END = "<!-- bench/recipes.py -->", "<!-- end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "recipes.json", help="kept between calls")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    args = parser.parse_args()
    results = json.loads(args.results.read_text()) if args.results.exists() else {}
    for name in args.recipes:
        with ThreadPoolExecutor(args.at_once) as pool:
            runs = list(pool.map(lambda seed, name=name: one_run(name, seed), range(args.seeds)))
        results[name] = {"date": time.strftime("%Y-%m-%d"), "at_once": args.at_once, "runs": runs}
        args.results.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    if args.write:
        readme = ROOT / "README.md"
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{rest.partition(END)[2]}")


def one_run(name: str, seed: int) -> dict[str, Any]:
    """Where a seed's run stood at the end, and when it left each stage."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "STAGECTL_HOME": home}
        words = [COMMAND, "run", f"recipes/{name}.yaml", f"trainer.seed={seed}", "-o", "json"]
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    status = json.loads(done.stdout)
    last = status["stages"][-1]
    run = {
        "seed": seed,
        "state": status["state"],
        "step": status["step"],
        "seconds": status["elapsed_seconds"],
        "left": [stage["left_step"] for stage in status["stages"]],
        "performance": last["performance"],
    }
    print(name, run, file=sys.stderr, flush=True)
    return run


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a recipe."""
    lines = [
        "| recipe | seeds that finished | steps, median (all) | seconds, median | success in the last stage, median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        runs = result["runs"]
        finished = sum(run["state"] == "completed" for run in runs)
        steps = [run["step"] for run in runs]
        every = ", ".join(f"{step:,}" for step in sorted(steps))
        seconds = statistics.median(run["seconds"] for run in runs)
        success = statistics.median(run["performance"] or 0.0 for run in runs)
        lines.append(
            f"| [{name}](recipes/{name}.yaml) | {finished} of {len(runs)} | {statistics.median(steps):,.0f} ({every}) "
            f"| {seconds:.0f} | {success:.2f} |"
        )
    when = "; ".join(f"{name} {r['date']}, {r['at_once']} at once" for name, r in results.items())
    machine = f"{platform.machine()}, {os.cpu_count()} cores, no GPU"
    return "\n".join([*lines, "", f"Measured by `python bench/recipes.py` on {machine} ({when})."])


if __name__ == "__main__":
    main()
