"""The metrics of the seed document, by its names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stagectl.curriculum.sampling import probabilities
from stagectl.curriculum.stages import Stage, members_of


def document_metrics(stages: tuple[Stage, ...], current: int, performance: Sequence[float | None]) -> dict[str, Any]:
    """`curriculum/current_stage`, `stage_name`, `stage_probs` and `stage_performance`.

    Args:
        stages: The curriculum's stages.
        current: The index of the one that is on.
        performance: Of each stage that is played; one without any episode has None, and is left out.
    """
    names = [member.name for _, member in members_of(stages)]
    measured = {name: value for name, value in zip(names, performance, strict=True) if value is not None}
    return {
        "curriculum/current_stage": current,
        "curriculum/stage_name": stages[current].name,
        "curriculum/stage_probs": dict(zip(names, probabilities(stages, current), strict=True)),
        "curriculum/stage_performance": measured,
    }
