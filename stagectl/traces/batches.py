"""A large CSV file as a stream of traces, for a replay that holds only a part of it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from stagectl.errors import TraceError
from stagectl.traces.columns import GUESSED, Columns, choose
from stagectl.traces.csv import LOOKED_THROUGH, Layout, csv_table, layout_of
from stagectl.traces.read import read_traces
from stagectl.traces.rows import taken, traces_of
from stagectl.traces.source import GZIP, PARQUET, ZSTD, Source, open_source
from stagectl.traces.trace import Trace

_CHUNK = 1 << 20
PART_BYTES = 1 << 23  # fits the processor's cache better than more, and costs fewer calls than less


def read_batches(path: Path, columns: Columns = GUESSED, rows: int = 250_000) -> Iterator[Trace]:
    """The trace of a file in parts of about so many rows; the stages' names and the notes are each part's own.

    A CSV file is held in memory a part at a time. Any other file is read as a whole first, as is a CSV file whose
    rows must be seen together: several runs, attempts, a long table, steps that no column tells.

    Raises:
        TraceError: What `read_traces` raises; the file has several runs; its steps go back.
    """
    layout = _streamable(path, columns)
    if layout is not None:
        yield from _streamed(path, layout, columns, rows * _bytes_a_row(path))
        return
    traces = read_traces([str(path)], columns)
    if len(traces) != 1:
        raise TraceError(f"{path}: has {len(traces)} runs", hint="read it as a whole")
    (trace,) = traces
    for at in range(0, len(trace), rows):
        yield taken(trace, np.arange(at, min(at + rows, len(trace))))


def parts_of(source: str, columns: Columns) -> tuple[int, Iterator[Trace]] | None:
    """The trace of a large CSV file in parts, and about how many rows they have; None where it is read as a whole.

    No part tells a stage, and together they say what the whole says, but for long stretches without rows. They
    raise TraceError where the whole might not: what is wrong with it, or what it is, reading the whole tells.
    """
    path = Path(source)
    if not path.is_file() or path.stat().st_size <= LOOKED_THROUGH:
        return None
    try:
        layout = _streamable(path, columns)
    except TraceError:
        return None
    if layout is None or choose(layout.header, columns, source).words():
        return None
    return path.stat().st_size // _bytes_a_row(path), _streamed(path, layout, columns, PART_BYTES, quotes=False)


def _streamable(path: Path, columns: Columns) -> Layout | None:
    """How the file is written, where it can be read in parts."""
    head = Source(str(path), path).head() if path.is_file() else b""
    if head.startswith((GZIP, ZSTD, PARQUET)) or head.lstrip().startswith(b"{"):
        return None
    source = open_source(str(path), path)
    if isinstance(source.content, bytes):
        return None
    layout = layout_of(source)
    chosen = choose(layout.header, columns, f"{source.name}:{layout.comments + 1}")
    parted = chosen.step and layout.line_end == "\n" and not (chosen.run or chosen.attempt or chosen.key)
    return layout if parted else None


def _bytes_a_row(path: Path) -> int:
    sample = Source(str(path), path).head()
    return max(len(sample) // max(sample.count(b"\n"), 1), 1)


def _streamed(path: Path, layout: Layout, columns: Columns, size: int, *, quotes: bool = True) -> Iterator[Trace]:
    last = 0
    for begun, part in _parts(path, layout.lead, size):
        if not quotes and b'"' in part:
            raise TraceError(f"{path}: has quotes, and a line may end within them", hint="read it as a whole")
        passed = partial(_lines_before, path, begun)
        table = csv_table(Source(str(path), part), replace(layout, passed=passed))
        (trace,) = traces_of(table, columns)
        if trace.steps[0] < last:
            told = f"{table.place(0)}: the step goes back from {last} to {trace.steps[0]}"
            raise TraceError(told, hint="such a file is read as a whole, not in parts")
        last = int(trace.steps[-1])
        yield trace


def _parts(path: Path, lead: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The lines under the header, about so many bytes of them at a time, and where in the file those begin."""
    with path.open("rb") as file:
        for _ in range(lead):
            file.readline()
        begun = file.tell()
        while True:
            file.seek(begun + size)
            file.readline()
            end = file.tell()
            file.seek(begun)
            part = file.read(end - begun)  # in one piece: to put it together would copy it
            if not part:
                return
            yield begun, part
            begun += len(part)


def _lines_before(path: Path, begun: int) -> int:
    """How many lines of the file stand before that place; only for a message, as it is slow."""
    with path.open("rb") as file:
        return sum(file.read(min(_CHUNK, begun - at)).count(b"\n") for at in range(0, begun, _CHUNK))
