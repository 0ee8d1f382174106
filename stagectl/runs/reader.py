"""A run's status, read from its log: from the start, or from the snapshot that the log's writer kept, and onward."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stagectl.errors import StagectlError
from stagectl.runs.attempts import is_superseded, superseded, superseded_by
from stagectl.runs.events import Event, EventReader
from stagectl.runs.paths import RunPaths
from stagectl.runs.snapshot import load_snapshot, save_snapshot
from stagectl.runs.status import RunStatus

SNAPSHOT_EVENTS = 5_000  # so many are folded in some 50 ms
FEW_EVENTS = 500  # for whose sake nobody needs a snapshot


class StatusReader:
    """A run's status, which each look takes on from where the last one ended. Raises DamagedRunError.

    Attributes:
        status: As of the last look; before the first one as of the run's snapshot, if it has one.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._events = EventReader(paths.events)
        self.status = RunStatus(paths.run_id)
        self._superseded: list[range] = []
        kept = load_snapshot(paths)
        if kept is not None and self._events.go_to(kept[1]):
            self.status.become(kept[0])
            self._superseded = superseded(paths.events, kept[1].offset)
        self._kept: float = self._events.seq

    def events(self) -> Iterator[Event]:
        """The events since the last look that are in force, each once it is folded in."""
        for event in self._events.read():
            if event["seq"] == 1:  # also where the log was cut, and is read anew
                self._superseded = superseded(self._paths.events)
                self.status.become(RunStatus(self._paths.run_id))
                self._kept = 0
            if is_superseded(event, self._superseded):
                self.status.pass_over(event)
                continue
            gone = superseded_by(event)
            if gone and self.status.seq >= gone.start:  # the attempt began while somebody looks
                self._fold_anew(event["seq"])
            self.status.apply(event)
            yield event

    def read(self) -> RunStatus:
        """The status now."""
        for _ in self.events():
            pass
        return self.status

    def keep(self, seq: int, after: int = SNAPSHOT_EVENTS) -> None:
        """Keep a snapshot of a log that ends with the event `seq`, if so many came `after` the one that is kept.

        It is for the process that writes the log, and only saves others time: one that fails is the last here.
        """
        if seq - self._kept < after:
            return
        try:
            self.read()
            save_snapshot(self._paths, self.status, self._events.place)
            self._kept = self._events.seq
        except StagectlError:  # the log is damaged or the disk full, which whoever needs them says
            self._kept = math.inf

    def _fold_anew(self, seq: int) -> None:
        """Fold what is in force before that event."""
        self._superseded = superseded(self._paths.events)
        status = RunStatus(self._paths.run_id)
        for event in EventReader(self._paths.events).read():
            if event["seq"] == seq:
                break
            if is_superseded(event, self._superseded):
                status.pass_over(event)
            else:
                status.apply(event)
        self.status.become(status)


def read_status(paths: RunPaths) -> RunStatus:
    """A run's status now. Raises DamagedRunError."""
    return StatusReader(paths).read()
