"""From a table's chosen columns to traces: runs told apart, units taken, attempts folded, all of it said."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stagectl.errors import TraceError
from stagectl.traces.columns import Chosen, Columns, choose, choose_metric, found_metrics
from stagectl.traces.fold import Gap, counted, fold
from stagectl.traces.table import Table
from stagectl.traces.trace import Floats, Trace, Whole
from stagectl.traces.values import ROW, floats, place, wholes, words

if TYPE_CHECKING:
    import polars as pl

_EMPTY = "\0empty"


def traces_of(table: Table, columns: Columns) -> list[Trace]:
    """The runs of a table, a trace each, in the order of their first rows.

    Raises:
        TraceError: With its place: a column that is not there, a value that is no number, steps in disorder.
    """
    chosen = choose(table.header, columns, table.start)
    frame, notes = _without_blanks(table.read(chosen), chosen, table)
    if frame.is_empty():
        raise TraceError(f"{table.name}: has a header and no rows")
    traces = []
    for name, rows in _runs(table, frame, chosen):
        read = _long if chosen.key is not None else _wide
        traces.append(read(replace(table, name=name, notes=table.notes + notes), rows, chosen, columns))
    return traces


def without_start(trace: Trace) -> Trace:
    """The trace without the first row by which a run tells in which stage it began; that is its `start`."""
    codes = trace.stage_codes
    if codes is None or not len(trace) or trace.steps[0] != 0 or codes[0] < 0 or not math.isnan(trace.scores[0]):
        return trace
    rest = taken(trace, np.arange(1, len(trace)))
    return replace(rest, start=trace.stage_names[codes[0]])


def taken(trace: Trace, rows: Any) -> Trace:
    """The trace with these of its rows, in this order."""
    at = {int(row): new for new, row in enumerate(rows)} if trace.advances else {}
    return replace(
        trace,
        steps=trace.steps[rows],
        scores=trace.scores[rows],
        stage_codes=None if trace.stage_codes is None else trace.stage_codes[rows],
        visits=None if trace.visits is None else trace.visits[rows],
        counts=None if trace.counts is None else trace.counts[rows],
        advances={at[row]: stage for row, stage in trace.advances.items() if row in at},
        metrics={name: values[rows] for name, values in trace.metrics.items()},
    )


def _without_blanks(frame: pl.DataFrame, chosen: Chosen, table: Table) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Without blank lines, and where nobody can mend it without the rows that have no step; with a note of those."""
    import polars as pl

    first = chosen.step or chosen.length or chosen.score
    if first is None or not frame[first].null_count():
        return frame, ()
    values = pl.all_horizontal(pl.all().exclude(first).is_null())
    frame = frame.with_columns(values.alias(_EMPTY)).with_row_index(ROW)
    has_step = pl.col(first).is_not_null()
    if table.can_be_mended or chosen.step is None:
        return frame.filter(has_step | ~pl.col(_EMPTY)).drop(_EMPTY), ()
    lost = frame.filter(~has_step & ~pl.col(_EMPTY)).height
    note = f"{counted(lost, 'row')} left out: without a step"
    return frame.filter(has_step).drop(_EMPTY), (note,) if lost else ()


def _runs(table: Table, frame: pl.DataFrame, chosen: Chosen) -> list[tuple[str, pl.DataFrame]]:
    if chosen.run is None:
        return [(table.name, frame)]
    runs = frame[chosen.run].n_unique()
    if runs == 1 or (chosen.run_guessed and 2 * runs > len(frame)):  # a seed for every episode tells no runs apart
        return [(table.name, frame)]
    indexed = frame if ROW in frame.columns else frame.with_row_index(ROW)
    parts = indexed.partition_by(chosen.run, maintain_order=True)
    return [(f"{table.name} {chosen.run}={part[chosen.run][0]}", part) for part in parts]


