"""Syllabus's synchronised sequential curriculum: processor seconds an episode, as JSON. bench/curriculum.py runs it.

    PYTHON_WITH_SYLLABUS bench/syllabus_peer.py ENVIRONMENTS

The environments, of one step an episode, stand in this process; Syllabus's thread hands out tasks beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

warnings.simplefilter("ignore")

import gymnasium as gym  # noqa: E402
from syllabus.core import GymnasiumSyncWrapper, TaskWrapper, make_multiprocessing_curriculum  # noqa: E402
from syllabus.curricula import SequentialCurriculum  # noqa: E402
from syllabus.task_space import DiscreteTaskSpace  # noqa: E402

EPISODES = 320


class OneStep(gym.Env[int, int]):
    observation_space = action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 0.5, True, False, {}


def main() -> None:
    number = int(sys.argv[1])
    tasks = DiscreteTaskSpace(2)
    stages = SequentialCurriculum([0, 1], ["episode_return>=0.99&episodes>=10"], tasks)
    curriculum = make_multiprocessing_curriculum(stages)
    envs = [GymnasiumSyncWrapper(TaskWrapper(OneStep()), tasks, curriculum.components) for _ in range(number)]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123  it prints every task
        play(envs)  # the first warms up
        start = time.process_time()
        play(envs)
        seconds = (time.process_time() - start) / EPISODES
        print(json.dumps({"syllabus": version("syllabus-rl"), "seconds": seconds}), file=sys.__stdout__, flush=True)
        os._exit(0)  # its queues' threads do not end by themselves


def play(envs: list[Any]) -> None:
    for _ in range(EPISODES // len(envs)):
        for env in envs:
            env.reset()
            env.step(0)


if __name__ == "__main__":
    main()
