"""`stagectl export`: a run's trace as CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stagectl.cli.options import RunArgument, say


def command(
    run_id: RunArgument,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; else standard output.")] = None,
) -> None:
    """Write a run's episodes as a trace, which `stagectl simulate` replays."""
    from stagectl.errors import StorageError, TraceError
    from stagectl.runs import EventReader, find_run
    from stagectl.traces import write_csv

    paths = find_run(run_id)
    events = EventReader(paths.events).read()
    if to is None:
        rows = write_csv(events, sys.stdout)
    else:
        try:
            with to.open("w", encoding="utf-8", newline="") as file:
                rows = write_csv(events, file)
        except OSError as error:
            raise StorageError(f"{to}: cannot be written: {error.strerror}") from None
        say(f"wrote {rows:,} rows to {to}")
    if rows == 0:
        raise TraceError(f"{paths.run_id} has no finished episode yet", hint=f"see: stagectl status {paths.run_id}")
