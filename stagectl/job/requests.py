"""What is asked of a job on a cluster: by files that are brought to its machine, and by the end of the machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError
from stagectl.recipe import Recipe
from stagectl.runs import RunPaths, read_json, write_json

WORKDIR = "sky_workdir"  # in the home on a node: where SkyPilot brings files to


def brought_to(home: Path, run_id: str) -> Path:
    """The folder on a node that requests are brought to, as they are in the run's own."""
    return inside_of(home / WORKDIR, run_id)


def inside_of(workdir: Path, run_id: str) -> Path:
    """Where requests are in the folder that SkyPilot brings."""
    return workdir / ".stagectl" / run_id / "requests"


def heed_sigterm(paths: RunPaths, recipe: Recipe) -> None:
    """Take SIGTERM as a request to stop; to a managed job it says that its machine is being taken away.

    The training saves a checkpoint then and stops, and the run is not over: it goes on on another machine.
    """
    taken = {"taken": True} if is_managed(recipe) else {}
    signal.signal(signal.SIGTERM, lambda *_: ask_to_stop(paths, "SIGTERM", **taken))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def hold_sigterm() -> None:
    """Have SIGTERM wait until it is heeded, here and in a process that is started meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def is_managed(recipe: Recipe) -> bool:
    """Whether SkyPilot brings the job back where its machine is lost."""
    return recipe.launch.backend == "sky" and recipe.launch.managed


def ask_to_stop(paths: RunPaths, by: str, **facts: Any) -> None:
    write_json(paths.stop_request, {"by": by, "time": round(time.time(), 3), **facts})


def is_taken_away(paths: RunPaths) -> bool:
    """Whether the machine is being taken away."""
    return bool(read_json(paths.stop_request).get("taken"))


class Brought:
    """The requests that are brought to this machine; each is put into the run's folder once.

    What lies there at first was asked of an earlier job of the run.
    """

    def __init__(self, paths: RunPaths, folder: Path) -> None:
        self._ways = [(folder / path.name, path) for path in (paths.stop_request, paths.advance_request)]
        self._seen = {own: _whole(brought) for brought, own in self._ways}

    def look(self) -> None:
        for brought, own in self._ways:
            asked = _whole(brought)
            if asked and asked != self._seen[own]:
                self._seen[own] = asked
                write_json(own, asked)


def _whole(brought: Path) -> dict[str, Any]:
    """The request; empty while it is still on its way."""
    try:
        return read_json(brought)
    except DamagedRunError:
        return {}
