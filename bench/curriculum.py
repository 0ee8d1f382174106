"""What the curriculum costs, an episode and a step, beside a plain Python average and Syllabus, in one run.

    python bench/curriculum.py [ROUNDS] [--syllabus PYTHON]

PYTHON is an interpreter that has `pip install syllabus-rl`, which wants Ray and more and so stays out of ours; without
it there is no row of Syllabus. Times are of the processor: a wait that sleeps costs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from stagectl import StagedProgressiveCurriculum

EPISODES = 20_000
PLAIN = "get_task + complete_task, plain criterion, 16 to a boundary"
FOUR_TERMS = (
    "performance >= 0.99 and mean(score, last=100) >= 0.99 and lower_bound(success, 0.95) >= 0.99 "
    "and ema(score, 0.05) >= 0.99"
)


class PlainAverage:
    """The least that any curriculum must do."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, score: float) -> None:
        self.value += 0.1 * (score - self.value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    parser.add_argument("--syllabus", metavar="PYTHON", help="an interpreter with syllabus-rl")
    args = parser.parse_args()
    cases = {
        "a plain average, an episode": average,
        PLAIN: lambda: episodes("performance"),
        "the same, boundary included, four terms": lambda: episodes(FOUR_TERMS),
        "update_step_count, nothing due": steps,
    }
    if args.syllabus:
        for at_once in (16, 1):
            name = f"Syllabus's synchronised sequential curriculum, {at_once} at once"
            cases[name] = lambda at_once=at_once: syllabus(args.syllabus, at_once)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(args.rounds + 1):  # the first warms up
        for name, case in cases.items():
            each = case()
            if turn:
                seconds[name].append(each)
    peer = next(iter(seconds.values()))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | µs | times the plain average | times ours, plain criterion |\n| --- | --- | --- | --- |")
    for name, measured in seconds.items():
        ratios = f"{times(measured, peer)} | {times(measured, seconds[PLAIN])}"
        print(f"| {name} | {statistics.median(measured) * 1e6:.2f} | {ratios} |")


def times(measured: list[float], peer: list[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(measured, peer, strict=True)):.1f}"


def average() -> float:
    plain = PlainAverage()
    return timed(lambda: [plain.add(0.5) for _ in range(EPISODES)], EPISODES)


def episodes(criterion: str) -> float:
    settings = {} if criterion == "performance" else {"advance_when": criterion}
    curriculum = StagedProgressiveCurriculum(["a", "b"], performance_threshold=0.99, **settings)
    curriculum.decide_between_steps()

    def play() -> None:
        for episode in range(EPISODES):
            curriculum.get_task().complete(0.5)
            if episode % 16 == 15:
                curriculum.update_step_count(curriculum.total_steps + 2048)

    return timed(play, EPISODES)


def steps() -> float:
    curriculum = StagedProgressiveCurriculum(["a", "b"])
    curriculum.decide_between_steps()
    curriculum.update_step_count(1)
    return timed(lambda: [curriculum.update_step_count(step) for step in range(2, EPISODES)], EPISODES)


def syllabus(python: str, at_once: int) -> float:
    script = Path(__file__).with_name("syllabus_peer.py")
    words = [python, str(script), str(at_once)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"{python} cannot run Syllabus: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout)["seconds"])


def timed(function: Callable[[], object], times: int) -> float:
    start = time.process_time()
    function()
    return (time.process_time() - start) / times


if __name__ == "__main__":
    main()
