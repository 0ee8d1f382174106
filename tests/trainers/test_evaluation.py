"""`evaluate:` plays the policy beside training, and leaves no trace in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stagectl.adapters.evaluation import AT_ONCE, Evaluator, batched
from stagectl.curriculum import StagedProgressiveCurriculum, stages_evaluated
from tests.trainers.conftest import Toy

ONE = "[{name: a, curriculum: CartPole-v1, score: {return: [0, 500]}%s}]"
TWO = "[{name: a, curriculum: CartPole-v1, advance_when: steps >= 256%s}, {name: b, curriculum: CartPole-v1%s}]"
NORMALIZED = (
    "{n_envs: 2, n_steps: 32, batch_size: 32, n_epochs: 1, total_timesteps: 256, threads: 1, "
    "normalize_observations: true, normalize_returns: true}"
)


def always(action: int) -> Callable[[Any], Any]:
    return lambda observations: [action] * len(observations)


class Made:
    """Makes toys and keeps them."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.envs: list[Toy] = []

    def __call__(self, stage: Any) -> Toy:
        self.envs.append(Toy(**self.settings))
        return self.envs[-1]


def evaluated(episodes: int = 4, made: Made | None = None, seed: int = 0, **stage: Any) -> Evaluator:
    stage = {"name": "a", "curriculum": "x", "evaluate": {"every": 10, "episodes": episodes}, **stage}
    return Evaluator(StagedProgressiveCurriculum([stage]), made or Made(), seed)


# ── when ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_due_once_each_time_the_steps_in_the_stage_pass_a_multiple() -> None:
    evaluation = {"every": 10, "episodes": 1}
    stages = [
        {"name": "a", "curriculum": "x", "advance_when": "steps >= 25", "evaluate": evaluation},
        {"name": "b", "curriculum": "x", "evaluate": evaluation},
    ]
    curriculum = StagedProgressiveCurriculum(stages)
    evaluator = Evaluator(curriculum, Made())
    due = []
    for step in (0, 9, 10, 19, 26, 30, 36, 60, 66):  # b begins at 26
        curriculum.update_step_count(step)
        due.append(evaluator.due())
    assert due == [False, False, True, False, False, False, True, True, True]
    assert not evaluator.due()


def test_a_stage_taken_up_again_in_its_middle_does_not_repeat_what_was_played() -> None:
    curriculum = StagedProgressiveCurriculum([{"curriculum": "x", "evaluate": {"every": 10, "episodes": 1}}])
    curriculum.update_step_count(25)
    evaluator = Evaluator(curriculum, Made())
    assert not evaluator.due()
    curriculum.update_step_count(30)
    assert evaluator.due()


def test_training_evaluates_as_often_as_asked_and_at_its_end(trained: Any) -> None:
    run = trained(TWO % (", evaluate: {every: 128, episodes: 2}", ", evaluate: {every: 100, episodes: 2}"))
    assert [step for step, _ in run.metrics("eval/a/success_rate")] == [128]  # at 256, a is over
    assert [step for step, _ in run.metrics("eval/b/success_rate")] == [384, 512]


def test_earlier_stages_are_played_where_asked(trained: Any) -> None:
    run = trained(TWO % ("", ", evaluate: {every: 128, episodes: 2, earlier: true}"))
    for name in ("a", "b"):
        assert [step for step, _ in run.metrics(f"eval/{name}/return")] == [384, 512]


def test_a_group_is_evaluated_member_by_member() -> None:
    evaluation = {"every": 1, "episodes": 1, "earlier": True}
    stages = [
        {"name": "first", "curriculum": "x"},
        {"name": "group", "parallel": [{"name": "p", "curriculum": "x"}, {"name": "q", "curriculum": "x"}]},
        {"name": "last", "curriculum": "x", "evaluate": evaluation},
    ]
    stages[1]["evaluate"] = {**evaluation, "earlier": False}
    read = StagedProgressiveCurriculum(stages).stages
    names = [[stage.name for stage in stages_evaluated(read, current)] for current in range(3)]
    assert names == [[], ["p", "q"], ["first", "p", "q", "last"]]


def test_a_criterion_stands_on_the_evaluation(trained: Any) -> None:
    stages = (
        "[{name: a, curriculum: CartPole-v1, advance_when: 'metric(\"eval/a/return\") > 0', "
        "evaluate: {every: 128, episodes: 1}}, {name: b, curriculum: CartPole-v1}]"
    )
    moved = trained(stages).all_of("stage_transition")
    assert [step for _, step, *_ in moved] == [192]  # logged at 128, it counts at the next decision


# ── what ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("action", [0, 1])
def test_success_and_return_are_the_policys(action: int) -> None:
    assert evaluated().play(always(action)) == {"eval/a/success_rate": action, "eval/a/return": action}


@pytest.mark.parametrize("says", [True, False])
def test_success_is_what_the_environment_says_where_it_does(says: bool) -> None:
    metrics = evaluated(made=Made(says=says)).play(always(1 - says))
    assert metrics == {"eval/a/success_rate": says, "eval/a/return": 1 - says}


def test_success_is_by_the_stages_own_score() -> None:
    assert evaluated(score={"return": [0, 4]}).play(always(1))["eval/a/success_rate"] == 0.25
    assert evaluated(score="return").play(always(1)) == {"eval/a/return": 1.0}  # the return has no rate


