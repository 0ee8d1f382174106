"""The environments of a recipe's stages, made for Stable-Baselines3."""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium as gym
import numpy as np

from stagectl.adapters.gymnasium import make_stage
from stagectl.curriculum import Stage
from stagectl.errors import Fault

with contextlib.suppress(ImportError):
    import minigrid  # noqa: F401  registers its environments

CELLS = (7, 7)
PLANES = (11, 6, 3, 4)  # how many objects, colours, states (minigrid.core.constants) and headings there are


def make_environment(stage: Stage) -> gym.Env[Any, Any]:
    """The stage's environment; of a MiniGrid observation what `MiniGridView` shows."""
    env = make_stage(stage)
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


def check_environments(stages: tuple[Stage, ...]) -> list[Fault]:
    """Make each stage's environment once; what cannot be made, or has other spaces than the first, is a fault."""
    faults: list[Fault] = []
    first: tuple[Stage, gym.Env[Any, Any]] | None = None
    for index, stage in enumerate(stages):
        path = ("curriculum", "stages", index)
        try:
            env = make_environment(stage)
        except gym.error.Error as error:
            faults.append(Fault((*path, "curriculum"), f"stage '{stage.name}': {_one_line(error)}"))
        except Exception as error:  # an environment's constructor may raise anything
            settings = f" with env_overrides {dict(stage.env_overrides)}" if stage.env_overrides else ""
            message = f"stage '{stage.name}': {stage.curriculum} cannot be made{settings}: {_one_line(error)}"
            faults.append(Fault((*path, "env_overrides" if stage.env_overrides else "curriculum"), message))
        else:
            if first is None:
                first = stage, env
            else:
                faults += _compared(first, (stage, env), path)
    return faults


def _compared(
    first: tuple[Stage, gym.Env[Any, Any]], other: tuple[Stage, gym.Env[Any, Any]], path: tuple[str | int, ...]
) -> list[Fault]:
    faults = []
    for kind in ("observation_space", "action_space"):
        ours, theirs = getattr(first[1], kind), getattr(other[1], kind)
        if ours != theirs:
            message = (
                f"one learner plays all stages, but the {kind.replace('_', ' ')} of stage '{first[0].name}' is "
                f"{ours} and that of stage '{other[0].name}' is {theirs}"
            )
            faults.append(Fault(path, message))
    return faults


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
