"""A run's files here, kept like those on the cluster from the lines that its job prints there."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable
from types import TracebackType

from stagectl.job.lines import Output, read_line
from stagectl.runs import EventLog, EventReader, RunPaths, read_status


class RunCopy:
    """Takes the job's lines in any order, as often as they come; writes each event and each byte of output once.

    Args:
        paths: The run.
        after: Its last event when it was submitted; an end up to there is an earlier submission's.

    Attributes:
        ended: The run's last event is there.
        has_gap: Something is missing that came before what was seen: the output has to be read again from its start.
        is_other: The job tells another history than the one that is here.

    Raises:
        RunExistsError: Another process keeps the copy.
    """

    def __init__(self, paths: RunPaths, after: int = 0) -> None:
        self._events = EventLog(paths.events, attempt=0)
        self._after = after
        known = list(itertools.islice(EventReader(paths.events).read(), 2))
        self._second = known[1] if len(known) == 2 else None  # the first is told by both, each at its own time
        last = deque(EventReader(paths.events).read(), maxlen=1)
        self.ended = self.has_news and bool(last) and last[0]["event"] == "run_ended"
        self.has_gap = self.is_other = False
        self.messages: list[str] = []  # lines that are not the job's: SkyPilot's own, and the setup's
        self._left = ""
        self._log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._logged = os.fstat(self._log).st_size

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
        elif held["seq"] == 2 and self._second not in (None, held):
            self.is_other = True
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


def write_own_end(paths: RunPaths, outcome: str, message: str, said: Iterable[str] = ()) -> None:
    """End a run whose job told no end, and will tell none; what SkyPilot said goes to its log."""
    status = read_status(paths)
    with paths.log.open("a", encoding="utf-8") as log:
        logged = log.tell()
        log.writelines(f"{line}\n" for line in said)
    with EventLog(paths.events, attempt=status.attempt) as events:
        events.append("run_ended", status.step, outcome=outcome, message=message, told_by="follower", logged=logged)


def take_back_own_end(paths: RunPaths) -> None:
    """Remove the end that was written here, and that the log on the cluster, which goes on, does not have."""
    last = deque(EventReader(paths.events).read(), maxlen=1)
    if last and last[0].get("told_by") == "follower":
        whole = paths.events.read_bytes().rpartition(b"\n")[0]
        os.truncate(paths.events, whole.rfind(b"\n") + 1)
        os.truncate(paths.log, last[0]["logged"])
