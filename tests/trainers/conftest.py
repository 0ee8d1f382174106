"""Small real trainings: a recipe as text, trained to its end in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from stagectl.adapters.sb3 import SessionCallback, session_logger
from stagectl.recipe import Recipe, load_recipe
from stagectl.runs import read_events
from stagectl.session import attach
from stagectl.trainers.environments import make_environment
from stagectl.trainers.sb3 import build_model, train

SMALL = "{n_envs: 2, n_steps: 32, batch_size: 32, n_epochs: 1, total_timesteps: 512, threads: 1}"

Training = Callable[..., "Trained"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Trained:
    """A training that is over: its events, its model, and what was seen of the model before each rollout."""

    def __init__(self, folder: Path, model: BaseAlgorithm | None, seen: list[Any]) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = list(read_events(folder / "events.jsonl"))
        self.model = model
        self.seen = seen

    def metrics(self, name: str) -> list[tuple[int, float]]:
        """A metric's steps and values."""
        found = [event for event in self.events if event["event"] == "metrics" and name in event["metrics"]]
        return [(event["step"], event["metrics"][name]) for event in found]

    def all_of(self, *kinds: str) -> list[tuple[Any, ...]]:
        """The episodes' scores and what was decided: what training was."""
        keys = ("event", "step", "scores", "to_name")
        return [tuple(event.get(key) for key in keys) for event in self.events if event["event"] in kinds]


class _Look(BaseCallback):
    def __init__(self, look: Callable[[Any], Any], seen: list[Any]) -> None:
        super().__init__()
        self._look = look
        self._seen = seen

    def _on_rollout_start(self) -> None:
        self._seen.append(self._look(self.model))

    def _on_step(self) -> bool:
        return True


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe of the stages given, with a small trainer."""

    def of(stages: str, trainer: str = SMALL, /, **curriculum: str) -> Recipe:
        lines = [f"trainer: {trainer}", "curriculum:"]
        lines += [f"  {key}: {value}" for key, value in curriculum.items()]
        file = tmp_path / "recipe.yaml"
        file.write_text("\n".join([*lines, f"  stages: {stages}"]) + "\n")
        return load_recipe(file)

    return of


@pytest.fixture
def trained(recipe: Callable[..., Recipe], tmp_path: Path) -> Training:
    """Trains such a recipe; `look` is asked about the model at every rollout's start."""

    def of(
        stages: str, trainer: str = SMALL, /, look: Callable[[Any], Any] | None = None, **curriculum: str
    ) -> Trained:
        recipe(stages, trainer, **curriculum)
        seen: list[Any] = []
        model = None
        with attach(tmp_path / "recipe.yaml") as session:
            if look is None:
                train(session)
            else:
                model = build_model(session.recipe, session.curriculum)
                model.set_logger(session_logger(session))
                callback = SessionCallback(session, make_environment)
                model.learn(session.recipe.trainer.total_timesteps or 0, callback=[callback, _Look(look, seen)])
            return Trained(session.paths.folder, model, seen)

    return of


class Toy(gym.Env[Any, Any]):
    """Two steps an episode; the action at the first is the return, and success is said where `says` is set."""

    observation_space = gym.spaces.Box(0, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, says: bool | None = None, length: int = 2) -> None:
        self.says = says
        self.length = length
        self.resets: list[int | None] = []
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.resets.append(seed)
        self.steps = 0
        return self.np_random.random(2).astype("float32"), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        info = {} if self.says is None else {"is_success": self.says}
        reward = float(action) if self.steps == 1 else 0.0
        return self.np_random.random(2).astype("float32"), reward, self.steps == self.length, False, info
