"""A recording as a chain of visits to stages, which an aligned replay plays in an order of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.traces import Trace


@dataclass(frozen=True, slots=True)
class Visit:
    """The `number`-th recorded visit to a stage: its rows from `first` to before `last`, its steps in total steps."""

    stage: str
    number: int
    first: int
    last: int
    entered: int
    until: int


def visits_of(trace: Trace, curriculum: StagedProgressiveCurriculum) -> dict[tuple[str, int], Visit]:
    """The recorded visits by stage and number, from 1. Where no row marks an entry, they are told by the rows' stages.

    A row of another stage goes along with the visit in which it was recorded: it was late, or rehearsed.
    """
    if not len(trace):
        return {}
    tops = {member.name: stage.name for stage in curriculum.stages for member in (stage, *stage.parallel)}
    marks = [(row, tops[name]) for row, name in trace.entries()] if trace.start is not None else []
    begun = _start(trace, curriculum, tops)
    if trace.start is not None:
        entries = [(0, begun, 0), *((row, name, int(trace.steps[row])) for row, name in marks)]
        entries = entries[1:] if marks and marks[0][0] == 0 else entries
    else:
        entries = _unmarked(trace, curriculum, tops, begun)
    ends = [*((row, step) for row, _, step in entries[1:]), (len(trace), int(trace.steps[-1]))]
    counted: Counter[str] = Counter()
    visits = {}
    for (row, stage, entered), (last, until) in zip(entries, ends, strict=True):
        counted[stage] += 1
        is_mark = (row, stage) in marks
        visits[stage, counted[stage]] = Visit(stage, counted[stage], row + is_mark, last, entered, until)
    return visits


def played_in(trace: Trace) -> tuple[str, ...]:
    """The stages that the recording tells, the one in which it began too where nothing was scored in it."""
    began = () if trace.start is None or not trace.stage_names else (trace.start,)
    return tuple(dict.fromkeys((*began, *trace.stage_names)))


def episodes_in(trace: Trace, first: int, last: int) -> int:
    """How many episodes those rows tell of."""
    told = ~np.isnan(trace.scores[first:last])
    return int(np.count_nonzero(told) if trace.counts is None else trace.counts[first:last][told].sum())


def _start(trace: Trace, curriculum: StagedProgressiveCurriculum, tops: Mapping[str, str]) -> str:
    """The stage in which the recording began: as told; else the recipe's first if it was played then."""
    if trace.start is not None:
        return tops[trace.start]
    played = [tops[name] for name in trace.stage_names]
    return curriculum.stage.name if not played or curriculum.stage.name in played else played[0]


def _unmarked(
    trace: Trace, curriculum: StagedProgressiveCurriculum, tops: Mapping[str, str], begun: str
) -> list[tuple[int, str, int]]:
    """Row, stage and step of each entry, told by the rows' stages: at its first row that is not rehearsed."""
    rehearsed = {stage.name: {tops[name] for name in stage.rehearse} for stage in curriculum.stages}
    entries = [(0, begun, 0)]
    seen = {begun}
    for row, name in trace.entries():
        stage = tops[name]
        if stage not in seen and stage not in rehearsed[entries[-1][1]]:
            seen.add(stage)
            entries.append((row, stage, int(trace.steps[row - 1]) if row else 0))
    return entries
