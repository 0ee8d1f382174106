"""The metrics of the seed document, by its names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def document_metrics(
    names: Sequence[str], current: int, probs: Sequence[float], performance: Sequence[float | None]
) -> dict[str, Any]:
    """`curriculum/current_stage`, `stage_name`, `stage_probs` and `stage_performance`.

    The last two are by stage name; a stage without any episode has no performance.
    """
    return {
        "curriculum/current_stage": current,
        "curriculum/stage_name": names[current],
        "curriculum/stage_probs": dict(zip(names, probs, strict=True)),
        "curriculum/stage_performance": {
            name: value for name, value in zip(names, performance, strict=True) if value is not None
        },
    }
