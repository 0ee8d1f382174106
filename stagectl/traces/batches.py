"""A large CSV file as a stream of traces, for a replay that holds only a part of it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stagectl.errors import TraceError
from stagectl.traces.columns import GUESSED, Columns, choose
from stagectl.traces.csv import Layout, csv_table, layout_of
from stagectl.traces.read import read_traces
from stagectl.traces.rows import taken, traces_of
from stagectl.traces.source import PARQUET, Source, open_source
from stagectl.traces.trace import Trace


def read_batches(path: Path, columns: Columns = GUESSED, rows: int = 250_000) -> Iterator[Trace]:
    """The trace of a file in parts of about so many rows; the stages' names and the notes are each part's own.

    A CSV file is held in memory a part at a time. Any other file is read as a whole first, as is a CSV file whose
    rows must be seen together: several runs, attempts, a long table, steps that no column tells.

    Raises:
        TraceError: What `read_traces` raises; the file has several runs; its steps go back.
    """
    source = open_source(str(path), path)
    layout = _streamable(source, columns)
    if layout is not None:
        yield from _streamed(source, layout, columns, rows)
        return
    traces = read_traces([str(path)], columns)
    if len(traces) != 1:
        raise TraceError(f"{path}: has {len(traces)} runs", hint="read it as a whole")
    (trace,) = traces
    for at in range(0, len(trace), rows):
        yield taken(trace, np.arange(at, min(at + rows, len(trace))))


def _streamable(source: Source, columns: Columns) -> Layout | None:
    """How the file is written, where it can be read in parts."""
    head = source.head()
    if isinstance(source.content, bytes) or head.startswith(PARQUET) or head.lstrip().startswith(b"{"):
        return None
    layout = layout_of(source)
    chosen = choose(layout.header, columns, f"{source.name}:{layout.comments + 1}")
    parted = chosen.step and layout.line_end == "\n" and not (chosen.run or chosen.attempt or chosen.key)
    return layout if parted else None


def _streamed(source: Source, layout: Layout, columns: Columns, rows: int) -> Iterator[Trace]:
    last = 0
    for passed, part in _parts(source, layout.comments, rows):
        table = csv_table(Source(source.name, part), replace(layout, comments=0, passed=layout.comments + passed))
        (trace,) = traces_of(table, columns)
        if trace.steps[0] < last:
            told = f"{table.place(0)}: the step goes back from {last} to {trace.steps[0]}"
            raise TraceError(told, hint="such a file is read as a whole, not in parts")
        last = int(trace.steps[-1])
        yield trace


def _parts(source: Source, comments: int, rows: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines under the header, with the number of lines between them and it."""
    sample = source.head()
    size = rows * max(len(sample) // max(sample.count(b"\n"), 1), 1)
    with Path(source.name).open("rb") as file:
        for _ in range(comments):
            file.readline()
        header = file.readline()
        passed, rest = 0, b""
        while block := file.read(size):
            end = block.rfind(b"\n") + 1
            if end:
                lines = rest + block[:end]
                yield passed, header + lines
                passed += lines.count(b"\n")
                rest = block[end:]
            else:
                rest += block
        if rest.strip():
            yield passed, header + rest
