"""`stagectl logs`: what the training process printed."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.options import RunArgument


def command(
    run_id: RunArgument,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Stay, and print what is added, until the run ends.")
    ] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="The last so many lines; 0 is all.", min=0)] = 1000,
) -> None:
    """Print what a run's training process wrote, whether it runs, has failed or has ended."""
    import sys
    import time

    from stagectl.runs import ENDED, find_run, judge, read_liveness, read_status
    from stagectl.runs.logfile import LogTail
    from stagectl.view import printable

    paths = find_run(run_id)
    tail = LogTail(paths.log, lines)
    while True:
        ended = not follow or judge(read_status(paths), read_liveness(paths))[0] in ENDED
        for line in tail.read(whole=not ended):
            sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()
        if ended:
            return
        time.sleep(0.5)
