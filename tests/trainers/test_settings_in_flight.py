"""A stage's `trainer:` reaches the model, moves with the steps, and goes with the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

from stagectl.adapters.sb3 import SessionCallback
from stagectl.adapters.sb3_settings import StageSettings, in_flight
from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.errors import CurriculumError
from stagectl.session import attach
from stagectl.trainers.sb3 import build_model

TWO = "[{name: a, curriculum: CartPole-v1, advance_when: steps >= 256%s}, {name: b, curriculum: CartPole-v1%s}]"


def of_ppo(model: Any) -> dict[str, Any]:
    names = ("ent_coef", "vf_coef", "max_grad_norm", "target_kl", "gamma", "gae_lambda", "n_epochs", "batch_size")
    schedules = {"learning_rate": model.lr_schedule, "clip_range": model.clip_range}
    values = {name: getattr(model, name) for name in names}
    clip_vf = model.clip_range_vf and model.clip_range_vf(1.0)
    return {**values, **{name: schedule(0.5) for name, schedule in schedules.items()}, "clip_range_vf": clip_vf}


def test_a_stages_settings_are_on_while_it_is_and_the_recipes_own_come_back(trained: Any) -> None:
    named = {
        "learning_rate": 0.01,
        "ent_coef": 0.2,
        "vf_coef": 0.7,
        "max_grad_norm": 0.3,
        "target_kl": 0.5,
        "gamma": 0.9,
        "gae_lambda": 0.8,
        "n_epochs": 2,
        "batch_size": 16,
        "clip_range": 0.1,
        "clip_range_vf": 0.4,
    }
    written = ", ".join(f"{key}: {value}" for key, value in named.items())
    run = trained(TWO % (f", trainer: {{{written}}}", ""), look=of_ppo)
    first, last = run.seen[0], run.seen[-1]
    assert first == named
    assert last == {
        "learning_rate": 3e-4,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
        "target_kl": None,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "n_epochs": 1,
        "batch_size": 32,
        "clip_range": 0.2,
        "clip_range_vf": None,
    }
    assert [seen == first for seen in run.seen] == [True] * 4 + [False] * 4


def test_the_learning_rate_that_the_optimizer_used_is_the_stages(trained: Any) -> None:
    run = trained(TWO % (", trainer: {learning_rate: 0.01}", ", trainer: {learning_rate: 1e-5}"))
    of_first, of_second = ([(step, 0.01) for step in (128, 192, 256, 256)], [(s, 1e-5) for s in (384, 448, 512, 512)])
    assert run.metrics("train/learning_rate") == of_first + of_second  # a checkpoint does not wait for the next rollout


def test_discounts_reach_the_buffer_that_computes_with_them(trained: Any) -> None:
    def of_the_buffer(model: Any) -> tuple[float, float]:
        return model.rollout_buffer.gamma, model.rollout_buffer.gae_lambda

    run = trained(TWO % (", trainer: {gamma: 0.5, gae_lambda: 0.6}", ""), look=of_the_buffer)
    assert run.seen[0] == (0.5, 0.6)
    assert run.seen[-1] == (0.99, 0.95)


def test_a_ramp_stands_where_the_steps_in_the_stage_were_when_the_rollout_began(trained: Any) -> None:
    ramp = ", trainer: {ent_coef: {from: 0.4, to: 0, over: 128}, n_epochs: {from: 1, to: 3, over: 128}}"
    run = trained(TWO % (ramp, ramp), look=lambda model: (model.ent_coef, model.n_epochs))
    assert run.seen == [(0.4, 1), (0.2, 2), (0.0, 3), (0.0, 3)] * 2


def test_the_learning_rate_warms_up_in_a_straight_line_after_a_stage_is_entered(trained: Any) -> None:
    run = trained(TWO % ("", ", on_enter: {warmup_steps: 128}"), look=lambda model: model.lr_schedule(0.0))
    assert run.seen == pytest.approx([3e-4] * 4 + [0.0, 1.5e-4, 3e-4, 3e-4])


def test_a_warm_up_leads_to_the_stages_own_rate_while_that_moves(trained: Any) -> None:
    rate = ", trainer: {learning_rate: {from: 0.02, to: 0.01, over: 128}}, on_enter: {warmup_steps: 128}"
    run = trained(TWO % (rate, ""), look=lambda model: model.lr_schedule(0.0))
    assert run.seen == pytest.approx([0.0, 0.015 / 2, 0.01, 0.01, *[3e-4] * 4])


ARGUMENTS: dict[str, dict[str, Any]] = {
    "A2C": {"n_steps": 8},
    "DQN": {"learning_starts": 0, "buffer_size": 100, "train_freq": 8},
    "SAC": {"learning_starts": 0, "buffer_size": 100, "ent_coef": 0.1},
    "TD3": {"learning_starts": 0, "buffer_size": 100},
    "DDPG": {"learning_starts": 0, "buffer_size": 100},
    "PPO": {"n_steps": 8, "batch_size": 8},
}


def made(name: str) -> BaseAlgorithm:
    env = "CartPole-v1" if name in ("A2C", "DQN", "PPO") else "Pendulum-v1"
    model: BaseAlgorithm = getattr(stable_baselines3, name)("MlpPolicy", env, device="cpu", **ARGUMENTS[name])
    return model


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_algorithm_takes_all_that_it_is_said_to_take_and_trains_on(name: str) -> None:
    values = dict.fromkeys(in_flight(getattr(stable_baselines3, name)), 0.3)
    values |= {key: 2 for key in values if key in ("batch_size", "gradient_steps", "n_epochs", "policy_delay")}
    values |= {key: 2 for key in values if key == "target_update_interval"}
    values |= {key: False for key in values if key == "normalize_advantage"}
    stages = [{"name": "a", "curriculum": "x", "trainer": values}, "y"]
    curriculum = StagedProgressiveCurriculum(stages, transition_criteria="time", time_threshold_steps=16)
    model = made(name)
    before = {key: getattr(model, key) for key in values if key != "learning_rate"}
    settings = StageSettings(model, curriculum)
    settings.apply()
    for key, value in values.items():
        now = getattr(model, "lr_schedule" if key == "learning_rate" else key)
        assert (now(1.0) if callable(now) else now) == value
    model.learn(16)
    curriculum.update_step_count(16)
    settings.apply()
    assert {key: getattr(model, key) for key in before} == before
    assert model.lr_schedule(1.0) == made(name).lr_schedule(1.0)


def test_a_schedule_that_a_script_gave_its_model_stays_one() -> None:
    model = stable_baselines3.PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda left: left * 0.1, device="cpu")
    stages = [{"name": "a", "curriculum": "x", "trainer": {"learning_rate": 0.5}}, "y"]
    curriculum = StagedProgressiveCurriculum(stages, transition_criteria="time", time_threshold_steps=16)
    settings = StageSettings(model, curriculum)
    settings.apply()
    assert model.lr_schedule(0.5) == 0.5
    curriculum.update_step_count(16)
    settings.apply()
    assert [model.lr_schedule(1.0), model.lr_schedule(0.5)] == pytest.approx([0.1, 0.05])


def test_a_learnt_entropy_coefficient_keeps_its_optimizer() -> None:
    stages = [{"name": "a", "curriculum": "x", "trainer": {"tau": 0.1}, "on_enter": {"reset": ["optimizer"]}}]
    sac = stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", device="cpu", learning_starts=0, buffer_size=100)
    sac.learn(8)
    assert sac.ent_coef_optimizer is not None
    assert sac.ent_coef_optimizer.state
    StageSettings(sac, StagedProgressiveCurriculum(stages)).apply()
    assert not sac.ent_coef_optimizer.state
    assert not sac.critic.optimizer.state
    assert not sac.actor.optimizer.state
    sac.learn(8)
    assert sac.ent_coef_optimizer.state


def test_a_scripts_own_model_refuses_what_it_cannot_do_before_it_trains() -> None:
    stages = [
        {"name": "a", "curriculum": "x", "trainer": {"n_steps": 1}},
        {"name": "b", "curriculum": "x", "on_enter": {"reset": ["observation_stats"]}},
    ]
    with pytest.raises(CurriculumError) as refused:
        StageSettings(made("PPO"), StagedProgressiveCurriculum(stages))
    paths = [fault.path for fault in refused.value.faults]
    assert paths == [("stages", 0, "trainer", "n_steps"), ("stages", 1, "on_enter", "reset")]


def test_learning_in_two_halves_is_learning_with_the_same_settings(recipe: Any, tmp_path: Path) -> None:
    recipe(TWO % (", trainer: {ent_coef: 0.2}", ""))
    with attach(tmp_path / "recipe.yaml") as session:
        model = build_model(session.recipe, session.curriculum)
        callback = SessionCallback(session)
        model.learn(128, callback=callback)
        assert model.ent_coef == 0.2  # type: ignore[attr-defined]
        model.learn(512, callback=callback, reset_num_timesteps=False)
    assert model.ent_coef == 0.0  # type: ignore[attr-defined]
