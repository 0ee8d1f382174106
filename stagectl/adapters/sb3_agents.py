"""Stable-Baselines3: one learner for stages with different numbers of agents, by parameter sharing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.util import dict_to_obs, obs_space_info

from stagectl.adapters.pettingzoo import Acted, Episode, OneAgent, ParallelEnv, as_parallel
from stagectl.curriculum import Stage, StagedProgressiveCurriculum, Task
from stagectl.errors import CurriculumError, Fault


@dataclass
class _Copy:
    """One of the environments that a block plays, from its first slot on."""

    first: int
    task: Task
    episode: Episode
    slots: dict[Any, int]  # of all agents that there may be


class AgentsVecEnv(VecEnv):
    """Plays the curriculum's episodes with a slot for each agent, so that one policy acts for all of them.

    There are `blocks` blocks of slots, of the least size that each stage's number of agents divides. A block plays
    as many copies of its stage's environment as fill it, each with a task of its own. Where a copy's next task is of
    a stage with another number of agents, the block's other copies end there, as if a time limit had cut them, and
    count for nobody; the whole block then plays the new stage.

    A copy's score is what the stage's `score:` makes of the mean of its agents' returns, and of success where all
    agents whose last `info` has `is_success` agree. A step of the learner is one step of every slot, also of one
    whose agent is gone before its copy's episode is over: there are zeros to see there, and nothing to gain.

    Args:
        curriculum: Asked for a task at every copy's reset, told its score at the episode's end.
        blocks: How many.
        make: The environment of a stage, of Gymnasium or PettingZoo; made once for each copy and kept.

    Raises:
        CurriculumError: While playing: stages that are on at one time have different numbers of agents.
    """

    def __init__(
        self, curriculum: StagedProgressiveCurriculum, blocks: int, make: Callable[[Stage], gym.Env[Any, Any] | Any]
    ) -> None:
        self._curriculum = curriculum
        self._make = make
        self._envs: dict[tuple[str, int], ParallelEnv] = {}
        self._numbers = {s.name: len(self._env_of(s, 0).possible_agents) for s in curriculum.played}
        self._size = math.lcm(*self._numbers.values())
        self._blocks: list[list[_Copy]] = [[] for _ in range(blocks)]
        self._seeded: set[tuple[str, int]] = set()
        first = self._env_of(curriculum.played[0], 0)
        agent = first.possible_agents[0]
        super().__init__(blocks * self._size, first.observation_space(agent), first.action_space(agent))
        self._episode_seeds = list(self._seeds)
        self._keys, shapes, dtypes = obs_space_info(self.observation_space)
        # what a slot shows where no agent is: zeros
        self._seen = {key: np.zeros((self.num_envs, *shapes[key]), dtypes[key]) for key in self._keys}
        self._rewards = np.zeros(self.num_envs, np.float32)
        self._dones = np.zeros(self.num_envs, bool)
        self._infos: list[dict[str, Any]] = []
        self._actions: Any = None

    def reset(self) -> Any:
        """Begin every episode anew; those that were running count for nobody."""
        if any(seed is not None for seed in self._seeds):
            self._episode_seeds, self._seeded = list(self._seeds), set()
        for block in range(len(self._blocks)):
            self._fill(block, self._curriculum.get_task())
        self._reset_seeds()
        self._reset_options()
        return self._observations()

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        self._rewards[:] = 0.0
        self._dones[:] = False
        self._infos = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for block in range(len(self._blocks)):
            self._step_block(block)
        return self._observations(), self._rewards.copy(), self._dones.copy(), self._infos

    def close(self) -> None:
        for env in self._envs.values():
            env.close()

    # ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────

    def _step_block(self, block: int) -> None:
        copies = self._blocks[block]
        for copy in copies:
            self._step_copy(copy)
        over = [index for index, copy in enumerate(copies) if copy.episode.over]
        for index in over:
            task, episode = copies[index].task, copies[index].episode
            task.complete(task.stage.score.of(episode.mean_return, episode.success))
        for index in over:
            task = self._curriculum.get_task()
            if self._numbers[task.stage.name] != len(copies[index].slots):
                self._cut([copy for at, copy in enumerate(copies) if at not in over])
                self._fill(block, task)
                return
            copies[index] = self._begin(task, copies[index].first)

    def _fill(self, block: int, task: Task) -> None:
        """Have the block play the task's stage, in as many copies as fill it."""
        number = self._numbers[task.stage.name]
        first = block * self._size
        self._blocks[block] = [self._begin(task, first)]
        for slot in range(first + number, first + self._size, number):
            other = self._curriculum.get_task()
            if self._numbers[other.stage.name] != number:
                raise CurriculumError(Fault((), _at_once(task.stage, number, other.stage, self._numbers)))
            self._blocks[block].append(self._begin(other, slot))

    def _begin(self, task: Task, first: int) -> _Copy:
        env = self._env_of(task.stage, first)
        key = (task.stage.name, first)
        seed = None if key in self._seeded else self._episode_seeds[first]
        self._seeded.add(key)
        slots = {agent: first + at for at, agent in enumerate(env.possible_agents)}
        copy = _Copy(first, task, Episode(env, seed), slots)
        for agent, slot in slots.items():
            self._see(slot, copy.episode.observations.get(agent))
        return copy

    def _step_copy(self, copy: _Copy) -> None:
        episode, slots = copy.episode, copy.slots
        acted = episode.step({agent: self._actions[slots[agent]] for agent in episode.observations})
        for agent, slot in slots.items():
            self._see(slot, episode.observations.get(agent))
            if agent in acted:
                self._record(slot, acted[agent], episode.returns[agent], episode.length)
            elif episode.over or agent in episode.observations:  # it was gone; what comes now is something else
                self._end(slot, None)

    def _record(self, slot: int, acted: Acted, episode_return: float, length: int) -> None:
        self._rewards[slot] = acted.reward
        self._infos[slot] |= acted.info
        self._infos[slot]["TimeLimit.truncated"] = acted.truncated and not acted.terminated
        if acted.done:
            self._infos[slot]["episode"] = {"r": episode_return, "l": length}
            self._end(slot, acted.observation)

    def _cut(self, copies: Sequence[_Copy]) -> None:
        for copy in copies:
            for agent, slot in copy.slots.items():
                if not self._dones[slot]:
                    self._infos[slot]["TimeLimit.truncated"] = agent in copy.episode.observations
                    self._end(slot, copy.episode.observations.get(agent))

    # ── slots ───────────────────────────────────────────────────────────────────────────────────────────────

    def _see(self, slot: int, observation: Any) -> None:
        for key, seen in self._seen.items():
            seen[slot] = 0 if observation is None else observation if key is None else observation[key]

    def _end(self, slot: int, last: Any) -> None:
        self._dones[slot] = True
        self._infos[slot]["terminal_observation"] = self._nothing() if last is None else last

    def _nothing(self) -> Any:
        return dict_to_obs(self.observation_space, {key: np.zeros_like(seen[0]) for key, seen in self._seen.items()})

    def _observations(self) -> Any:
        return dict_to_obs(self.observation_space, {key: seen.copy() for key, seen in self._seen.items()})

    def _env_of(self, stage: Stage, slot: int) -> ParallelEnv:
        key = (stage.name, slot)
        if key not in self._envs:
            self._envs[key] = as_parallel(self._make(stage))
        return self._envs[key]

    # ── what else Stable-Baselines3 may ask of an environment; the slots of a copy have the same one ────────

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "render_mode":  # asked before there is an episode
            return [None for _ in self._get_indices(indices)]
        return [getattr(env, attr_name) for env in self._played_in(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        for env in self._played_in(indices):
            setattr(env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        return [getattr(env, method_name)(*method_args, **method_kwargs) for env in self._played_in(indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _played_in(self, indices: Any) -> Iterator[Any]:
        of_slot = {slot: copy.episode.env for block in self._blocks for copy in block for slot in copy.slots.values()}
        for slot in self._get_indices(indices):
            env = of_slot[slot]
            yield env.env if isinstance(env, OneAgent) else env


def _at_once(stage: Stage, number: int, other: Stage, numbers: dict[str, int]) -> str:
    return (
        f"stage '{stage.name}' has {number} agents and stage '{other.name}', which is on at the same time, "
        f"{numbers[other.name]}; give both the same number"
    )
