"""How long until the current stage is left."""

from __future__ import annotations

import math

import pytest

from stagectl.view.estimate import budget_seconds, estimate_seconds
from tests.view.story import Story

TIMED = [{"name": "warm", "curriculum": "a", "transition_criteria": "time", "time_threshold_steps": 100_000}, "b"]


def with_history(values: list[float], **settings: object) -> Story:
    """A run in its first stage whose smoothed performance went through these values, one every 1,000 steps."""
    story = Story(["a", "b"], rate=1_000, **settings).begin()
    for number, value in enumerate(values, 1):
        story.step, story.now = story.step + 1_000, story.now + 1
        story.tell("episodes", scores=[], episodes=[10 * number, 0], performance=[value, None])
    return story


def test_by_steps_it_is_what_is_left_at_the_rate() -> None:
    story = Story(TIMED, rate=1_000).begin().rollout([0.0], 20_000).rollout([0.0], 20_000)
    assert estimate_seconds(story.status) == pytest.approx(60, rel=0.01)


def test_by_performance_it_follows_the_line_up_to_the_threshold() -> None:
    story = with_history([0.01 * n for n in range(1, 41)])
    assert estimate_seconds(story.status) == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.3] * 40, id="flat"),
        pytest.param([0.5 - 0.01 * n for n in range(40)], id="falling"),
        pytest.param([0.1, 0.2, 0.3], id="too little"),
        pytest.param([0.3 + 0.05 * math.sin(n * 2.0) for n in range(40)], id="noise"),
        pytest.param([0.1 + 1e-6 * n for n in range(40)], id="too far"),
        pytest.param([], id="nothing"),
    ],
)
def test_a_curve_that_does_not_rise_gives_none(values: list[float]) -> None:
    assert estimate_seconds(with_history(values).status) is None


def test_above_the_threshold_it_is_the_episodes_that_are_missing() -> None:
    story = with_history([0.9, 0.9], min_episodes=60)
    assert estimate_seconds(story.status) == pytest.approx(4, rel=0.01)


def test_a_stage_without_criterion_ends_with_the_budget() -> None:
    story = Story(["a"], total=100_000, rate=1_000).begin().rollout([0.0], 20_000).rollout([0.0], 20_000)
    assert estimate_seconds(story.status) == budget_seconds(story.status) == pytest.approx(60, rel=0.01)


def test_a_limit_that_advances_bounds_it() -> None:
    story = with_history([0.1] * 10, max_steps=20_000, on_timeout="advance")
    assert estimate_seconds(story.status) == pytest.approx(10, rel=0.01)


def test_a_class_of_the_users_own_and_an_ended_run_give_none() -> None:
    rising = [0.01 * n for n in range(1, 41)]
    assert estimate_seconds(with_history(rising, target="mine.Class").status) is None
    assert estimate_seconds(with_history(rising).end("stopped").status) is None
