"""An exit is called false only where the episodes after it say so, however they were recorded."""

from __future__ import annotations

import numpy as np
import pytest

from stagectl.simulate.exits import Judges


def share_called_false(success: float, in_a_row: int, window: int = 200, threshold: float = 0.8) -> float:
    """Of 4,000 exits after which the success is that, recorded as means of so many episodes."""
    number = window // in_a_row
    scores = np.random.default_rng(0).binomial(in_a_row, success, 4000 * number) / in_a_row
    steps, counts = np.arange(1, len(scores) + 1), np.full(len(scores), in_a_row)
    exits = np.arange(0, len(scores), number)
    judged, fell_back = Judges(steps, scores, counts).fell_back(exits, np.full(len(exits), threshold), window)
    assert judged.all()
    return float(fell_back.mean())


@pytest.mark.parametrize("in_a_row", [1, 4, 20, 50, 100])
def test_of_exits_that_just_hold_one_in_twenty_is_called_false_however_many_episodes_make_a_row(in_a_row: int) -> None:
    assert 0.025 < share_called_false(0.8, in_a_row) < 0.065


def test_an_exit_that_does_not_hold_is_found_out_in_means_as_in_episodes() -> None:
    assert share_called_false(0.65, 1) > 0.99
    assert share_called_false(0.65, 20) > 0.97


@pytest.mark.parametrize("window", [10, 20, 50])
def test_a_small_window_does_not_make_lasting_exits_false(window: int) -> None:
    assert share_called_false(0.85, 1, window) < 0.05


def test_one_row_tells_nothing_of_chance_and_does_not_judge() -> None:
    judges = Judges(np.array([10, 20]), np.array([1.0, 0.0]), np.array([1, 300]))
    judged, fell_back = judges.fell_back(np.array([10]), np.array([0.8]), window=1)
    assert not judged.any()
    assert not fell_back.any()


def test_scores_at_the_threshold_are_not_below_it() -> None:
    scores = np.full(10_000, 0.7)
    judges = Judges(np.arange(10_000), scores, np.ones(10_000, np.int64))
    judged, fell_back = judges.fell_back(np.array([0, 5_000]), np.array([0.7, 0.7 + 1e-9]), window=200)
    assert judged.tolist() == [True, True]
    assert fell_back.tolist() == [False, True]
