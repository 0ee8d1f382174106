"""`stagectl advance`: send a live run on to another stage by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.cluster import follow_if_away, refuse_if_managed
from stagectl.cli.options import RunArgument, say


def command(
    run_id: RunArgument,
    to: Annotated[
        str | None, typer.Option("--to", help="The stage to go to; else the next. `end` ends the curriculum.")
    ] = None,
) -> None:
    """Send a live run on to another stage.

    It goes at its next rollout; the reason recorded is `manual`."""
    import time

    from stagectl.errors import JobError, UsageError, nearest
    from stagectl.launch import local
    from stagectl.runs import ENDED, StatusReader, find_run, judge, read_liveness

    paths = find_run(run_id)
    follow_if_away(paths)
    reader = StatusReader(paths)
    status = reader.read()
    names = [*(stage.name for stage in status.curriculum), "end"]
    if to is not None and to not in names:
        raise UsageError(f"{paths.run_id} has no stage '{to}'; {nearest(to, names)}")
    state, detail = judge(status, read_liveness(paths))
    if state in ENDED:
        raise UsageError(f"{paths.run_id} is not running: {state}{f', {detail}' if detail else ''}")
    refuse_if_managed(paths)
    local.request_advance(paths, to)
    say(f"asked {paths.run_id} to go to {to or 'its next stage'} at its next rollout")
    while True:
        liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
        for event in reader.events():
            if event["event"] == "request_answered" and event["request"] == "advance":
                if event["to"] is None:
                    raise JobError(f"{paths.run_id} refused: {event['refused']}")
                say(f"it goes to {event['to']} after step {event['step']:,}")
                return
        if judge(reader.status, liveness)[0] in ENDED:
            raise JobError(f"{paths.run_id} ended before it could go on")
        time.sleep(0.2)
