"""The curriculum against a second one that shares nothing with it, and against itself: shuffled, interrupted, hurried.

Random recipes have everything that a `curriculum:` block may have (`random_recipes.py`).
"""

from __future__ import annotations

import copy
import json
import os
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from naive_curriculum import Naive
from random_recipes import Operation, Player, plain, recipes, streams

from stagectl.curriculum import Stage, StagedProgressiveCurriculum, StageTransition
from stagectl.errors import CurriculumError

SEARCH = os.environ.get("HYPOTHESIS_PROFILE") == "search"
many = settings(max_examples=3000 if SEARCH else 60)


class Both:
    """Plays each operation on both, and holds one against the other."""

    def __init__(self, recipe: dict[str, Any], *, between: bool) -> None:
        self.player = Player(recipe, between=between)
        self.naive = Naive(recipe, between)
        self.given: list[tuple[str, int]] = []

    def play(self, operation: Operation) -> None:
        naive = self.naive
        kind, value = operation
        decision: Any = self.player.play(operation) if kind not in ("play", "begin") else None
        expected = None
        match kind:
            case "begin":
                self._begin()
            case "play":
                self._begin()
                decision = self.player.curriculum.complete_task(self.player.tasks[-1], value)
                expected = naive.complete(*self.given[-1], value)
            case "late":
                position, score = value
                task = self.given[position % len(self.given)] if self.given else (None, None)
                expected = naive.complete(*task, score)
            case "by name":
                expected = naive.complete(value[0], None, value[1])
            case "steps":
                expected = naive.tell_steps(naive.steps + value)
            case "metric":
                naive.tell_metric(*value)
            case "manual":
                if (value is None or value in naive.names) and not naive.over:
                    naive.request(value)
        self.compare(decision, expected)

    def _begin(self) -> None:
        name = self.player.begin()
        self.given.append((name, self.naive.visit_of(name)))

    def compare(self, decision: Any, expected: Any) -> None:
        curriculum, naive = self.player.curriculum, self.naive
        assume(naive.nearest_call > 1e-9)  # nearer than that rounding decides, and the two round differently
        near = tuple(pytest.approx(e, abs=1e-9) if isinstance(e, float) else e for e in expected) if expected else None
        assert plain(decision) == near
        assert curriculum.current_stage == naive.current
        assert curriculum.episodes() == [naive.episodes(part) for part in naive.played]
        for value, part in zip(curriculum.performance(), naive.played, strict=True):
            performance = naive.performance(part)
            assert value == (None if performance is None else pytest.approx(performance, abs=1e-9))
        assert (curriculum.end is not None) == naive.over


@many
@given(recipes(), streams, st.booleans())
def test_it_decides_as_the_naive_one_does(recipe: dict[str, Any], stream: list[Operation], between: bool) -> None:
    both = Both(recipe, between=between)
    for operation in stream:
        both.play(operation)


@many
@given(recipes(), streams.map(lambda stream: stream[: 40 if SEARCH else 20]), st.booleans())
def test_interrupted_at_any_point_it_goes_on_as_if_it_never_was(
    recipe: dict[str, Any], stream: list[Operation], between: bool
) -> None:
    whole = Player(recipe, between=between)
    branches: list[Player] = []
    for operation in stream:
        branches.append(whole.restored())
        assert branches[-1].curriculum.state_dict() == whole.curriculum.state_dict()
        assert list(branches[-1].curriculum.finished) == list(whole.curriculum.finished)
        decision = whole.play(operation)
        assert [branch.play(operation) for branch in branches] == [decision] * len(branches)
    for branch in branches:
        assert branch.curriculum.state_dict() == whole.curriculum.state_dict()
        assert str(branch.curriculum.waiting_for()) == str(whole.curriculum.waiting_for())


