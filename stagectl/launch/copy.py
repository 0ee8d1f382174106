"""A run's files here, kept like those on the cluster from the lines that its job prints there."""

from __future__ import annotations

import os
from collections import deque
from types import TracebackType

from stagectl.job.lines import Output, read_line
from stagectl.runs import EventLog, EventReader, RunPaths


class RunCopy:
    """Takes the job's lines in any order, as often as they come; writes each event and each byte of output once.

    `ended`: the run's last event is there. `has_gap`: something is missing that came before what was seen, so that the
    output has to be read again from its start.

    Raises:
        RunExistsError: Another process keeps the copy.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._events = EventLog(paths.events, attempt=0)
        last = deque(EventReader(paths.events).read(), maxlen=1)
        self.ended = bool(last) and last[0]["event"] == "run_ended"
        self.has_gap = False
        self.messages: list[str] = []  # lines that are not the job's: SkyPilot's own, and the setup's
        self._left = ""
        self._log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._logged = os.fstat(self._log).st_size

    @property
    def seq(self) -> int:
        """The last event that is there."""
        return self._events.seq

    def begin(self) -> None:
        """The output is read from its start."""
        self.has_gap = False
        self._left = ""
        self.messages.clear()

    def feed(self, piece: str) -> None:
        """Take a piece of the output, which may end within a line."""
        *lines, self._left = (self._left + piece).split("\n")
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        held = read_line(line)
        if held is None:
            self.messages = [*self.messages[-49:], line]
        elif isinstance(held, Output):
            self._take_output(held)
        elif held["seq"] == self.seq + 1:
            self._events.copy(held)
            self.ended = held["event"] == "run_ended"
        else:
            self.has_gap |= held["seq"] > self.seq

    def _take_output(self, output: Output) -> None:
        known = self._logged - output.offset
        if known < 0:
            self.has_gap = True
        elif known < len(output.text):
            self._logged += os.write(self._log, output.text[known:])

    def close(self) -> None:
        self._events.close()
        os.close(self._log)

    def __enter__(self) -> RunCopy:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
