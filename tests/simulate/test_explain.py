"""What a criterion was waiting for, at any step of a replay."""

from __future__ import annotations

import pytest

from stagectl import StagedProgressiveCurriculum
from stagectl.errors import RecipeError, UsageError
from stagectl.simulate.explain import Explanation, explain
from stagectl.traces import trace_of


def asked(step: int) -> Explanation:
    def fresh() -> StagedProgressiveCurriculum:
        return StagedProgressiveCurriculum(["nav", "seq"], transition_smoothing=1.0, min_episodes=2)

    return explain(fresh, trace_of("t", [100, 200, 300, 400], [0.0, 0.5, 0.9, 0.1]), step)


def test_the_terms_are_those_of_the_last_boundary_up_to_the_step() -> None:
    told = asked(250)
    assert (told.step, told.stage, told.episodes, told.performance, told.decided) == (200, "nav", 2, 0.5, "")
    assert [(str(term), term.holds) for term in told.terms] == [
        ("performance 0.5 of 0.8", False),
        ("episodes 2 of 2", True),
    ]


def test_at_a_transition_they_are_those_that_made_it() -> None:
    told = asked(300)
    assert (told.stage, told.performance, told.decided) == ("nav", 0.9, "left here for 'seq' (performance)")
    assert all(term.holds for term in told.terms)


def test_after_it_they_are_the_next_stages_and_the_last_boundary_explains_all_that_follows() -> None:
    assert (asked(400).stage, asked(400).entered, asked(400).performance) == ("seq", 300, 0.1)
    assert asked(10**9).step == 400


def test_a_step_before_anything_was_recorded_is_an_error_that_names_the_first() -> None:
    with pytest.raises(UsageError, match="--explain 99: nothing was recorded by then; the first step is 100"):
        asked(99)


class Uncopied(StagedProgressiveCurriculum):
    def __deepcopy__(self, memo: dict[int, object]) -> Uncopied:
        raise TypeError("holds a socket")


def test_a_class_that_cannot_be_copied_is_told_by_its_name() -> None:
    with pytest.raises(
        RecipeError, match="Uncopied cannot be looked into: a copy of it fails: TypeError: holds a socket"
    ):
        explain(lambda: Uncopied(["a"]), trace_of("t", [1], [1.0]), 1)
