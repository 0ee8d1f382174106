"""Watching a run from the command line, and the exit code that it comes to."""

from __future__ import annotations

import sys
import time

from stagectl.cli.options import Output, Shown, WatchOutput, print_json, say
from stagectl.runs import ENDED, RunPaths, StatusReader, judge, read_liveness, status_data
from stagectl.runs.logfile import last_lines

FAILURE_LINES = 20


def watch_run(paths: RunPaths, progress: Shown, output: Output | WatchOutput) -> int:
    """Show a run until it ends; Ctrl-C leaves it running. The exit code is the run's result."""
    from stagectl.view import watch

    shown = progress if output == "table" else "quiet"
    try:
        status = watch(paths, shown)
    except KeyboardInterrupt:
        say(f"\nthe run goes on\n  back: stagectl status {paths.run_id} --watch\n  stop: stagectl stop {paths.run_id}")
        return 130
    liveness = read_liveness(paths)
    state = judge(status, liveness)[0]
    if output != "table":
        print_json(status_data(status, liveness))
    else:
        show_log_of_failure(paths, state)
        if exit_code(state) and status.checkpoints:
            say(f"go on from its last checkpoint: stagectl run --resume {paths.run_id}")
    return exit_code(state)


def show_log_of_failure(paths: RunPaths, state: str) -> None:
    """The last lines that a failed run's training process wrote: there its reason is."""
    lines = last_lines(paths.log, FAILURE_LINES) if exit_code(state) else []
    if lines:
        from stagectl.view import printable

        sys.stdout.write(f"\nthe end of its log, {paths.log}\n")
        sys.stdout.writelines(f"  {printable(line)}\n" for line in lines)
        sys.stdout.flush()


def exit_code(state: str) -> int:
    """1 where the run failed, 0 otherwise."""
    return int(state in ("failed", "crashed"))


def watch_lines(paths: RunPaths, interval: float = 2.0) -> int:
    """Print the run's status as a JSON line whenever it has changed, until it ends."""
    reader, last = StatusReader(paths), (-1, "")
    while True:
        liveness = read_liveness(paths)  # before the events, so that a process that wrote its end is not missed
        status = reader.read()
        state = judge(status, liveness)[0]
        if (status.seq, state) != last or state in ENDED:
            last = (status.seq, state)
            print_json(status_data(status, liveness), line=True)
        if state in ENDED:
            return exit_code(state)
        time.sleep(interval)
