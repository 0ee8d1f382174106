"""`stagectl status`: where a run stands and what it is waiting for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.cluster import follow_if_away
from stagectl.cli.options import RUN_HELP, ProgressOption, WatchOutput, complete_run, print_json, say

if TYPE_CHECKING:
    from stagectl.runs import Liveness, RunPaths, RunStatus

CATCH_UP_SECONDS = 20.0
QUIET_SECONDS = 1.0
FRESH_SECONDS = 30.0


def command(
    run_id: Annotated[str | None, typer.Argument(help=RUN_HELP, metavar="RUN_ID", autocompletion=complete_run)] = None,
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Stay until the run ends; exit with its result.")
    ] = False,
    output: Annotated[WatchOutput, typer.Option("-o", "--output", help="What to print; jsonl with --watch.")] = "table",
    progress: ProgressOption = "auto",
) -> None:
    """Show one run whole, or without an id a table of all."""
    from stagectl.errors import UsageError
    from stagectl.runs import find_run, judge, read_liveness, read_status, status_data

    if run_id is None:
        if watch:
            raise UsageError("--watch needs a run", hint="stagectl status latest --watch")
        from stagectl.cli.list_runs import show_runs

        show_runs(as_json=output != "table", limit=None)
        return
    paths = find_run(run_id)
    liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
    follow_if_away(paths)
    if watch:
        from stagectl.cli.watching import watch_lines, watch_run

        raise typer.Exit(watch_lines(paths) if output == "jsonl" else watch_run(paths, progress, output))
    status = read_status(paths)
    if liveness.away is not None and not liveness.job:
        status, liveness = caught_up(paths)
    if output != "table":
        print_json(status_data(status, liveness), line=output == "jsonl")
        return
    from stagectl.cli.watching import show_log_of_failure
    from stagectl.view import show_status

    show_status(status, liveness)
    show_log_of_failure(paths, judge(status, liveness)[0])


def caught_up(
    paths: RunPaths, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
) -> tuple[RunStatus, Liveness]:
    """The status of a run on a cluster that nobody followed until now: once it has told what is new, or after 20 s."""
    from stagectl.runs import ENDED, StatusReader, judge, read_liveness

    reader, began = StatusReader(paths), clock()
    first, last, heard = reader.read().seq, 0, began
    while True:
        liveness = read_liveness(paths)
        status = reader.read()
        if judge(status, liveness, clock())[0] in ENDED or clock() - began >= CATCH_UP_SECONDS:
            return status, liveness
        if not last:
            say("catching up with its cluster …")
        if status.seq != last:
            last, heard = status.seq, clock()
        if last > first and (clock() - heard > QUIET_SECONDS or clock() - status.last_time < FRESH_SECONDS):
            return status, liveness
        sleep(0.2)
