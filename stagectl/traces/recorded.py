"""What loggers keep, as a table: a column a name, empty where a row has none of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stagectl.traces.columns import Chosen
from stagectl.traces.table import Table

if TYPE_CHECKING:
    import polars as pl


def recorded_table(name: str, rows: Iterable[Mapping[str, Any]], notes: Iterable[str] = ()) -> Table:
    """The table of a recording that nobody can mend; a dict within a row is flattened: `a.b`.

    `notes` are taken after the last row.
    """
    columns: dict[str, tuple[array[int], list[Any]]] = {}
    count = 0
    for row in rows:
        for key, value in _flat(row):
            at, values = columns.setdefault(key, (array("q"), []))
            at.append(count)
            values.append(value)
        count += 1

    def read(chosen: Chosen) -> pl.DataFrame:
        import polars as pl

        return pl.DataFrame([_series(key, *columns[key], count) for key in chosen.all()])

    def place(row: int) -> str:
        return f"{name}, row {row + 1:,}"

    return Table(name, list(columns), read, place, name, can_be_mended=False, notes=tuple(notes))


def _series(name: str, at: array[int], values: list[Any], count: int) -> pl.Series:
    """Numbers where all are, else text for the reader to judge."""
    import polars as pl

    spread: list[Any] = [None] * count
    numeric = all(isinstance(value, int | float) for value in values)
    for row, value in zip(at, values, strict=True):
        spread[row] = value if value is None else float(value) if numeric else str(value)
    return pl.Series(name, spread, dtype=pl.Float64() if numeric else pl.String())


def _flat(row: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{under}{key}.")
        elif value is not None:
            yield f"{under}{key}", value
