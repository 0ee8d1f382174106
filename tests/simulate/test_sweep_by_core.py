"""A sweep tells of every variant what a replay of it alone would, and which exits did not last."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stagectl.errors import RecipeError, UsageError
from stagectl.recipe import Recipe
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import default_recipe
from stagectl.simulate.axes import check_axes, check_keys, read_axis, untouched
from stagectl.simulate.sweep import Axis, Sweep
from stagectl.simulate.sweeping import sweep, sweep_compiled
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Row, Trace, trace_of
from stagectl.traces.trace import trace_of_rows


def recipe(**curriculum: Any) -> Recipe:
    block = {"stages": ["a", "b"], "transition_smoothing": 1.0, "min_episodes": 1, **curriculum}
    return recipe_from_data({"curriculum": block}, name="r", folder=Path("/"))


def rising(*scores: float) -> Trace:
    return trace_of("t", range(100, 100 * len(scores) + 1, 100), scores)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("performance_threshold=0.5:0.6:0.05", (0.5, 0.55, 0.6)),
        ("performance_threshold=0.7:1:0.1", (0.7, 0.8, 0.9, 1)),
        ("min_episodes=10:25:10", (10, 20)),
        ("transition_criteria=performance,either", ("performance", "either")),
        ("stages.0.time_threshold_steps=10k,20k", (10_000, 20_000)),
    ],
)
def test_an_axis_has_the_values_that_are_written(text: str, values: tuple[Any, ...]) -> None:
    assert read_axis(text) == Axis(text.partition("=")[0], values)


@pytest.mark.parametrize(
    "text", ["threshold", "a=", "a=1:2", "a=2:1:1", "a=1:2:0", "a=1,1", "a=0:1:1e-9", "a=x:1:1", "a=,,"]
)
def test_an_axis_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--sweep"):
        read_axis(text)


def test_more_variants_than_can_be_held_are_refused_with_their_number() -> None:
    axes = [read_axis("performance_threshold=0:1:0.0001"), read_axis("transition_smoothing=0.0001:1:0.0001")]
    with pytest.raises(UsageError, match=r"100,010,000 variants \(10,001 of performance_threshold times 10,000 of "):
        check_axes(axes)
    check_axes(axes[:1])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("max_steps", "max_steps"), "max_steps is there twice"),
        (("stages.b.max_steps", "stages.1.max_steps"), "stages.1.max_steps and stages.b.max_steps are the same"),
    ],
)
def test_a_key_is_varied_once(keys: tuple[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_keys([Axis(key, (1, 2)) for key in keys], ["a", "b"])


def test_a_stages_key_and_the_curriculums_are_two() -> None:
    check_keys([Axis(key, (1, 2)) for key in ("max_steps", "stages.a.max_steps", "stages.1.max_steps")], ["a", "b"])


def test_each_variant_is_its_own_replay() -> None:
    swept = sweep_by_core(recipe(), [rising(0.1, 0.5, 0.7, 0.9)], [Axis("performance_threshold", (0.5, 0.9, 0.95))])
    assert swept.left[:, 0, 0].tolist() == [200, 400, pytest.approx(math.nan, nan_ok=True)]
    assert swept.finished[:, 0].tolist() == [True, True, False]


def test_a_stage_is_named_or_numbered() -> None:
    swept = sweep_by_core(recipe(), [rising(0.5, 1.0)], [Axis("stages.a.performance_threshold", (0.4, 0.9))])
    assert swept.steps[:, 0, 0].tolist() == [100, 200]


def test_a_key_or_value_that_makes_no_sense_is_an_error_of_that_sweep() -> None:
    with pytest.raises(RecipeError, match=r"--sweep performance_treshold=1: .*did you mean 'performance_threshold'"):
        sweep_by_core(recipe(), [rising(1.0)], [Axis("performance_treshold", (1,))])
    with pytest.raises(RecipeError, match="--sweep transition_smoothing=2: "):
        sweep_by_core(recipe(), [rising(1.0)], [Axis("transition_smoothing", (2,))])


def test_a_stage_with_a_value_of_its_own_is_told() -> None:
    own = recipe(stages=[{"name": "a", "curriculum": "a", "performance_threshold": 0.3}, "b"])
    (note,) = untouched(own, [Axis("performance_threshold", (0.5,))])
    assert note.startswith("stage 'a' has a performance_threshold of its own, which the sweep does not change")


@pytest.mark.parametrize(
    ("after", "judged", "fell_back"),
    [
        ([0.9, 0.9, 0.7], True, False),
        ([0.9, 0.9, 0.5], True, False),  # below 0.8 on the average, and well within chance
        ([0.4, 0.6, 0.5], True, True),
        ([0.9, 0.9, 0.9, 0.1], True, False),  # beyond the window
        ([0.9, 0.1], False, False),  # too little was recorded to tell
    ],
)
def test_an_exit_is_false_if_the_episodes_after_it_do_not_bear_it_out(
    after: list[float], judged: bool, fell_back: bool
) -> None:
    axes = [Axis("performance_threshold", (0.8,))]
    swept = sweep_by_core(recipe(), [rising(0.1, 0.8, *after)], axes, window=3)
    assert (swept.judged[0, 0, 0], swept.fell_back[0, 0, 0]) == (judged, fell_back)


@pytest.mark.parametrize(("performance", "min_episodes", "judged"), [(0.2, 1, False), (0.9, 9, False), (0.9, 5, True)])
@pytest.mark.parametrize("sweep_of", [sweep_by_core, sweep_compiled])
def test_under_either_an_exit_is_judged_if_the_performance_made_it_and_not_the_time(
    sweep_of: Callable[..., Sweep], performance: float, min_episodes: int, judged: bool
) -> None:
    trace = rising(*[performance] * 5, *[0.0] * 5)
    either = recipe(transition_criteria="either", time_threshold_steps=500, min_episodes=min_episodes)
    swept = sweep_of(either, [trace], [Axis("performance_threshold", (0.8,))], window=5)
    assert swept.left[0, 0, 0] == 500
    assert (swept.judged[0, 0, 0], swept.fell_back[0, 0, 0]) == (judged, judged)


def test_in_an_aligned_replay_only_the_stages_own_episodes_judge() -> None:
    rows = [
        Row(100, 0.8, "a"),
        Row(200, 0.9, "a"),
        Row(300, 0.9, "a"),
        Row(300, stage="b"),
        Row(400, 0.0, "b"),
        Row(500, 0.0, "b"),
        Row(600, 0.0, "b"),
    ]
    traces = [trace_of_rows("t", rows)]
    axes = [Axis("performance_threshold", (0.8, 0.9))]
    swept = sweep_by_core(recipe(), traces, axes, window=2)
    assert swept.judged[:, 0, 0].tolist() == [True, False]
    assert not np.any(swept.fell_back)
    as_recorded = sweep_by_core(recipe(), traces, axes, window=4, as_recorded=True)
    assert as_recorded.fell_back[:, 0, 0].tolist() == [False, True]


def test_without_a_recipe_the_defaults_are_varied() -> None:
    traces = [rising(*[1.0] * 40)]
    swept = sweep_by_core(default_recipe(traces), traces, [Axis("min_episodes", (5, 20))])
    assert swept.stages == ("stage_0", "stage_1", "stage_2")
    assert swept.left[:, 0, 0].tolist() == [500, 2000]


def test_what_a_sweep_does_not_change_is_among_its_notes() -> None:
    own = recipe(stages=[{"name": "a", "curriculum": "a", "performance_threshold": 0.3}, "b"])
    (note,) = sweep(own, [rising(1.0)], [Axis("performance_threshold", (0.5, 0.6))]).notes
    assert "--sweep stages.a.performance_threshold=... does" in note
