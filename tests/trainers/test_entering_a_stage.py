"""`on_enter:` of a stage, and normalised observations and returns."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

NORMALIZED = (
    "{n_envs: 2, n_steps: 32, batch_size: 32, n_epochs: 1, total_timesteps: 512, threads: 1, gamma: 0.9, "
    "normalize_observations: true, normalize_returns: true}"
)
TWO = "[{name: a, curriculum: CartPole-v1, advance_when: steps >= 256}, {name: b, curriculum: CartPole-v1%s}]"


def updates_of_the_optimizer(model: Any) -> int:
    states = model.policy.optimizer.state.values()
    return max((int(state["step"]) for state in states), default=0)


def test_the_optimizer_begins_anew_where_a_stage_says_so_and_only_then(trained: Any) -> None:
    run = trained(TWO % ", on_enter: {reset: [optimizer]}", look=updates_of_the_optimizer)
    assert run.seen == [0, 2, 4, 6, 0, 2, 4, 6]
    assert trained(TWO % "", look=updates_of_the_optimizer).seen == [0, 2, 4, 6, 8, 10, 12, 14]


def counts(model: Any) -> tuple[int, int]:
    env = model.get_vec_normalize_env()
    return round(env.obs_rms.count), round(env.ret_rms.count)


def test_statistics_are_gathered_through_the_run(trained: Any) -> None:
    run = trained(TWO % "", NORMALIZED, look=counts)
    begun_anew = 2  # observations, at the checkpoint of the transition
    assert run.seen == [(2 + 64 * n + begun_anew * (n >= 4), 64 * n) for n in range(8)]


@pytest.mark.parametrize(("what", "after"), [("observation_stats", (0, 256)), ("return_stats", (260, 0))])
def test_statistics_begin_anew_where_a_stage_says_so(trained: Any, what: str, after: tuple[int, int]) -> None:
    run = trained(TWO % f", on_enter: {{reset: [{what}]}}", NORMALIZED, look=counts)
    assert run.seen[3] == (194, 192)
    assert run.seen[4] == after
    assert run.seen[5] == (after[0] + 64, after[1] + 64)


def test_returns_are_discounted_for_their_statistics_as_the_stage_discounts(trained: Any) -> None:
    run = trained(TWO % ", trainer: {gamma: 0.5}", NORMALIZED, look=lambda model: model.get_vec_normalize_env().gamma)
    assert run.seen == [0.9] * 4 + [0.5] * 4


def test_scores_are_of_the_environments_own_rewards(trained: Any) -> None:
    run = trained(TWO % "", NORMALIZED, score="return")
    scores = [score for event in run.events if event["event"] == "episodes" for _, score, *_ in event["scores"]]
    assert len(scores) > 5
    assert all(score == int(score) >= 8 for score in scores)


def test_a_checkpoint_has_the_statistics(trained: Any) -> None:
    run = trained(TWO % "", NORMALIZED, look=counts)
    last = sorted(run.folder.glob("checkpoints/step-*/vecnormalize.pkl"))[-1]
    saved = pickle.loads(last.read_bytes())
    assert np.array_equal(saved.obs_rms.mean, run.model.get_vec_normalize_env().obs_rms.mean)
    plain = trained(TWO % "")
    assert not list(plain.folder.glob("checkpoints/*/vecnormalize.pkl"))
