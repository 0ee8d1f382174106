"""The bundled trainer: a Stable-Baselines3 algorithm over the stages' Gymnasium or PettingZoo environments.

`python -m stagectl.trainers.sb3` trains for the run that started it.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from stagectl.adapters.sb3 import SessionCallback, session_logger
from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.curriculum.fields import optional, parse_number, read_fields, whole
from stagectl.errors import Fault, UsageError, nearest
from stagectl.recipe import Recipe, build_curriculum, import_from
from stagectl.session import Session, attach
from stagectl.trainers.environment_faults import check_environments
from stagectl.trainers.environments import is_minigrid_view, make_environment, make_environments
from stagectl.trainers.minigrid import ViewExtractor
from stagectl.trainers.stage_settings import NORMALIZE, check_stages, normalized

ALGORITHMS = ("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3")
OWN_ARGUMENTS = ("algorithm", "n_envs", *NORMALIZE, "policy", "threads")
DEFAULT_N_ENVS = 16
VIEW_POLICY = {
    "features_extractor_class": ViewExtractor,
    "normalize_images": False,
    "net_arch": [],  # the extractor's last layer is enough: actor and critic are linear on it
}
_COUNTS = {"n_envs": whole(1), "threads": optional(whole(1))}
_SET_BY_US = {"self", "env", "policy", "seed", "_init_setup_model", "verbose", "tensorboard_log", "stats_window_size"}


def train(session: Session) -> None:
    """Train until the session says stop or the step budget is spent."""
    recipe = session.recipe
    budget = recipe.trainer.total_timesteps
    assert budget is not None, "a recipe for this trainer is checked to have one before it is launched"
    threads = _arguments(recipe).get("threads")
    if threads is not None:
        torch.set_num_threads(threads)
    model = build_model(recipe, session.curriculum)
    model.set_logger(session_logger(session))
    model.learn(
        total_timesteps=budget,
        callback=SessionCallback(session, make_environment),
    )


def build_model(recipe: Recipe, curriculum: StagedProgressiveCurriculum) -> BaseAlgorithm:
    """The algorithm that the recipe names, over `n_envs` environments (of several agents: blocks) in this process."""
    arguments = _arguments(recipe)
    algorithm = getattr(stable_baselines3, arguments.pop("algorithm", "PPO"))
    n_envs = arguments.pop("n_envs", DEFAULT_N_ENVS)
    arguments.pop("threads", None)
    envs = make_environments(curriculum, n_envs)
    policy, policy_kwargs = _policy_for(envs, arguments.pop("policy", None))
    policy_kwargs = {**policy_kwargs, **arguments.pop("policy_kwargs", {})}
    envs = normalized(envs, arguments)
    model: BaseAlgorithm = algorithm(
        policy, envs, seed=recipe.trainer.seed, policy_kwargs=policy_kwargs or None, **arguments
    )
    return model


def check(recipe: Recipe) -> list[Fault]:
    """What would keep the recipe from training: arguments, environments, spaces, the curriculum's class."""
    faults = _check_arguments(_arguments(recipe)) + check_environments(recipe.stages)
    if recipe.trainer.total_timesteps is None:
        faults.append(Fault(("trainer",), "`total_timesteps:` is missing; it is the run's step budget"))
    faults += check_stages(recipe, ALGORITHMS)
    if faults:
        return faults
    try:
        build_model(recipe, build_curriculum(recipe))
    except Exception as error:  # an algorithm's constructor may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Fault(("trainer",), f"Stable-Baselines3 refuses this: {reason}")]
    return []


def _arguments(recipe: Recipe) -> dict[str, Any]:
    """The recipe's arguments, with numbers such as `100k` and `1e6` as the numbers that they are."""
    return {key: _number(value) for key, value in recipe.trainer.arguments.items()}


def _number(value: Any) -> Any:
    if not isinstance(value, (str, float)):
        return value
    try:
        number = parse_number(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


def _policy_for(envs: VecEnv, named: str | None) -> tuple[str, dict[str, Any]]:
    """The policy's name and settings; for MiniGrid's view our own extractor."""
    space = envs.observation_space
    if is_minigrid_view(space):
        return named or "MlpPolicy", dict(VIEW_POLICY)
    if named is not None:
        return named, {}
    if isinstance(space, gym.spaces.Dict):
        return "MultiInputPolicy", {}
    if is_image_space(space):
        return "CnnPolicy", {}
    return "MlpPolicy", {}


def _check_arguments(arguments: Mapping[str, Any]) -> list[Fault]:
    name = arguments.get("algorithm", "PPO")
    if name not in ALGORITHMS:
        return [Fault(("trainer", "algorithm"), f"{name!r} is no algorithm here; {nearest(str(name), ALGORITHMS)}")]
    signature = inspect.signature(getattr(stable_baselines3, name).__init__)
    known = {*OWN_ARGUMENTS, *(set(signature.parameters) - _SET_BY_US)}
    faults = [
        Fault(("trainer", key), f"{name} has no such argument; {nearest(key, known)}")
        for key in arguments
        if key not in known
    ]
    read_fields(_COUNTS, {key: arguments[key] for key in _COUNTS if key in arguments}, ("trainer",), faults)
    return faults


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s - %(message)s", stream=sys.stdout)
    with attach() as session:
        if not isinstance(session, Session):
            raise UsageError("the bundled trainer is one process", hint="torchrun is for a script of your own")
        import_from(session.recipe.folder)
        train(session)


if __name__ == "__main__":
    main()
