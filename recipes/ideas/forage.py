"""A PettingZoo environment for agents.yaml: agents gather the berries of a square field together."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

MOVES = np.array([(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)])


class Forage(ParallelEnv[str, Any, int]):
    """Each agent sees where the nearest berry and the nearest other agent are, and stands still or moves by a cell.

    A berry is gathered by whoever steps on it, and all agents get its share of 1: the return of each is the share
    of the berries that was gathered. All of them in `max_steps` is success.

    Args:
        agents: How many there are.
        size: Cells along a side of the field.
        berries: How many there are.
        max_steps: What ends an episode otherwise.
    """

    metadata = {"name": "forage", "render_modes": []}  # noqa: RUF012  as PettingZoo has it

    def __init__(self, agents: int = 1, size: int = 5, berries: int = 3, max_steps: int = 30) -> None:
        self.possible_agents = [f"forager_{index}" for index in range(agents)]
        self._size, self._number, self._max_steps = size, berries, max_steps
        self._random = np.random.default_rng()

    def observation_space(self, agent: str) -> Box:
        return Box(-1.0, 1.0, (4,))

    def action_space(self, agent: str) -> Discrete:
        return Discrete(len(MOVES))

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        taken = len(self.agents) + self._number
        cells = self._random.choice(self._size**2, taken, replace=False)
        places = np.stack([cells // self._size, cells % self._size], axis=1)
        self._places, self._berries = places[: len(self.agents)], places[len(self.agents) :]
        self._steps = 0
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        moves = MOVES[[actions[agent] for agent in self.agents]]
        self._places = np.clip(self._places + moves, 0, self._size - 1)
        self._steps += 1
        left = self._berries[(self._berries[:, None] != self._places).any(axis=2).all(axis=1)]
        reward = (len(self._berries) - len(left)) / self._number
        self._berries = left
        all_gathered, late = len(left) == 0, self._steps >= self._max_steps
        agents = self.agents
        results = (
            self._seen(),
            dict.fromkeys(agents, reward),
            dict.fromkeys(agents, all_gathered),
            dict.fromkeys(agents, late and not all_gathered),
            {agent: {"is_success": all_gathered} for agent in agents},
        )
        if all_gathered or late:
            self.agents = []
        return results

    def _seen(self) -> dict[str, Any]:
        seen = {}
        for index, agent in enumerate(self.possible_agents):
            others = np.delete(self._places, index, axis=0)
            near = [self._nearest(index, self._berries), self._nearest(index, others)]
            seen[agent] = np.concatenate(near).astype(np.float32) / self._size
        return seen

    def _nearest(self, index: int, places: Any) -> Any:
        """The way to the nearest of the places; nothing where there is none."""
        ways = places - self._places[index]
        return ways[np.abs(ways).sum(axis=1).argmin()] if len(ways) else np.zeros(2)
