"""Traces as CSV files: read with headers guessed, written for a run."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stagectl.errors import TraceError, nearest
from stagectl.runs import Event
from stagectl.traces.trace import Row, Trace, trace_of_rows

STEP_HEADERS = ("step", "global_step", "_step", "steps", "total_steps", "timesteps", "num_timesteps", "env_steps")
SCORE_HEADERS = ("score", "success_rate", "success", "is_success", "performance", "reward", "episode_return", "return")
VISIT, ADVANCE = "visit", "advance_to"
STAGE_HEADERS = ("stage", "stage_name", "curriculum/stage_name", "lesson")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns to read; None lets the header decide. `metrics` are read where the header has them."""

    step: str | None = None
    score: str | None = None
    stage: str | None = None
    metrics: frozenset[str] = frozenset()


def read_csv(path: Path, columns: Columns = Columns()) -> Trace:
    """Read a trace from a CSV file with a header line.

    Raises:
        TraceError: With file and line: no such file or column, no rows, a ragged row, a value that is no finite
            number, a step that goes back.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, path, columns)
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file", hint="a run's trace is written by: stagectl export RUN_ID") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: this is a folder; name the CSV file in it") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: not a text file (byte {error.start}); a trace is CSV, in UTF-8") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None


def write_csv(events: Iterable[Event], file: TextIO) -> int:
    """A run's episodes as CSV, one row each, in order; the number of rows.

    A transition gets a row with the stage that it entered and no score: there a replay decides as the run did.
    """
    rows = list(_rows_of(events))
    metrics = sorted({name for row in rows for name in row.metrics})
    wanted = {VISIT: any(row.visit is not None for row in rows), ADVANCE: any(row.advance_to for row in rows)}
    extra = [name for name, is_wanted in wanted.items() if is_wanted]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("step", "stage", "score", *extra, *metrics))
    for row in rows:
        told = {VISIT: "" if row.visit is None else row.visit, ADVANCE: row.advance_to or ""}
        score = "" if row.score is None else repr(row.score)
        values = (repr(row.metrics[name]) if name in row.metrics else "" for name in metrics)
        writer.writerow((row.step, row.stage or "", score, *(told[name] for name in extra), *values))
    return len(rows)


def _rows_of(events: Iterable[Event]) -> Iterator[Row]:
    """A run's rows. What came between two boundaries stands at the later one, with which it was decided."""
    tops: list[str] = []
    played: list[str] = []
    criteria: set[str] = set()
    metrics: list[dict[str, float]] = []
    advance_to: str | None = None
    for event in events:
        kind, step = event["event"], event["step"]
        if kind == "run_created":
            tops = [stage["name"] for stage in event["stages"]]
            played = [m["name"] for stage in event["stages"] for m in (stage.get("parallel") or [stage])]
            criteria = set(event.get("metrics", ()))
        elif kind == "metrics":
            metrics.append({name: value for name, value in event["metrics"].items() if name in criteria})
        elif kind == "request_answered" and event["request"] == "advance":
            advance_to = event["to"]
        elif kind in ("episodes", "progress"):
            yield from (Row(step, metrics=told) for told in metrics if told)
            metrics.clear()
            if kind == "progress":
                yield Row(step, advance_to=advance_to)
            for stage, score, *visit in event.get("scores", ()):
                yield Row(step, score, played[stage], visit[0] if visit else None, advance_to)
            advance_to = None
        elif kind in ("stage_transition", "curriculum_ended"):
            yield Row(step, stage=tops[event["to_stage"] if kind == "stage_transition" else event["stage"]])


def _read(file: TextIO, path: Path, columns: Columns) -> Trace:
    reader = csv.reader(file)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise TraceError(f"{path}:1: this is no CSV: {error}") from None
    if not header:
        raise TraceError(f"{path}: is empty; a trace has a header line and a row an episode")
    step_at = _column(header, columns.step, STEP_HEADERS, "step", path)
    score_at = _column(header, columns.score, SCORE_HEADERS, "score", path)
    stage_at = _stage_column(header, columns.stage, path)
    at = {name: header.index(name) for name in (VISIT, ADVANCE, *columns.metrics) if name in header}
    metric_at = {name: at[name] for name in columns.metrics if name in at}
    rows: list[Row] = []
    for line, row in _rows(reader, len(header), path):
        where = f"{path}:{line}"
        step = _step(row[step_at], header[step_at], where)
        if rows and step < rows[-1].step:
            hint = "sort the rows by step, and keep one run in a file"
            raise TraceError(f"{where}: {header[step_at]} goes back from {rows[-1].step} to {step}", hint=hint)
        score = _score(row[score_at], header[score_at], where)
        stage = row[stage_at] if stage_at is not None and row[stage_at].strip() else None
        visit = row[at[VISIT]].strip() if VISIT in at else ""
        advance_to = row[at[ADVANCE]].strip() if ADVANCE in at else ""
        metrics = {name: _score(row[index], name, where) for name, index in metric_at.items()}
        told = {name: value for name, value in metrics.items() if value is not None}
        rows.append(Row(step, score, stage, _step(visit, VISIT, where) if visit else None, advance_to or None, told))
    if not rows:
        raise TraceError(f"{path}: has a header and no rows")
    if all(row.score is None for row in rows):
        raise TraceError(f"{path}: has no row with a score; its column {header[score_at]} is empty")
    return trace_of_rows(str(path), rows)


def _rows(reader: Iterator[list[str]], width: int, path: Path) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        for row in reader:
            line = reader.line_num  # type: ignore[attr-defined]
            if not row:
                continue
            if len(row) != width:
                raise TraceError(f"{path}:{line}: has {len(row)} values, the header has {width} columns")
            yield line, row
    except csv.Error as error:
        raise TraceError(f"{path}:{line + 1}: this is no CSV: {error}") from None


def _column(header: Sequence[str], named: str | None, usual: Sequence[str], what: str, path: Path) -> int:
    if named is not None:
        if named not in header:
            raise TraceError(f"{path}:1: has no column '{named}'; {nearest(named, header)}")
        return header.index(named)
    lowered = [name.strip().lower() for name in header]
    for name in usual:
        if name in lowered:
            return lowered.index(name)
    found = ", ".join(header)
    raise TraceError(f"{path}:1: no column looks like a {what}; it has {found}", hint=f"name it: --{what}-column NAME")


def _stage_column(header: Sequence[str], named: str | None, path: Path) -> int | None:
    lowered = [name.strip().lower() for name in header]
    if named is None and not set(STAGE_HEADERS) & set(lowered):
        return None
    return _column(header, named, STAGE_HEADERS, "stage", path)


def _step(text: str, column: str, where: str) -> int:
    value = _number(text, column, where)
    if not value.is_integer() or value < 0:
        raise TraceError(f"{where}: {column} is {text}; a step is a whole number of environment steps")
    return int(value)


def _score(text: str, column: str, where: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    return _number(text, column, where)


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise TraceError(f"{where}: {column} is {text!r}, which is no number") from None
    if not math.isfinite(value):
        hint = "leave the cell empty where nothing was measured, or take the row out"
        raise TraceError(f"{where}: {column} is {text}, not a finite number", hint=hint)
    return value
