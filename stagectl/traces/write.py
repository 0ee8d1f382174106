"""A trace written: as CSV, JSONL or Parquet, read back as the same trace to the bit."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from stagectl.errors import UsageError
from stagectl.traces.columns import ADVANCE, MEAN_OF, VISIT, metric_header
from stagectl.traces.trace import Trace

if TYPE_CHECKING:
    import polars as pl

FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_OTHERS = (".gz", ".zst", ".json", ".xlsx", ".tsv", ".arrow", ".feather")
_ROWS = 1 << 17  # so many are text at a time


def write_trace(trace: Trace, file: IO[bytes], suffix: str = ".csv") -> None:
    """The trace in one of `FORMATS`: a row an episode, an empty cell where a row has no such value.

    Raises:
        OSError: The disk refused.
    """
    frame = frame_of(trace)
    if suffix == ".parquet":
        whole = io.BytesIO()  # polars would tell a full disk as an error of its own
        frame.write_parquet(whole)
        file.write(whole.getbuffer())
    elif suffix.endswith(".gz"):
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            _write_text(frame, packed, suffix.removesuffix(".gz"))
    else:
        _write_text(frame, file, suffix)


def format_of(path: Path) -> str:
    """The one of `FORMATS` in which the name ends; CSV where it ends in none that is known.

    Raises:
        UsageError: It ends in that of another kind of table.
    """
    name = path.name.lower()
    found = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if found is None and name.endswith(_OTHERS):
        raise UsageError(f"{path}: is of no format that can be written", hint=f"end its name in {', '.join(FORMATS)}")
    return found or ".csv"


def frame_of(trace: Trace) -> pl.DataFrame:
    """The trace as a table: step, stage, score, and where there are any visit, advance_to, mean_of and metrics."""
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
        columns.append(pl.Series(MEAN_OF, trace.counts))
    columns += [pl.Series(metric_header(name), values, nan_to_null=True) for name, values in trace.metrics.items()]
    frame = pl.DataFrame(columns)
    if trace.start is not None:
        first = pl.DataFrame({"step": [0], "stage": [trace.start]}, schema={"step": pl.Int64, "stage": pl.String})
        frame = pl.concat([first, frame], how="diagonal")
    return frame


def _write_text(frame: pl.DataFrame, file: IO[bytes] | gzip.GzipFile, suffix: str) -> None:
    for at in range(0, max(len(frame), 1), _ROWS):
        part = frame[at : at + _ROWS]
        text = part.write_csv(include_header=at == 0) if suffix == ".csv" else part.write_ndjson()
        file.write(text.encode())
