"""What the bundled trainer cannot do is refused before a run begins, with its place and the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from stagectl.errors import Fault, RecipeError
from stagectl.trainers.sb3 import check
from tests.trainers.conftest import SMALL, Toy

STAGE = ("curriculum", "stages", 0)


def faults(recipe: Any, stages: str, learner: str = SMALL, **curriculum: str) -> list[Fault]:
    return check(recipe(stages, learner, **curriculum))


def of_stage(setting: str) -> str:
    return f"[{{name: a, curriculum: CartPole-v1, {setting}}}]"


def test_what_a_stage_may_set_passes(recipe: Any) -> None:
    good = "trainer: {learning_rate: {from: 1e-3, to: 1e-4, over: 10k}, batch_size: 1k, clip_range_vf: null}"
    assert faults(recipe, of_stage(good)) == []


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("n_steps: 64", "a stage cannot change 'n_steps': the buffer is made once, for so many steps"),
        ("policy_kwargs: {}", "a stage cannot change 'policy_kwargs': the network is made once"),
        ("n_envs: 4", "a stage cannot change 'n_envs': the environments are made once"),
        (
            "total_timesteps: 100",
            "a stage cannot change 'total_timesteps': this is the run's budget; a stage has `max_",
        ),
        ("device: cpu", "a stage cannot change 'device': the network is made once"),
        ("rollout_buffer_class: x", "a stage cannot change 'rollout_buffer_class': Stable-Baselines3 reads it once"),
        ("learnin_rate: 0.1", "PPO has no 'learnin_rate'; did you mean 'learning_rate'?"),
        ("tau: 0.1", "PPO has no 'tau'"),
    ],
)
def test_what_cannot_change_in_flight_is_refused_with_what_can(recipe: Any, setting: str, reason: str) -> None:
    (fault,) = faults(recipe, of_stage(f"trainer: {{{setting}}}"))
    assert fault.path == (*STAGE, "trainer", setting.partition(":")[0])
    assert fault.message.startswith(reason)
    assert fault.message.endswith(
        "PPO can change, from stage to stage: batch_size, clip_range, clip_range_vf, ent_coef, gae_lambda, gamma, "
        "learning_rate, max_grad_norm, n_epochs, normalize_advantage, target_kl, vf_coef"
    )


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("learning_rate: -1", "-1 is outside [0, ∞)"),
        ("learning_rate: fast", "expected a number, found 'fast'"),
        ("gamma: 1.5", "1.5 is outside [0, 1]"),
        ("gamma: {from: 0.9, to: 2, over: 10}", "2.0 is outside [0, 1]"),
        ("n_epochs: 2.5", "expected a whole number, found 2.5"),
        ("normalize_advantage: 1", "expected true or false, found 1"),
        ("normalize_advantage: {from: 0, to: 1, over: 10}", "expected true or false, found a ramp"),
        ("clip_range: null", "expected a number, found nothing"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(recipe: Any, setting: str, reason: str) -> None:
    (fault,) = faults(recipe, of_stage(f"trainer: {{{setting}}}"))
    assert fault == Fault((*STAGE, "trainer", setting.partition(":")[0]), reason)


def test_what_stands_in_the_curriculum_is_said_once_with_its_own_place(recipe: Any) -> None:
    stages = "[{name: a, curriculum: CartPole-v1}, {name: b, curriculum: CartPole-v1}]"
    (fault,) = faults(recipe, stages, trainer="{n_steps: 4}")
    assert fault.path == ("curriculum", "trainer", "n_steps")


def test_an_entropy_coefficient_that_the_run_learns_is_no_stages(recipe: Any) -> None:
    stages = "[{name: a, curriculum: Pendulum-v1, score: return, trainer: {ent_coef: 0.1}}]"
    (fault,) = faults(recipe, stages, "{algorithm: SAC, total_timesteps: 100, buffer_size: 100}")
    assert fault.path == (*STAGE, "trainer", "ent_coef")
    assert "the run learns this itself" in fault.message
    assert faults(recipe, stages, "{algorithm: SAC, total_timesteps: 100, buffer_size: 100, ent_coef: 0.2}") == []


@pytest.mark.parametrize(
    ("what", "needed"),
    [("observation_stats", "normalize_observations"), ("return_stats", "normalize_returns")],
)
def test_statistics_that_the_run_does_not_keep_cannot_be_reset(recipe: Any, what: str, needed: str) -> None:
    stages = of_stage(f"on_enter: {{reset: [optimizer, {what}]}}")
    (fault,) = faults(recipe, stages)
    assert fault.path == (*STAGE, "on_enter", "reset")
    assert fault.message == f"cannot reset '{what}': the run does not normalise; add `{needed}: true` to `trainer:`"
    assert faults(recipe, stages, f"{{total_timesteps: 100, n_envs: 2, {needed}: true}}") == []


def test_normalising_is_yes_or_no(recipe: Any) -> None:
    (fault,) = faults(recipe, "[CartPole-v1]", "{total_timesteps: 100, normalize_returns: 1}")
    assert fault == Fault(("trainer", "normalize_returns"), "expected true or false, found 1")


def test_a_view_of_kinds_of_objects_is_not_normalised(recipe: Any) -> None:
    (fault,) = faults(recipe, "[MiniGrid-Empty-5x5-v0]", "{total_timesteps: 100, normalize_observations: true}")
    assert fault.path == ("trainer", "normalize_observations")
    assert faults(recipe, "[MiniGrid-Empty-5x5-v0]", "{total_timesteps: 100, normalize_returns: true}") == []


@pytest.mark.parametrize("setting", ["trainer: {gamma: 0.9}", "on_enter: {warmup_steps: 1}"])
def test_a_member_of_a_group_has_no_learner_of_its_own(recipe: Any, setting: str) -> None:
    member = f"{{name: p, curriculum: CartPole-v1, {setting}}}"
    with pytest.raises(RecipeError, match="has no effect in a member of a group"):
        faults(recipe, f"[{{name: g, parallel: [{member}]}}]")
    assert faults(recipe, f"[{{name: g, {setting}, parallel: [{{name: p, curriculum: CartPole-v1}}]}}]") == []


def test_a_member_of_a_group_is_named_by_its_place(recipe: Any) -> None:
    (fault,) = faults(
        recipe, "[{name: g, parallel: [{name: p, curriculum: CartPole-v1}, {name: q, curriculum: No-v0}]}]"
    )
    assert fault.path == (*STAGE, "parallel", 1, "curriculum")


# ── more agents than one ────────────────────────────────────────────────────────────────────────────────────────


class Crowd:
    """As PettingZoo's environments are: of no Gymnasium class."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}


