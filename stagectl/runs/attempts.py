"""A run's attempts: which events a later one supersedes, and a run read as if nothing had interrupted it.

An attempt that goes on from a checkpoint says so in its `attempt_started`, by `after`: the `seq` of the last event
that the checkpoint knows of. What stands in the log between that and `attempt_started` is superseded.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stagectl.runs.events import Event

_STARTED, _ANSWERED = b'"attempt_started"', b'"request_answered"'


def sifted(events: Iterable[Event], gone: Sequence[range]) -> Iterator[tuple[Event, bool]]:
    """Each event with whether it is in force, that is not among the `gone`; in force is each step of training once.

    None is held. It ends before an attempt that began since it was found what is gone.
    """
    for event in events:
        if (newly := superseded_by(event)) and not is_superseded(newly[-1], gone):
            return
        yield event, not is_superseded(event["seq"], gone)


def is_superseded(seq: int, gone: Sequence[range]) -> bool:
    """Whether the event of that `seq` is among the `gone`, as `superseded` tells them."""
    place = bisect_right(gone, seq, key=lambda seqs: seqs.start)
    return place > 0 and seq in gone[place - 1]


def superseded_by(event: Event) -> range:
    """The `seq` of the events that this one supersedes."""
    after = event.get("after") if event["event"] == "attempt_started" else None
    return range(0) if after is None else range(after + 1, event["seq"])


def superseded_in(events: Iterable[Event]) -> list[range]:
    """What the attempts among the events supersede: ranges of `seq` in order, none of which touches another."""
    merged: list[range] = []
    for gone in sorted(filter(None, map(superseded_by, events)), key=lambda seqs: seqs.start):
        if merged and gone.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, gone.stop))
        else:
            merged.append(gone)
    return merged


def superseded(path: Path, start: int = 0) -> list[range]:
    """What a log's attempts supersede, those that began after so many bytes of it.

    It is found without reading every event, for who then reads the log as a stream.
    """
    return superseded_in(_marked(path, _STARTED, start=start))


def lost_orders(path: Path) -> list[Event]:
    """The answers to `advance` that the log's last attempt superseded, in the order of their steps: to be given again.

    What an attempt in between gave again is there once.
    """
    events = _marked(path, _STARTED, _ANSWERED)
    starts = [event for event in events if event["event"] == "attempt_started"]
    gone = superseded_by(starts[-1]) if starts else range(0)
    lost: list[Event] = []
    again: list[Event] = []
    for event in (event for event in events if event["seq"] in gone):
        if event["event"] == "attempt_started":
            lost, again = [], [*lost, *again]
        elif event["event"] == "request_answered" and event["request"] == "advance" and event["to"] is not None:
            if again and event["to"] == again[0]["to"] and event["at"] >= again[0]["at"]:
                again.pop(0)
            lost.append(event)
    return sorted([*lost, *again], key=lambda event: int(event["at"]))


def _marked(path: Path, *marks: bytes, start: int = 0) -> list[Event]:
    """The events whose lines have one of the marks, and may be others than those."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            lines = [line for line in file if any(mark in line for mark in marks) and line.endswith(b"\n")]
    except OSError:  # whoever reads the log next says why
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
            superseded_by(event)
        except (ValueError, LookupError, TypeError):  # damage, which whoever reads the log next reports
            continue
        events.append(event)
    return events
