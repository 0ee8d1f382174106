"""PettingZoo: a stage's environment of several agents, and one episode of it, scored.

PettingZoo is imported only where one of its environments is looked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Protocol

import gymnasium as gym

from stagectl.curriculum import Stage
from stagectl.errors import UsageError, nearest

AGENT = "agent"  # the one of a Gymnasium environment


class ParallelEnv(Protocol):
    """What is used of `pettingzoo.ParallelEnv`: all living agents act at once."""

    possible_agents: list[Any]
    agents: list[Any]

    def observation_space(self, agent: Any) -> gym.Space[Any]: ...

    def action_space(self, agent: Any) -> gym.Space[Any]: ...

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]: ...

    def step(self, actions: dict[Any, Any]) -> tuple[Any, Any, Any, Any, Any]: ...

    def close(self) -> None: ...


def find_parallel(name: str) -> Callable[..., Any] | None:
    """What makes the environment that a stage names; None where the name is Gymnasium's to know.

    It is an id of PettingZoo's registry, such as `sisl/pursuit-v5`, or `module:function`, where the module is
    imported and the function (or class) gives the environment.

    Raises:
        UsageError: The name's folder is in PettingZoo's registry, or its module is there, and the name is not.
        ImportError: The module cannot be imported.
    """
    module, colon, attribute = name.rpartition(":")
    if colon:
        return _named_in(importlib.import_module(module), attribute)
    try:
        pettingzoo = importlib.import_module("pettingzoo")
    except ImportError:
        return None
    registered = pettingzoo.parallel_registry
    if name in registered:
        return partial(pettingzoo.make, "parallel", name)
    folder = name.rpartition("/")[0]
    if folder and any(spec.namespace == folder for spec in registered.values()):
        raise UsageError(f"PettingZoo has no parallel environment '{name}'", hint=nearest(name, registered))
    return None


def _named_in(module: ModuleType, name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(module, name, None)
    registered = any(name in (spec.id, spec.name) for spec in gym.registry.values())
    if callable(found) and not registered:
        return found
    if name.isidentifier() and not registered:
        public = (known for known, value in vars(module).items() if callable(value) and not known.startswith("_"))
        message = f"the module '{module.__name__}' has no environment '{name}' and registers none with Gymnasium"
        raise UsageError(message, hint=nearest(name, public))
    return None  # Gymnasium's own way of `module:id`


def make_parallel(stage: Stage) -> Any:
    """The stage's environment, with `env_overrides` as keyword arguments; None where `find_parallel` finds none."""
    make = find_parallel(stage.curriculum)
    return None if make is None else make(**stage.env_overrides)


def as_parallel(env: Any) -> ParallelEnv:
    """The environment as one of parallel agents: a Gymnasium environment has one."""
    return OneAgent(env) if isinstance(env, gym.Env) else env


class OneAgent:
    """A Gymnasium environment as one with a single agent."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        self.possible_agents = [AGENT]
        self.agents: list[str] = []

    def observation_space(self, agent: Any) -> gym.Space[Any]:
        return self.env.observation_space

    def action_space(self, agent: Any) -> gym.Space[Any]:
        return self.env.action_space

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        observation, info = self.env.reset(seed=seed, options=options)
        self.agents = [AGENT]
        return {AGENT: observation}, {AGENT: info}

    def step(self, actions: dict[Any, Any]) -> tuple[Any, Any, Any, Any, Any]:
        observation, reward, terminated, truncated, info = self.env.step(actions[AGENT])
        if terminated or truncated:
            self.agents = []
        return {AGENT: observation}, {AGENT: reward}, {AGENT: terminated}, {AGENT: truncated}, {AGENT: info}

    def close(self) -> None:
        self.env.close()


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of an agent in a step; `observation` is its last one where it is done."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated


class Episode:
    """One episode of an environment, from its reset until no agent is left in it.

    Attributes:
        observations: What each living agent sees.
        returns: The sum of rewards of each agent that took part.
        length: Steps of the environment.

    Raises:
        UsageError: The environment was reset and nobody is in it.
    """

    def __init__(self, env: ParallelEnv, seed: int | None = None) -> None:
        self.env = env
        self.observations, _ = env.reset(seed=seed)
        if not env.agents:
            raise UsageError(f"an episode of {env} began without a single agent in `agents`")
        self.returns = dict.fromkeys(env.agents, 0.0)
        self.length = 0
        self._success: dict[Any, bool] = {}

    @property
    def over(self) -> bool:
        return not self.observations

    def step(self, actions: dict[Any, Any]) -> dict[Any, Acted]:
        """Have every living agent act; what became of each."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        self.length += 1
        acted = {}
        for agent in actions:
            reward, info = float(rewards.get(agent, 0.0)), infos.get(agent, {})
            ended, cut = bool(terminations.get(agent)), bool(truncations.get(agent))
            acted[agent] = Acted(observations.get(agent), reward, ended, cut, info)
            self.returns[agent] += reward
            self._hear(agent, info)
        living = [agent for agent in self.env.agents if agent not in acted or not acted[agent].done]
        self.observations = {agent: observations[agent] for agent in living}
        for agent in living:
            self.returns.setdefault(agent, 0.0)
        return acted

    @property
    def mean_return(self) -> float:
        """Over the agents that took part, so that a threshold means the same for any number of them."""
        return sum(self.returns.values()) / len(self.returns)

    @property
    def success(self) -> bool | None:
        """Whether all agents whose last info has `is_success` say so; None where none has."""
        return all(self._success.values()) if self._success else None

    def _hear(self, agent: Any, info: Mapping[str, Any]) -> None:
        said = info.get("is_success")
        if said is None:
            self._success.pop(agent, None)
        else:
            self._success[agent] = bool(said)
