"""What a follower does beside reading the job's output: it looks at the job, and brings it what is asked of the run."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagectl.errors import JobError, StagectlError
from stagectl.job.requests import inside_of
from stagectl.launch.sky import Place, Sky, UnreachableError
from stagectl.launch.submit import note_look, note_unreachable, submission
from stagectl.runs import RunPaths, make_folder, read_json, read_status, write_json
from stagectl.runs.away import has_ended

STEP_SECONDS = 1.0
LOOK_SECONDS = 60.0
SOON_SECONDS = 10.0  # after the last look, where something befell the job: a recovery can be over within a minute
CHECK_SECONDS = 5.0  # after a look that said that the job is over
ANSWER_SECONDS = 60.0  # beyond a stop's grace time
LONGEST_PAUSE = 60.0
BEFORE_TRAINING = frozenset({"INIT", "UP", "PENDING", "SETTING_UP"})  # what a cluster, or a job on one, is then
NOT_STARTED = "stopped before its job had started"


class Attendant:
    """Looks and brings until the follower is done.

    Attributes:
        place: Where the job is.
        job: The job's number, once `started` has told it.
        begun: The job has told an event since it was submitted.
        is_disturbed: SkyPilot tells that something befell the job, which has told nothing since.
        reached: SkyPilot has answered since this began.
        ended_looks: How many looks in a row said that the job is over; the follower may count anew.
        cancelled: Why the job or its launch was cancelled here, where it was.
    """

    def __init__(self, paths: RunPaths, sky: Sky, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        record = submission(paths)
        self.clock = clock
        self.place = Place(**record["place"])
        self.job: int | None = None
        self.begun = self.is_disturbed = self.reached = False
        self.ended_looks = 0
        self.cancelled = ""
        self._paths = paths
        self._sky = sky
        self._grace = grace
        self._looking = threading.Lock()
        self._last_look, self._next_look = -math.inf, clock()
        self._stop, self._advance = _Request(), _Request()
        for file in (paths.stop_request, paths.advance_request):
            if read_json(file).get("time", math.inf) < record["time"]:  # it was asked of an earlier job
                file.unlink()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """In threads of its own: a look can take as long as SkyPilot likes, and no request waits for it."""
        over = threading.Event()

        def repeat(step: Callable[[], None]) -> None:
            while not over.wait(STEP_SECONDS):
                step()

        for step in (self.look_if_due, self.serve_requests):
            threading.Thread(target=repeat, args=(step,), daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def started(self, job: int) -> None:
        """The launch is done, also one that was given up too late; its machine is looked at first."""
        self.job, self.cancelled = job, ""
        self._next_look = self.clock()

    def told(self) -> None:
        """The job has told an event; at its first one, here or after a recovery, what SkyPilot said is no longer so."""
        if self.is_disturbed or not self.begun:
            self.begun, self.is_disturbed = True, False
            self._next_look = self._last_look + SOON_SECONDS

    def look_if_due(self) -> None:
        """Look once a minute, and more often where there is reason to; a look that fails is none."""
        next_look = self._last_look + SOON_SECONDS if self.is_disturbed else math.inf
        if self.clock() >= min(next_look, self._next_look):
            try:
                self.look()
            except Exception as error:
                say_failure(error)

    def serve_requests(self) -> None:
        """Serve each request where it is time to; where that fails, again after a pause that grows."""
        for request, file, serve in (
            (self._stop, self._paths.stop_request, self._serve_stop),
            (self._advance, self._paths.advance_request, self._serve_advance),
        ):
            try:
                request.update(read_json(file), self.clock())
                if request.content and self.clock() >= request.due:
                    request.due = self.clock() + serve(request)
            except Exception as error:
                say_failure(error)
                request.due = self.clock() + request.pause
                request.pause = min(2 * request.pause, LONGEST_PAUSE)

    def look(self) -> str:
        """What SkyPilot says of the job now, kept in the run's identity.

        Raises:
            JobError: It says nothing.
        """
        with self._looking:
            self._last_look = self.clock()
            self._next_look = self._last_look + LOOK_SECONDS
            if self.job is None and self.place.cluster is None:
                return ""  # a managed job that is only being sent
            try:
                look = self._sky.look(self.place, self.job)
            except UnreachableError:
                note_unreachable(self._paths, round(time.time(), 3))
                raise
            self.reached = True
            note_look(self._paths, look, round(time.time(), 3))
            if self.job is None or not has_ended(look.state):
                self.ended_looks = 0
            else:
                self.ended_looks += 1
                self._next_look = self.clock() + CHECK_SECONDS
            return look.state

    def _serve_stop(self, stop: _Request) -> float:
        """Ask the job to stop, or cancel what cannot be asked; the seconds until it is time again."""
        if self.job is None:
            return self._cancel_launch()
        if self.place.cluster is None:
            return self._cancel("cancelled, since a managed job cannot be asked to save a checkpoint")
        time_for_it = stop.content.get("grace", self._grace) + ANSWER_SECONDS
        if not self.begun:
            return self._stop_silent(stop, time_for_it)
        if stop.brought:
            if read_status(self._paths).stop_requested:
                return math.inf
            return self._cancel(f"cancelled: it did not answer within {time_for_it:g} s of being asked to stop")
        try:
            self._bring("stop", stop)
        except UnreachableError:
            raise
        except JobError as error:
            if self.clock() < stop.since + time_for_it:
                raise
            return self._cancel(f"cancelled, since it could not be asked to stop: {error.message}")
        return float(time_for_it)

    def _stop_silent(self, stop: _Request, time_for_it: float) -> float:
        """As `_serve_stop`, for a job that has told nothing yet: one that is still to begin need not be asked."""
        if self.clock() >= stop.since + time_for_it:
            return self._cancel(f"cancelled: it told nothing within {time_for_it:g} s of the request to stop")
        return self._cancel(NOT_STARTED) if self.look() in BEFORE_TRAINING else 2.0

    def _serve_advance(self, advance: _Request) -> float:
        """Bring it once there is somebody to take it, and take it away here; as `_serve_stop`."""
        if self.place.cluster is None:
            return math.inf
        if not self.begun:
            return 2.0
        self._bring("advance", advance)
        if read_json(self._paths.advance_request) == advance.content:
            self._paths.advance_request.unlink()
        return math.inf

    def _bring(self, name: str, request: _Request) -> None:
        with tempfile.TemporaryDirectory(prefix="stagectl-") as folder:
            there = inside_of(Path(folder), self._paths.run_id)
            make_folder(there)
            write_json(there / f"{name}.json", request.content)
            self._sky.bring(self.place, Path(folder))
        request.brought = True

    def _cancel_launch(self) -> float:
        """The job may come to be all the same, so that the stop has to be served again."""
        request = submission(self._paths).get("request")
        if request is not None:
            self.cancelled = NOT_STARTED
            self._sky.cancel_launch(request)
        return 5.0

    def _cancel(self, why: str) -> float:
        assert self.job is not None
        self.cancelled = why
        self._sky.cancel(self.place, self.job)
        return LONGEST_PAUSE


def say_failure(error: Exception) -> None:
    """Into the follower's log, if it takes it; nothing ends by that."""
    said = str(error) if isinstance(error, StagectlError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"stagectl: {said}\n")


@dataclass(slots=True)
class _Request:
    """What is asked, `since` when, whether it was brought, when it is `due`, and the pause after a failure."""

    content: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0
    brought: bool = False
    due: float = 0.0
    pause: float = 1.0

    def update(self, content: dict[str, Any], now: float) -> None:
        if content != self.content:
            self.content, self.since, self.brought, self.due, self.pause = content, now, False, now, 1.0
