"""The job as a cluster's task: `python -m stagectl.job.cluster FOLDER`, in the folder that the recipe stands in.

It makes the run, or finds the one that an earlier machine left, starts the job process that every run has, and prints
what that writes: events and training output, from their beginning. FOLDER is what travelled with the task: the run's
folder as it was made, with its resolved recipe and its first event.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from stagectl.errors import RunExistsError, StagectlError
from stagectl.job.lines import Output, event_line, output_line
from stagectl.job.member import work
from stagectl.job.requests import Brought, ask_to_stop, brought_to, heed_sigterm, hold_sigterm
from stagectl.job.stored import go_on_under
from stagectl.job.torchrun import find_nodes
from stagectl.job.training import PYTHON
from stagectl.recipe import Recipe, read_resolved
from stagectl.runs import EventReader, RunPaths, create_run, read_events, read_status
from stagectl.runs.paths import runs_folder

LOOK_SECONDS = 0.2
PIECE = 1 << 15  # bytes of a line that is longer go in several
MOST = 10_000  # lines at one look, so that no flood of them keeps a request waiting


def main(arguments: list[str]) -> int:
    """The exit code is the job's: 0 fine, 1 the training process failed; else a StagectlError's."""
    made = RunPaths(Path(arguments[0]).expanduser())
    try:
        recipe = read_resolved(made.recipe, folder=Path.cwd())
        nodes = find_nodes(recipe, os.environ)
        if nodes is not None and nodes.rank > 0:
            signal.signal(signal.SIGTERM, lambda *_: None)  # it ends when node 0 says so, or is gone
            return work(made.folder, recipe, nodes)
        return _carry(_run(made, recipe), recipe, made.recipe.stat().st_mtime)
    except StagectlError as error:
        sys.stderr.write(f"stagectl: {error}\n")
        return error.exit_code


def _run(made: RunPaths, recipe: Recipe) -> RunPaths:
    """The run: a new one, or the one that stayed, which now is on this machine and under this recipe.

    Raises:
        RunExistsError: Another run of that id is there.
    """
    paths, first = RunPaths(runs_folder() / made.run_id), read_events(made.events)[0]
    if not paths.identity.exists():
        text = made.recipe.read_text(encoding="utf-8")
        return create_run(made.run_id, text, Path.cwd(), recipe.facts(), created=first)
    if next(EventReader(paths.events).read(), None) != first:
        message = f"{paths.folder} on the cluster is another run of that id, of an earlier launch"
        raise RunExistsError(message, hint="name this one anew: run=ID; or remove that folder there")
    go_on_under(paths, recipe)
    paths.stop_request.unlink(missing_ok=True)  # it was asked of an earlier job
    return paths


def _carry(paths: RunPaths, recipe: Recipe, submitted: float) -> int:
    hold_sigterm()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    job = subprocess.Popen(
        [*PYTHON, "stagectl.job", str(paths.folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    os.close(log)
    heed_sigterm(paths, recipe)
    hours = recipe.launch.timeout_hours
    deadline = None if hours is None else read_status(paths).created + hours * 3600
    brought = Brought(paths, brought_to(Path.home(), paths.run_id), submitted)
    events, output = EventReader(paths.events), _Printed(paths.log)
    while True:
        ended = job.poll() is not None  # before the last look, so that nothing is left unsaid
        lines = [event_line(event) for event in islice(events.read(), MOST)]
        lines += islice(output.lines(rest=ended), MOST)
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        if ended and not lines:
            return job.returncode
        brought.look()
        if deadline is not None and time.time() > deadline:
            deadline = None
            ask_to_stop(paths, f"timeout_hours: {hours:g}")
        if len(lines) < MOST and not ended:
            time.sleep(LOOK_SECONDS)


class _Printed:
    """What was printed of the training output so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self, *, rest: bool) -> Iterator[str]:
        """The lines for what was added; with `rest`, for its unfinished last line too."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while (text := file.readline(PIECE)) and (rest or len(text) == PIECE or text.endswith(b"\n")):
                self._offset += len(text)
                yield output_line(Output(self._offset - len(text), text))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
