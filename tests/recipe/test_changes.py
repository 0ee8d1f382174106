"""Two recipes of one run: what differs of what decides training."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.recipe import Recipe, changes, fingerprint
from stagectl.recipe.model import recipe_from_data

CURRICULUM = {"stages": ["a", {"curriculum": "b", "performance_threshold": 0.9}]}


def recipe(curriculum: object = CURRICULUM, **trainer: object) -> Recipe:
    data = {"trainer": {"total_timesteps": 1000, **trainer}, "curriculum": curriculum}
    return recipe_from_data(data, name="r", folder=Path("/"))


def test_what_is_only_written_otherwise_is_no_change() -> None:
    written_out = {"stages": [{"name": "a", "curriculum": "a", "performance_threshold": 0.8}, CURRICULUM["stages"][1]]}
    assert changes(recipe(), recipe(written_out)) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (recipe(seed=5), ["trainer.seed: was 0 and is 5"]),
        (recipe(n_envs=4), ["trainer.n_envs: was not there and is 4"]),
        (recipe({**CURRICULUM, "start": "b"}), ["curriculum.start: was 'a' and is 'b'"]),
        (recipe({"stages": ["a"]}), ["curriculum.stages: stage 'b' is gone"]),
    ],
)
def test_each_change_is_a_line_that_says_where(now: Recipe, said: list[str]) -> None:
    assert [line for line in changes(recipe(), now) if "transition_criteria" not in line] == said


def test_a_fingerprint_is_of_what_decides_training_alone() -> None:
    assert fingerprint(recipe()) == fingerprint(recipe())
    assert fingerprint(recipe()) != fingerprint(recipe(seed=1))
