"""What a sweep varies, as the command line writes it, and a recipe with one variant's values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from stagectl.curriculum.fields import parse_number
from stagectl.errors import CurriculumError, RecipeError, StagectlError, UsageError
from stagectl.recipe import Recipe
from stagectl.recipe.model import recipe_from_data
from stagectl.recipe.overrides import overridden
from stagectl.recipe.source import Source
from stagectl.simulate.sweep import Axis

MOST = 100_000  # values on one axis
MOST_VARIANTS = 1_000_000  # of which each takes some 100 bytes a stage and recording
EXAMPLE = "as in --sweep performance_threshold=0.5:0.95:0.05 or transition_smoothing=0.01,0.05,0.1"


def read_axis(text: str) -> Axis:
    """`KEY=FROM:TO:STEP`, which has both ends where the steps meet them, or `KEY=value,value`.

    Raises:
        UsageError: It is neither.
    """
    key, equals, values = text.removeprefix("curriculum.").partition("=")
    if not equals or not key or not values:
        raise UsageError(f"--sweep {text}: names no values", hint=EXAMPLE)
    if ":" in values:
        return Axis(key, _range(values.split(":"), text))
    found = [_value(value.strip()) for value in values.split(",") if value.strip()]
    if not found:
        raise UsageError(f"--sweep {text}: names no values", hint=EXAMPLE)
    twice = next((value for value in found if found.count(value) > 1), None)
    if twice is not None:
        raise UsageError(f"--sweep {text}: has {twice} twice")
    return Axis(key, tuple(found))


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse axes that have more variants together than can be held.

    Raises:
        UsageError: So it is.
    """
    variants = math.prod(len(axis.values) for axis in axes)
    if variants > MOST_VARIANTS:
        told = " times ".join(f"{len(axis.values):,} of {axis.key}" for axis in axes)
        hint = "take a greater STEP, or a part of the range at a time"
        raise UsageError(f"--sweep: {variants:,} variants ({told}); at most {MOST_VARIANTS:,}", hint=hint)


def check_keys(axes: Sequence[Axis], stages: Iterable[str]) -> None:
    """Refuse two axes of one key: of them the later would hide the earlier.

    Args:
        axes: What is varied.
        stages: The recipe's stages, of which a key has the name or the number.

    Raises:
        UsageError: So it is.
    """
    numbers = {name: str(index) for index, name in enumerate(stages)}
    seen: dict[tuple[str, ...], str] = {}
    for axis in axes:
        first, *rest = axis.key.split(".")
        if first == "stages" and rest:
            rest[0] = numbers.get(rest[0], rest[0])
        key = first, *rest
        if key in seen:
            same = "is there twice" if seen[key] == axis.key else f"and {seen[key]} are the same"
            raise UsageError(f"--sweep: {axis.key} {same}", hint="give all its values at once: KEY=a,b,c")
        seen[key] = axis.key


def varied(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values laid over its curriculum, by keys as `performance_threshold` or `stages.0.max_steps`.

    Raises:
        RecipeError: A key or a value makes no sense there.
    """
    source = Source(recipe.name, recipe.to_data())
    told = ", ".join(f"{key}={value}" for key, value in values.items())
    try:
        for key, value in values.items():
            source = overridden(source, f"curriculum.{key}={value}")
        return recipe_from_data(source.data, name=recipe.name, folder=recipe.folder)
    except CurriculumError as error:
        raise RecipeError("\n".join(f"--sweep {told}: {fault}" for fault in error.faults)) from None
    except StagectlError as error:
        raise RecipeError(f"--sweep {told}: {error.message}", hint=error.hint) from None


def untouched(recipe: Recipe, axes: Sequence[Axis]) -> list[str]:
    """A note for each stage that has a value of its own where a sweep varies the curriculum's."""
    own = [(stage, entry) for stage, entry in zip(recipe.stages, recipe.curriculum["stages"], strict=True)]
    return [
        f"stage '{stage.name}' has a {axis.key} of its own, which the sweep does not change: "
        f"--sweep stages.{stage.name}.{axis.key}=... does"
        for axis in axes
        for stage, entry in own
        if isinstance(entry, Mapping) and axis.key in entry
    ]


def _range(parts: Sequence[str], text: str) -> tuple[int | float, ...]:
    try:
        start, end, step = (Decimal(str(parse_number(part))) for part in parts)
    except (ValueError, InvalidOperation):
        raise UsageError(f"--sweep {text}: is no FROM:TO:STEP", hint=EXAMPLE) from None
    if step <= 0 or end < start:
        raise UsageError(f"--sweep {text}: goes from {start} to {end} by {step}; FROM is below TO, STEP above 0")
    count = int((end - start) / step) + 1
    if count > MOST:
        raise UsageError(f"--sweep {text}: has {count:,} values; at most {MOST:,}")
    return tuple(_plain(start + index * step) for index in range(count))


def _value(text: str) -> int | float | str:
    try:
        return _plain(Decimal(str(parse_number(text))))
    except ValueError:
        return text


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
