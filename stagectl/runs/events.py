"""The event log: the truth about a run. Append-only, one JSON object a line, `seq` gapless from 1.

One process writes it at a time, under its lock: the training process while it lives, the job before and after.
A torn last line is a crash's normal trace: readers stop before it, the next writer cuts it off. Damage anywhere
else is reported with its place and never taken for a torn end.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError, RunExistsError, UsageError
from stagectl.runs.files import storage_error
from stagectl.runs.locks import FileLock

Event = dict[str, Any]

SYNC_SECONDS = 1.0
DURABLE = frozenset(
    {
        "run_created",
        "attempt_started",
        "stage_transition",
        "curriculum_ended",
        "checkpoint",
        "attempt_ended",
        "run_ended",
    }
)
_TAIL_BYTES = 1 << 16


class EventLog:
    """The log's writer; holds its lock until it is closed.

    Args:
        path: The log; made where it is not there.
        attempt: Which start of the training process the events belong to; 0 before the first.
        clock: Seconds since the epoch.

    Raises:
        RunExistsError: Another process is writing it.
        DamagedRunError: Its last whole line is no event.
        StorageError: The disk refused.
    """

    def __init__(self, path: Path, *, attempt: int, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.attempt = attempt
        self._clock = clock
        self._lock = FileLock(path)
        try:
            taken = self._lock.acquire()
        except OSError as error:
            raise storage_error(path, error) from None
        if not taken:
            raise RunExistsError(f"{path} is being written by another process")
        try:
            self._find_end()
        except OSError as error:
            self._lock.release()
            raise storage_error(path, error) from None
        except DamagedRunError:
            self._lock.release()
            raise
        self._synced = clock()

    def append(self, event: str, step: int | None = None, **fields: Any) -> Event:
        """Write one event. What must not be lost is on disk when this returns, the rest within a second.

        Raises:
            StorageError: The disk refused; the log is as it was before.
            UsageError: This process was forked from the one that writes the log.
        """
        step = self._step if step is None else step
        now = self._clock()
        line: Event = {
            "seq": self.seq + 1,
            "attempt": self.attempt,
            "step": step,
            "time": round(now, 3),
            "event": event,
            **fields,
        }
        self._write(line, now)
        return line

    def copy(self, event: Event) -> None:
        """Write an event that another log of the same run has, as it is; it must be the next one.

        Raises:
            StorageError: The disk refused; the log is as it was before.
        """
        assert event["seq"] == self.seq + 1, (event["seq"], self.seq)
        self._write(event, self._clock())

    def cut(self, seq: int) -> None:
        """Remove that event and all that follow it. Raises StorageError."""
        try:
            with self.path.open("rb") as file:
                size = sum(len(line) for line in itertools.islice(file, seq - 1))
            os.ftruncate(self._lock.fd, size)
            os.fsync(self._lock.fd)
            self._find_end()
        except OSError as error:
            raise storage_error(self.path, error) from None

    @property
    def size(self) -> int:
        """The log's bytes."""
        return self._size

    @property
    def is_open(self) -> bool:
        """Not once it was closed, nor in a process that was forked from the one that writes it."""
        return self._lock.fd >= 0

    def _write(self, line: Event, now: float) -> None:
        if not self.is_open:
            hint = (
                "only the process that called stagectl.attach() records; let its forked children give it their values"
            )
            raise UsageError(f"{self.path} is not open for writing in this process", hint=hint)
        raw = json.dumps(line, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        fd = self._lock.fd
        try:
            _write_all(fd, raw, self._size)
            if line["event"] in DURABLE or now - self._synced >= SYNC_SECONDS or now < self._synced:
                os.fsync(fd)
                self._synced = now
        except OSError as error:
            os.ftruncate(fd, self._size)
            raise storage_error(self.path, error) from None
        self._size += len(raw)
        self._step = line["step"]
        self.seq += 1

    def _find_end(self) -> None:
        self._size, last = _whole_end(self.path, self._lock.fd)
        self.seq = last["seq"] if last else 0
        self._step = last["step"] if last else 0

    def sync(self) -> None:
        """Have everything that was written on disk. Raises StorageError."""
        try:
            os.fsync(self._lock.fd)
        except OSError as error:
            raise storage_error(self.path, error) from None

    def close(self) -> None:
        if self._lock.fd >= 0:
            os.fsync(self._lock.fd)
        self._lock.give_up()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Place:
    """After which event a log was read, where in the file that is, and that event's line by its length and digest."""

    seq: int
    offset: int
    length: int
    sha256: str


class EventReader:
    """Reads a log from its start, and what was added since at each further `read`. Never writes.

    Where the log was cut (a copy's is, of what a lost machine took with it), it is read from its start again.

    `after` passes over the events up to that `seq`.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        self.path = path
        self.seq = 0
        self._after = after
        self._offset = 0
        self._last = b""  # the line before that

    @property
    def place(self) -> Place:
        """How far it has read."""
        return Place(self.seq, self._offset, len(self._last), hashlib.sha256(self._last).hexdigest())

    def go_to(self, place: Place) -> bool:
        """Read on from a place where an earlier reader stood; False, and from the start, where the log is another."""
        try:
            with self.path.open("rb") as file:
                file.seek(place.offset - place.length)
                line = file.read(place.length)
        except (OSError, TypeError, ValueError):  # whoever reads on says why
            return False
        if hashlib.sha256(line).hexdigest() != place.sha256:
            return False
        self.seq, self._offset, self._last = place.seq, place.offset, line
        return True

    def read(self) -> Iterator[Event]:
        """The events that are there now and were not read yet.

        Raises:
            DamagedRunError: A line is no event, or a `seq` is missing.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._last))
                if file.read(len(self._last)) != self._last:
                    self.seq = self._offset = file.seek(0)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    event = _parsed(line, self.path, self._offset)
                    if event["seq"] != self.seq + 1:
                        where = f"{self.path}, byte {self._offset}"
                        raise DamagedRunError(f"{where}: event {event['seq']} follows event {self.seq}")
                    self._offset += len(line)
                    self._last = line
                    self.seq += 1
                    if self.seq > self._after:
                        yield event
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self.path, error) from None


