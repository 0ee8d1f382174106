"""The job as a cluster's task: `python -m stagectl.job.cluster FOLDER`, in the folder that the recipe stands in.

It makes the run, or finds the one that an earlier machine left, starts the job process that every run has, and prints
what that writes: events and training output, from their beginning. FOLDER is what travelled with the task: the run's
folder as it was made, with its resolved recipe and its first event.
"""

from __future__ import annotations

import math
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
from stagectl.job.say import say
from stagectl.job.stored import SUBMISSION_VARIABLE, go_on_under, note_submission, submission_ended
from stagectl.job.torchrun import find_nodes
from stagectl.job.training import PYTHON, start_process
from stagectl.recipe import Recipe, read_resolved
from stagectl.runs import EventReader, RunPaths, create_run, read_events, read_status
from stagectl.runs.paths import runs_folder

LOOK_SECONDS = 0.2
PIECE = 1 << 15  # bytes of a line that is longer go in several
DEATHS = 3  # so often in a row the job process is started again that was killed, without a step in between
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
        paths = _run(made, recipe)
        since = note_submission(paths, os.environ.get(SUBMISSION_VARIABLE, paths.run_id), time.time())
        return _carry(paths, recipe, since)
    except StagectlError as error:
        sys.stderr.write(f"stagectl: {error}\n")
        return error.exit_code


def _run(made: RunPaths, recipe: Recipe) -> RunPaths:
    """The run: a new one, or the one that stayed, which now is on this machine and under this recipe.

    Raises:
        RunExistsError: Another run of that id is there.
        DamagedRunError: What stayed is damaged.
    """
    paths, first = RunPaths(runs_folder() / made.run_id), read_events(made.events)[0]
    if not paths.identity.exists():
        text = made.recipe.read_text(encoding="utf-8")
        return create_run(made.run_id, text, Path.cwd(), recipe.facts(), created=first)
    if next(EventReader(paths.events).read(), None) != first:
        message = f"{paths.folder} on the cluster is another run of that id, of an earlier launch"
        raise RunExistsError(message, hint="name this one anew: run=ID; or remove that folder there")
    read_status(paths, whole=True)  # a log that is damaged anywhere is gone on with nowhere
    go_on_under(paths, recipe)
    for request in (paths.stop_request, paths.advance_request):  # of an earlier job
        request.unlink(missing_ok=True)
    return paths


def _carry(paths: RunPaths, recipe: Recipe, since: float) -> int:
    """Stay with the job process, and start it again where it is killed: it goes on with what still trains."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hours = recipe.launch.timeout_hours
    deadline = math.inf if hours is None else since + hours * 3600
    brought = Brought(paths, brought_to(Path.home(), paths.run_id))
    events, output = EventReader(paths.events), _Printed(paths.log)
    job, deaths, step = _start_job(paths, recipe), 0, 0
    while True:
        ended = job.poll() is not None  # before the last look, so that nothing is left unsaid
        told = list(islice(events.read(), MOST))
        first = told[:1] if told and told[0]["seq"] == 1 else []  # by it the laptop knows which run it reads of
        over = ended or any(event["event"] == "run_ended" for event in told)
        printed = islice(output.lines(rest=over), MOST)  # of what was printed before an event, nothing comes after it
        lines = [*map(event_line, first), *printed, *map(event_line, told[len(first) :])]
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        if (reached := max((event["step"] for event in told), default=0)) > step:
            step, deaths = reached, 0
        if ended and not lines:
            if job.returncode >= 0 or submission_ended(paths):
                return max(job.returncode, 0)
            if deaths == DEATHS:
                return 1
            deaths += 1
            say(f"the job process was killed by signal {-job.returncode}, and is started again")
            job = _start_job(paths, recipe)
        brought.look()
        if time.time() > deadline:
            deadline = math.inf
            ask_to_stop(paths, f"timeout_hours: {hours:g}")
        if len(lines) < MOST and not ended:
            time.sleep(LOOK_SECONDS)


def _start_job(paths: RunPaths, recipe: Recipe) -> subprocess.Popen[bytes]:
    hold_sigterm()
    try:
        return start_process([*PYTHON, "stagectl.job", str(paths.folder)], paths.log)
    finally:
        heed_sigterm(paths, recipe)


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
