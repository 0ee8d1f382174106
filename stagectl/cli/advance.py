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
    from stagectl.runs import ENDED, EventReader, StatusReader, find_run, judge, read_liveness, read_status

    paths = find_run(run_id)
    follow_if_away(paths)
    status = read_status(paths)
    names = [*(stage.name for stage in status.curriculum), "end"]
    if to is not None and to not in names:
        raise UsageError(f"{paths.run_id} has no stage '{to}'; {nearest(to, names)}")
    state, detail = judge(status, read_liveness(paths))
    if state in ENDED:
        raise UsageError(f"{paths.run_id} is not running: {state}{f', {detail}' if detail else ''}")
    refuse_if_managed(paths)
    answers = EventReader(paths.events, after=status.seq)
    local.request_advance(paths, to)
    say(f"asked {paths.run_id} to go to {to or 'its next stage'} at its next rollout")
    reader = StatusReader(paths)
    while True:
        ended = judge(reader.read(), read_liveness(paths))[0] in ENDED  # before the answers: one may be the last event
        for event in answers.read():
            if event["event"] == "request_answered" and event["request"] == "advance":
                if event["to"] is None:
                    raise JobError(f"{paths.run_id} refused: {event['refused']}")
                say(f"it goes to {event['to']} after step {event['step']:,}")
                return
        if ended:
            raise JobError(f"{paths.run_id} ended before it could go on")
        time.sleep(0.2)
