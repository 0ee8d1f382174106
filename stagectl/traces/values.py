"""A table's columns as arrays, every value checked; what is no number is told with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stagectl.errors import TraceError
from stagectl.traces.table import Table
from stagectl.traces.trace import Codes, Floats, Whole

if TYPE_CHECKING:
    import polars as pl

ROW = "\0row"  # the column that keeps a row's place in its table
MOST = 1 << 62


def wholes(table: Table, frame: pl.DataFrame, column: str, what: str, missing: int | None = None) -> Whole:
    """A column of whole numbers, zero or more; `missing` stands where a cell is empty.

    Raises:
        TraceError: A cell is no such number, or is empty and `missing` is None.
    """
    import polars as pl

    cells = frame[column]
    if not cells.dtype.is_integer():
        cells = _numbers(table, frame, column)
        bad = cells.is_null() | cells.is_nan() | (cells.floor() != cells) | (cells.abs() >= MOST)
        _refuse(table, frame, column, bad & frame[column].is_not_null(), f"; {what} is a whole number")
        cells = cells.cast(pl.Int64)
    if cells.null_count():
        if missing is None:
            at = int(cells.is_null().arg_max() or 0)
            raise TraceError(f"{place(table, frame, at)}: {column} is empty; {what} is a whole number")
        cells = cells.fill_null(missing)
    values: Whole = cells.cast(pl.Int64).to_numpy()
    if len(values) and values.min() < (0 if missing is None else min(missing, 0)):
        _refuse(table, frame, column, cells < 0, f"; {what} is a whole number, zero or more")
    return values


def floats(table: Table, frame: pl.DataFrame, column: str) -> tuple[Floats, int]:
    """A column of finite numbers, NaN where a cell is empty; and how many others were left out.

    Raises:
        TraceError: A cell is no finite number, and the table can be mended.
    """
    cells = _numbers(table, frame, column)
    values: Floats = cells.to_numpy()
    if np.count_nonzero(np.isfinite(values)) + cells.null_count() == len(values):
        return values, 0
    odd = (~cells.is_finite()).fill_null(value=False)
    if table.can_be_mended:
        at = int(odd.arg_max() or 0)
        hint = "leave the cell empty where nothing was measured, or take the row out"
        told = f"{column} is {_shown(frame[column][at])}, not a finite number"
        raise TraceError(f"{place(table, frame, at)}: {told}", hint=hint)
    return cells.set(odd, None).to_numpy(), int(odd.sum())


def words(frame: pl.DataFrame, column: str) -> tuple[tuple[str, ...], Codes]:
    """The names in a column in the order of their first appearance, and each row's; -1 where a cell is blank."""
    import polars as pl

    cells = frame[column].cast(pl.String)
    cells = cells.set(cells.str.strip_chars() == "", None)
    names = cells.drop_nulls().unique(maintain_order=True)
    codes = cells.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int32), default=None)
    values: Codes = codes.cast(pl.Int32).fill_null(-1).to_numpy()
    return tuple(names), values


def place(table: Table, frame: pl.DataFrame, at: int) -> str:
    """Where a row of a part of the table stands."""
    return table.place(int(frame[ROW][at]) if ROW in frame.columns else at)


def _numbers(table: Table, frame: pl.DataFrame, column: str) -> pl.Series:
    """The cells as numbers: true and false are 1 and 0."""
    import polars as pl

    cells = frame[column]
    if cells.dtype == pl.String:
        text = cells.str.strip_chars().str.to_lowercase()
        text = text.set(text == "", None).replace({"true": "1", "false": "0"})
        numbers = text.cast(pl.Float64, strict=False)
        _refuse(table, frame, column, numbers.is_null() & text.is_not_null(), ", which is no number")
        return numbers
    if cells.dtype.is_numeric() or cells.dtype in (pl.Boolean, pl.Null):
        return cells.cast(pl.Float64)
    raise TraceError(f"{table.start}: {column} holds {cells.dtype}, no numbers")


def _refuse(table: Table, frame: pl.DataFrame, column: str, bad: pl.Series, why: str) -> None:
    """Raise for the first bad cell, if any is."""
    if not bad.any():
        return
    at = int(bad.fill_null(value=False).arg_max() or 0)
    cell = frame[column][at]
    has_comma = isinstance(cell, str) and cell.strip("+- ").replace(",", "", 1).isdigit()
    hint = "write decimals with a point" if has_comma and "," in cell else ""
    raise TraceError(f"{place(table, frame, at)}: {column} is {_shown(cell)}{why}", hint=hint)


def _shown(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return repr(cell)
