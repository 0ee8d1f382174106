"""A run's files here, kept like those on the cluster from the lines that its job prints there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType

from stagectl.job.lines import Output, read_line
from stagectl.launch.submit import note
from stagectl.runs import SNAPSHOT_BYTES, Event, EventLog, EventReader, RunPaths, StatusReader, read_status


class RunCopy:
    """Takes the job's lines, which tell the whole run at each reading, and keeps each event and each byte once.

    Where the job tells something else than what is here, a machine was lost before that was safe on its storage: what
    is here is cut off there, and goes on as the job tells it.

    Args:
        paths: The run.
        after: Its last event when it was submitted; an end up to there is an earlier submission's.

    Attributes:
        ended: The last event that was told is the run's end.
        is_disturbed: The job had begun, and the last line was not its own: SkyPilot tells that something befell it.
        has_gap: Something is missing that came before what was seen: the output has to be read again from its start.
        is_other: The job's first event is not this run's; nothing of it is taken.

    Raises:
        RunExistsError: Another process keeps the copy.
    """

    def __init__(self, paths: RunPaths, after: int = 0) -> None:
        self._paths = paths
        self._events = EventLog(paths.events, attempt=0)
        self._snapshots = StatusReader(paths)
        self._after = after
        self.ended = self.is_disturbed = self.has_gap = self.is_other = False
        self.messages: list[str] = []  # lines that are not the job's: SkyPilot's own, and the setup's
        self._told = 0  # up to here this reading told what is here
        self._here = EventReader(paths.events).read()  # goes along with it
        self._left = ""
        self._log = os.open(paths.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._lower_after()

    @property
    def seq(self) -> int:
        """The last event that is there."""
        return self._events.seq

    @property
    def has_news(self) -> bool:
        """The job has told something since it was submitted."""
        return self.seq > self._after

    def begin(self) -> None:
        """The output is read from its start."""
        self.has_gap = False
        self._told = 0
        self._left = ""
        self.messages.clear()

    def feed(self, piece: str) -> None:
        """Take a piece of the output, which may end within a line."""
        *lines, self._left = (self._left + piece).split("\n")
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        held = read_line(line)
        self.is_disturbed = held is None and self.has_news
        if held is None:
            self.messages = [*self.messages[-49:], line]
        elif self.is_other:
            pass
        elif isinstance(held, Output):
            self._take_output(held)
        else:
            self._take_event(held)

    def _take_event(self, event: Event) -> None:
        seq = event["seq"]
        if seq == 1:  # also where the job, on another machine, begins to tell the run within one reading
            self._told, self._here = 0, EventReader(self._paths.events).read()
        if seq > self._told + 1:
            self.has_gap = True
        if seq != self._told + 1:
            return
        if seq <= self.seq and next(self._here) != event:
            if seq == 1:
                self.is_other = True
                return
            self._events.cut(seq)
            self._snapshots = StatusReader(self._paths)
            self._lower_after()
        if seq > self.seq:
            self._events.copy(event)
            self._snapshots.keep(self._events.size, 1 if event["event"] == "attempt_started" else SNAPSHOT_BYTES)
        self._told = seq
        self.ended = event["event"] == "run_ended" and seq > self._after

    def _take_output(self, output: Output) -> None:
        if not self._told or output.offset > os.fstat(self._log).st_size:
            self.has_gap = True
            return
        here = os.pread(self._log, len(output.text), output.offset)
        if not output.text.startswith(here):
            os.ftruncate(self._log, output.offset)
            here = b""
        os.write(self._log, output.text[len(here) :])

    def _lower_after(self) -> None:
        """Of what was there when the run was submitted, some was cut off."""
        if self._after > self.seq:
            self._after = self.seq
            note(self._paths, after=self._after)

    def close(self) -> None:
        self._snapshots.keep(self._events.size, after=1)
        self._events.close()
        os.close(self._log)

    def __enter__(self) -> RunCopy:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def write_own_end(paths: RunPaths, outcome: str, message: str, said: Iterable[str] = ()) -> None:
    """End a run whose job told no end; what SkyPilot said goes to its log.

    Both give way, as all that is only here does, where a job goes on with the run and tells otherwise.
    """
    status = read_status(paths)
    with paths.log.open("a", encoding="utf-8") as log:
        log.writelines(f"{line}\n" for line in said)
    with EventLog(paths.events, attempt=status.attempt) as events:
        events.append("run_ended", status.step, outcome=outcome, message=message)
