"""The environments of a recipe's stages, made for Stable-Baselines3."""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from stagectl.adapters.gymnasium import StagedEnv, make_stage
from stagectl.adapters.pettingzoo import find_parallel, make_parallel
from stagectl.adapters.sb3_agents import AgentsVecEnv
from stagectl.curriculum import Stage, StagedProgressiveCurriculum

with contextlib.suppress(ImportError):
    import minigrid  # noqa: F401  registers its environments

CELLS = (7, 7)
PLANES = (11, 6, 3, 4)  # how many objects, colours, states (minigrid.core.constants) and headings there are


def make_environments(curriculum: StagedProgressiveCurriculum, n_envs: int) -> VecEnv:
    """`n_envs` environments in this process; or, where PettingZoo's are among them, blocks of slots for agents."""
    if any(find_parallel(stage.curriculum) for stage in curriculum.played):
        return AgentsVecEnv(curriculum, n_envs, make_environment)
    return DummyVecEnv([lambda: StagedEnv(curriculum, make_environment) for _ in range(n_envs)])


def make_environment(stage: Stage) -> Any:
    """The stage's environment, PettingZoo's or Gymnasium's; of a MiniGrid observation what `MiniGridView` shows."""
    env = make_parallel(stage)
    if env is None:
        env = make_stage(stage)
    if not isinstance(env, gym.Env):
        return env
    space = env.observation_space
    if isinstance(space, gym.spaces.Dict) and {"image", "direction", "mission"} <= space.spaces.keys():
        return MiniGridView(env)
    return env


class MiniGridView(gym.ObservationWrapper[Any, Any, Any]):
    """The agent's view and heading, without the mission's text.

    Observations are `(7, 7, 4)`: object, colour and state of each cell, and the heading, the same in every cell.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._shape = (*env.observation_space["image"].shape[:2], len(PLANES))  # type: ignore[index]
        self.observation_space = gym.spaces.Box(0, max(PLANES) - 1, self._shape, np.uint8)

    def observation(self, observation: dict[str, Any]) -> np.ndarray[Any, Any]:
        view = np.empty(self._shape, np.uint8)
        view[..., :3] = observation["image"]
        view[..., 3] = observation["direction"]
        return view


def is_minigrid_view(space: gym.Space[Any]) -> bool:
    return isinstance(space, gym.spaces.Box) and space.shape == (*CELLS, len(PLANES)) and space.dtype == np.uint8
