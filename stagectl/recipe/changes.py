"""Two recipes of one run held against each other: what of them decides training, and where they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stagectl.curriculum.config import CURRICULUM_FIELDS
from stagectl.curriculum.saved import differences, plain
from stagectl.errors import dotted
from stagectl.recipe.model import Recipe


def fingerprint(recipe: Recipe) -> str:
    """A checkpoint is of the recipe with its fingerprint: a hash of `trainer:` and `curriculum:`."""
    told = json.dumps(plain([_trainer(recipe), recipe.to_data()["curriculum"]]), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def changes(before: Recipe, now: Recipe) -> list[str]:
    """What differs in `trainer:` and `curriculum:`, a line each; nothing where only the writing does."""
    lines = _compared("trainer", _trainer(before), _trainer(now))
    stages = ([stage.to_dict() for stage in recipe.stages] for recipe in (before, now))
    lines += [f"curriculum.{dotted(fault.path)}: {fault.message}" for fault in differences(*stages)]
    return lines + _compared("curriculum", _beside_stages(before), _beside_stages(now))


def _trainer(recipe: Recipe) -> dict[str, Any]:
    """What a `trainer:` says of the training; how many checkpoints are kept is none of it."""
    return {key: value for key, value in recipe.to_data()["trainer"].items() if key != "keep_checkpoints"}


def _beside_stages(recipe: Recipe) -> dict[str, Any]:
    """What a `curriculum:` says that is no stage's: where it starts, and what the user's own class takes."""
    own = {key: value for key, value in recipe.curriculum.items() if key not in CURRICULUM_FIELDS}
    return {**own, "_target_": recipe.target, "start": recipe.curriculum.get("start", recipe.stages[0].name)}


def _compared(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{where}.{key}: was {_shown(before.get(key))} and is {_shown(now.get(key))}"
        for key in dict.fromkeys([*before, *now])
        if plain(before.get(key)) != plain(now.get(key))
    ]


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)
