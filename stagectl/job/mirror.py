"""The W&B mirror: `python -m stagectl.job.mirror RUN_FOLDER`, a process of its own beside the job.

It follows the run's event log and sends what belongs to W&B, so that training never waits for the network. One
thread sends, and may hang as long as W&B is away; the main thread watches for the run's end and for signals, and
leaves in time whatever the other does. Points are numbered by their place in the log: that number is W&B's `_step`,
which tells after any interruption what the server already has, so that nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from stagectl.adapters.wandb import Mode, Standing, WandbRun, find_mode, is_point, last_stored, point
from stagectl.errors import StagectlError
from stagectl.job.say import say
from stagectl.job.stored import stored_recipe
from stagectl.recipe import Recipe
from stagectl.runs import Event, EventReader, FileLock, RunPaths, read_json, read_liveness, write_json

BATCH = 500
FIRST_RETRY = 5.0
LAST_RETRY = 300.0
SILENCE = 30.0
SUCCESSES = frozenset({"completed", "budget_spent", "stopped"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: between two looks, a run without processes counts as over, finishing, finishing when asked to go."""

    poll: float = 0.5
    gone: float = 30.0
    finish: float = 30.0
    hurry: float = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Mirror a run until it is over. 0: everything is sent; 1: something is not; else a StagectlError's code."""
    parser = argparse.ArgumentParser(prog="python -m stagectl.job.mirror")
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("--finish-seconds", type=float, default=30.0, help="how long to wait for W&B at the end")
    parser.add_argument("--gone-seconds", type=float, default=30.0, help="how long to wait for a lost job")
    args = parser.parse_args(argv)
    os.umask(0o077)
    try:
        return follow(RunPaths(args.folder.resolve()), Limits(finish=args.finish_seconds, gone=args.gone_seconds))
    except StagectlError as error:
        say(f"the W&B mirror ends: {error}")
        return error.exit_code


def follow(paths: RunPaths, limits: Limits) -> int:
    """Mirror a run from this process, whose main thread must call it. Returns what `main` returns."""
    asked = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    recipe = stored_recipe(paths)
    with FileLock(paths.mirror_lock) as lock:
        while not lock.acquire():  # an older mirror of this run goes on, or is finishing
            if asked.wait(limits.poll):
                return 0
        over = threading.Event()
        sender = _Sender(paths, recipe, over, limits.poll)
        watch = _Watch(paths, limits)
        while sender.is_alive() and not watch.is_over() and not asked.wait(limits.poll):
            pass
        over.set()
        last = time.monotonic() + limits.finish
        while sender.is_alive() and time.monotonic() < last and not asked.wait(0.05):
            pass
        if asked.is_set():
            sender.join(limits.hurry)
        return 0 if sender.is_off else _end(paths, sender_hangs=sender.is_alive())


# ── how far it has come ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event that was handed to wandb, the number of the last point, whether it finished with them all."""

    seq: int = 0
    sent: int = 0
    finished: bool = False


def read_cursor(paths: RunPaths) -> Cursor:
    data = read_json(paths.mirror_cursor)
    return Cursor(data.get("seq", 0), data.get("sent", 0), data.get("finished", False))


def _save(paths: RunPaths, cursor: Cursor) -> None:
    write_json(paths.mirror_cursor, {"seq": cursor.seq, "sent": cursor.sent, "finished": cursor.finished})


def _end(paths: RunPaths, *, sender_hangs: bool) -> int:
    cursor = read_cursor(paths)
    unsent = sum(is_point(event) for event in EventReader(paths.events, after=cursor.seq).read())
    if unsent or not cursor.finished:
        what = f"{unsent} events are unsent" if unsent else "the last events may be unsent"
        say(f"W&B: {what}; they are kept: {sys.executable} -m stagectl.job.mirror {paths.folder} sends them")
    if sender_hangs:
        os._exit(1)  # wandb would wait at exit for as long as W&B is away
    return 0 if cursor.finished and not unsent else 1


# ── the main thread: is the run over? ───────────────────────────────────────────────────────────────────────────


class _Watch:
    """Whether the run is over: it says so, its log cannot be read on, or its processes are gone for too long."""

    def __init__(self, paths: RunPaths, limits: Limits) -> None:
        self._paths = paths
        self._gone = limits.gone
        self._reader = EventReader(paths.events)
        self._ended = False
        self._alive = time.monotonic()

    def is_over(self) -> bool:
        try:
            for event in self._reader.read():
                self._ended = event["event"] == "run_ended"
            liveness = read_liveness(self._paths)
        except StagectlError as error:
            say(f"W&B: {error}")
            return True
        if liveness.job or liveness.trainer:
            self._alive = time.monotonic()
        return self._ended or time.monotonic() - self._alive > self._gone


