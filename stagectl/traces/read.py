"""Every recording in: files of all kinds, globs, standard input, runs."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stagectl.errors import RunNotFoundError, TraceError, UsageError
from stagectl.runs import RunPaths, find_run
from stagectl.traces.columns import GUESSED, Columns
from stagectl.traces.csv import csv_table
from stagectl.traces.jsonl import is_event_log, jsonl_table
from stagectl.traces.parquet import parquet_table
from stagectl.traces.rows import traces_of
from stagectl.traces.run import read_event_log, read_run
from stagectl.traces.source import PARQUET, Source, open_source
from stagectl.traces.tensorboard import is_event_file, tensorboard_table
from stagectl.traces.trace import Trace
from stagectl.traces.wandb import ONLINE, offline_tables, online_table

_SUFFIXES = {".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json", ".gz", ".zst", ".wandb"}


def read_traces(sources: Sequence[str], columns: Columns = GUESSED) -> list[Trace]:
    """The traces in all sources, in order; a table with several runs gives one each.

    Args:
        sources: Files (CSV, JSONL, Parquet, each also packed by gzip or zstd; `.wandb`; TensorBoard's), globs, `-` for
            standard input, a run's id or folder, the folder of a W&B offline run or of TensorBoard's files, or
            `wandb://entity/project/run`.
        columns: Which columns to read and what their numbers count.

    Raises:
        TraceError: With its place: what is not there, cannot be read or makes no sense.
        DamagedRunError: A run's event log is damaged.
    """
    return [trace for source in sources for path in _expanded(source) for trace in _read(path, columns)]


def run_of(source: str) -> RunPaths | None:
    """The run of ours that a source names by its id or its folder; None where it is something else."""
    path = Path(source)
    if path.is_dir():
        return RunPaths(path) if RunPaths(path).events.is_file() else None
    is_other = source == "-" or source.startswith(ONLINE) or glob.has_magic(source)
    if is_other or not _is_run_id(source, path):
        return None
    try:
        return find_run(source)
    except (RunNotFoundError, UsageError):
        return None


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
        return _read_file(open_source("standard input", sys.stdin.buffer.read()), columns)
    if source.startswith(ONLINE):
        return traces_of(online_table(source), columns)
    path = Path(source)
    if path.is_dir():
        return _read_folder(source, path, columns)
    if _is_run_id(source, path):
        return [_read_run(source)]
    if path.suffix == ".wandb":
        return [trace for table in offline_tables(source, [path]) for trace in traces_of(table, columns)]
    if is_event_file(path):
        return traces_of(tensorboard_table(source, [path]), columns)
    return _read_file(open_source(source, path), columns)


def _read_file(source: Source, columns: Columns) -> list[Trace]:
    head = source.head()
    if head.startswith(PARQUET):
        return traces_of(parquet_table(source), columns)
    if not head.lstrip().startswith(b"{"):
        return traces_of(csv_table(source), columns)
    if is_event_log(source):
        packed = isinstance(source.content, bytes)
        return [read_event_log(source.name, source.lines()) if packed else read_run(source.name, Path(source.name))]
    return traces_of(jsonl_table(source), columns)


def _read_folder(source: str, path: Path, columns: Columns) -> list[Trace]:
    events = RunPaths(path).events
    if events.is_file():
        return [read_run(source, events)]
    if found := sorted(path.rglob("*.wandb")):
        return [trace for table in offline_tables(source, found) for trace in traces_of(table, columns)]
    if found := sorted(file for file in path.rglob("*") if is_event_file(file)):
        folders = dict.fromkeys(file.parent for file in found)
        parts = [(folder, [file for file in found if file.parent == folder]) for folder in folders]
        return [t for folder, files in parts for t in traces_of(tensorboard_table(str(folder), files), columns)]
    told = "has no events.jsonl, no .wandb and no TensorBoard file"
    raise TraceError(f"{source}: this folder {told}", hint=f"name files in it: '{source.rstrip('/')}/*.csv'")


def _is_run_id(source: str, path: Path) -> bool:
    return not path.exists() and "/" not in source and path.suffix.lower() not in _SUFFIXES


def _read_run(name: str) -> Trace:
    try:
        paths = find_run(name)
    except (RunNotFoundError, UsageError) as error:
        raise TraceError(f"{name}: no such file, and no run: {error.message}", hint=error.hint) from None
    return read_run(paths.run_id, paths.events)
