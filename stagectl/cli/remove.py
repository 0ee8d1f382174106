"""`stagectl rm`: remove runs that have ended."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.options import complete_run, say


def command(
    run_ids: Annotated[
        list[str], typer.Argument(help="Ids of runs that have ended.", metavar="RUN_ID", autocompletion=complete_run)
    ],
) -> None:
    """Remove runs that have ended, with their checkpoints."""
    from stagectl.runs import find_removable, remove_run

    found = [find_removable(run_id) for run_id in run_ids]
    for paths in found:
        remove_run(paths)
        say(f"removed {paths.run_id}")
