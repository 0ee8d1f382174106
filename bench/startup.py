"""How long the command takes to start, against a minimal typer program, in one run.

    python bench/startup.py [ROUNDS]

Prints whole-process seconds and their ratio to the peer, pair by pair; .pyc files are there for both.
"""

from __future__ import annotations

import compileall
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stagectl

PEER = """import typer

app = typer.Typer()


@app.command()
def hello(name: str) -> None:
    print(name)


@app.command()
def bye(name: str) -> None:
    print(name)


app()
"""
TRAINER = """import stagectl

with stagectl.attach("recipe.yaml") as session:
    for step in range(1, 200):
        session.curriculum.get_task().complete(0.5)
        session.update_step_count(step * 100)
"""
RECIPE = "trainer: {command: [python, train.py], total_timesteps: 100k}\ncurriculum: {stages: [a, b, c]}\n"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    compileall.compile_dir(Path(stagectl.__file__).parent, quiet=1)
    command = str(Path(sys.executable).with_name("stagectl"))
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "STAGECTL_HOME": f"{folder}/home"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        (Path(folder) / "peer.py").write_text(PEER)
        (Path(folder) / "recipe.yaml").write_text(RECIPE)
        subprocess.run([sys.executable, "-c", TRAINER], cwd=folder, env=env, check=True)
        commands = {
            "a minimal typer program, --help": [sys.executable, f"{folder}/peer.py", "--help"],
            "stagectl --help": [command, "--help"],
            "stagectl --version": [command, "--version"],
            "stagectl status latest": [command, "status", "latest"],
            "stagectl status latest -o json": [command, "status", "latest", "-o", "json"],
            "stagectl list": [command, "list"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds + 1):  # the first warms up
            for name, words in commands.items():
                seconds = timed(words, env)
                if turn:
                    times[name].append(seconds)
    peer = next(iter(times.values()))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds, {date()}\n"
    )
    print("| command | median | ratio to the peer |\n| --- | --- | --- |")
    for name, measured in times.items():
        ratio = statistics.median(a / b for a, b in zip(measured, peer, strict=True))
        print(f"| `{name}` | {statistics.median(measured) * 1000:.0f} ms | {ratio:.2f} |")


def timed(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def date() -> str:
    return time.strftime("%Y-%m-%d")


if __name__ == "__main__":
    main()
