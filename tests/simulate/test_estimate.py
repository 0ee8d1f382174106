"""Several seeds: the median is Kaplan and Meier's, and its interval covers what it says."""

from __future__ import annotations

import math
import random
from math import comb

import pytest

from stagectl import StagedProgressiveCurriculum
from stagectl.simulate import replay
from stagectl.simulate.estimate import Estimate, Observation, estimate
from stagectl.traces import Row
from stagectl.traces.trace import trace_of_rows


def seen(*values: float) -> list[Observation]:
    return [Observation(value) for value in values]


def unseen(*values: float) -> list[Observation]:
    return [Observation(value, seen=False) for value in values]


# ── worked by hand ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("observations", "median"),
    [
        (seen(300, 100, 200), 200),
        (seen(100, 200, 300, 400), 250),
        (seen(100, 200, 400) + unseen(300), 300),  # S: 3/4, 1/2, then 0 at 400: the middle of 200 and 400
        (seen(100, 300, 400) + unseen(200), 300),  # S: 3/4, 3/8
        (seen(200, 300, 400) + unseen(100), 300),  # S: 2/3, 1/3: who was lost first tells nothing
        (seen(100) + unseen(300), None),  # half have left, and when the next one does is not known
        (seen(100, 200) + unseen(300, 300, 300), None),
        (seen(100, 200, 300) + unseen(300, 300), 300),  # left before lost, at the same step
        (unseen(100, 200), None),
    ],
)
def test_the_median_is_where_fewer_than_half_are_left(observations: list[Observation], median: float | None) -> None:
    assert estimate(observations).median == median


def test_five_seeds_are_the_fewest_that_bear_ninety_per_cent() -> None:
    assert estimate(seen(1, 2)).confidence == 0.5
    assert estimate(seen(1, 2, 3)).confidence == 0.75
    assert estimate(seen(1, 2, 3, 4)).confidence == 0.875
    assert estimate(seen(1, 2, 3, 4, 5)).confidence == 0.9


def test_fewer_seeds_give_their_whole_range() -> None:
    few = estimate(seen(300, 100, 200))
    assert (few.low, few.high) == (100, 300)


def test_without_censoring_an_order_statistic_has_its_binomial_chance() -> None:
    """An interval that ends at the second and the last but one of eleven has the chance of 2 to 9 heads."""
    exact = sum(comb(11, heads) for heads in range(2, 10)) / 2**11
    interval = estimate(seen(*range(1, 12)), confidence=exact)
    assert (interval.low, interval.high) == (pytest.approx(2), pytest.approx(10))


def test_an_end_that_the_data_do_not_bound_is_open() -> None:
    open_ended = estimate(seen(100, 200, 300, 400) + unseen(500))
    assert open_ended.median == 300
    assert (open_ended.high, open_ended.reached, open_ended.of) == (None, 4, 5)
    assert open_ended.low is not None


def test_nothing_seen_gives_no_number() -> None:
    assert estimate(unseen(100, 100)) == Estimate(None, None, None, 0, 2, 0.9)


def test_a_seed_that_never_gets_there_weighs_on_the_median() -> None:
    assert estimate(seen(100, 200) + unseen(math.inf)).median == 200
    assert estimate(seen(100) + unseen(math.inf, math.inf)).median is None


# ── coverage ────────────────────────────────────────────────────────────────────────────────────────────────────


def left_by_a_learner(chance: random.Random) -> int:
    """The step at which a learner of random talent, replayed episode by episode, leaves a stage."""
    speed = chance.lognormvariate(0, 0.5)
    rows = []
    for step in range(100, 20_001, 100):
        share = 1 - math.exp(-speed * step / 1000)
        rows.append(Row(step, sum(chance.random() < share for _ in range(4)) / 4, episodes=4))
    stages = StagedProgressiveCurriculum(["a", "b"], transition_smoothing=0.05, performance_threshold=0.8)
    left = replay(stages, trace_of_rows("t", rows)).stages[0].left
    assert left is not None
    return left


@pytest.fixture(scope="module")
def learners() -> list[int]:
    chance = random.Random(0)
    return sorted(left_by_a_learner(chance) for _ in range(301))


@pytest.mark.parametrize("lost", [0.0, 0.5])
@pytest.mark.parametrize("seeds", [5, 8, 12])
def test_an_interval_of_ninety_per_cent_covers_the_median_of_all_learners_as_often(
    learners: list[int], seeds: int, lost: float
) -> None:
    """400 experiments, in which half of the recordings may end before the stage does."""
    chance = random.Random(seeds)
    truth = learners[150]
    held = 0
    for _ in range(400):
        lefts = [chance.choice(learners) for _ in range(seeds)]
        sights = [1.3 * chance.choice(learners) if chance.random() < lost else math.inf for _ in lefts]
        found = estimate(
            [Observation(min(left, sight), left <= sight) for left, sight in zip(lefts, sights, strict=True)]
        )
        held += (found.low or 0) <= truth <= (math.inf if found.high is None else found.high)
    assert 0.85 <= held / 400 <= 0.95