# ── the other thread: send ──────────────────────────────────────────────────────────────────────────────────────


class _Sender:
    """Sends from a thread of its own; hangs as long as wandb does."""

    def __init__(self, paths: RunPaths, recipe: Recipe, over: threading.Event, poll: float) -> None:
        self.is_off = False
        self._paths = paths
        self._recipe = recipe
        self._over = over
        self._poll = poll
        self._thread = threading.Thread(target=self._send_until_over, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _send_until_over(self) -> None:
        """Begin again after whatever goes wrong; once the run is over, once more at most."""
        pause, said = FIRST_RETRY, ""
        while True:
            last_try = self._over.is_set()
            try:
                return self._send()
            except Exception as error:  # whatever wandb raises, training does not care
                text = f"{type(error).__name__}: {error}".splitlines()[0]
                if text != said:
                    say(f"W&B: {text}; events are kept, and sent when it works again")
                said = text
            if last_try:
                return None
            WandbRun.forget()
            self._over.wait(pause)
            pause = min(pause * 2, LAST_RETRY)

    def _send(self) -> None:
        cursor = read_cursor(self._paths)
        if cursor.finished and not self._has_news(cursor.seq):
            return
        mode = find_mode()
        if mode == "disabled":
            self.is_off = True
            say("W&B: off, as WANDB_MODE says")
            return
        run = _open(self._paths, self._recipe, mode)
        progress = _Progress(run, run.first_missing or _first_missing_offline(self._paths, cursor))
        reader = EventReader(self._paths.events)
        while True:
            last_look = self._over.is_set()  # asked before reading, so that nothing written before is missed
            for batch in _batches(reader.read()):
                progress.send(batch)
                if reader.seq > cursor.seq:
                    cursor = Cursor(reader.seq, max(progress.number, cursor.sent))
                    _save(self._paths, cursor)
            if last_look:
                break
            self._over.wait(self._poll)
        run.finish(progress.exit_code)
        _save(self._paths, replace(cursor, finished=True))

    def _has_news(self, seq: int) -> bool:
        """Wait for an event after that one: without any, W&B is not opened again. False: the run is over."""
        reader = EventReader(self._paths.events, after=seq)
        while True:
            last_look = self._over.is_set()
            if any(reader.read()):
                return True
            if last_look:
                return False
            self._over.wait(self._poll)


@dataclass(slots=True)
class _Progress:
    """The run at W&B, from which point on it is sent points, and where in the log they stand."""

    run: WandbRun
    first: int
    number: int = 0
    standing: Standing = field(default_factory=Standing)
    exit_code: int = 1

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self.standing = self.standing.after(event)
            self.exit_code = _exit_code(event)
            if is_point(event):
                self.number += 1
                if self.number >= self.first:
                    self.run.log(point(self.standing, event), number=self.number, time=event["time"])
        if self.number >= self.first:
            self.run.confirm(self.number)


def _first_missing_offline(paths: RunPaths, cursor: Cursor) -> int:
    return 1 + (cursor.sent if cursor.finished else last_stored(paths.folder))


def _open(paths: RunPaths, recipe: Recipe, mode: Mode) -> WandbRun:
    named = recipe.wandb
    notice = threading.Timer(SILENCE, say, ["W&B does not answer; training goes on, events are kept for it"])
    notice.daemon = True
    notice.start()
    try:
        run = WandbRun.open(
            paths.run_id,
            mode=mode,
            folder=paths.folder,
            config=recipe.to_data(),
            project=named.project,
            entity=named.entity,
            group=named.group,
            tags=named.tags,
        )
    finally:
        notice.cancel()
    if mode == "online":
        say(f"W&B: {run.place}")
    else:
        say(f"W&B: offline, for want of a key or as WANDB_MODE says; later: wandb sync {run.place}")
    return run


def _exit_code(event: Event) -> int:
    """How W&B is to show a run whose log ends with that event."""
    return 0 if event["event"] == "run_ended" and event["outcome"] in SUCCESSES else 1


def _batches(events: Iterator[Event]) -> Iterator[list[Event]]:
    while batch := list(islice(events, BATCH)):
        yield batch


if __name__ == "__main__":
    sys.exit(main())
