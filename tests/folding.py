"""A run's events as if nothing had interrupted it: the plain way to say it, beside the package's own."""

from __future__ import annotations

from collections.abc import Iterable

from stagectl.runs import Event
from stagectl.runs.attempts import superseded_by


def folded(events: Iterable[Event]) -> list[Event]:
    """The events of a run that are in force, in their order: each step of training once."""
    kept: list[Event] = []
    for event in events:
        gone = superseded_by(event)
        while gone and kept and kept[-1]["seq"] >= gone.start:
            kept.pop()
        kept.append(event)
    return kept
