"""What a recipe is warned of though it is well formed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.recipe.model import recipe_from_data


def warnings(last: dict[str, Any], **trainer: Any) -> str:
    stages = ["a", {"curriculum": "b", **last}]
    data = {"trainer": {"command": ["python", "t.py"], **trainer}, "curriculum": {"stages": stages}}
    return "\n".join(recipe_from_data(data, name="r", folder=Path("/")).warnings())


def test_a_run_that_nothing_ends_is_warned_of() -> None:
    assert "nothing but the script itself ends this run" in warnings({})


@pytest.mark.parametrize("last", [{"performance_threshold": 0.8}, {"max_steps": 100}, {"advance_when": "steps >= 9"}])
def test_a_last_stage_that_ends_is_enough(last: dict[str, Any]) -> None:
    assert warnings(last) == ""


def test_a_step_budget_is_enough() -> None:
    assert warnings({}, total_timesteps="100k") == ""
