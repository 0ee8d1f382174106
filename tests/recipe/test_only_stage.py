"""`--only STAGE`: one stage of a recipe alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import RecipeError
from stagectl.recipe import Recipe, build_curriculum, only_stage
from stagectl.recipe.model import recipe_from_data

PAIR = {"name": "pair", "parallel": ["left", "right"]}


def recipe(*stages: Any, **settings: Any) -> Recipe:
    return recipe_from_data({"curriculum": {"stages": list(stages), **settings}}, name="r", folder=Path("/"))


def test_a_stage_alone_ends_by_the_criterion_that_it_has_among_the_others() -> None:
    alone = only_stage(recipe("a", "b", performance_threshold=0.7), "a")
    assert alone.name == "r-a"
    (stage,) = alone.stages
    assert (stage.name, stage.transition_criteria, stage.performance_threshold) == ("a", "performance", 0.7)


def test_the_last_stage_alone_ends_with_the_step_budget_as_it_does_among_the_others() -> None:
    assert only_stage(recipe("a", "b"), "b").stages[0].transition_criteria is None
    assert only_stage(recipe("a", PAIR), "pair").stages[0].transition_criteria is None


def test_a_group_alone_is_done_as_it_is_among_the_others() -> None:
    curriculum = build_curriculum(only_stage(recipe(PAIR, "b", min_episodes=1), "pair"))
    assert curriculum.complete_task("left", 1.0) is None
    assert curriculum.complete_task("right", 1.0) == curriculum.end
    assert curriculum.end is not None


def test_what_only_makes_sense_among_the_others_is_left_out() -> None:
    ways = [{"to": "b"}, {"to": "c"}, {"to": "c", "when": "steps >= 9"}]
    limited = {"curriculum": "b", "max_visits": 1, "max_steps": 5, "demote": {"to": "a", "below": 0.1, "patience": 9}}
    among = recipe({"curriculum": "a", "next": ways}, limited, "c", on_timeout="advance")
    assert [(edge.to, edge.when) for edge in only_stage(among, "a").stages[0].next] == [
        ("end", None),
        ("end", "steps >= 9"),
    ]
    assert only_stage(among, "b").stages[0].on_timeout == "advance"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("left", "r: 'left' is a member of the group 'pair', which is on as a whole; name the group"),
        ("lefd", "r: no stage is named 'lefd'; known: b, pair"),
    ],
)
def test_a_name_that_is_no_stage_of_its_own_is_refused(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        only_stage(recipe(PAIR, "b"), name)
    assert str(raised.value) == said
