"""What stagectl costs inside the bundled trainer: its share of the training time.

    python bench/overhead.py [STEPS]

Trains recipes/doorkey.yaml in this process and times every call of the trainer into the session and the curriculum.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[1] / "recipes" / "doorkey.yaml"


class Stopwatch:
    """Time spent in the functions that it wraps; a wrapped function called by another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._inside = False

    def wrap(self, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
                self.calls[name] = self.calls.get(name, 0) + 1

        setattr(owner, name, timed)


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    with tempfile.TemporaryDirectory() as home:
        os.environ["STAGECTL_HOME"] = home
        from stagectl import attach
        from stagectl.recipe import load_recipe, write_resolved
        from stagectl.trainers.sb3 import train

        shortened = Path(home) / "doorkey.yaml"
        overrides = [f"trainer.total_timesteps={steps}", "trainer.checkpoint_every=1G"]
        shortened.write_text(write_resolved(load_recipe(RECIPE, overrides)))
        stopwatch = Stopwatch()
        with attach(shortened) as session:
            for name in ("get_task", "complete_task"):
                stopwatch.wrap(session.curriculum, name)
            for name in ("update_step_count", "log"):
                stopwatch.wrap(session, name)
            start = time.perf_counter()
            train(session)
            total = time.perf_counter() - start
            done = session.curriculum.total_steps
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
    print(f"\n{done:,} steps in {total:.1f} s\n")
    print("| call | calls | each | share of the time |\n| --- | --- | --- | --- |")
    for name, seconds in stopwatch.seconds.items():
        calls = stopwatch.calls[name]
        print(f"| `{name}` | {calls:,} | {seconds / calls * 1e6:.1f} µs | {seconds / total:.3%} |")
    everything = sum(stopwatch.seconds.values())
    print(f"| all | | {everything / done * 1e9:.0f} ns a step | {everything / total:.3%} |")


if __name__ == "__main__":
    main()
