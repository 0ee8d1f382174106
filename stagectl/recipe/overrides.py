"""`KEY=VALUE` laid over a recipe's data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stagectl.errors import Path as ValuePath
from stagectl.errors import RecipeError, dotted
from stagectl.recipe.source import Source, parse_source


def overridden(source: Source, override: str) -> Source:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"'{override}' is no override; write KEY=VALUE, as in trainer.total_timesteps=100k")
    value = parse_source(f"value: {text}", f"override '{override}'").data["value"]
    data, path = _with_value(source.data, key.split("."), value, (), override)
    places = {p: place for p, place in source.places.items() if p[: len(path)] != path}
    return Source(source.name, data, {**places, path: f"override '{override}'"})


def _with_value(node: Any, keys: Sequence[str], value: Any, path: ValuePath, override: str) -> tuple[Any, ValuePath]:
    """A copy of `node` with `value` at `keys`, and the value's path. A stage may be named or numbered."""
    if not keys:
        return value, path
    key: str | int = keys[0]
    if isinstance(node, list):
        key = _index(node, keys[0], path, override)
        copy: Any = list(node)
        below = copy[key]
        if len(keys) > 1 and isinstance(below, str) and path[-1:] == ("stages",):
            below = {"curriculum": below}
    elif isinstance(node, dict) or node is None:
        copy = dict(node or {})
        below = copy.get(key)
    else:
        raise RecipeError(f"override '{override}': {dotted(path)} is a single value and has no '{keys[0]}'")
    copy[key], full = _with_value(below, keys[1:], value, (*path, key), override)
    return copy, full


def _index(items: list[Any], key: str, path: ValuePath, override: str) -> int:
    names = [_stage_name(item) for item in items]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    known = ", ".join(name or str(index) for index, name in enumerate(names))
    raise RecipeError(f"override '{override}': {dotted(path)} has no '{key}'; it has {known}")


def _stage_name(item: Any) -> str | None:
    """The name that an item has, or that a stage gets by its path."""
    if isinstance(item, dict):
        return item.get("name") or _stage_name(item.get("curriculum"))
    return item.rstrip("/").rpartition("/")[2] or None if isinstance(item, str) else None
