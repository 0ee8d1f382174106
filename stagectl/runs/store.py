"""All runs on this machine: made, found by a prefix of their id, listed, removed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError, RunExistsError, RunNotFoundError, UsageError, nearest
from stagectl.runs.away import KEY, Away, read_away
from stagectl.runs.events import Event, EventLog
from stagectl.runs.files import make_folder, read_json, storage_error, write_json, write_whole
from stagectl.runs.locks import is_locked
from stagectl.runs.paths import RunPaths, home, runs_folder
from stagectl.runs.reader import read_status

UNMADE = ".making-"  # how a folder is named before it is a run; one that stays so was cut off, and is nothing
LETTING_GO_SECONDS = 5.0
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def new_run_id(recipe: str, *, now: float | None = None, chance: random.Random | None = None) -> str:
    """`<recipe>-<date>-<4 characters>`, at most 40 characters, of letters, digits, `-`, `_` and `.`."""
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in recipe).strip("-._") or "run"
    date = time.strftime("%Y%m%d", time.localtime(now))
    tail = "".join((chance or random.SystemRandom()).choices(_LETTERS, k=4))
    return f"{clean[:26]}-{date}-{tail}"


def create_run(
    run_id: str, recipe: str, folder: Path, facts: dict[str, Any], *, created: Event | None = None
) -> RunPaths:
    """A new run: its folder, resolved recipe, first event and identity. Of many at once one wins.

    Args:
        run_id: The id, for life.
        recipe: The resolved recipe's text.
        folder: Where the recipe's own modules and scripts are.
        facts: What `run_created` tells: the recipe's name, back end, stages, step budget.
        created: That event, where the run was made on another machine and is to be the same run here.

    Raises:
        RunExistsError: A run already has that id.
        StorageError: The home for runs cannot be written; nothing is left behind.
    """
    make_folder(home())
    make_folder(runs_folder())
    paths = RunPaths(runs_folder() / run_id)
    try:
        made = RunPaths(Path(tempfile.mkdtemp(prefix=UNMADE, dir=runs_folder())))
    except OSError as error:
        raise storage_error(paths.folder, error) from None
    try:
        make_folder(made.checkpoints)
        make_folder(made.requests)
        write_whole(made.recipe, recipe)
        with EventLog(made.events, attempt=0) as log:
            if created is None:
                log.append("run_created", run=run_id, **facts)
            else:
                log.copy(created)
        write_json(made.identity, {"schema": 1, "run": run_id, "folder": str(folder), "host": socket.gethostname()})
        _take_name(made.folder, paths.folder)
    except BaseException:
        shutil.rmtree(made.folder, ignore_errors=True)
        raise
    return paths


def _take_name(made: Path, folder: Path) -> None:
    """Whole or not at all, whatever is killed in between, and of many at once one."""
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise storage_error(folder, error) from None
        raise _is_taken(folder.name) from None


def check_name(run_id: str) -> None:
    """Raises RunExistsError where a run has that id."""
    if (runs_folder() / run_id).exists():
        raise _is_taken(run_id)


def _is_taken(run_id: str) -> RunExistsError:
    go_on = f"go on with it: stagectl run --resume {run_id}"
    hint = f"name another with run=ID, {go_on}, or remove it: stagectl rm {run_id}"
    return RunExistsError(f"a run named '{run_id}' exists already", hint=hint)


def run_names(beginning: str = "") -> list[str]:
    """The names of the runs' folders that begin so, in no order; one may be of something that is no run."""
    try:
        names = os.listdir(runs_folder())  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(runs_folder(), error) from None
    return [name for name in names if name.startswith(beginning) and not name.startswith(UNMADE)]


def list_runs(beginning: str = "") -> list[RunPaths]:
    """All runs whose id begins so, the newest first."""
    folder = str(runs_folder())  # there may be thousands, and a Path for each file of each takes its time
    made = [(_created(f"{folder}/{name}"), name) for name in run_names(beginning)]
    return [RunPaths(Path(folder, name)) for when, name in sorted(made, reverse=True) if when]


