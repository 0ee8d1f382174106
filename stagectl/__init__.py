"""Staged reinforcement learning as one run.

A training script needs `attach()`; old code and notebooks use `StagedProgressiveCurriculum` by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stagectl.curriculum import StagedProgressiveCurriculum as StagedProgressiveCurriculum
    from stagectl.errors import StagectlError as StagectlError
    from stagectl.session import attach as attach

__version__ = "0.1.0"

__all__ = ["StagectlError", "StagedProgressiveCurriculum", "__version__", "attach"]


def __getattr__(name: str) -> Any:  # what is not used is not imported: `stagectl --help` needs none of it
    if name == "attach":
        from stagectl.session import attach

        return attach
    if name == "StagedProgressiveCurriculum":
        from stagectl.curriculum import StagedProgressiveCurriculum

        return StagedProgressiveCurriculum
    if name == "StagectlError":
        from stagectl.errors import StagectlError

        return StagectlError
    raise AttributeError(f"module 'stagectl' has no attribute {name!r}")
