"""`stagectl report`: a run as one HTML file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from stagectl.cli.options import RunArgument, say


def command(
    run_id: RunArgument,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; else RUN_ID.html here.")] = None,
) -> None:
    """Write a run's curves, transitions, checkpoints and recipe as one HTML file, which opens without a network."""
    from stagectl.cli.catching_up import catch_up
    from stagectl.runs import EventReader, find_run, read_liveness, sifted, superseded
    from stagectl.view.file import write_file
    from stagectl.view.report.run import run_report

    paths = find_run(run_id)
    catch_up(paths)
    liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
    told = sifted(EventReader(paths.events).read(), superseded(paths.events))
    kept = None
    if liveness.away is None:  # those of a run on a cluster are there
        kept = {str(folder.relative_to(paths.folder)) for folder in paths.checkpoints.glob("step-*")}
    recipe = paths.recipe.read_text("utf-8", "replace")
    file = to or Path(f"{paths.run_id}.html")
    write_file(file, run_report(paths.run_id, told, liveness, recipe, time.time(), kept))
    say(f"wrote {file}")