@pytest.mark.parametrize("episodes", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 3])
def test_every_episode_asked_for_is_played_once_with_a_seed_of_its_own(episodes: int) -> None:
    made = Made()
    evaluated(episodes, made).play(always(0))
    seeds = [seed for env in made.envs for seed in env.resets]
    assert len(seeds) == len(set(seeds)) == episodes
    assert len(made.envs) == min(episodes, AT_ONCE)


def test_every_evaluation_of_a_run_plays_the_same_episodes_and_another_run_plays_others() -> None:
    def seeds(made: Made) -> set[int | None]:
        return {seed for env in made.envs for seed in env.resets}

    first, second, other = Made(), Made(), Made()
    evaluator = evaluated(20, first)
    evaluator.play(always(0))
    evaluator.play(always(1))
    evaluated(20, second).play(always(0))
    evaluated(20, other, seed=1).play(always(0))
    assert len(seeds(first)) == 20
    assert seeds(first) == seeds(second)
    assert not seeds(first) & seeds(other)
    assert not seeds(first) & set(range(100))  # training's are the run's seed and the next ones


def test_episodes_of_unequal_length_are_told_apart() -> None:
    lengths = iter(range(1, 40))

    class Uneven(Toy):
        def reset(self, **settings: Any) -> Any:
            self.length = next(lengths)
            return super().reset(**settings)

        def step(self, action: Any) -> Any:
            observation, _, over, *rest = super().step(action)
            return observation, float(self.length if over else 0), over, *rest

    stage = {"name": "a", "curriculum": "x", "evaluate": {"every": 1, "episodes": 33}}
    evaluator = Evaluator(StagedProgressiveCurriculum([stage]), lambda stage: Uneven())
    assert evaluator.play(always(0))["eval/a/return"] == np.mean(range(1, 34))


def test_observations_of_a_dict_are_batched_entry_by_entry() -> None:
    batch = batched([{"x": np.zeros(3), "y": 1}, {"x": np.ones(3), "y": 2}])
    assert batch["x"].shape == (2, 3)
    assert batch["y"].tolist() == [1, 2]


# ── beside training, and nothing else ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trainer", ["PPO", "DQN"])
def test_training_is_the_same_with_evaluation_and_without(trained: Any, trainer: str) -> None:
    of = {
        "PPO": "{n_envs: 2, n_steps: 32, batch_size: 32, n_epochs: 2, total_timesteps: 512, threads: 1}",
        "DQN": "{algorithm: DQN, n_envs: 2, learning_starts: 64, train_freq: 8, total_timesteps: 512, threads: 1}",
    }[trainer]
    kinds = ("episodes", "stage_transition", "stage_started")
    plain = trained(ONE % "", of).all_of(*kinds)
    again = trained(ONE % ", evaluate: {every: 100, episodes: 3}", of)
    assert len(again.metrics("eval/a/return")) == 5
    assert again.all_of(*kinds) == plain


def test_a_run_is_the_same_for_a_seed_evaluation_included(trained: Any) -> None:
    def one() -> tuple[Any, ...]:
        run = trained(ONE % ", evaluate: {every: 100, episodes: 3}", NORMALIZED)
        return run.all_of("episodes"), run.metrics("eval/a/return")

    assert one() == one()


def test_evaluation_sees_through_the_training_statistics_and_leaves_them(trained: Any) -> None:
    def stats(model: Any) -> tuple[Any, ...]:
        env = model.get_vec_normalize_env()
        return tuple(env.obs_rms.mean), env.obs_rms.count, float(env.ret_rms.mean), env.ret_rms.count

    plain = trained(ONE % "", NORMALIZED, look=stats).seen
    run = trained(ONE % ", evaluate: {every: 64, episodes: 3}", NORMALIZED, look=stats)
    assert run.seen == plain
    assert run.metrics("eval/a/return")[0][1] >= 8  # the environment's own return, not a normalised one


def test_images_and_dicts_are_evaluated_as_they_are_trained_on(trained: Any) -> None:
    class Pictures(Toy):
        observation_space = gym.spaces.Dict(  # type: ignore[assignment]
            {"view": gym.spaces.Box(0, 255, (36, 36, 3), np.uint8), "speed": gym.spaces.Box(0, 1, (2,))}
        )

        def reset(self, **settings: Any) -> Any:
            speed, info = super().reset(**settings)
            return {"view": np.full((36, 36, 3), 7, np.uint8), "speed": speed}, info

        def step(self, action: Any) -> Any:
            speed, *rest = super().step(action)
            return {"view": np.full((36, 36, 3), 9, np.uint8), "speed": speed}, *rest

    gym.register("Pictures-v0", lambda **_: Pictures())
    try:
        run = trained(
            "[{name: a, curriculum: Pictures-v0, evaluate: {every: 16, episodes: 3}}]",
            "{n_envs: 2, n_steps: 8, batch_size: 16, n_epochs: 1, total_timesteps: 32, threads: 1}",
        )
    finally:
        del gym.registry["Pictures-v0"]
    assert [step for step, _ in run.metrics("eval/a/success_rate")] == [16, 32]
