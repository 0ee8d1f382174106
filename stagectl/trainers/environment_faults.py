"""What would keep the one learner from playing a recipe's stages: environments, spaces, numbers of agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import gymnasium as gym

from stagectl.adapters.pettingzoo import ParallelEnv, as_parallel
from stagectl.curriculum import Stage
from stagectl.errors import Fault, StagectlError
from stagectl.trainers.environments import make_environment

Path = tuple[str | int, ...]

PLAIN = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
OWN = "a trainer of your own may do it: `trainer: {command: […]}`"


@dataclass(frozen=True)
class _Played:
    """What a stage's environment is to the learner."""

    stage: Stage
    path: Path
    agents: int
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]


def check_environments(stages: tuple[Stage, ...]) -> list[Fault]:
    """Make each stage's environment once; what cannot be made, or does not go with the others, is a fault."""
    faults: list[Fault] = []
    played: list[_Played] = []
    for path, stage in places(stages):
        found = _play(stage, path)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            played.append(found)
    for other in played[1:]:
        faults += _compared(played[0], other)
    return faults + _different_numbers_at_once(stages, {each.stage.name: each.agents for each in played})


def places(stages: tuple[Stage, ...]) -> Iterator[tuple[Path, Stage]]:
    """Every stage that is played, with its path in the recipe."""
    for index, stage in enumerate(stages):
        path = ("curriculum", "stages", index)
        if stage.parallel:
            yield from (((*path, "parallel", at), member) for at, member in enumerate(stage.parallel))
        else:
            yield path, stage


def _play(stage: Stage, path: Path) -> _Played | Fault:
    try:
        env = make_environment(stage)
    except (gym.error.Error, StagectlError) as error:
        return Fault((*path, "curriculum"), f"stage '{stage.name}': {_one_line(error)}{_perhaps_pettingzoo(stage)}")
    except Exception as error:  # an environment's constructor may raise anything
        if "must inherit from the gymnasium.Env class" in str(error):
            return Fault((*path, "curriculum"), _unplayable(stage, _one_line(error)))
        settings = f" with env_overrides {dict(stage.env_overrides)}" if stage.env_overrides else ""
        message = f"stage '{stage.name}': {stage.curriculum} cannot be made{settings}: {_one_line(error)}"
        if isinstance(error, ModuleNotFoundError):
            message = f"stage '{stage.name}': {stage.curriculum} cannot be imported: {_one_line(error)}"
            message += "; pip install 'stagectl[agents]'" if error.name == "pettingzoo" else ""
            return Fault((*path, "curriculum"), message)
        return Fault((*path, "env_overrides" if stage.env_overrides else "curriculum"), message)
    parallel = as_parallel(env)
    if not getattr(parallel, "possible_agents", None):
        kind = f"{type(env).__module__}.{type(env).__qualname__}"
        message = f"{stage.curriculum} gives a {kind}, neither Gymnasium's Env nor PettingZoo's ParallelEnv"
        return Fault((*path, "curriculum"), f"stage '{stage.name}': {message}")
    try:
        return _seen(stage, path, parallel)
    finally:
        parallel.close()


def _seen(stage: Stage, path: Path, env: ParallelEnv) -> _Played | Fault:
    agents = env.possible_agents
    for kind in ("observation_space", "action_space"):
        spaces = {agent: getattr(env, kind)(agent) for agent in agents}
        space = spaces[agents[0]]
        if not _plain(space):
            return Fault((*path, "curriculum"), _unplayable(stage, f"the {_words(kind)} is {space}"))
        other = next((agent for agent in agents if spaces[agent] != space), None)
        if other is not None:
            found = f"the {_words(kind)} of {agents[0]} is {space} and that of {other} is {spaces[other]}"
            return Fault((*path, "curriculum"), _unplayable(stage, found))
    return _Played(stage, path, len(agents), env.observation_space(agents[0]), env.action_space(agents[0]))


def _plain(space: gym.Space[Any]) -> bool:
    entries = list(space.spaces.values()) if isinstance(space, gym.spaces.Dict) else [space]
    return all(isinstance(entry, PLAIN) for entry in entries)


def _unplayable(stage: Stage, found: str) -> str:
    return (
        f"stage '{stage.name}': this trainer has one learner that plays all agents over Gymnasium's plain spaces, the "
        f"same for every agent and in every stage, and here {found}; {OWN}"
    )


def _compared(first: _Played, other: _Played) -> list[Fault]:
    faults = []
    for kind in ("observation_space", "action_space"):
        ours, theirs = getattr(first, kind), getattr(other, kind)
        if ours != theirs:
            message = (
                f"one learner plays all stages, but the {_words(kind)} of stage '{first.stage.name}' is "
                f"{ours} and that of stage '{other.stage.name}' is {theirs}"
            )
            faults.append(Fault(other.path, message))
    return faults


def _different_numbers_at_once(stages: Sequence[Stage], agents: dict[str, int]) -> list[Fault]:
    """The learner's slots are shared out among agents when a stage begins, and not from episode to episode."""
    faults = []
    for index, stage in enumerate(stages):
        names = [name for name in (*(member.name for member in stage.members), *stage.rehearse) if name in agents]
        other = next((name for name in names if agents[name] != agents[names[0]]), None)
        if other is not None:
            key = "rehearse" if other in stage.rehearse else "parallel"
            message = (
                f"stage '{names[0]}' has {_agents(agents[names[0]])} and stage '{other}' {_agents(agents[other])}, and "
                f"both are on at one time; this trainer changes the number only from stage to stage; {OWN}"
            )
            faults.append(Fault(("curriculum", "stages", index, key), message))
    return faults


def _agents(number: int) -> str:
    return "1 agent" if number == 1 else f"{number} agents"


def _perhaps_pettingzoo(stage: Stage) -> str:
    if "/" in stage.curriculum and find_spec("pettingzoo") is None:
        return "; if it is one of PettingZoo's: pip install 'stagectl[agents]'"
    return ""


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
