"""The job as a cluster's task: `python -m stagectl.job.cluster FOLDER`, in the folder that the recipe stands in.

It makes the run, or finds the one that an earlier machine left, starts the job process that every run has, and prints
what that writes: events and training output, from their beginning. FOLDER is named by the run's id and holds its
resolved recipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from stagectl.errors import StagectlError
from stagectl.job.lines import Output, event_line, output_line
from stagectl.job.training import PYTHON
from stagectl.recipe import Recipe, read_resolved
from stagectl.runs import EventReader, RunPaths, create_run, read_json, read_status, write_json
from stagectl.runs.paths import runs_folder

LOOK_SECONDS = 0.2
PIECE = 1 << 15  # bytes of a line that is longer go in several


def main(arguments: list[str]) -> int:
    """The exit code is the job's: 0 fine, 1 the training process failed; else a StagectlError's."""
    folder = Path(arguments[0]).expanduser()
    try:
        recipe = read_resolved(folder / "recipe.yaml", folder=Path.cwd())
        return _carry(_run(folder, recipe), recipe)
    except StagectlError as error:
        sys.stderr.write(f"stagectl: {error}\n")
        return error.exit_code


def _run(folder: Path, recipe: Recipe) -> RunPaths:
    """The run: a new one, or the one that stayed, which now is on this machine."""
    paths = RunPaths(runs_folder() / folder.name)
    if not paths.identity.exists():
        return create_run(folder.name, (folder / "recipe.yaml").read_text(encoding="utf-8"), Path.cwd(), recipe.facts())
    write_json(paths.identity, {**read_json(paths.identity), "folder": str(Path.cwd())})
    return paths


def _carry(paths: RunPaths, recipe: Recipe) -> int:
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    job = subprocess.Popen(
        [*PYTHON, "stagectl.job", str(paths.folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    os.close(log)

    def stop(number: int, _: FrameType | None) -> None:
        write_json(paths.stop_request, {"by": signal.Signals(number).name})

    signal.signal(signal.SIGTERM, signal.SIG_IGN if recipe.launch.managed else stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hours = recipe.launch.timeout_hours
    deadline = None if hours is None else read_status(paths).created + hours * 3600
    events, output = EventReader(paths.events), _Printed(paths.log)
    while True:
        ended = job.poll() is not None  # before the last look, so that nothing is left unsaid
        for event in events.read():
            sys.stdout.write(event_line(event))
        for line in output.lines(rest=ended):
            sys.stdout.write(line)
        sys.stdout.flush()
        if ended:
            return job.returncode
        if deadline is not None and time.time() > deadline:
            deadline = None
            write_json(paths.stop_request, {"by": f"timeout_hours: {hours:g}"})
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
                yield output_line(Output(self._offset, text))
                self._offset += len(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
