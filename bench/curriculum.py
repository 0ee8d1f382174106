"""What the curriculum costs, an episode and a step, beside a plain Python average, in one run.

python bench/curriculum.py [ROUNDS]
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

from stagectl import StagedProgressiveCurriculum

EPISODES = 20_000
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
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    cases = {
        "a plain average, an episode": average,
        "get_task + complete_task, plain criterion, 16 to a boundary": lambda: episodes("performance"),
        "the same, boundary included, four terms": lambda: episodes(FOUR_TERMS),
        "update_step_count, nothing due": steps,
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):  # the first warms up
        for name, case in cases.items():
            each = case()
            if turn:
                seconds[name].append(each)
    peer = next(iter(seconds.values()))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | µs | ratio to the peer |\n| --- | --- | --- |")
    for name, measured in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(measured, peer, strict=True))
        print(f"| {name} | {statistics.median(measured) * 1e6:.2f} | {ratio:.1f} |")


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


def timed(function: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) / times


if __name__ == "__main__":
    main()
