"""The bundled trainer: what a recipe may say, and which algorithms play MiniGrid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl import attach
from stagectl.errors import RecipeError
from stagectl.recipe import Recipe, build_curriculum, load_recipe
from stagectl.trainers.sb3 import build_model, check, train

MINIGRID = "[MiniGrid-Empty-5x5-v0]"
SMALL_DQN = "algorithm: DQN, n_envs: 2, buffer_size: 1k, learning_starts: 64, batch_size: 16"


def recipe(folder: Path, trainer: str, stages: str = "[CartPole-v1]") -> Recipe:
    file = folder / "r.yaml"
    file.write_text(f"trainer:\n  {{total_timesteps: 200, {trainer}}}\ncurriculum: {{stages: {stages}}}\n")
    return load_recipe(file)


def refused(tested: Recipe) -> str:
    """What `run` says of the recipe's faults, without the folder."""
    with pytest.raises(RecipeError) as raised:
        raise tested.error(*check(tested))
    return str(raised.value).replace(f"{tested.folder}/", "")


def built(tested: Recipe) -> Any:
    return build_model(tested, build_curriculum(tested))


@pytest.mark.parametrize("trainer", ["algorithm: A2C", "algorithm: PPO", SMALL_DQN])
def test_an_algorithm_for_discrete_actions_plays_minigrid(tmp_path: Path, trainer: str) -> None:
    assert check(recipe(tmp_path, trainer, MINIGRID)) == []


def test_dqn_trains_on_minigrid(tmp_path: Path) -> None:
    recipe(tmp_path, SMALL_DQN, MINIGRID)
    with attach(tmp_path / "r.yaml") as session:
        train(session)
    assert session.curriculum.total_steps >= 200


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("n_envs: 0", "r.yaml:2:26: trainer.n_envs: 0 is less than 1"),
        ("n_envs: abc", "r.yaml:2:26: trainer.n_envs: expected a number, found 'abc'"),
        ("threads: 0", "r.yaml:2:26: trainer.threads: 0 is less than 1"),
        ("threads: 1.5", "r.yaml:2:26: trainer.threads: expected a whole number, found 1.5"),
    ],
)
def test_a_count_that_cannot_be_is_refused_with_its_place(tmp_path: Path, written: str, said: str) -> None:
    assert refused(recipe(tmp_path, written)) == said


@pytest.mark.parametrize("written", ["policy: NoSuchPolicy", "policy_kwargs: 5", "device: moon"])
def test_whatever_an_algorithm_raises_is_a_fault_of_the_recipe(tmp_path: Path, written: str) -> None:
    said = refused(recipe(tmp_path, written))
    assert said.startswith("r.yaml:1:1: trainer: Stable-Baselines3 refuses this: ")
    assert "\n" not in said


def test_an_arguments_number_may_be_written_as_people_write_it(tmp_path: Path) -> None:
    model = built(recipe(tmp_path, "n_envs: 1, n_steps: 1e3, batch_size: 1_000, learning_rate: 3e-4, gamma: 1.0"))
    assert (model.n_steps, model.batch_size, model.learning_rate, model.gamma) == (1000, 1000, 3e-4, 1)
    assert built(recipe(tmp_path, "n_envs: 1, n_steps: 1k, batch_size: 100")).n_steps == 1000


def test_an_arguments_text_stays_text(tmp_path: Path) -> None:
    model = built(recipe(tmp_path, "device: cpu, policy: MlpPolicy, n_envs: 1"))
    assert str(model.device) == "cpu"