def find_run(name: str) -> RunPaths:
    """The run of that id, or the only one whose id begins so; `latest` is the newest.

    Raises:
        RunNotFoundError: None is; the nearest is named.
        UsageError: Several are.
    """
    matching = list_runs("" if name == "latest" else name)
    exact = [run for run in matching if run.run_id == name]
    if name == "latest" and matching:
        return matching[0]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if matching:
        listed = ", ".join(run.run_id for run in matching[:5]) + (", …" if len(matching) > 5 else "")
        raise UsageError(f"'{name}' begins the ids of {len(matching)} runs: {listed}", hint="give more of the id")
    ids = [run.run_id for run in list_runs()]
    if not ids:
        hint = "start one: stagectl run RECIPE"
        raise RunNotFoundError(f"there is no run '{name}', nor any other in {runs_folder()}", hint=hint)
    close = nearest(name, ids)
    if not close.startswith("did you mean"):
        close = f"the newest are {', '.join(ids[:5])}"
    raise RunNotFoundError(f"there is no run '{name}'; {close}")


def find_removable(name: str) -> RunPaths:
    """What `find_run` finds, or a folder of exactly that name, even if it never became a run."""
    folders = runs_folder().iterdir() if runs_folder().is_dir() else ()
    exact = next((folder for folder in folders if folder.name == name and folder.is_dir()), None)
    return find_run(name) if exact is None else RunPaths(exact)


def await_free(paths: RunPaths, is_free: Callable[[], bool]) -> bool:
    """Whether nobody holds the run, by that test; who holds one that has ended is given a moment to let go of it."""
    deadline = time.monotonic() + LETTING_GO_SECONDS
    while not is_free():
        if time.monotonic() > deadline or read_status(paths).ended is None:
            return False
        time.sleep(0.02)
    return True


def remove_run(paths: RunPaths) -> None:
    """Remove a run's folder. Raises RunExistsError while a process holds it, here or on a cluster."""
    locks = (paths.lock, paths.events, paths.mirror_lock)
    if not await_free(paths, lambda: not any(map(is_locked, locks))):
        if read_status(paths).ended is not None:
            away = KEY in read_json(paths.identity)
            left = "its cluster is being given back" if away else "its W&B mirror is still sending"
            raise RunExistsError(f"the run {paths.run_id} has ended, but {left}", hint="try again in half a minute")
        hint = f"stop it first: stagectl stop {paths.run_id}"
        raise RunExistsError(f"the run {paths.run_id} is live and stays", hint=hint)
    _check_not_away(paths)
    if paths.folder.is_symlink():
        raise UsageError(f"{paths.folder} is a link; what it points to stays")
    try:
        shutil.rmtree(paths.folder)
    except OSError as error:
        raise storage_error(paths.folder, error) from None


def may_hold_cluster(paths: RunPaths) -> bool:
    """Whether a run may still hold a cluster of its own, which costs money."""
    away = _away(paths)
    return away is not None and away.own and not away.over


def _away(paths: RunPaths) -> Away | None:
    """Where a run is on a cluster, and None also where its identity is damaged: it tells nothing any more."""
    try:
        return read_away(read_json(paths.identity))
    except DamagedRunError:
        return None


def _check_not_away(paths: RunPaths) -> None:
    """A run on a cluster stays until it is over there: nothing else here knows of the machines that cost money."""
    away = _away(paths)
    if away is not None and not away.over:
        message = f"the run {paths.run_id} was submitted to a cluster, and is not known to be over there"
        hint = f"see how it is: stagectl status {paths.run_id}; end it: stagectl stop {paths.run_id}"
        raise RunExistsError(message, hint=f"{hint}; if there is nothing left of it: rm -r {paths.folder}")


def _created(folder: str) -> int:
    """When the run was made, or its recipe changed: nothing else writes that file; 0 where it is no run."""
    try:
        os.stat(f"{folder}/run.json")  # noqa: PTH116
        return os.stat(f"{folder}/recipe.yaml").st_mtime_ns or 1  # noqa: PTH116
    except OSError:
        return 0
