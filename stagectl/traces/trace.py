"""A trace: recorded scores over steps, and the stages they were recorded in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter


@dataclass(frozen=True)
class Trace:
    """Rows in the order in which they were recorded; a row without a score tells the step count alone.

    `steps` never goes back: equal steps are episodes that ended within one step boundary. `stages` are the names
    of the stages in which the episodes began, and of those that were entered; None where the recording does not tell.
    """

    name: str
    steps: list[int]
    scores: list[float | None]
    stages: list[str | None] | None = None

    def boundaries(self) -> Iterator[tuple[int, list[tuple[str | None, float]]]]:
        """Each step with the stage and score of every episode that ended at it."""
        stages: Sequence[str | None] = self.stages or [None] * len(self.steps)
        rows = zip(self.steps, stages, self.scores, strict=True)
        for step, group in groupby(rows, key=itemgetter(0)):
            yield step, [(stage, score) for _, stage, score in group if score is not None]

    def entered(self) -> dict[str, int]:
        """Each stage's name and the step of its first row, in the order in which they appear."""
        entered: dict[str, int] = {}
        for stage, step in zip(self.stages or (), self.steps, strict=False):
            if stage is not None:
                entered.setdefault(stage, step)
        return entered

    def stage_names(self) -> list[str]:
        """The stages' names in the order of their first appearance."""
        return list(self.entered())
