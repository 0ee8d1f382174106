"""Does rehearsal keep what was learnt? The pair of recipes/ideas over a few seeds, as a table.

    python bench/forgetting.py [SEEDS]

The first stage's success is what `evaluate` measured after the stage was left, in deterministic episodes; it is kept
where it was never below 0.8.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("stagectl"))
RECIPES = ("rehearsal", "rehearsal_without")
KEPT = 0.8


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {time.strftime('%Y-%m-%d')}\n")
    print("| recipe | seed | success in the first stage after it was left | kept | in the last stage | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in RECIPES:
        for seed in seeds:
            events, seconds = run(name, seed)
            left = next((e["step"] for e in events if e["event"] == "stage_transition"), 0)
            first, last = (evaluated(events, stage, left) for stage in stages(events))
            shown = ", ".join(f"{value:.2f}" for value in first)
            kept = "yes" if min(first, default=0.0) >= KEPT else "no"
            end = f"{last[-1]:.2f}" if last else "—"
            print(f"| {name} | {seed} | {shown} | {kept} | {end} | {seconds:.0f} |", flush=True)


def run(name: str, seed: int) -> tuple[list[dict[str, Any]], float]:
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "STAGECTL_HOME": home}
        began = time.monotonic()
        words = [COMMAND, "run", f"recipes/ideas/{name}.yaml", f"trainer.seed={seed}", "run=it", "--progress", "quiet"]
        subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True)
        lines = Path(home, "runs", "it", "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines], time.monotonic() - began


def stages(events: list[dict[str, Any]]) -> tuple[str, str]:
    names = [stage["name"] for stage in events[0]["stages"]]
    return names[0], names[-1]


def evaluated(events: list[dict[str, Any]], stage: str, after: int) -> list[float]:
    key = f"eval/{stage}/success_rate"
    return [e["metrics"][key] for e in events if e["event"] == "metrics" and key in e["metrics"] and e["step"] > after]


if __name__ == "__main__":
    main()