def read_events(path: Path) -> list[Event]:
    """All events of a log, up to a torn end. Raises DamagedRunError."""
    return list(EventReader(path).read())


def finite(metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """The metrics that are finite numbers, and the names of those that are not."""
    good: dict[str, float] = {}
    bad: list[str] = []
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            good[name] = number
        else:
            bad.append(name)
    return good, bad


def _write_all(fd: int, raw: bytes, offset: int) -> None:
    while raw:
        written = os.pwrite(fd, raw, offset)
        raw, offset = raw[written:], offset + written


def _whole_end(path: Path, fd: int) -> tuple[int, Event | None]:
    """Cut a torn last line off; the log's size then, and its last event."""
    size = os.fstat(fd).st_size
    tail = b""
    start = size
    while start > 0 and tail.count(b"\n") < 2:
        step = min(start, _TAIL_BYTES)
        start -= step
        tail = os.pread(fd, step, start) + tail
    end = tail.rfind(b"\n") + 1
    whole = start + end
    if whole < size:
        os.ftruncate(fd, whole)
        os.fsync(fd)
    if whole == 0:
        return 0, None
    line = tail[tail.rfind(b"\n", 0, end - 1) + 1 : end]
    return whole, _parsed(line, path, whole - len(line))


def _parsed(line: bytes, path: Path, offset: int) -> Event:
    try:
        event = json.loads(line)
        if isinstance(event, dict) and {"seq", "attempt", "step", "time", "event"} <= event.keys():
            return event
    except ValueError:
        pass
    raise DamagedRunError(f"{path}, byte {offset}: this line is no event", hint="the lines before it can be trusted")
