"""A run's attempts: which events a later one supersedes, and a run read as if nothing had interrupted it.

An attempt that goes on from a checkpoint says so in its `attempt_started`, by `after`: the `seq` of the last event
that the checkpoint knows of. What stands in the log between that and `attempt_started` is superseded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from stagectl.runs.events import Event

_MARK = b'"attempt_started"'


def folded(events: Iterable[Event]) -> list[Event]:
    """The events of a run that are in force, in their order: each step of training once."""
    kept: list[Event] = []
    for event in events:
        gone = superseded_by(event)
        while gone and kept and kept[-1]["seq"] >= gone.start:
            kept.pop()
        kept.append(event)
    return kept


def superseded_by(event: Event) -> range:
    """The `seq` of the events that this one supersedes."""
    after = event.get("after") if event["event"] == "attempt_started" else None
    return range(0) if after is None else range(after + 1, event["seq"])


def superseded(path: Path) -> list[range]:
    """What a log's attempts supersede; found without reading every event, for who then reads it as a stream."""
    try:
        with path.open("rb") as file:
            marked = [line for line in file if _MARK in line and line.endswith(b"\n")]
    except OSError:  # whoever reads the log next says why
        return []
    found = []
    for line in marked:
        try:
            gone = superseded_by(json.loads(line))
        except (ValueError, LookupError, TypeError):  # damage, which whoever reads the log next reports
            continue
        if gone:
            found.append(gone)
    return found
