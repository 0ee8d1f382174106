"""A suggestion is the lowest threshold whose exits hold, and says how little it may rest on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from stagectl.errors import TraceError
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import default_recipe
from stagectl.simulate.suggest import Suggestion, suggest
from stagectl.simulate.sweep import Axis
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Row, Trace, trace_of
from stagectl.traces.trace import trace_of_rows


def trace_with(seed: int, shares: list[float]) -> Trace:
    chance = random.Random(seed)
    steps = range(10, 10 * len(shares) + 1, 10)
    return trace_of(f"seed {seed}", steps, [float(chance.random() < share) for share in shares])


def test_returns_are_no_scores_to_suggest_a_threshold_for() -> None:
    returns = trace_of("x", range(10, 4010, 10), [100.0 + at for at in range(400)])
    with pytest.raises(TraceError, match="scores go from 0 to 499, and thresholds"):
        suggest([returns], default_recipe([returns], 2))


def steady(seed: int) -> Trace:
    """Success rises from 0 to 0.97 over 300 episodes, and stays."""
    return trace_with(seed, [min(0.97, at / 300) for at in range(2000)])


def relapsing(seed: int) -> Trace:
    """Success comes to 0.6, is 0 for 200 episodes, and then goes on as it would have."""
    return trace_with(seed, [0.0 if 900 <= at < 1100 else min(0.97, at / 1500) for at in range(3000)])


def feigning(seed: int) -> Trace:
    """Success is 0.6 for a short time, 0 for a long one, and then 0.97."""
    return trace_with(seed, [0.6 if at < 220 else 0.0 if at < 1500 else 0.97 for at in range(3000)])


def suggested(traces: list[Trace], window: int = 300) -> Suggestion:
    return suggest(traces, default_recipe(traces, 2), window=window)


def test_the_threshold_is_the_lowest_whose_exits_hold() -> None:
    assert suggested([steady(seed) for seed in range(3)]).performance_threshold == 0.5
    found = suggested([feigning(seed) for seed in range(3)])
    assert found.performance_threshold > 0.5
    assert (found.false_exits, found.exits) == (0, 3)


def test_the_smoothing_is_the_quickest_whose_exits_hold() -> None:
    assert suggested([steady(seed) for seed in range(3)]).transition_smoothing > 0.005
    assert suggested([relapsing(seed) for seed in range(3)]).transition_smoothing == 0.005


def test_a_smoothing_with_which_a_stage_is_never_left_is_not_preferred() -> None:
    chance = random.Random(1)
    learnt = [1.0] * 1000
    late = [0.0] * 600 + [float(chance.random() < 0.62) for _ in range(300)]
    told = [*((score, "a") for score in learnt), *((score, "b") for score in late), *((1.0, "c") for _ in range(300))]
    trace = trace_of_rows("t", [Row(10 * at, score, stage) for at, (score, stage) in enumerate(told, 1)])
    stages = recipe_from_data({"curriculum": {"stages": ["a", "b", "c"]}}, name="r", folder=Path("/"))
    found = suggest([trace], stages)
    slowest = Axis("transition_smoothing", (0.005, found.transition_smoothing))
    left = sweep_by_core(stages, [trace], [Axis("performance_threshold", (found.performance_threshold,)), slowest]).left
    assert np.isfinite(left[0, :, 0]).sum(-1).tolist() == [1, 2]
    assert "leaves most stages (2 in 1 recording)" in "\n".join(found.reasons)


def test_the_reasons_say_what_was_tried_and_how_little_it_rests_on() -> None:
    told = "\n".join(suggested([feigning(seed) for seed in range(3)]).reasons)
    assert "is the lowest threshold from 0.5 on at which fewer than 5 % of the exits were false" in told
    assert "the fewest were" in told
    assert "an exit is judged by the 300 episodes of its stage after it" in told
    assert (
        "3 exits, of which 0 were false, chosen among 60 variants, rule out with 95% only that more than 91% are"
        in told
    )


def test_the_line_is_ready_for_the_recipe() -> None:
    found = suggested([steady(0)])
    values = (
        f"performance_threshold: {found.performance_threshold:g}, transition_smoothing: {found.transition_smoothing:g}"
    )
    assert found.yaml == f"curriculum: {{{values}}}"


def test_where_no_exit_can_be_judged_nothing_is_proposed() -> None:
    with pytest.raises(TraceError, match="no exit can be judged: after none were 5,000 more episodes") as caught:
        suggested([steady(0)], window=5000)
    assert "--window" in caught.value.hint


def test_where_no_exit_holds_the_nearest_is_named() -> None:
    chance = random.Random(0)
    noise = trace_of("noise", range(10, 20_001, 10), [float(chance.random() < 0.45) for _ in range(2000)])
    with pytest.raises(TraceError, match="5 % or more of the exits are false whatever is tried; the fewest are 1 of 1"):
        suggested([noise], window=1000)
