"""What stagectl itself takes around a launch on a cluster: everything but SkyPilot's own calls.

    python bench/launch.py [ROUNDS]

A whole launch in a process of its own, from reading the recipe to the submitted task, before a SkyPilot that answers at
once; beside it the start of the interpreter alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = (
    "trainer: {total_timesteps: 100k}\ncurriculum: {stages: [a, b, c]}\nlaunch: {backend: sky, accelerators: 'L4:1'}\n"
)
LAUNCH = """
from pathlib import Path
from stagectl.launch import cluster
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.recipe import load_recipe

cluster.start_follower = lambda paths: None  # it is SkyPilot's wait
server = FakeServer()
cluster.start(load_recipe(Path("recipe.yaml")), FakeSky(server), cluster.CodeOptions())
assert len(server.tasks) == 1
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "recipe.yaml").write_text(RECIPE)
        env = {**os.environ, "STAGECTL_HOME": f"{folder}/home"}
        launch = [_seconds([sys.executable, "-c", LAUNCH], folder, env) for _ in range(rounds + 1)][1:]
        bare = [_seconds([sys.executable, "-c", "pass"], folder, env) for _ in range(rounds)]
    print("| seconds | median | least | most |\n| --- | ---: | ---: | ---: |")
    for name, seconds in (("a launch, without SkyPilot's calls", launch), ("the interpreter alone", bare)):
        print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


def _seconds(command: list[str], folder: str, env: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
