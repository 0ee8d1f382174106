"""Gymnasium: an environment whose every episode belongs to the curriculum's current stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from stagectl.curriculum import Stage, StagedProgressiveCurriculum, Task


def make_stage(stage: Stage) -> gym.Env[Any, Any]:
    """The stage's environment: its id, with `env_overrides` as keyword arguments."""
    return gym.make(stage.curriculum, disable_env_checker=True, **stage.env_overrides)


class StagedEnv(gym.Env[Any, Any]):
    """Plays each episode in the environment of the stage that is on when it begins, and tells how it ended.

    An episode's score is what the stage's `score:` makes of its return and of `info["is_success"]`. The last
    step's `info["episode"]` has the return `r` and length `l`, as Stable-Baselines3's Monitor gives them.

    Args:
        curriculum: Asked for a task at every reset, told its score at the episode's end.
        make: The environment of a stage; made once and kept.
    """

    def __init__(
        self,
        curriculum: StagedProgressiveCurriculum,
        make: Callable[[Stage], gym.Env[Any, Any]] = make_stage,
    ) -> None:
        self._curriculum = curriculum
        self._make = make
        self._envs: dict[str, gym.Env[Any, Any]] = {}
        self._task: Task | None = None
        self._return = 0.0
        self._length = 0
        self._seeds: dict[str, int] = {}  # of the stages whose environments were not reset with one yet
        first = self._env_of(curriculum.stage.members[0])
        self._env = first
        self.observation_space = first.observation_space
        self.action_space = first.action_space
        self.metadata = first.metadata

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._seeds = {stage.name: seed for stage in self._curriculum.played}
        self._task = self._curriculum.get_task()
        stage = self._task.stage
        self._env = self._env_of(stage)
        self._return, self._length = 0.0, 0
        return self._env.reset(seed=self._seeds.pop(stage.name, None), options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._return += float(reward)
        self._length += 1
        if terminated or truncated:
            self._end_episode(info)
        return observation, float(reward), terminated, truncated, info

    def close(self) -> None:
        for env in self._envs.values():
            env.close()

    def render(self) -> Any:
        return self._env.render()

    def _end_episode(self, info: dict[str, Any]) -> None:
        info["episode"] = {"r": self._return, "l": self._length}
        if self._task is not None:
            success = info.get("is_success")
            self._task.complete(self._task.stage.score.of(self._return, None if success is None else bool(success)))
            self._task = None

    def _env_of(self, stage: Stage) -> gym.Env[Any, Any]:
        if stage.name not in self._envs:
            self._envs[stage.name] = self._make(stage)
        return self._envs[stage.name]
