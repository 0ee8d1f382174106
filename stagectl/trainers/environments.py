"""The environments of a recipe's stages, made for Stable-Baselines3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    for path, stage in places(stages):
        try:
            env = make_environment(stage)
        except gym.error.Error as error:
            faults.append(Fault((*path, "curriculum"), f"stage '{stage.name}': {_one_line(error)}"))
        except Exception as error:  # an environment's constructor may raise anything
            settings = f" with env_overrides {dict(stage.env_overrides)}" if stage.env_overrides else ""
            message = f"stage '{stage.name}': {stage.curriculum} cannot be made{settings}: {_one_line(error)}"
            message = several_agents(stage, error) or message
            faults.append(Fault((*path, "env_overrides" if stage.env_overrides else "curriculum"), message))
        else:
            reason = several_agents(stage, env)
            if reason:
                faults.append(Fault((*path, "curriculum"), reason))
            elif first is None:
                first = stage, env
            else:
                faults += _compared(first, (stage, env), path)
    return faults


def places(stages: tuple[Stage, ...]) -> Iterator[tuple[tuple[str | int, ...], Stage]]:
    """Every stage that is played, with its path in the recipe."""
    for index, stage in enumerate(stages):
        path = ("curriculum", "stages", index)
        if stage.parallel:
            yield from (((*path, "parallel", at), member) for at, member in enumerate(stage.parallel))
        else:
            yield path, stage


def several_agents(stage: Stage, made: gym.Env[Any, Any] | Exception) -> str:
    """Why the one learner cannot play what was made, or failed to be, where that is no single agent's environment."""
    if isinstance(made, Exception):
        found = _one_line(made) if "must inherit from the gymnasium.Env class" in str(made) else ""
    else:
        found = _foreign(made)
    if not found:
        return ""
    return (
        f"stage '{stage.name}': this trainer has one learner that plays one agent over Gymnasium's plain spaces, "
        f"the same in every stage, and here {found}; a trainer of your own may do it: `trainer: {{command: […]}}`"
    )


def _foreign(env: gym.Env[Any, Any]) -> str:
    agents = getattr(env.unwrapped, "possible_agents", None)
    if agents is not None:
        return f"are {len(agents)} agents"
    spaces = gym.spaces
    plain = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    if not isinstance(env.action_space, plain):
        return f"the action space is {env.action_space}"
    observed = env.observation_space
    entries = list(observed.spaces.values()) if isinstance(observed, spaces.Dict) else [observed]
    if not all(isinstance(entry, plain) for entry in entries):
        return f"the observation space is {observed}"
    return ""


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
