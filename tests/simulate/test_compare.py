"""Several seeds and several recipes: shares that finish, differences that are paired by trace, in steps and money."""

from __future__ import annotations

import pytest

from stagectl import StagedProgressiveCurriculum
from stagectl.simulate import Price, Simulation, comparison_of, replay, simulation_of
from stagectl.traces import trace_of

LEARNT_AT = (300, 500, 700, 900, 1100)


def simulated(recipe: str, threshold: float, lengths: tuple[int, ...] = (2000,) * 5) -> Simulation:
    """Five seeds whose score rises from 0 to 0.5 and to 1 at the steps of `LEARNT_AT`, and 200 steps after them."""
    timelines = []
    for learnt, length in zip(LEARNT_AT, lengths, strict=True):
        steps = list(range(100, length + 1, 100))
        scores = [0.5 * (step >= learnt) + 0.5 * (step >= learnt + 200) for step in steps]
        stages = [{"curriculum": "a", "performance_threshold": threshold}, "b"]
        curriculum = StagedProgressiveCurriculum(stages, transition_smoothing=1.0, min_episodes=1)
        timelines.append(replay(curriculum, trace_of(f"seed {learnt}", steps, scores)))
    return simulation_of(recipe, timelines)


def test_a_single_trace_has_no_summary() -> None:
    assert simulation_of("r", simulated("r", 0.5).timelines[:1]).summary is None


def test_the_median_of_the_seeds_and_the_share_that_finishes() -> None:
    summary = simulated("r", 0.5).summary
    assert summary is not None
    assert (summary.seeds, summary.finished) == (5, 1.0)
    assert summary.stages[0].left.median == summary.stages[0].steps.median == 700
    assert summary.stages[1].left.median is None


def test_a_seed_whose_recording_ends_before_is_censored_there() -> None:
    summary = simulated("r", 1.0, (2000, 2000, 400, 400, 400)).summary
    assert summary is not None
    assert summary.finished == 0.4
    left = summary.stages[0].left
    assert (left.median, left.reached, left.of) == (600, 2, 5)


def test_a_recipe_is_compared_trace_by_trace_with_the_first() -> None:
    comparison = comparison_of([simulated("a", 0.5), simulated("b", 1.0)])
    stage, whole = comparison.differences
    assert (stage.recipe, stage.stage, stage.steps.median) == ("b", "a", 200)
    assert (stage.steps.low, stage.steps.high) == (200, 200)
    assert (whole.stage, whole.steps) == (None, stage.steps)


def test_a_price_turns_steps_into_money() -> None:
    comparison = comparison_of([simulated("a", 1.0), simulated("b", 0.5)], Price(per_hour=36.0, steps_per_second=2.0))
    cost = comparison.differences[0].cost
    assert cost is not None
    assert cost.median == pytest.approx(-1.0)


def test_a_difference_of_which_one_side_is_not_in_the_data_is_censored() -> None:
    lengths = (2000, 2000, 2000, 1000, 1000)
    later = (
        comparison_of([simulated("a", 0.5, (*lengths[:4], 2000)), simulated("b", 1.0, lengths)]).differences[0].steps
    )
    assert (later.median, later.high, later.reached, later.of) == (200, 200, 3, 5)


def test_where_either_side_is_now_and_then_not_in_the_data_no_difference_is_told() -> None:
    one, other = (2000, 100, 2000, 2000, 2000), (100, 2000, 2000, 2000, 2000)
    steps = comparison_of([simulated("a", 0.5, one), simulated("b", 1.0, other)]).differences[0].steps
    assert (steps.median, steps.low, steps.high, steps.reached, steps.of) == (None, None, None, 3, 5)
