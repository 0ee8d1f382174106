"""`stagectl export`: a run's trace as CSV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import RunArgument, say

if TYPE_CHECKING:
    from stagectl.runs import Event


def command(
    run_id: RunArgument,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; else standard output.")] = None,
) -> None:
    """Write a run's episodes as a CSV trace."""
    from stagectl.errors import StorageError, TraceError
    from stagectl.runs import EventReader, find_run
    from stagectl.traces import write_csv

    paths = find_run(run_id)
    events = EventReader(paths.events).read()
    try:
        rows = write_csv(events, sys.stdout) if to is None else _write(events, to)
    except OSError as error:
        if to is None:
            raise
        raise StorageError(f"{to}: cannot be written: {error.strerror}") from None
    if rows == 0:
        raise TraceError(f"{paths.run_id} has no finished episode yet", hint=f"see: stagectl status {paths.run_id}")
    if to is not None:
        say(f"wrote {rows:,} rows to {to}")


def _write(events: Iterable[Event], to: Path) -> int:
    """The number of rows; written beside and renamed, so that whatever fails leaves what was there."""
    from stagectl.traces import write_csv

    if to.exists() and not to.is_file():  # a pipe or a device
        with to.open("w", encoding="utf-8", newline="") as file:
            return write_csv(events, file)
    target = to.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            rows = write_csv(events, file)
        if rows:
            beside.replace(target)
        return rows
    finally:
        beside.unlink(missing_ok=True)
