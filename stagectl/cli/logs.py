"""`stagectl logs`: what the training process printed."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.cluster import follow_if_away
from stagectl.cli.options import RunArgument


def command(
    run_id: RunArgument,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Stay, and print what is added, until the run ends.")
    ] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="The last so many lines; 0 is all.", min=0)] = 1000,
) -> None:
    """Print what a run's training process wrote."""
    import sys
    import time

    from stagectl.runs import ENDED, StatusReader, find_run, judge, read_liveness
    from stagectl.runs.logfile import LogTail
    from stagectl.view import printable

    paths = find_run(run_id)
    follow_if_away(paths)
    tail, reader = LogTail(paths.log, lines), StatusReader(paths)
    while True:
        liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
        ended = not follow or judge(reader.read(), liveness)[0] in ENDED
        for line in tail.read(whole=not ended):
            sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()
        if ended:
            return
        time.sleep(0.5)
