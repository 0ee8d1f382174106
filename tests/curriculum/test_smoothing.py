from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_curriculum import weighted_mean

from stagectl.curriculum.smoothing import Ema

scores = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60)
smoothings = st.one_of(st.just(1.0), st.just(0.1), st.floats(1e-3, 1.0))


def fed(values: list[float], smoothing: float, *, zero_start: bool = False) -> Ema:
    ema = Ema(smoothing, zero_start=zero_start)
    for value in values:
        ema.add(value)
    return ema


def test_the_average_over_nothing_is_no_number_and_compares_false() -> None:
    value = Ema(0.1).value
    assert math.isnan(value)
    assert not value >= -math.inf


def test_the_first_score_is_the_average_and_not_a_climb_from_zero() -> None:
    assert fed([0.7], 0.1).value == 0.7


@given(scores, smoothings)
def test_the_corrected_average_is_the_weighted_mean(values: list[float], smoothing: float) -> None:
    scale = max(map(abs, values))
    assert fed(values, smoothing).value == pytest.approx(weighted_mean(values, smoothing), rel=1e-9, abs=1e-9 * scale)


@given(scores, smoothings)
def test_the_corrected_average_lies_between_the_least_and_the_greatest_score(values: list[float], a: float) -> None:
    slack = 1e-12 * max(map(abs, values))
    assert min(values) - slack <= fed(values, a).value <= max(values) + slack


@given(scores, smoothings)
def test_zero_start_is_the_plain_recurrence(values: list[float], smoothing: float) -> None:
    p = 0.0
    for score in values:
        p = (1 - smoothing) * p + smoothing * score
    assert fed(values, smoothing, zero_start=True).value == p


@given(st.floats(0.01, 1.0), smoothings, st.integers(1, 200))
def test_equal_scores_average_to_just_that_score(score: float, smoothing: float, count: int) -> None:
    """A policy that scores exactly the threshold every time has reached it."""
    assert fed([score] * count, smoothing).value == score


@given(scores, scores, smoothings, st.booleans())
def test_an_average_goes_on_exactly_from_its_saved_state(
    before: list[float], after: list[float], smoothing: float, zero_start: bool
) -> None:
    whole = fed([*before, *after], smoothing, zero_start=zero_start)
    restored = Ema(smoothing, zero_start=zero_start)
    restored.load_state_dict(json.loads(json.dumps(fed(before, smoothing, zero_start=zero_start).state_dict())))
    for value in after:
        restored.add(value)
    assert (restored.value, restored.count) == (whole.value, whole.count)
