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
    from stagectl.launch.follow import await_end
    from stagectl.launch.resume_away import outlives_job
    from stagectl.runs import ENDED, find_run, judge, read_liveness, read_status

    paths = find_run(run_id)
    away = follow_if_away(paths)
    liveness = read_liveness(paths)
    state, detail = judge(read_status(paths), liveness)
    if state in ENDED:
        say(f"{paths.run_id} is not running: {state}{f', {detail}' if detail else ''}")
        return
    local.request_stop(paths, grace)
    say(f"asked {paths.run_id} to save a checkpoint and end")
    status = await_end(paths, say) if away else local.await_stop(paths, grace)
    state, detail = judge(status, read_liveness(paths))
    newest = status.checkpoints[-1]["path"] if status.checkpoints else ""
    checkpoint = f" · checkpoint {newest if away else paths.folder / newest}" if newest else ""
    say(f"{state} at step {status.step:,}{f', {detail}' if detail else ''}{checkpoint}")
    if not away or outlives_job(paths):
        say(f"go on with it: stagectl run --resume {paths.run_id}")
