"""A trace: recorded metrics of one run over steps, in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]


class Row(NamedTuple):
    """One row: a finished episode, or without a score what else was recorded at that step.

    `stage` is the one in which the episode began, `visit` the visit to it (None: the present one); `advance_to` is
    the stage that somebody sent the run to at this step; `metrics` are the logged ones that count from here on;
    `episodes` is how many the score is the mean of. A row with a stage and without a score is the entry
    into that stage.
    """

    step: int
    score: float | None = None
    stage: str | None = None
    visit: int | None = None
    advance_to: str | None = None
    metrics: Mapping[str, float] = {}
    episodes: int = 1


@dataclass(frozen=True, eq=False)
class Trace:
    """Rows in the order in which they were recorded. Steps never go back: rows of equal step are one boundary.

    Attributes:
        name: What it was read from, and the run or seed where that has several.
        steps: Total environment steps, a row each.
        scores: An episode's score, or the mean of `counts` episodes; NaN where the row ended none.
        stage_codes: The place in `stage_names` of each row's stage, -1 where none is told; None where no row tells one.
        stage_names: The stages in the order of their first appearance.
        visits: The visit to its stage that an episode began in, -1 for the present one; None where all are.
        counts: The episodes whose mean a score is; None where each is one episode's.
        advances: Row -> the stage that somebody sent the run to at its step.
        metrics: Other logged metrics by name, NaN where a row has none.
        start: The stage in which the recording began, where that is told.
        notes: What the reader did that one should know: rows left out, steps counted anew, units that were taken.
    """

    name: str
    steps: Whole
    scores: Floats
    stage_codes: Codes | None = None
    stage_names: tuple[str, ...] = ()
    visits: Codes | None = None
    counts: Whole | None = None
    advances: Mapping[int, str] = field(default_factory=dict)
    metrics: Mapping[str, Floats] = field(default_factory=dict)
    start: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """The rows one by one, from `first` to before `last`."""
        part = slice(first, len(self) if last is None else last)
        steps, scores = self.steps[part].tolist(), self.scores[part].tolist()
        codes = [-1] * len(steps) if self.stage_codes is None else self.stage_codes[part].tolist()
        visits = [-1] * len(steps) if self.visits is None else self.visits[part].tolist()
        counts = [1] * len(steps) if self.counts is None else self.counts[part].tolist()
        metrics = {name: values[part].tolist() for name, values in self.metrics.items()}
        for at, (step, score) in enumerate(zip(steps, scores, strict=True)):
            yield Row(
                step,
                score if score == score else None,
                self.stage_names[codes[at]] if codes[at] >= 0 else None,
                visits[at] if visits[at] >= 0 else None,
                self.advances.get(first + at) if self.advances else None,
                {name: values[at] for name, values in metrics.items() if values[at] == values[at]},
                counts[at],
            )

    def boundaries(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, list[Row]]]:
        """Each step with its rows."""
        for step, rows in groupby(self.rows(first, last), key=lambda row: row.step):
            yield step, list(rows)

    def entries(self) -> list[tuple[int, str]]:
        """The rows at which a stage was entered, with its name: those that say so, else where the stage changes.

        Only a recording that tells its start marks its entries by rows without a score; in a table from elsewhere
        such a row is one in which nothing was measured.
        """
        if self.stage_codes is None:
            return []
        told = self.stage_codes >= 0
        if self.start is not None:
            marks = np.flatnonzero(told & np.isnan(self.scores))
        else:
            rows = np.flatnonzero(told)
            codes = self.stage_codes[rows]
            marks = rows[np.flatnonzero(np.diff(codes, prepend=-1) != 0)]
        return [(int(row), self.stage_names[self.stage_codes[row]]) for row in marks]


def trace_of(
    name: str, steps: Sequence[int], scores: Sequence[float | None], stages: Sequence[str | None] | None = None
) -> Trace:
    """A trace from columns."""
    named = stages or [None] * len(steps)
    return trace_of_rows(name, [Row(*row) for row in zip(steps, scores, named, strict=True)])


def trace_of_rows(name: str, rows: Sequence[Row], start: str | None = None, notes: Sequence[str] = ()) -> Trace:
    """A trace from its rows."""
    names = list(dict.fromkeys(row.stage for row in rows if row.stage is not None))
    code = {stage: index for index, stage in enumerate(names)}
    metrics = sorted({metric for row in rows for metric in row.metrics})
    return Trace(
        name,
        np.array([row.step for row in rows], np.int64),
        np.array([np.nan if row.score is None else row.score for row in rows], np.float64),
        np.array([-1 if row.stage is None else code[row.stage] for row in rows], np.int32) if names else None,
        tuple(names),
        np.array([-1 if row.visit is None else row.visit for row in rows], np.int32)
        if any(row.visit is not None for row in rows)
        else None,
        np.array([row.episodes for row in rows], np.int64) if any(row.episodes != 1 for row in rows) else None,
        {at: row.advance_to for at, row in enumerate(rows) if row.advance_to is not None},
        {m: np.array([row.metrics.get(m, np.nan) for row in rows], np.float64) for m in metrics},
        start,
        tuple(notes),
    )
