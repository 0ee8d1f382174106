"""What a criterion stands on: terms over nothing, windows, averages, bounds, plateaus, what is sustained, metrics."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from naive_curriculum import is_plateau, moving_average, wilson

from stagectl.curriculum import StagedProgressiveCurriculum, StageTransition
from stagectl.curriculum.language import Aggregate, Plateau, Series
from stagectl.curriculum.measures import measure_of, wilson_lower_bound
from stagectl.curriculum.parser import parse_condition
from stagectl.curriculum.smoothing import Ema
from stagectl.errors import ScoreError

SCORE = Series("score")
batches = st.lists(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=6), max_size=12)


def waiting(criterion: str, **settings: Any) -> StagedProgressiveCurriculum:
    """A curriculum whose first stage waits for that criterion; decisions are between steps."""
    curriculum = StagedProgressiveCurriculum(["a", "b"], advance_when=criterion, **settings)
    curriculum.decide_between_steps()
    return curriculum


def step(curriculum: StagedProgressiveCurriculum, steps: int, *scores: float, **metrics: float) -> bool:
    """A step boundary with what came before it; whether the stage was left there."""
    for score in scores:
        curriculum.complete_task("a", score)
    curriculum.record_metrics(metrics)
    return isinstance(curriculum.update_step_count(steps), StageTransition)


# ── over nothing ────────────────────────────────────────────────────────────────────────────────────────────────

OVER_NOTHING = [
    "performance >= 0",
    "performance < 2",
    "mean(score, last=3) >= 0",
    "min(score, last=3) >= 0",
    "max(score, last=3) >= 0",
    "std(score, last=3) >= 0",
    "ema(score, 0.5) >= 0",
    "lower_bound(success, 0.9) >= 0",
    "lower_bound(success, 0.9, last=3) >= 0",
    "mean(performance, last=3) >= 0",
    'metric("loss") >= 0',
    'max(metric("loss"), last=1) >= 0',
    "plateau(performance, over=10, less_than=1)",
    'plateau(metric("loss"), over=10, less_than=1)',
    "sustained(performance >= 0, for=1)",
    "sustained(not performance >= 0, for=1)",
    "performance >= mean(score, last=3)",
]


@pytest.mark.parametrize("criterion", OVER_NOTHING)
@pytest.mark.parametrize("around", ["{}", "not {}", "not not {}", "{} and steps >= 0", "not ({} or steps < 0)"])
def test_over_nothing_no_criterion_holds_nor_does_its_not(criterion: str, around: str) -> None:
    curriculum = waiting(around.format(criterion))
    assert [step(curriculum, steps) for steps in (0, 1, 100, 10**6)] == [False] * 4
    assert not all(term.holds for term in curriculum.waiting_for())


def test_what_is_sure_already_does_not_wait_for_what_is_undefined() -> None:
    assert step(waiting("performance >= 0.5 or steps >= 10"), 10)
    assert step(waiting("not (performance >= 0.5 and steps < 10)"), 10)


def test_performance_is_undefined_before_min_episodes_and_windows_are_not() -> None:
    early, window = waiting("performance >= 0.5", min_episodes=3), waiting("mean(score, last=2) >= 0.5", min_episodes=3)
    assert [step(early, at, 1.0) for at in (1, 2, 3)] == [False, False, True]
    assert [step(window, at, 1.0) for at in (1, 2)] == [False, True]


def test_what_is_measured_of_the_performance_begins_with_it() -> None:
    """The averages before `min_episodes` are no performance, and so in no mean of it and on no plateau."""
    mean = waiting("mean(performance, last=2) >= 0.5", min_episodes=3)
    assert [step(mean, at, 1.0) for at in (1, 2, 3, 4)] == [False, False, False, True]
    plateau = waiting("plateau(performance, over=20, less_than=0.1)", min_episodes=3)
    assert [step(plateau, at, 1.0) for at in range(10, 70, 10)] == [False, False, False, False, True, False]


def test_that_an_early_performance_waits_for_episodes_is_told() -> None:
    curriculum = waiting("not performance < 0.5 or steps >= 90", min_episodes=3)
    step(curriculum, 1, 1.0)
    told = [(str(term), term.holds) for term in curriculum.waiting_for()]
    assert told == [
        ("not performance 1 < 0.5", True),
        ("episodes 1 of 3", False),
        ("steps 1 of 90", False),
    ]


# ── windows, averages, bounds ───────────────────────────────────────────────────────────────────────────────────


def newest(values: list[list[float]], last: int) -> list[float]:
    """The fewest newest batches that have `last` values."""
    kept: list[float] = []
    for batch in reversed(values):
        if len(kept) < last:
            kept += batch
    return kept


@given(batches, st.integers(1, 10))
def test_a_window_is_of_the_newest_values_and_never_cuts_a_boundary(values: list[list[float]], last: int) -> None:
    expected = {"mean": statistics.fmean, "min": min, "max": max, "std": statistics.pstdev}
    for function, independent in expected.items():
        measure = measure_of(Aggregate(function, SCORE, last))
        for at, batch in enumerate(values):
            measure.add(at, batch)
        kept = newest(values, last)
        if len(kept) < last:
            assert math.isnan(measure.value)
        else:
            assert measure.value == pytest.approx(independent(kept), abs=1e-9)


@given(batches.filter(bool), st.floats(0.01, 1.0), st.booleans())
def test_the_average_of_what_comes_together_is_the_weighted_mean_at_one_age(
    values: list[list[float]], smoothing: float, zero_start: bool
) -> None:
    ema = Ema(smoothing, zero_start=zero_start)
    for batch in values:
        ema.add_together(batch)
    assert ema.value == pytest.approx(moving_average(values, smoothing, zero_start=zero_start), rel=1e-7, abs=1e-7)
    assert ema.count == sum(map(len, values))


@given(batches.filter(bool), st.randoms(use_true_random=False))
def test_no_measure_depends_on_the_order_within_a_boundary_not_by_a_bit(values: list[list[float]], chance: Any) -> None:
    nodes: list[Any] = [Aggregate(f, SCORE, 4) for f in ("mean", "min", "max", "std")]
    nodes += [Aggregate("ema", SCORE, None, 0.3), Plateau(SCORE, 5, 0.5)]
    nodes += [Aggregate("lower_bound", SCORE, last, 0.9) for last in (None, 4)]
    for node in nodes:
        one, other = measure_of(node), measure_of(node)
        for at, batch in enumerate(values):
            one.add(at, batch)
            other.add(at, chance.sample(batch, len(batch)))
        assert one.state_dict() == other.state_dict()
        assert repr(one.value) == repr(other.value)


@given(st.floats(0, 1), st.integers(1, 10_000), st.floats(0.501, 0.999))
def test_the_lower_bound_is_the_root_of_wilsons_equation(rate: float, count: int, confidence: float) -> None:
    bound = wilson_lower_bound(rate, count, confidence)
    assert bound == pytest.approx(wilson(rate, count, confidence), abs=1e-6)
    assert 0 <= bound <= rate


@pytest.mark.parametrize("trials", [5331, 8187, 9633])
def test_the_lower_bound_of_no_success_is_zero_whatever_is_rounded(trials: int) -> None:
    assert wilson_lower_bound(0.0, trials, 0.935) == 0.0


@pytest.mark.parametrize(
    ("successes", "trials", "confidence", "bound"),
    [  # two-sided 95 % is one-sided 97.5 %: statsmodels' proportion_confint(…, method="wilson")
        (5, 10, 0.975, 0.236593),
        (0, 10, 0.975, 0.0),
        (10, 10, 0.975, 0.722467),
        (90, 100, 0.975, 0.825634),
    ],
)
def test_the_lower_bound_has_the_published_values(successes: int, trials: int, confidence: float, bound: float) -> None:
    assert wilson_lower_bound(successes / trials, trials, confidence) == pytest.approx(bound, abs=1e-5)


def test_few_lucky_episodes_do_not_pass_a_lower_bound_and_many_do() -> None:
    curriculum = waiting("lower_bound(success, 0.95) >= 0.8")
    left = [step(curriculum, at, 1.0) for at in range(1, 12)]
    assert left == [False] * 10 + [True]  # z = 1.645: n / (n + z²) ≥ 0.8 from n = 10.8 on


def test_a_window_of_the_lower_bound_forgets_the_bad_beginning() -> None:
    curriculum = waiting("lower_bound(success, 0.95, last=20) >= 0.85")
    for at in range(100):
        assert not step(curriculum, at, 0.0)
    assert [step(curriculum, at, 1.0) for at in range(100, 120)] == [False] * 19 + [True]


# ── plateaus and what is sustained ──────────────────────────────────────────────────────────────────────────────


def test_a_plateau_is_where_the_mean_hardly_moves_over_the_last_steps() -> None:
    curriculum = waiting("plateau(score, over=1000, less_than=0.05)")
    rising = [step(curriculum, at, at / 2000) for at in range(0, 2001, 50)]
    flat = [step(curriculum, at, 1.0) for at in range(2050, 3501, 50)]
    assert not any(rising)
    assert flat.index(True) in range(12, 20)  # the last 1,000 steps are flat, but for less than 0.05


def test_a_plateau_needs_its_whole_span_of_data_however_flat_it_is() -> None:
    curriculum = waiting("plateau(score, over=1000, less_than=0.05)")
    assert [step(curriculum, at, 0.5) for at in (100, 500, 1099, 1100)] == [False, False, False, True]


@settings(max_examples=150)
@given(
    st.integers(1, 140),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=8, max_size=40),
    st.sampled_from([0.35, 0.77, 1.3]),
)
def test_a_plateau_is_what_the_halves_of_the_history_say(
    over: int, ahead: list[tuple[int, int]], less_than: float
) -> None:
    measure, history, at = measure_of(Plateau(SCORE, over, less_than)), [], 0
    for steps, score in ahead:
        at += steps
        measure.add(at, [float(score)])
        history.append((at, [float(score)]))
        expected, nearness = is_plateau(history, over, less_than)
        assume(nearness > 1e-9)
        assert (None if math.isnan(measure.value) else measure.value == 1.0) == expected


@given(st.integers(2, 300), st.lists(st.integers(0, 40), min_size=1, max_size=200))
def test_a_plateau_of_any_length_keeps_few_numbers(over: int, steps: list[int]) -> None:
    measure, at = measure_of(Plateau(SCORE, over, 0.1)), 0
    for ahead in steps:
        at += ahead
        measure.add(at, [0.5])
    assert len(measure.state_dict()["bins"]) <= 130  # two steps may fall into each of 64 bins, and one at either end


def test_what_is_sustained_has_held_at_every_boundary_of_so_many_steps() -> None:
    curriculum = waiting('sustained(metric("x") >= 0.5, for=100)')
    seen = [(0, 1.0), (60, 1.0), (90, 0.4), (120, 0.9), (219, 0.8)]
    assert not any(step(curriculum, at, x=value) for at, value in seen)
    assert [str(term) for term in curriculum.waiting_for()] == ['metric("x") 0.8 of 0.5', "steps it has held 99 of 100"]
    assert step(curriculum, 220)  # without anything new, it still holds


def test_to_be_sustained_once_more_begins_from_nothing_where_data_is_missing_or_bad() -> None:
    curriculum = waiting("sustained(max(score, last=1) >= 0.5, for=100)")
    assert [step(curriculum, 0), step(curriculum, 10, 1.0), step(curriculum, 50, 0.0)] == [False] * 3
    assert [step(curriculum, 60, 1.0), step(curriculum, 159), step(curriculum, 160)] == [False, False, True]


def test_sustained_may_stand_in_sustained_and_under_not() -> None:
    nested = waiting("sustained(sustained(steps >= 10, for=10), for=10)")
    assert [step(nested, at) for at in (0, 10, 20, 29, 30)] == [False, False, False, False, True]
    never = waiting("not sustained(steps < 30, for=10) and steps >= 20")
    assert [step(never, at) for at in (0, 10, 20, 29, 30)] == [False, False, False, False, True]


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_any_logged_metric_may_decide_in_either_direction() -> None:
    curriculum = waiting('metric("eval/time to goal") < 30 and max(metric("kills"), last=2) > 5')
    curriculum.record_metrics({"eval/time to goal": 40, "kills": 9, "nobody asked": 1})
    assert curriculum.metric_names == {"eval/time to goal", "kills"}
    assert not step(curriculum, 1)
    curriculum.record_metrics({"eval/time to goal": 20})
    assert not step(curriculum, 2)
    assert step(curriculum, 3, kills=0)


def test_a_metric_that_never_comes_holds_the_stage_and_says_so() -> None:
    curriculum = waiting('metric("missing") >= 0.5')
    assert not any(step(curriculum, at, 1.0) for at in range(0, 10**6, 10**5))
    assert [str(term) for term in curriculum.waiting_for()] == ['metric("missing") no data of 0.5']


def test_a_metric_counts_from_the_next_decision_on_and_for_this_visit_alone() -> None:
    stages = [{"curriculum": name, "advance_when": 'metric("x") >= 1'} for name in "abc"]
    curriculum = StagedProgressiveCurriculum([*stages, "d"])
    curriculum.decide_between_steps()
    curriculum.record_metrics({"x": 1})
    assert curriculum.current_stage == 0
    for at in (1, 2, 3):
        curriculum.update_step_count(at)
    assert curriculum.current_stage == 1
    curriculum.record_metrics({"x": 2})
    curriculum.update_step_count(4)
    assert curriculum.current_stage == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5"])
def test_a_metric_that_is_no_finite_number_is_refused_with_its_name_stage_and_step(value: Any) -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b"], advance_when='metric("loss") < 1 and metric("x") < 1')
    curriculum.update_step_count(7)
    before = curriculum.state_dict()
    with pytest.raises(ScoreError, match=r"metric 'loss' in stage 'a' at step 7 is .*, .*number"):
        curriculum.record_metrics({"x": 0.5, "loss": value})
    curriculum.record_metrics({"unasked": value})
    assert curriculum.state_dict() == before


def test_between_steps_a_refused_metric_is_handed_over_and_the_others_count() -> None:
    refused: list[ScoreError] = []
    curriculum = StagedProgressiveCurriculum(["a", "b"], advance_when='metric("loss") < 1 or metric("x") < 1')
    curriculum.decide_between_steps(refused=refused.append)
    curriculum.record_metrics({"loss": math.nan, "x": 0.5})
    assert [error.faults[0].message for error in refused] == [
        "metric 'loss' in stage 'a' at step 0 is nan, not a finite number"
    ]
    assert isinstance(curriculum.update_step_count(1), StageTransition)


# ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────────


def test_criteria_that_differ_by_a_hair_are_kept_apart_in_a_saved_state() -> None:
    criterion = "ema(score, 0.12345678) >= 2 or ema(score, 0.12345679) >= 2"
    curriculum, again = waiting(criterion), waiting(criterion)
    for at in range(5):
        step(curriculum, at, at / 5)
    again.load_state_dict(json.loads(json.dumps(curriculum.state_dict(), allow_nan=False)))
    assert again.state_dict() == curriculum.state_dict()
    assert again.waiting_for() == curriculum.waiting_for()


def test_a_state_stays_small_however_long_the_stage() -> None:
    criterion = "mean(score, last=50) > 2 or plateau(score, over=1M, less_than=0.001) and performance > 2"
    curriculum = waiting(criterion)
    for at in range(4_000):
        step(curriculum, at * 64, at % 2)
    assert len(json.dumps(curriculum.state_dict())) < 6000


def test_the_same_term_twice_is_measured_once() -> None:
    condition = parse_condition("mean(score, last=5) > 1 and mean(score, last=5) < 2")
    curriculum = waiting(str(condition))
    assert len(curriculum.state_dict()["evidence"]["a"]["measures"]) == 1
