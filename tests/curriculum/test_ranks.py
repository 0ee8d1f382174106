"""Several processes that train one policy: one decides over the episodes of all, and the others follow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_recipes import Player, recipes, scores

from stagectl.curriculum import StagedProgressiveCurriculum

boundaries = st.lists(
    st.tuples(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 2), scores), max_size=6)), max_size=25
)


@settings(max_examples=40)
@given(recipes(), boundaries)
def test_three_ranks_are_in_the_stage_in_which_one_process_would_be(
    recipe: dict[str, Any], stream: list[tuple[int, list[tuple[int, float]]]]
) -> None:
    alone, *ranks = (Player(recipe, between=True).curriculum for _ in range(4))
    leader = ranks[0]
    for by, episodes in stream:
        for rank, score in episodes:
            task = ranks[rank].get_task()
            task.complete(score)
            alone.complete_task(task.id, score)
        for follower in ranks[1:]:
            leader.take_in(list(follower.finished))
        step = leader.total_steps + by
        decision = leader.update_step_count(step)
        assert alone.update_step_count(step) == decision
        for follower in ranks[1:]:
            follower.follow(step, decision)
            assert not follower.finished
            assert (follower.current_stage, follower.total_steps, follower.end) == (
                leader.current_stage,
                step,
                leader.end,
            )
            assert follower.stage_probs() == leader.stage_probs()
        assert leader.performance() == pytest.approx(alone.performance(), abs=0)


def test_what_a_follower_is_told_does_not_pile_up() -> None:
    follower = StagedProgressiveCurriculum(["a", "b"], advance_when='metric("x") > 1')
    follower.decide_between_steps()
    for step in range(1, 100):
        follower.get_task().complete(1.0)
        follower.record_metrics({"x": 0.5})
        follower.follow(step, None)
    state = follower.state_dict()
    assert (state["finished"], state["metrics"], follower.episodes()) == ([], [], [0, 0])
