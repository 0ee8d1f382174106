"""`stagectl export`: a run's trace as a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import RunArgument, say

if TYPE_CHECKING:
    from stagectl.traces import Trace


def command(
    run_id: RunArgument,
    to: Annotated[
        Path | None, typer.Option("--to", help="A .csv, .jsonl, .parquet (or .csv.gz) to write; else standard output.")
    ] = None,
) -> None:
    """Write a run's episodes, and the metrics that its criteria name, as a trace."""
    from stagectl.cli.catching_up import catch_up
    from stagectl.errors import StorageError, TraceError
    from stagectl.runs import find_run
    from stagectl.traces import read_run, write_trace

    paths = find_run(run_id)
    catch_up(paths)
    trace = read_run(paths.run_id, paths.events)
    if not len(trace):
        raise TraceError(f"{paths.run_id} has no finished episode yet", hint=f"see: stagectl status {paths.run_id}")
    if to is None:
        sys.stdout.flush()
        write_trace(trace, sys.stdout.buffer)
        return
    try:
        _write(trace, to)
    except OSError as error:
        raise StorageError(f"{to}: cannot be written: {error.strerror}") from None
    for note in trace.notes:
        say(f"note: {note}")
    say(f"wrote {len(trace):,} rows to {to}")


def _write(trace: Trace, to: Path) -> None:
    """Written beside and renamed, so that whatever fails leaves what was there."""
    from stagectl.traces import format_of, write_trace

    if to.exists() and not to.is_file():  # a pipe or a device
        with to.open("wb") as file:
            write_trace(trace, file)
        return
    suffix = format_of(to)
    target = to.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            write_trace(trace, file, suffix)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