@many
@given(recipes(), streams, st.randoms(use_true_random=False))
def test_the_order_of_a_boundarys_episodes_makes_no_difference_to_the_bit(
    recipe: dict[str, Any], stream: list[Operation], chance: random.Random
) -> None:
    """As from ranks that report in any order: the same tasks, the same scores, told in another order."""
    one, other = Player(recipe, between=True), Player(recipe, between=True)
    batch: list[tuple[str, float]] = []
    for kind, value in [*stream, ("steps", 1)]:
        if kind == "play":
            assert one.begin() == other.begin()
            batch.append((one.tasks[-1], value))
        elif kind in ("by name", "late"):
            task = (
                one.named(value[0]) if kind == "by name" else one.tasks[value[0] % len(one.tasks)] if one.tasks else ""
            )
            batch.append((task, value[1]))
        else:
            if kind == "steps":
                tell(one, batch)
                chance.shuffle(batch)
                tell(other, batch)
                batch.clear()
            assert one.play((kind, value)) == other.play((kind, value))
            if kind == "steps" and not one.curriculum.finished:
                assert one.curriculum.state_dict() == other.curriculum.state_dict()


def tell(player: Player, batch: list[tuple[str, float]]) -> None:
    for task, score in batch:
        player.curriculum.complete_task(task, score)


class Unhurried(StagedProgressiveCurriculum):
    """Passes over no boundary."""

    def _boundary(self) -> Any:
        decision = super()._boundary()
        self._due = 0
        return decision


@many
@given(recipes(), streams, st.booleans())
def test_to_pass_over_steps_at_which_nothing_is_due_changes_no_decision(
    recipe: dict[str, Any], stream: list[Operation], between: bool
) -> None:
    hurried, unhurried = Player(recipe, between=between), Player(recipe, between=between, kind=Unhurried)
    for operation in stream:
        assert hurried.play(operation) == unhurried.play(operation)
    assert hurried.curriculum.state_dict() == unhurried.curriculum.state_dict()


@many
@given(recipes(), streams, st.booleans())
def test_what_holds_of_every_stream(recipe: dict[str, Any], stream: list[Operation], between: bool) -> None:
    player = Player(recipe, between=between)
    curriculum, before = player.curriculum, copy.deepcopy(recipe)
    decisions, entered = [], [curriculum.current_stage]
    for operation in stream:
        decision = player.play(operation)
        assert sum(curriculum.stage_probs()) == pytest.approx(1)
        if decision is not None:
            decisions.append((operation[0], decision))
        if isinstance(decision, StageTransition):
            assert decision.from_stage == entered[-1]
            entered.append(decision.to_stage)
            assert curriculum.progress().episodes == curriculum.progress().steps == 0
    assert entered[-1] == curriculum.current_stage
    assert [d.step for _, d in decisions] == sorted(d.step for _, d in decisions)
    ends = [d for _, d in decisions if not isinstance(d, StageTransition)]
    assert ends == ([curriculum.end] if curriculum.end else [])  # one at most
    assert not ends or decisions[-1][1] == ends[0]  # and the last
    assert {kind for kind, _ in decisions} <= ({"steps"} if between else {"steps", "play", "late", "by name"})
    assert recipe == before
    if not any(kind == "manual" for kind, _ in stream):  # which asks nobody
        for index, stage in enumerate(curriculum.stages):
            assert stage.max_visits is None or entered.count(index) <= stage.max_visits


@many
@given(recipes(), streams, st.booleans())
def test_what_a_stage_waits_for_blocks_it_and_is_never_nothing(
    recipe: dict[str, Any], stream: list[Operation], between: bool
) -> None:
    """Where every term is told to hold, the stage has been left; but for a way that may be taken no more."""
    for stage in recipe["stages"]:
        stage.pop("max_visits", None)
    try:
        player = Player(recipe, between=between)
    except CurriculumError:  # a loop that only the visits ended
        assume(False)
    for kind, value in stream:
        decision = player.play((kind, value + 1 if kind == "steps" else value))
        if kind == "steps" and decision is None and player.curriculum.end is None:
            terms = player.curriculum.waiting_for()
            assert not terms or not all(term.holds for term in terms)


@many
@given(recipes())
def test_stages_read_back_from_the_json_that_they_wrote(recipe: dict[str, Any]) -> None:
    stages = StagedProgressiveCurriculum(**recipe).stages
    assert (
        tuple(Stage.from_dict(json.loads(json.dumps(stage.to_dict(), allow_nan=False))) for stage in stages) == stages
    )
