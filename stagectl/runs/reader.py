"""A run's status, read from its log: from the start, or from the snapshot that the log's writer kept, and onward."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from stagectl.runs.attempts import is_superseded, sifted, superseded, superseded_by
from stagectl.runs.events import Event, EventReader
from stagectl.runs.paths import RunPaths
from stagectl.runs.snapshot import load_snapshot, save_snapshot
from stagectl.runs.status import RunStatus

SNAPSHOT_BYTES = 2_000_000  # of the log are folded in some 60 ms


class StatusReader:
    """A run's status, which each look takes on from where the last one ended. Raises DamagedRunError.

    Args:
        paths: The run.
        whole: Read the log from its start, whatever snapshot there is: damage is found wherever it is.

    Attributes:
        status: As of the last look; before the first one as of the run's snapshot, if it has one.
    """

    def __init__(self, paths: RunPaths, *, whole: bool = False) -> None:
        self._paths = paths
        self._events = EventReader(paths.events)
        self.status = RunStatus(paths.run_id)
        self._superseded: list[range] = []
        self._kept: float = 0  # the log's size when the last snapshot was kept
        snapshot = None if whole else load_snapshot(paths)
        if snapshot is not None and self._events.go_to(snapshot[1]):
            status, place = snapshot
            self.status.become(status)
            self._superseded = superseded(paths.events, place.offset)
            self._kept = place.offset

    def events(self) -> Iterator[Event]:
        """The events since the last look that are in force, each once it is folded in."""
        for event in self._events.read():
            if event["seq"] == 1:  # also where the log was cut, and is read anew
                self._superseded = superseded(self._paths.events)
                self.status.become(RunStatus(self._paths.run_id))
                self._kept = 0
            if is_superseded(event["seq"], self._superseded):
                self.status.pass_over(event)
                continue
            gone = superseded_by(event)
            if gone and self.status.seq >= gone.start:  # the attempt began while somebody looks
                self._fold_anew(event["seq"])
                self._kept = -math.inf  # the snapshot, if there is one, has what is superseded now
            self.status.apply(event)
            yield event

    def read(self) -> RunStatus:
        """The status now."""
        for _ in self.events():
            pass
        return self.status

    def keep(self, size: int, after: int = SNAPSHOT_BYTES) -> None:
        """Keep a snapshot of a log of that size, if it grew by so many bytes since the last one.

        It is for the process that writes the log, and only saves others time: one that fails is the last here.
        """
        if size - self._kept < after:
            return
        self._kept = math.inf
        with contextlib.suppress(Exception):  # damage, or a full disk, which whoever needs them says
            self.read()
            save_snapshot(self._paths, self.status, self._events.place)
            self._kept = self._events.place.offset

    def _fold_anew(self, seq: int) -> None:
        """Fold what is in force before that event."""
        self._superseded = superseded(self._paths.events)
        status = RunStatus(self._paths.run_id)
        for event, holds in sifted(EventReader(self._paths.events).read(), self._superseded):
            if event["seq"] == seq:
                break
            (status.apply if holds else status.pass_over)(event)
        self.status.become(status)


def read_status(paths: RunPaths, *, whole: bool = False) -> RunStatus:
    """A run's status now, as StatusReader has it. Raises DamagedRunError."""
    return StatusReader(paths, whole=whole).read()
