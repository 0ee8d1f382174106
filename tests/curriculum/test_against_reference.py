"""The stage machine against a second one that shares nothing with it, and against itself when interrupted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from naive_curriculum import Naive

from stagectl.curriculum import StagedProgressiveCurriculum, StageTransition

Operation = tuple[str, Any]

smoothings = st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0])
thresholds = st.floats(0.05, 0.95)
steps = st.integers(1, 400)


@st.composite
def own_settings(draw: st.DrawFn) -> dict[str, Any]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "transition_smoothing": smoothings,
        "ema": st.sampled_from(["corrected", "zero_start"]),
        "min_episodes": st.integers(1, 6),
        "max_steps": st.one_of(st.none(), steps),
        "on_timeout": st.sampled_from(["advance", "stop", "fail"]),
    }
    settings: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=optional))
    criterion = draw(st.sampled_from(["shared", "performance", "time"]))
    if criterion == "performance":
        settings |= {"transition_criteria": "performance", "performance_threshold": draw(thresholds)}
    elif criterion == "time":
        settings |= {"transition_criteria": "time", "time_threshold_steps": draw(steps)}
    return settings


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    shared = {key: value for key, value in draw(own_settings()).items() if draw(st.booleans())}
    if "performance_threshold" not in shared:
        shared["performance_threshold"] = draw(thresholds)
    stages = [{"curriculum": f"env/{name}", **draw(own_settings())} for name in "abcd"[: draw(st.integers(1, 4))]]
    return {**shared, "stages": stages}


operations = st.lists(
    st.one_of(
        st.tuples(st.just("score"), st.floats(0, 1)),
        st.tuples(st.just("score"), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just("late score"), st.tuples(st.integers(0, 30), st.floats(0, 1))),
        st.tuples(st.just("score by name"), st.tuples(st.sampled_from("abcd"), st.floats(0, 1))),
        st.tuples(st.just("steps"), st.integers(0, 150)),
    ),
    max_size=60,
)


class Player:
    """Plays operations on a curriculum. Tasks are held by id and outlive the object that gave them."""

    def __init__(self, curriculum: StagedProgressiveCurriculum) -> None:
        self.curriculum = curriculum
        self.tasks: list[str] = []

    def play(self, operation: Operation) -> Any:
        kind, value = operation
        curriculum = self.curriculum
        if kind == "steps":
            return curriculum.update_step_count(curriculum.total_steps + value)
        if kind == "score":
            self.tasks.append(curriculum.get_task().id)
            return curriculum.complete_task(self.tasks[-1], value)
        if kind == "late score":
            position, score = value
            task = self.tasks[position % len(self.tasks)] if self.tasks else "nobody"
            return curriculum.complete_task(task, score)
        return curriculum.complete_task(*value)


def play_naive(naive: Naive, given: list[int], operation: Operation) -> Any:
    kind, value = operation
    if kind == "steps":
        return naive.tell_steps(naive.steps + value)
    if kind == "score":
        given.append(naive.current)
        return naive.complete(naive.current, value)
    if kind == "late score":
        position, score = value
        return naive.complete(given[position % len(given)] if given else naive.current, score)
    name, score = value
    named = "abcd".index(name)
    return naive.complete(named if named < len(naive.stages) else naive.current, score)


def plain(decision: Any) -> tuple[Any, ...] | None:
    if decision is None:
        return None
    if isinstance(decision, StageTransition):
        return (decision.from_stage, decision.to_stage, decision.step, decision.reason)
    return (decision.outcome, decision.stage, decision.step, decision.reason)


@given(configurations(), operations, st.booleans())
def test_it_decides_as_the_naive_one_does(config: dict[str, Any], stream: list[Operation], between: bool) -> None:
    curriculum, naive = StagedProgressiveCurriculum(**config), Naive(config, between)
    if between:
        curriculum.decide_between_steps()
    player, given = Player(curriculum), []
    for operation in stream:
        expected = play_naive(naive, given, operation)
        assume(naive.nearest_call > 1e-9)  # nearer than that rounding decides, and the two round differently
        assert plain(player.play(operation)) == expected
        assert curriculum.current_stage == naive.current
        assert curriculum.episodes() == [len(scores) for scores in naive.scores]
        for index, value in enumerate(curriculum.performance()):
            assert value == (None if not naive.scores[index] else pytest.approx(naive.performance(index), abs=1e-9))
    assert (curriculum.end is not None) == naive.over


@given(configurations(), operations, st.booleans())
def test_stages_are_entered_in_order_each_once(config: dict[str, Any], stream: list[Operation], between: bool) -> None:
    curriculum = StagedProgressiveCurriculum(**config)
    if between:
        curriculum.decide_between_steps()
    player = Player(curriculum)
    decisions = [(operation, decision) for operation in stream if (decision := player.play(operation))]
    moves = [d for _, d in decisions if isinstance(d, StageTransition)]
    assert [(d.from_stage, d.to_stage) for d in moves] == [(i, i + 1) for i in range(len(moves))]
    assert [d.step for d in moves] == sorted(d.step for d in moves)
    assert [d for _, d in decisions[: len(moves)]] == moves  # an end is the last decision, and there is one at most
    assert len(decisions) - len(moves) <= 1
    if between:
        assert {operation[0] for operation, _ in decisions} <= {"steps"}


def restored(config: dict[str, Any], player: Player, *, between: bool) -> Player:
    state = json.loads(json.dumps(player.curriculum.state_dict(), allow_nan=False))
    again = Player(StagedProgressiveCurriculum(**config))
    if between:
        again.curriculum.decide_between_steps()
    again.curriculum.load_state_dict(state)
    again.tasks = list(player.tasks)
    assert again.curriculum.state_dict() == player.curriculum.state_dict()
    assert list(again.curriculum.finished) == list(player.curriculum.finished)
    return again


@given(configurations(), st.lists(operations, min_size=1, max_size=1).map(lambda o: o[0][:25]), st.booleans())
def test_interrupted_at_any_point_it_goes_on_as_if_it_never_was(
    config: dict[str, Any], stream: list[Operation], between: bool
) -> None:
    whole = Player(StagedProgressiveCurriculum(**config))
    if between:
        whole.curriculum.decide_between_steps()
    branches: list[Player] = []
    for operation in stream:
        branches.append(restored(config, whole, between=between))
        decision = whole.play(operation)
        assert [branch.play(operation) for branch in branches] == [decision] * len(branches)
    for branch in branches:
        assert branch.curriculum.state_dict() == whole.curriculum.state_dict()
        assert branch.curriculum.waiting_for() == pytest.approx(whole.curriculum.waiting_for(), nan_ok=True) or str(
            branch.curriculum.waiting_for()
        ) == str(whole.curriculum.waiting_for())
