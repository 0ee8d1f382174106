"""What stages say of the bundled trainer's learner: `trainer:`, `on_enter:` and `evaluate:`, checked."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import stable_baselines3
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from stagectl.adapters.sb3_settings import setting_faults
from stagectl.errors import Fault
from stagectl.recipe import Recipe
from stagectl.trainers.environments import is_minigrid_view, make_environment

Path = tuple[str | int, ...]

NORMALIZE = ("normalize_observations", "normalize_returns")
_STATS = {"observation_stats": "normalize_observations", "return_stats": "normalize_returns"}


def normalized(envs: VecEnv, arguments: dict[str, Any]) -> VecEnv:
    """The environments, with observations and returns normalised where the arguments say so; takes these out."""
    observations, returns = (bool(arguments.pop(name, False)) for name in NORMALIZE)
    if not observations and not returns:
        return envs
    gamma = float(arguments.get("gamma", 0.99))
    return VecNormalize(envs, norm_obs=observations, norm_reward=returns, gamma=gamma)


def check_stages(recipe: Recipe, algorithms: Sequence[str]) -> list[Fault]:
    """What stages want of the learner and it cannot do."""
    arguments = recipe.trainer.arguments
    faults = _check_normalization(recipe, arguments)
    algorithm = arguments.get("algorithm", "PPO")
    for index, stage in enumerate(recipe.stages):
        where = _Written(recipe, index)
        if algorithm in algorithms:
            cls = getattr(stable_baselines3, algorithm)
            faults += setting_faults(cls, stage, arguments, where.path("trainer"))
        for name in stage.on_enter.reset:
            if name in _STATS and arguments.get(_STATS[name]) is not True:
                message = f"cannot reset '{name}': the run does not normalise; add `{_STATS[name]}: true` to `trainer:`"
                faults.append(Fault((*where.path("on_enter"), "reset"), message))
    return list(dict.fromkeys(faults))  # what stands in the curriculum is every stage's


class _Written:
    """Where a stage's setting stands in the recipe: in the stage itself, or in the curriculum for all of them."""

    def __init__(self, recipe: Recipe, index: int) -> None:
        self._entry = (recipe.curriculum.get("stages") or [])[index]
        self._index = index

    def path(self, key: str) -> Path:
        own = isinstance(self._entry, Mapping) and key in self._entry
        return ("curriculum", "stages", self._index, key) if own else ("curriculum", key)


def _check_normalization(recipe: Recipe, arguments: Mapping[str, Any]) -> list[Fault]:
    faults = [
        Fault(("trainer", name), f"expected true or false, found {arguments[name]!r}")
        for name in NORMALIZE
        if not isinstance(arguments.get(name, False), bool)
    ]
    if arguments.get("normalize_observations") is True:
        with contextlib.suppress(Exception):  # an environment that cannot be made is a fault already
            if is_minigrid_view(make_environment(recipe.stages[0].members[0]).observation_space):
                message = "a MiniGrid view holds kinds of objects and no amounts, so there is nothing to normalise"
                faults.append(Fault(("trainer", "normalize_observations"), message))
    return faults
