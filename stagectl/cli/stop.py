"""`stagectl stop`: end a run in good order."""

from __future__ import annotations

from typing import Annotated

import typer

from stagectl.cli.cluster import follow_if_away
from stagectl.cli.options import RunArgument, say


def command(
    run_id: RunArgument,
    grace: Annotated[
        float | None, typer.Option("--grace", help="Seconds until it is killed; else the recipe's stop_grace.", min=0)
    ] = None,
) -> None:
    """Have a run save a checkpoint and end.

    When the grace time is over it is killed, and that is said."""
    from stagectl.launch import local
    from stagectl.runs import ENDED, find_run, judge, read_liveness, read_status

    paths = find_run(run_id)
    follow_if_away(paths)
    liveness = read_liveness(paths)
    state, detail = judge(read_status(paths), liveness)
    if state in ENDED:
        say(f"{paths.run_id} is not running: {state}{f', {detail}' if detail else ''}")
        return
    local.request_stop(paths, grace)
    say(f"asked {paths.run_id} to save a checkpoint and end")
    status = local.await_stop(paths, grace)
    state, detail = judge(status, read_liveness(paths))
    checkpoint = f" · checkpoint {paths.folder / status.checkpoints[-1]['path']}" if status.checkpoints else ""
    say(f"{state} at step {status.step:,}{f', {detail}' if detail else ''}{checkpoint}")
    say(f"go on with it: stagectl run --resume {paths.run_id}")
