"""How long the command takes to start, against a minimal typer program, in one run.

    python bench/startup.py [ROUNDS [EVENTS [RUNS]]]

EVENTS: of a long run; RUNS: of a home that has many.

Prints whole-process seconds and their ratio to the peer, pair by pair; .pyc files are there for both.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stagectl
from stagectl.runs import RunPaths, StatusReader

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
    given = [int(number) for number in sys.argv[1:]]
    rounds, events, runs = [*given, *(15, 1_000_000, 10_000)[len(given) :]]
    compileall.compile_dir(Path(stagectl.__file__).parent, quiet=1)
    command = str(Path(sys.executable).with_name("stagectl"))
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "STAGECTL_HOME": f"{folder}/home"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        (Path(folder) / "peer.py").write_text(PEER)
        (Path(folder) / "recipe.yaml").write_text(RECIPE)
        subprocess.run([sys.executable, "-c", TRAINER], cwd=folder, env=env, check=True)
        made = RunPaths(next(Path(env["STAGECTL_HOME"], "runs").iterdir()))
        long, many = Path(folder, "long"), Path(folder, "many")
        copy_run(made, long, "long", events)
        for number in range(runs):
            copy_run(made, many, f"run-{number:05}", 0)
        commands = {
            "a minimal typer program, --help": [sys.executable, f"{folder}/peer.py", "--help"],
            "stagectl --help": [command, "--help"],
            "stagectl --version": [command, "--version"],
            "stagectl status latest": [command, "status", "latest"],
            "stagectl status latest -o json": [command, "status", "latest", "-o", "json"],
            "stagectl list": [command, "list"],
            f"stagectl status, a run of {events:,} events": [command, "status", "long"],
            f"stagectl list, the newest 50 of {runs:,} runs": [command, "list"],
        }
        homes = {name: {"STAGECTL_HOME": str(home)} for name, home in zip([*commands][-2:], (long, many), strict=True)}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds + 1):  # the first warms up
            for name, words in commands.items():
                seconds = timed(words, {**env, **homes.get(name, {})})
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


def copy_run(made: RunPaths, home: Path, run_id: str, more: int) -> None:
    """A run like one that was made, whose training told so many events more before its end."""
    paths = RunPaths(home / "runs" / run_id)
    paths.folder.mkdir(parents=True)
    paths.recipe.write_bytes(made.recipe.read_bytes())
    paths.identity.write_text(json.dumps({"run": run_id}))
    events = [json.loads(line) for line in made.events.read_text().splitlines()]
    last = next(index for index, event in reversed([*enumerate(events)]) if event["event"] == "episodes")
    with paths.events.open("w") as log:
        for number in range(len(events) + more):
            beyond = min(max(0, number - last), more)
            event = events[number - beyond]
            told = {**event, "seq": number + 1, "step": event["step"] + 100 * beyond, "time": event["time"] + beyond}
            log.write(json.dumps(told, separators=(",", ":")) + "\n")
    StatusReader(paths).keep(paths.events.stat().st_size, after=1)


def timed(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def date() -> str:
    return time.strftime("%Y-%m-%d")


if __name__ == "__main__":
    main()
