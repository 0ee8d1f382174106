"""A trace written: as CSV, JSONL or Parquet, read back as the same trace to the bit."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO, cast

import numpy as np

from stagectl.errors import UsageError
from stagectl.runs import Event
from stagectl.traces.columns import ADVANCE, VISIT, metric_header
from stagectl.traces.run import trace_of_events
from stagectl.traces.trace import Trace

if TYPE_CHECKING:
    import polars as pl

FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_ROWS = 1 << 17  # so many are text at a time


def write_csv(events: Iterable[Event], file: TextIO) -> int:
    """A run's episodes as CSV, one row each, in order; the number of rows."""
    frame = frame_of(trace_of_events("", events))
    for part in _texts(frame, ".csv"):
        file.write(part)
    return len(frame)


def write_trace(trace: Trace, path: Path, suffix: str) -> None:
    """The trace in the format that a suffix of `FORMATS` names, for `path` may be a temporary one.

    Raises:
        OSError: The disk refused.
    """
    with ExitStack() as stack:
        file = cast("IO[bytes]", stack.enter_context(path.open("wb")))
        if suffix == ".parquet":
            frame_of(trace).write_parquet(file)
            return
        if suffix.endswith(".gz"):
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0)))
        for part in _texts(frame_of(trace), suffix.removesuffix(".gz")):
            file.write(part.encode())


def format_of(path: Path) -> str:
    """The suffix of `FORMATS` in which the name ends. Raises UsageError: in none."""
    name = path.name.lower()
    found = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if found is None:
        raise UsageError(f"{path}: the name tells no format", hint=f"end it in {', '.join(FORMATS)}")
    return found


def frame_of(trace: Trace) -> pl.DataFrame:
    """The trace as a table: step, stage, score; visit, advance_to, count and a column a metric where there are any."""
    import polars as pl

    names = pl.Series([*trace.stage_names, None], dtype=pl.String)
    codes = np.full(len(trace), -1) if trace.stage_codes is None else trace.stage_codes
    columns = [
        pl.Series("step", trace.steps),
        names.gather(np.where(codes < 0, len(trace.stage_names), codes)).alias("stage"),
        pl.Series("score", trace.scores, nan_to_null=True),
    ]
    if trace.visits is not None:
        visits = pl.Series(VISIT, trace.visits)
        columns.append(visits.set(visits < 0, None))
    if trace.advances:
        columns.append(pl.Series(ADVANCE, [trace.advances.get(row) for row in range(len(trace))], dtype=pl.String))
    if trace.counts is not None:
        columns.append(pl.Series("count", trace.counts))
    columns += [pl.Series(metric_header(name), values, nan_to_null=True) for name, values in trace.metrics.items()]
    frame = pl.DataFrame(columns)
    if trace.start is not None:
        first = pl.DataFrame({"step": [0], "stage": [trace.start]}, schema={"step": pl.Int64, "stage": pl.String})
        frame = pl.concat([first, frame], how="diagonal")
    return frame


def _texts(frame: pl.DataFrame, suffix: str) -> Iterator[str]:
    for at in range(0, max(len(frame), 1), _ROWS):
        part = frame[at : at + _ROWS]
        yield part.write_csv(include_header=at == 0) if suffix == ".csv" else part.write_ndjson()