class Joint(Toy):
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2)  # type: ignore[assignment]


class Nested(Toy):
    observation_space = gym.spaces.Dict(  # type: ignore[assignment]
        {name: gym.spaces.Dict({"x": gym.spaces.Box(0, 1, (2,), np.float32)}) for name in ("ann", "bob")}
    )


@pytest.fixture
def crowds() -> Iterator[None]:
    kinds = {"Crowd-v0": Crowd, "Joint-v0": Joint, "Nested-v0": Nested}
    for name, kind in kinds.items():
        gym.register(name, kind)  # type: ignore[arg-type]
    yield
    for name in kinds:
        del gym.registry[name]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Crowd", "Crowd"),
        ("Joint", "the action space is Tuple(Discrete(2), Discrete(2))"),
        ("Nested", "the observation space is Dict('ann': Dict("),
    ],
)
@pytest.mark.usefixtures("crowds")
def test_agents_in_one_gymnasium_environment_are_refused_with_their_stage(recipe: Any, name: str, found: str) -> None:
    (fault,) = faults(recipe, f"[CartPole-v1, {{name: many, curriculum: {name}-v0}}]")
    assert fault.path == ("curriculum", "stages", 1, "curriculum")
    assert fault.message.startswith("stage 'many': this trainer has one learner that plays all agents")
    assert found in fault.message
