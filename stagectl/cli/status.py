"""`stagectl status`: where a run stands and what it is waiting for."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.cluster import follow_if_away
from stagectl.cli.options import RUN_HELP, ProgressOption, WatchOutput, complete_run, print_json


def command(
    run_id: Annotated[str | None, typer.Argument(help=RUN_HELP, metavar="RUN_ID", autocompletion=complete_run)] = None,
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Stay until the run ends; exit with its result.")
    ] = False,
    output: Annotated[WatchOutput, typer.Option("-o", "--output", help="What to print; jsonl with --watch.")] = "table",
    progress: ProgressOption = "auto",
) -> None:
    """Show one run whole, or without an id a table of all."""
    from stagectl.cli.catching_up import catch_up
    from stagectl.errors import UsageError
    from stagectl.runs import find_run, judge, read_liveness, read_status, status_data

    if run_id is None:
        if watch:
            raise UsageError("--watch needs a run", hint="stagectl status latest --watch")
        from stagectl.cli.list_runs import show_runs

        show_runs(as_json=output != "table")
        return
    paths = find_run(run_id)
    if watch:
        from stagectl.cli.watching import watch_lines, watch_run

        follow_if_away(paths)
        raise typer.Exit(watch_lines(paths) if output == "jsonl" else watch_run(paths, progress, output))
    catch_up(paths)
    liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
    status = read_status(paths)
    if output != "table":
        print_json(status_data(status, liveness), line=output == "jsonl")
        return
    from stagectl.cli.watching import show_log_of_failure
    from stagectl.view import show_status

    show_status(status, liveness)
    show_log_of_failure(paths, judge(status, liveness)[0])
