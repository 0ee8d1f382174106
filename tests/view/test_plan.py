"""What `run --dry-run` shows: all that a recipe does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from stagectl.launch.plan import plan_data
from stagectl.recipe.model import recipe_from_data
from stagectl.view.plan import plan_panel, plan_text

PAIR = {
    "name": "pair",
    "parallel": [
        {"name": "left", "curriculum": "Left-v0", "weight": 3, "env_overrides": {"size": 5}},
        {"name": "right", "curriculum": "Right-v0", "performance_threshold": 0.6, "score": {"return": [0, 10]}},
    ],
    "rehearse": {"easy": 0.2},
    "done": "any",
    "max_steps": "500k",
    "on_timeout": {"goto": "easy"},
    "max_visits": 3,
    "trainer": {"ent_coef": {"from": 0.02, "to": 0.001, "over": "200k"}, "gamma": 0.9},
    "on_enter": {"reset": ["optimizer"], "warmup_steps": "10k"},
    "evaluate": {"every": "20k", "episodes": 50, "earlier": True},
}
SAID = {
    "Left-v0",
    "performance >= 0.6 and episodes >= 10",
    "any of left, right done",
    "plays left 60%, right 20%",
    "rehearses easy 20%",
    "500,000 steps, then goto easy",
    "entered at most 3 times",
    "trainer ent_coef=0.02 to 0.001 over 200,000 steps, gamma=0.9",
    "on entry resets optimizer",
    "warms up over 10,000 steps",
    "every 20,000 steps 50 episodes evaluated, earlier stages' too",
    "right: the score is the return, 0 to 10",
    "size=5",
}


def plan(*stages: Any, **settings: Any) -> dict[str, Any]:
    data = {"trainer": {"name": "sb3"}, "curriculum": {"stages": list(stages), **settings}}
    return plan_data(recipe_from_data(data, name="r", folder=Path("/")))


def test_a_plan_shows_all_that_a_group_and_its_members_do() -> None:
    told = plan("easy", PAIR)
    for shown in (plan_text(told), plan_panel(told, 200).plain):
        assert [text for text in SAID if text not in shown] == []


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_plan_is_no_wider_than_the_terminal(width: int) -> None:
    assert max(cell_len(line) for line in plan_panel(plan("easy", PAIR), width).plain.splitlines()) <= width


def test_a_plan_is_plain_json_with_the_shares_of_the_episodes() -> None:
    told = json.loads(json.dumps(plan("easy", PAIR), allow_nan=False))
    group = told["stages"][1]
    assert group["plays"] == {"easy": 0.2, "left": 0.6, "right": 0.2}
    assert [member["curriculum"] for member in group["members"]] == ["Left-v0", "Right-v0"]
    assert group["trainer"]["ent_coef"] == {"from": 0.02, "to": 0.001, "over": 200_000}
    assert (told["start"], told["stages"][0]["evaluate"]) == ("easy", None)


def test_what_every_stage_says_is_told_once_and_a_plain_recipe_has_nothing_more_to_say() -> None:
    assert plan_text(plan("a", "b", transition_smoothing=0.3)).count("smoothing 0.3") == 1
    assert "stage 1" not in plan_text(plan("a", "b"))


def test_a_plan_says_where_it_begins_unless_that_is_the_first_stage() -> None:
    assert "begins in" not in plan_text(plan("a", "b"))
    assert "begins in    b" in plan_text(plan("a", "b", start="b"))


def test_a_last_group_lasts_until_the_budget_is_spent() -> None:
    assert (
        plan("a", {"name": "g", "parallel": ["b", "c"]})["stages"][1]["criterion"] == "until the step budget is spent"
    )


def test_environments_that_are_a_module_of_the_users_are_told_as_imported() -> None:
    stages = ["forage:Forage", {"parallel": ["Plain-v0", "own.fields:Field"], "name": "both"}]
    data = {"curriculum": {"_target_": "mine.Mine", "stages": stages}, "trainer": {"command": ["python", "t.py"]}}
    plan = plan_data(recipe_from_data(data, name="t", folder=Path("/")))
    assert plan["imports"] == ["mine.Mine", "forage:Forage", "own.fields:Field"]
