"""Having a run's files here catch up with its cluster, before they are shown or read."""

from __future__ import annotations

import time
from collections.abc import Callable

from stagectl.cli.cluster import follow_if_away
from stagectl.cli.options import say
from stagectl.runs import ENDED, RunPaths, StatusReader, judge, read_liveness

LONGEST_SECONDS = 20.0
QUIET_SECONDS = 1.0
FRESH_SECONDS = 30.0


def catch_up(paths: RunPaths) -> None:
    """Have a run on a cluster followed; where nobody did, wait until it has told what is new."""
    liveness = read_liveness(paths)
    follow_if_away(paths)
    if liveness.away is not None and not liveness.job:
        await_news(paths)


def await_news(
    paths: RunPaths, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until a run that is only now followed has told what is new, at most 20 s; not for one that has ended."""
    reader, began = StatusReader(paths), clock()
    first = last = reader.read().seq
    heard, said = began, False
    while judge(status := reader.read(), read_liveness(paths), clock())[0] not in ENDED:
        if status.seq != last:
            last, heard = status.seq, clock()
        if last > first and (clock() - heard > QUIET_SECONDS or clock() - status.last_time < FRESH_SECONDS):
            return
        if clock() - began >= LONGEST_SECONDS:
            return
        if not said:
            say("catching up with its cluster …")
        said = True
        sleep(0.2)
