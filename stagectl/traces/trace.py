"""A trace: recorded scores over steps, and the stages they were recorded in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple


class Row(NamedTuple):
    """One row: a finished episode, or without a score what else was recorded at that step.

    `stage` is the one in which the episode began, `visit` the visit to it (None: the present one); `advance_to` is
    the stage that somebody sent the run to at this step; `metrics` are the logged ones that count from here on.
    """

    step: int
    score: float | None = None
    stage: str | None = None
    visit: int | None = None
    advance_to: str | None = None
    metrics: Mapping[str, float] = {}


@dataclass(frozen=True)
class Trace:
    """Rows in the order in which they were recorded. Steps never go back: rows of equal step are one boundary."""

    name: str
    rows: list[Row] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        return [row.step for row in self.rows]

    @property
    def scores(self) -> list[float | None]:
        return [row.score for row in self.rows]

    @property
    def stages(self) -> list[str | None] | None:
        """The rows' stages; None where the recording does not tell them."""
        stages = [row.stage for row in self.rows]
        return stages if any(stage is not None for stage in stages) else None

    def boundaries(self) -> Iterator[tuple[int, list[Row]]]:
        """Each step with its rows."""
        for step, rows in groupby(self.rows, key=lambda row: row.step):
            yield step, list(rows)

    def entered(self) -> dict[str, int]:
        """Each stage's name and the step at which it was first entered: of its first row, as far as rows tell."""
        marks = [row for row in self.rows if row.score is None and row.stage is not None]
        entered: dict[str, int] = {}
        for row in marks or self.rows:
            if row.stage is not None:
                entered.setdefault(row.stage, row.step)
        return entered

    def stage_names(self) -> list[str]:
        """The stages' names in the order of their first appearance."""
        return list(dict.fromkeys(row.stage for row in self.rows if row.stage is not None))


def trace_of(name: str, steps: list[int], scores: list[float | None], stages: list[str | None] | None = None) -> Trace:
    """A trace from columns."""
    named = stages or [None] * len(steps)
    return Trace(name, [Row(*row) for row in zip(steps, scores, named, strict=True)])
