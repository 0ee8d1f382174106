"""A recording that comes in parts, of which one at a time is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.simulate.kernel import Part, boundaries
from stagectl.simulate.story import Story
from stagectl.traces import Row, Trace
from stagectl.traces.rows import taken


def boundaries_in_parts(
    curriculum: StagedProgressiveCurriculum, parts: Iterable[Trace], story: Story, budget: int | None, see: int | None
) -> Iterator[tuple[int, Sequence[Row]]]:
    """As `boundaries`, of all parts as recorded. A boundary may begin in one part and end in the next."""
    rest: Trace | None = None
    for trace in parts:
        if rest is not None and len(trace) and trace.steps[0] > rest.steps[-1]:
            yield from boundaries(curriculum, Part(rest, 0, len(rest)), story, budget, see)
            rest = None
        trace = trace if rest is None else _joined(rest, trace)
        if len(trace):
            cut = int(trace.steps.searchsorted(trace.steps[-1]))
            yield from boundaries(curriculum, Part(trace, 0, cut), story, budget, see)
            rest = taken(trace, np.arange(cut, len(trace)))
    if rest is not None:
        yield from boundaries(curriculum, Part(rest, 0, len(rest)), story, budget, see)


def _joined(first: Trace, second: Trace) -> Trace:
    """Both as one, without the stages that they tell."""
    advances = {len(first) + row: stage for row, stage in second.advances.items()}
    counts = None
    if first.counts is not None or second.counts is not None:
        both = (np.ones(len(t), np.int64) if t.counts is None else t.counts for t in (first, second))
        counts = np.concatenate(list(both))
    names = {**first.metrics, **second.metrics}
    blank = [np.full(len(t), np.nan) for t in (first, second)]
    return replace(
        second,
        steps=np.concatenate([first.steps, second.steps]),
        scores=np.concatenate([first.scores, second.scores]),
        stage_codes=None,
        stage_names=(),
        visits=None,
        counts=counts,
        advances={**first.advances, **advances},
        metrics={
            name: np.concatenate([first.metrics.get(name, blank[0]), second.metrics.get(name, blank[1])])
            for name in names
        },
    )
