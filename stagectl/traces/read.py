"""Every recording in: files, globs, standard input, runs."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stagectl.errors import TraceError
from stagectl.traces.columns import GUESSED, Columns
from stagectl.traces.csv import csv_table
from stagectl.traces.rows import traces_of
from stagectl.traces.source import open_source
from stagectl.traces.trace import Trace


def read_traces(sources: Sequence[str], columns: Columns = GUESSED) -> list[Trace]:
    """The traces in all sources, in order; a table with several runs gives one each.

    Args:
        sources: Files, globs, or `-` for standard input.
        columns: Which columns to read and what their numbers count.

    Raises:
        TraceError: With its place: what is not there, cannot be read or makes no sense.
    """
    return [trace for source in sources for path in _expanded(source) for trace in _read(path, columns)]


def _expanded(source: str) -> Iterator[str]:
    if not glob.has_magic(source) or Path(source).exists():
        yield source
        return
    found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207
    if not found:
        raise TraceError(f"{source}: no file matches")
    yield from found


def _read(source: str, columns: Columns) -> list[Trace]:
    if source == "-":
        return traces_of(csv_table(open_source("standard input", sys.stdin.buffer.read())), columns)
    path = Path(source)
    if path.is_dir():
        raise TraceError(f"{source}: this is a folder; name the CSV file in it")
    return traces_of(csv_table(open_source(source, path)), columns)


def read_csv(path: Path, columns: Columns = GUESSED) -> Trace:
    """The one trace of a file."""
    (trace,) = read_traces([str(path)], columns)
    return trace