def _wide(table: Table, frame: pl.DataFrame, chosen: Chosen, columns: Columns) -> Trace:
    """A table with a column a metric."""
    notes = list(table.notes)
    steps = _steps(table, frame, chosen, columns, notes)
    if chosen.score is None:
        scores = np.full(len(frame), np.nan)
    else:
        scores = _scaled(_floats(table, frame, chosen.score, notes), columns, notes)
    names, codes = ((), None) if chosen.stage is None else words(frame, chosen.stage)
    advances, advance_codes = ((), None) if chosen.advance is None else words(frame, chosen.advance)
    visits = None if chosen.visit is None else wholes(table, frame, chosen.visit, "a visit", -1).astype(np.int32)
    counts = None if chosen.count is None else wholes(table, frame, chosen.count, "a count of episodes", 0)
    if counts is not None:
        notes.append(f"each score is the mean of as many episodes as {chosen.count} says")
        scores = np.where(counts == 0, np.nan, scores)
    trace = Trace(
        table.name,
        steps,
        scores,
        codes if names else None,
        names,
        visits,
        counts,
        {}
        if advance_codes is None
        else {int(row): advances[advance_codes[row]] for row in np.flatnonzero(advance_codes >= 0)},
        {name: _floats(table, frame, column, notes) for name, column in chosen.metrics.items()},
    )
    if not table.can_be_mended and chosen.score is not None:
        notes.append(f"{np.isfinite(scores).sum():,} of {len(scores):,} rows have {chosen.score}")
    attempts = None if chosen.attempt is None else wholes(table, frame, chosen.attempt, "an attempt", 0)
    folded = fold(steps, attempts, chosen.step or "step", lambda row: place(table, frame, row))
    if folded is not None:
        trace = taken(trace, folded.rows)
        notes += folded.notes()
    if not table.is_part:
        gap = Gap()
        gap.add(trace.steps)
        notes += [note] if (note := gap.note()) else []
    return replace(without_start(trace), notes=tuple(notes))


def _long(table: Table, frame: pl.DataFrame, chosen: Chosen, columns: Columns) -> Trace:
    """A table with a row a value: `metric,step,value`. Each metric has its steps and its attempts."""
    import polars as pl

    if chosen.key is None or chosen.value is None:  # for who reads the types
        raise AssertionError
    notes = list(table.notes)
    names = frame[chosen.key].drop_nulls().unique(maintain_order=True).to_list()
    score = choose_metric(names, columns, table.start)
    wanted = ([("", score)] if score is not None else []) + list(found_metrics(names, columns.metrics).items())
    indexed = frame if ROW in frame.columns else frame.with_row_index(ROW)
    steps: list[Whole] = []
    values: list[Floats] = []
    for _, name in wanted:
        part = indexed.filter(pl.col(chosen.key) == name)
        at = _steps(table, part, chosen, columns, notes)
        attempts = None if chosen.attempt is None else wholes(table, part, chosen.attempt, "an attempt", 0)
        folded = fold(at, attempts, chosen.step or "step", lambda row, part=part: place(table, part, row))  # type: ignore[misc]
        kept: Any = slice(None) if folded is None else folded.rows
        notes += [f"{name}: {note}" for note in (folded.notes() if folded else ())]
        steps.append(at[kept])
        values.append(_floats(table, part, chosen.value, notes)[kept])
    order = np.argsort(np.concatenate(steps), kind="stable")
    ends = np.cumsum([0, *map(len, steps)])
    told: dict[str, Floats] = {}
    for (metric, _), start, end, column in zip(wanted, ends[:-1], ends[1:], values, strict=True):
        spread = np.full(len(order), np.nan)
        spread[start:end] = column
        told[metric] = spread[order]
    scores = _scaled(told.pop("", np.full(len(order), np.nan)), columns, notes)
    return Trace(table.name, np.concatenate(steps)[order], scores, metrics=told, notes=tuple(dict.fromkeys(notes)))


def _steps(table: Table, frame: pl.DataFrame, chosen: Chosen, columns: Columns, notes: list[str]) -> Whole:
    """Total environment steps of each row."""
    if columns.steps_per_row is not None:
        notes.append(f"each row counts as {columns.steps_per_row:,} steps")
        return np.arange(1, len(frame) + 1, dtype=np.int64) * columns.steps_per_row
    if chosen.step is None and chosen.length is not None:
        notes.append(f"steps are the running sum of {chosen.length}")
        return np.cumsum(wholes(table, frame, chosen.length, "a length")) * columns.step_factor
    steps = wholes(table, frame, chosen.step or "", "a step")
    if chosen.step == "_step":
        notes.append("steps are W&B's _step, which counts calls of log unless the run gave its own step")
    if columns.step_factor != 1:
        notes.append(f"each step of {chosen.step} counts as {columns.step_factor:,} steps")
        steps = steps * columns.step_factor
    return steps


def _floats(table: Table, frame: pl.DataFrame, column: str, notes: list[str]) -> Floats:
    values, left_out = floats(table, frame, column)
    if left_out:
        notes.append(f"{counted(left_out, 'value')} of {column} left out: not finite")
    return values


def _scaled(scores: Floats, columns: Columns, notes: list[str]) -> Floats:
    low, high = columns.score_range
    if (low, high) == (0.0, 1.0):
        return scores
    notes.append(f"a score of {low:g} counts as 0, one of {high:g} as 1")
    return (scores - low) / (high - low) if low else scores / high
