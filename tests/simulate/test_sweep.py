"""The compiled sweep says of every variant what the core says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagectl.recipe import Recipe
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import sweeping
from stagectl.simulate.axes import read_axis
from stagectl.simulate.grid import NotPlainError
from stagectl.simulate.sweep import Axis, Sweep
from stagectl.simulate.sweeping import sweep, sweep_compiled, threads_for
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Row, Trace, trace_of, trace_of_rows

THRESHOLDS = Axis("performance_threshold", (0.3, 0.625, 0.9, 1))
SMOOTHINGS = Axis("transition_smoothing", (0.1, 0.3, 1))


def recipe(stages: Sequence[object] = ("a", "b", "c"), budget: int | None = None, **common: object) -> Recipe:
    trainer = {"command": ["none"], **({"total_timesteps": budget} if budget else {})}
    data = {"trainer": trainer, "curriculum": {"stages": list(stages), **common}}
    return recipe_from_data(data, name="r", folder=Path())


def assert_same(found: Sweep, expected: Sweep) -> None:
    np.testing.assert_array_equal(found.left, expected.left)
    np.testing.assert_array_equal(found.steps, expected.steps)
    np.testing.assert_array_equal(found.judged, expected.judged)
    np.testing.assert_array_equal(found.fell_back, expected.fell_back)
    np.testing.assert_array_equal(found.finished, expected.finished)


score = st.sampled_from([0.0, 1.0, 1.0, 0.625]) | st.floats(-1, 1) | st.none()
row = st.tuples(score, st.sampled_from(["a", "a", "b", "b", "c", None]), st.sampled_from([1, 1, 1, 4]))
gaps = st.sampled_from([(1,), (0, 0, 7), (1, 0, 3), (10**12, 1)])
own = st.fixed_dictionaries(
    {"transition_criteria": st.sampled_from(["performance", "both", "either"])},
    optional={"time_threshold_steps": st.sampled_from([1, 40]), "min_episodes": st.sampled_from([1, 9])},
)
limited = st.fixed_dictionaries(
    {"max_steps": st.sampled_from([10, 200]), "on_timeout": st.sampled_from(["advance", "stop", "fail"])}
)
stage = st.one_of(st.just({}), own, limited).map(
    lambda told: {
        k: v for k, v in told.items() if k != "time_threshold_steps" or told["transition_criteria"] != "performance"
    }
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(row, min_size=1, max_size=150),
    gap=gaps,
    stages=st.tuples(stage, stage, stage),
    budget=st.none() | st.integers(1, 300),
    as_recorded=st.booleans(),
)
def test_every_variant_is_left_where_the_core_leaves_it(
    rows: list[tuple[float | None, str | None, int]],
    gap: tuple[int, ...],
    stages: tuple[dict[str, object], ...],
    budget: int | None,
    as_recorded: bool,
) -> None:
    steps = accumulate(gap[at % len(gap)] for at in range(len(rows)))
    told = [
        Row(step, score, name, episodes=1 if score is None else number)
        for step, (score, name, number) in zip(steps, rows, strict=True)
    ]
    if all(score is None for score, _, _ in rows):
        return
    trace = trace_of_rows("t", told)
    varied = recipe([{"name": n, "curriculum": n, **own} for n, own in zip("abc", stages, strict=True)], budget)
    axes = (THRESHOLDS, SMOOTHINGS)
    expected = sweep_by_core(varied, [trace], axes, as_recorded=as_recorded, window=5)
    assert_same(sweep_compiled(varied, [trace], axes, as_recorded=as_recorded, window=5), expected)


def learner(seed: int, episodes: int = 6000) -> Trace:
    rng = np.random.default_rng(seed)
    success = rng.random(episodes) < np.clip(np.linspace(0, 1.3, episodes), 0, 0.97)
    return trace_of(f"seed {seed}", range(0, 10 * episodes, 10), success.astype(float).tolist())


def test_several_learners_and_axes_that_touch_one_another_come_to_the_same() -> None:
    traces = [learner(1), learner(2)]
    axes = (SMOOTHINGS, Axis("min_episodes", (1, 300)), Axis("stages.b.performance_threshold", (0.5, 0.8)))
    assert_same(sweep_compiled(recipe(), traces, axes), sweep_by_core(recipe(), traces, axes))


def test_a_first_stage_without_any_score_is_left_by_its_time_as_in_the_core() -> None:
    warmup = {"name": "warmup", "curriculum": "warmup", "transition_criteria": "time", "time_threshold_steps": 50}
    scores = [Row(step, float(step % 100 < 80), "b") for step in range(60, 3000, 10)]
    trace = trace_of_rows("t", [Row(50), Row(50, stage="b"), *scores], start="warmup")
    assert trace.stage_names == ("b",)
    stages = recipe([warmup, "b", "c"])
    expected = sweep_by_core(stages, [trace], [THRESHOLDS])
    assert expected.left[0, 0, 0] == 50
    assert_same(sweep_compiled(stages, [trace], [THRESHOLDS]), expected)


def test_the_exit_that_ends_the_curriculum_is_judged_by_its_stages_rows_in_a_table() -> None:
    ends = {"name": "b", "curriculum": "b", "transition_criteria": "performance"}
    stages = recipe(["a", ends], min_episodes=1)
    told = [(1.0, "a"), (1.0, "a"), (1.0, "b"), (0.0, "b"), (0.0, "b"), (0.0, "b")]
    trace = trace_of_rows("t", [Row(10 * at, score, stage) for at, (score, stage) in enumerate(told, 1)])
    expected = sweep_by_core(stages, [trace], [THRESHOLDS], window=3)
    assert expected.judged[:, 0].tolist() == [[False, True]] * 4
    assert expected.fell_back[:, 0].tolist() == [[False, True]] * 4
    assert_same(sweep_compiled(stages, [trace], [THRESHOLDS], window=3), expected)


def test_nothing_is_played_after_the_budget_is_spent() -> None:
    rows = [Row(step, 1.0, name) for step, name in zip(range(10, 301, 10), "a" * 10 + "b" * 10 + "c" * 10, strict=True)]
    stages = recipe(
        [
            {"name": "a", "curriculum": "a", "min_episodes": 10},
            {"name": "b", "curriculum": "b", "min_episodes": 1},
            "c",
        ],
        budget=100,
    )
    found = sweep_compiled(stages, [trace_of_rows("t", rows)], [THRESHOLDS])
    assert found.left[0, 0].tolist() == [
        100,
        pytest.approx(math.nan, nan_ok=True),
        pytest.approx(math.nan, nan_ok=True),
    ]
    assert_same(found, sweep_by_core(stages, [trace_of_rows("t", rows)], [THRESHOLDS]))


def test_a_large_sweep_is_compiled_and_a_small_one_is_not() -> None:
    with patch.object(sweeping, "sweep_compiled", wraps=sweep_compiled) as compiled:
        sweep(recipe(), [learner(1, 300)], [THRESHOLDS])
        assert not compiled.called
        with patch.object(sweeping, "WORTHWHILE", 1):
            sweep(recipe(), [learner(1, 300)], [THRESHOLDS])
        assert compiled.called


@pytest.mark.parametrize(
    ("varied", "axis", "reason"),
    [
        (recipe([{"curriculum": "a", "advance_when": "episodes >= 9"}, "b"]), SMOOTHINGS, "stage 'a' has advance_when"),
        (recipe(), Axis("ema", ("corrected", "zero_start")), "it varies ema"),
        (recipe([{"curriculum": "a", "max_visits": 1}, "b"]), SMOOTHINGS, "stage 'a' may be entered again"),
    ],
)
def test_what_cannot_be_compiled_is_played_by_the_core_and_said(varied: Recipe, axis: Axis, reason: str) -> None:
    with pytest.raises(NotPlainError, match=reason):
        sweep_compiled(varied, [learner(1, 300)], [axis])
    with patch.object(sweeping, "WORTHWHILE", 1):
        found = sweep(varied, [learner(1, 300)], [axis])
    assert reason in found.notes[-1]
    assert_same(found, sweep_by_core(varied, [learner(1, 300)], [axis]))


def test_without_numba_the_core_plays_and_says_what_would_be_faster() -> None:
    with patch.object(sweeping, "WORTHWHILE", 1), patch("importlib.util.find_spec", return_value=None):
        assert "pip install 'stagectl[simulate]'" in sweep(recipe(), [learner(1, 300)], [THRESHOLDS]).notes[-1]


def test_fewer_threads_walk_over_a_long_recording() -> None:
    with patch("os.cpu_count", return_value=64):
        assert [threads_for(boundaries) for boundaries in (0, 1000, 10_000_000, 10**9)] == [64, 64, 13, 1]


def test_an_axis_may_be_named_as_an_override_is() -> None:
    assert read_axis("curriculum.performance_threshold=0.5,0.6") == read_axis("performance_threshold=0.5,0.6")
