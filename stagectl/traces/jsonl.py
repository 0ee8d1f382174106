"""JSONL, an object a line, by polars."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stagectl.errors import TraceError
from stagectl.traces.columns import Chosen
from stagectl.traces.source import Source, check_utf8
from stagectl.traces.table import Table

if TYPE_CHECKING:
    import polars as pl


def jsonl_table(source: Source) -> Table:
    """A table with a column a key. Raises TraceError with the line that is no JSON object."""
    import polars as pl

    try:
        frame = pl.read_ndjson(source.content, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        frame = _by_line(source)

    def place(row: int) -> str:
        lines = (number for number, line in enumerate(source.lines(), 1) if line.strip())
        return f"{source.name}:{next((number for at, number in enumerate(lines) if at == row), row + 1)}"

    def read(chosen: Chosen) -> pl.DataFrame:
        return frame.select(chosen.all())

    return Table(source.name, frame.columns, read, place, source.name, notes=source.notes)


def is_event_log(source: Source) -> bool:
    """Whether its first line is an event of a run of ours."""
    try:
        first = json.loads(source.head().split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and {"seq", "attempt", "step", "time", "event"} <= first.keys()


def _by_line(source: Source) -> pl.DataFrame:
    """What polars refuses: NaN, true and numbers in one column, or a line that is no JSON."""
    import polars as pl

    check_utf8(source)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(source.lines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            hint = "" if line.endswith("\n") else "the file is cut short: take its last line out"
            raise TraceError(f"{source.name}:{number}: this line is no JSON: {error}", hint=hint) from None
        except RecursionError:
            raise TraceError(f"{source.name}:{number}: this line is nested too deep") from None
        if not isinstance(row, dict):
            raise TraceError(f"{source.name}:{number}: this line is no object of names and values")
        rows.append({name: float(value) if isinstance(value, bool) else value for name, value in row.items()})
    try:
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TraceError(f"{source.name}: its lines make no table: {reason}") from None
