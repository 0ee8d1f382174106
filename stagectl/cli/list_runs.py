"""`stagectl list`: all runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stagectl.cli.options import OutputOption, print_json, say

if TYPE_CHECKING:
    from stagectl.runs import Liveness, RunPaths, RunStatus


NEWEST = 50


def command(
    number: Annotated[int, typer.Option("-n", help="The newest so many; 0 is all.", min=0)] = NEWEST,
    output: OutputOption = "table",
) -> None:
    """List the runs, the newest first."""
    show_runs(as_json=output == "json", number=number)


def show_runs(*, as_json: bool, number: int = NEWEST) -> None:
    from stagectl.runs import left_of, list_runs, may_hold_cluster

    listed = list_runs()
    runs = [_read(paths) for paths in listed[: number or None]]
    if len(runs) < len(listed):
        say(f"the newest {len(runs)} of {len(listed):,} runs; all of them: stagectl list -n 0")
    if as_json:
        print_json({"runs": [_data(status, liveness) for status, liveness in runs]})
        return
    if not runs:
        say("there are no runs yet; start one: stagectl run RECIPE")
        return
    from stagectl.view import show_runs as show

    show(runs)
    costly = [_read(paths) for paths in listed[len(runs) :] if may_hold_cluster(paths)]
    for status, liveness in [*runs, *costly]:
        if left := left_of(status, liveness.away if liveness else None):
            say(f"{status.run_id}: {left}")


def _read(paths: RunPaths) -> tuple[RunStatus, Liveness | None]:
    """A run's status; without liveness where its files are damaged."""
    from stagectl.errors import DamagedRunError
    from stagectl.runs import RunStatus, read_liveness, read_status

    try:
        liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
        return read_status(paths), liveness
    except DamagedRunError:
        return RunStatus(paths.run_id), None


def _data(status: RunStatus, liveness: Liveness | None) -> dict[str, Any]:
    from stagectl.runs import status_data

    return {"run": status.run_id, "state": "damaged"} if liveness is None else status_data(status, liveness)
