"""How old an event of a run on a cluster is as it comes into the log here: on the Slurm of tests/cluster, for a minute.

    PYTHON=.venv/bin/python tests/cluster/up.sh && . /opt/stagectl-cluster/env && python bench/news.py

The node's clock is this machine's.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cluster.conftest import come_to_step, recipe_at
from tests.e2e.conftest import RECIPES, Stagectl

SECONDS = 60


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "stagectl"
        laptop = Stagectl(home, {**os.environ, "STAGECTL_HOME": str(home)})
        begun = time.monotonic()
        run_id = laptop.start(recipe_at(Path(folder) / "code", RECIPES / "endless.yaml"))
        come_to_step(laptop, run_id, 100)
        launch = time.monotonic() - begun
        ages = _ages(laptop, run_id)
        begun = time.monotonic()
        laptop("stop", run_id)
        stop = time.monotonic() - begun
    print("| seconds | median | least | most |\n| --- | ---: | ---: | ---: |")
    print(f"| the age of {len(ages)} events | {statistics.median(ages):.2f} | {min(ages):.2f} | {max(ages):.2f} |")
    print(f"| from the command to the first steps here | {launch:.0f} | | |")
    print(f"| a stop, with its checkpoint | {stop:.0f} | | |")


def _ages(laptop: Stagectl, run_id: str) -> list[float]:
    """Of each event that comes within that time, as it comes."""
    ages, deadline = list[float](), time.monotonic() + SECONDS
    seen = len(laptop.events(run_id))
    while time.monotonic() < deadline:
        time.sleep(0.05)
        news = laptop.events(run_id)[seen:]
        seen += len(news)
        ages += [time.time() - event["time"] for event in news]
    return ages


if __name__ == "__main__":
    main()
