"""What a criterion was waiting for at a step of a replay."""

from __future__ import annotations

from dataclasses import dataclass

from stagectl.curriculum import Term


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a replay stood: at the last step boundary that is not after `asked`, before what was decided there.

    `entered`, `step` and `asked` are total steps; `decided` is what happened at that very step, in words.
    """

    trace: str
    asked: int
    step: int
    stage: str
    entered: int
    episodes: int
    performance: float | None
    terms: tuple[Term, ...]
    decided: str = ""
