"""Parquet, by polars."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stagectl.errors import TraceError
from stagectl.traces.columns import Chosen
from stagectl.traces.source import Source
from stagectl.traces.table import Table

if TYPE_CHECKING:
    import polars as pl

_FEW_ROWS = 4_000_000
_ROWS_PER_BYTE = 1000  # a step that grows packs to a hundred rows a byte at most; a footer may declare anything


def parquet_table(source: Source) -> Table:
    """A Parquet file's table.

    Raises:
        TraceError: It is damaged, cut short, or declares more rows than its size can hold.
    """
    import polars as pl

    def content() -> io.BytesIO | str:
        return io.BytesIO(source.content) if isinstance(source.content, bytes) else str(source.content)

    def damaged(error: BaseException) -> TraceError:
        reason = " ".join(str(error).split()).removeprefix("parquet: ")
        return TraceError(f"{source.name}: no whole Parquet file: {reason}", hint="copy or write it again")

    faults = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
    try:
        with _quiet():
            header = list(pl.read_parquet_schema(content()))
            rows = int(pl.scan_parquet(content(), glob=False).select(pl.len()).collect().item())
    except faults as error:
        raise damaged(error) from None
    if rows > max(_FEW_ROWS, _ROWS_PER_BYTE * source.size()):
        told = f"{source.name}: declares {rows:,} rows, and has {source.size():,} bytes"
        raise TraceError(told, hint="it is damaged; copy or write it again")

    def read(chosen: Chosen) -> pl.DataFrame:
        try:
            with _quiet():
                return pl.read_parquet(content(), columns=chosen.all(), glob=False)
        except faults as error:
            raise damaged(error) from None

    return Table(source.name, header, read, lambda row: f"{source.name}, row {row + 1:,}", source.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without standard error: polars writes backtraces to it before it raises what says the same."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
