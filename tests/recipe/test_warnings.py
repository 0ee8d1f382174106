"""What a recipe is warned of though it is well formed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.recipe.model import recipe_from_data


def warnings(last: dict[str, Any], **trainer: Any) -> str:
    stages = ["a", {"curriculum": "b", **last}]
    data = {"trainer": {"command": ["train"], **trainer}, "curriculum": {"stages": stages}}
    return "\n".join(recipe_from_data(data, name="r", folder=Path("/")).warnings())


def test_a_run_that_nothing_ends_is_warned_of() -> None:
    assert "nothing but the script itself ends this run" in warnings({})


@pytest.mark.parametrize("last", [{"performance_threshold": 0.8}, {"max_steps": 100}, {"advance_when": "steps >= 9"}])
def test_a_last_stage_that_ends_is_enough(last: dict[str, Any]) -> None:
    assert warnings(last) == ""


def test_the_threshold_for_successes_is_warned_of_where_scores_are_returns() -> None:
    told = "curriculum.stages.0: 0.8 is a threshold for successes: name one for `score: return`"

    def warned(first: Any, **curriculum: Any) -> str:
        block = {"stages": [first, "b"], "score": "return", **curriculum}
        data = {"trainer": {"total_timesteps": "1M"}, "curriculum": block}
        return "\n".join(recipe_from_data(data, name="r", folder=Path("/")).warnings())

    assert told in warned("a")
    assert warned("a", performance_threshold=0.8) == ""
    assert warned({"curriculum": "a", "performance_threshold": 150}) == ""
    assert warned("a", transition_criteria="time") == ""
    assert warned("a", score="success") == ""


def test_a_script_that_is_not_there_is_told_where_it_is_to_run(tmp_path: Path) -> None:
    def warned(**launch: Any) -> str:
        trainer = {"command": ["python", "trian.py"], "total_timesteps": 9}
        data = {"trainer": trainer, "curriculum": {"stages": ["a"]}, "launch": launch}
        return "\n".join(recipe_from_data(data, name="r", folder=tmp_path).warnings())

    assert f"trainer.command: there is no trian.py in {tmp_path}" in warned()
    assert warned(backend="sky") == ""
    (tmp_path / "trian.py").touch()
    assert warned() == ""


def test_a_step_budget_is_enough() -> None:
    assert warnings({}, total_timesteps="100k") == ""
