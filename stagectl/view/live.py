"""Following a run until it has ended: a picture that is drawn anew, plain lines, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live

from stagectl.runs import (
    ENDED,
    SNAPSHOT_BYTES,
    Event,
    Liveness,
    RunPaths,
    RunStatus,
    StatusReader,
    judge,
    read_liveness,
)
from stagectl.view.console import Progress, ProgressKind, drawing, progress_kind, stdout, write_line
from stagectl.view.panel import run_panel
from stagectl.view.plain import PROGRESS_EVENTS, PlainLines

POLL_SECONDS = 0.25
LIVENESS_SECONDS = 1.0
UNTOLD = ENDED | {"stalled", "recovering", "unfollowed"}  # the states that may come without an event

_HOLD, _RELEASE = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output: what comes between is shown at once
_CLEAR = "\x1b[H\x1b[2J"


def watch(
    paths: RunPaths,
    progress: Progress = "auto",
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    liveness: Callable[[RunPaths], Liveness] = read_liveness,
) -> RunStatus:
    """Follow a run's event log until the run has ended, and show it; its status then.

    Args:
        paths: The run's files; they are read, never written.
        progress: `rich` draws a picture and leaves the last one, `plain` prints a line an event, `quiet` nothing.
        console: Where it is shown; standard output by default.
        clock: Seconds since the epoch.
        sleep: Waits that many seconds between two looks.
        liveness: What the operating system says of the run's processes; asked at most once a second.

    Raises:
        DamagedRunError: The event log is damaged.
        KeyboardInterrupt: Left to the caller; the picture stays.
    """
    kind = progress_kind(progress)
    console = console or (drawing() if kind == "rich" else stdout())
    short = paths.events.exists() and paths.events.stat().st_size < SNAPSHOT_BYTES
    reader = StatusReader(paths, whole=short)  # of what is soon read no event is passed over
    status = reader.status
    asked = clock()
    alive = liveness(paths)
    with _shown(kind, console, clock) as display:
        while True:
            display.events(reader.events(), status)
            display.frame(status, alive)
            if judge(status, alive, clock())[0] in ENDED:
                display.last(status, alive)
                return status
            sleep(POLL_SECONDS)
            if not 0 <= clock() - asked < LIVENESS_SECONDS:
                asked = clock()
                alive = liveness(paths)  # before the events, so that a process that wrote its end is not missed


class _Display(Protocol):
    """What a run is shown on: its new events, a frame four times a second, the last frame."""

    def events(self, events: Iterable[Event], status: RunStatus) -> None: ...
    def frame(self, status: RunStatus, alive: Liveness) -> None: ...
    def last(self, status: RunStatus, alive: Liveness) -> None: ...


class _Quiet:
    def events(self, events: Iterable[Event], status: RunStatus) -> None:
        for _ in events:
            pass

    def frame(self, status: RunStatus, alive: Liveness) -> None:
        pass

    def last(self, status: RunStatus, alive: Liveness) -> None:
        pass


class _Plain(_Quiet):
    """A line an event, and what no event tells.

    Of the progress made before it looked only the last is told; of what a snapshot holds, what came of it.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._lines = PlainLines()
        self._caught_up = False
        self._state = ""

    def events(self, events: Iterable[Event], status: RunStatus) -> None:
        progress: Event | None = None
        if not self._caught_up:
            for event in _held(status):
                self._tell(event, status)
        for event in events:
            if not self._caught_up and event["event"] in PROGRESS_EVENTS:
                progress = event
                continue
            if event["event"] == "run_ended" and progress is not None:
                self._tell(progress, status)
                progress = None
            self._tell(event, status)
        if progress is not None:
            self._tell(progress, status)
        self._caught_up = True

    def frame(self, status: RunStatus, alive: Liveness) -> None:
        """Where it is in trouble, or over without a recorded end."""
        state, detail = judge(status, alive, self._clock())
        told = state in ENDED and status.ended is not None
        if state != self._state and state in UNTOLD and not told:
            write_line(self._console, f"{state}: {detail}")
        self._state = state

    def last(self, status: RunStatus, alive: Liveness) -> None:
        self.frame(status, alive)

    def _tell(self, event: Event, status: RunStatus) -> None:
        for line in (self._lines.warning(event, status), self._lines.line(event, status)):
            if line is not None:
                write_line(self._console, line)


def _held(status: RunStatus) -> list[Event]:
    """What a status knows of how it came to where it stands, as events; nothing of a run that is yet to be read."""
    if not status.seq:
        return []
    known = [status.resumed, *status.transitions, *status.checkpoints[-1:], status.end]
    told = sorted(filter(None, known), key=lambda event: int(event["seq"]))
    progress: Event = {"event": "progress", "time": status.last_time}
    return [*told, progress, *filter(None, [status.ended])]


class _Picture(_Quiet):
    """The run's panel, drawn over itself where it is: when events came, the window changed, or a second passed."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._drawn: tuple[int, int, int, int] | None = None
        self._width = 0

    def frame(self, status: RunStatus, alive: Liveness) -> None:
        width, height = self._console.size
        shown = (width, height, status.seq, int(self._clock()))
        if shown != self._drawn:
            self._drawn = shown
            self._draw(status, alive, height - 1)

    def last(self, status: RunStatus, alive: Liveness) -> None:
        """The whole picture, however high: nothing is drawn over it any more."""
        self._draw(status, alive, None)

    def _draw(self, status: RunStatus, alive: Liveness, height: int | None) -> None:
        width = self._console.width
        # when lines grew too long the terminal may have folded them, and nobody knows where the picture begins
        self._control(_HOLD + (_CLEAR if width < self._width else ""))
        self._width = width
        self._live.update(run_panel(status, alive, width, self._clock(), height), refresh=True)
        self._control(_RELEASE)

    def _control(self, codes: str) -> None:
        if self._console.is_terminal:
            self._console.file.write(codes)
            self._console.file.flush()

    def __enter__(self) -> _Picture:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()


def _shown(kind: ProgressKind, console: Console, clock: Callable[[], float]) -> AbstractContextManager[_Display]:
    if kind == "rich":
        return _Picture(console, clock)
    return nullcontext(_Plain(console, clock) if kind == "plain" else _Quiet())
