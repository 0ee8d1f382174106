"""The lowest threshold and the smoothing that the recordings support."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to write into a recipe, how often it was wrong in the data, and why it and no other.

    `exits` are those after which enough was recorded to judge them, `false_exits` those of them after which the
    performance fell back. `yaml` is the line for the recipe.
    """

    performance_threshold: float
    transition_smoothing: float
    false_exits: int
    exits: int
    reasons: tuple[str, ...]
    yaml: str
