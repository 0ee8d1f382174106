"""Record the runs of tests/data/runs again: every shipped recipe, shortened so that its stages still change.

    python tests/data/record.py [NAME...]

For each recipe NAME.jsonl.gz is the run's event log, and NAME.yaml its resolved recipe. Together they stay below 1 MB.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "runs"
SOON = ["curriculum.performance_threshold=0.3", "curriculum.min_episodes=20"]

SHORTENED: dict[str, list[str]] = {
    "recipes/doorkey.yaml": [
        *SOON,
        *("curriculum.stages.doorkey_6.max_steps=8k", "curriculum.stages.doorkey_6.on_timeout=advance"),
    ],
    "recipes/doorkey_direct.yaml": ["curriculum.env_overrides.max_steps=200"],
    "recipes/keycorridor.yaml": [
        *SOON,
        "curriculum.stages.one_row.max_steps=8k",
        "curriculum.stages.one_row.on_timeout=advance",
        "curriculum.stages.two_rows.max_steps=8k",
        "curriculum.stages.two_rows.on_timeout=stop",
    ],
    "recipes/ideas/adaptive.yaml": [
        "curriculum.stages.short.performance_threshold={from: 0.5, to: 0.2, over: 10k}",
        "curriculum.stages.long.performance_threshold={below_best: 0.1, over: 4k}",
    ],
    "recipes/ideas/agents.yaml": ["curriculum.performance_threshold=0.3"],
    "recipes/ideas/branching.yaml": [
        *SOON,
        "curriculum.stages.empty.next="
        "[{to: large, when: performance >= 0.5 and steps <= 20k}, {to: small, when: steps >= 20k}]",
        "curriculum.stages.large.demote={to: small, below: 0.3, patience: 4k}",
    ],
    "recipes/ideas/criterion.yaml": [
        "curriculum.stages.empty.advance_when="
        "sustained(lower_bound(success, 0.95, last=50) >= 0.4, for=2k) or steps >= 20k"
    ],
    "recipes/ideas/evaluation.yaml": [
        'curriculum.stages.empty.advance_when=metric("eval/empty/success_rate") >= 0.3 or steps >= 20k',
    ],
    "recipes/ideas/hyperparameters.yaml": ["curriculum.stages.short.performance_threshold=0.3"],
    "recipes/ideas/parallel.yaml": [*SOON, "curriculum.stages.rooms.max_steps=16k"],
    "recipes/ideas/rehearsal.yaml": ["curriculum.stages.key.advance_when=steps >= 12k"],
    "recipes/ideas/rehearsal_without.yaml": ["curriculum.stages.key.advance_when=steps >= 12k"],
    "recipes/own_trainer/own_trainer.yaml": [*SOON, "curriculum.stages.random_start.performance_threshold=0.5"],
}
STEPS = "trainer.total_timesteps=32k"


def main(wanted: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for recipe, overrides in SHORTENED.items():
        name = Path(recipe).stem
        if not wanted or name in wanted:
            record(name, recipe, [STEPS, *overrides])
            print(f"{name}: {(FOLDER / f'{name}.jsonl.gz').stat().st_size:,} bytes")


def record(name: str, recipe: str, overrides: list[str]) -> None:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "stagectl", "run", recipe, f"run={name}", "--progress", "quiet", *overrides]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "STAGECTL_HOME": home}, check=False)
        if done.returncode not in (0, 1):  # 1: the recipe says that a stage which takes too long fails
            sys.exit(f"{recipe}: ended with {done.returncode}")
        run = Path(home) / "runs" / name
        (FOLDER / f"{name}.yaml").write_bytes((run / "recipe.yaml").read_bytes())
        (FOLDER / f"{name}.jsonl.gz").write_bytes(gzip.compress((run / "events.jsonl").read_bytes(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
