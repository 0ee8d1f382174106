"""A run of ours as a trace: its episodes, and what else a replay needs to decide as the run did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from stagectl.errors import TraceError
from stagectl.runs import Event, EventReader, sifted, superseded, superseded_in
from stagectl.traces.fold import counted
from stagectl.traces.trace import Row, Trace, trace_of_rows


def read_run(name: str, events: Path) -> Trace:
    """The trace that a run's event log tells; what a later attempt superseded is left out.

    Raises:
        DamagedRunError: A line of the log is no event.
    """
    return _trace_in_force(name, sifted(EventReader(events).read(), superseded(events)))


def read_event_log(name: str, lines: Iterable[str]) -> Trace:
    """The trace that the lines of an event log tell: a copy, packed or piped.

    Raises:
        TraceError: A line is no event; the last may be torn.
    """
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if event["seq"] != number:
                raise TraceError(f"{name}:{number}: event {event['seq']} stands where event {number} belongs")
        except (ValueError, TypeError, LookupError, RecursionError):
            if not line.endswith("\n"):
                break
            raise TraceError(f"{name}:{number}: this line is no event") from None
        events.append(event)
    return _trace_in_force(name, sifted(events, superseded_in(events)))


def _trace_in_force(name: str, told: Iterable[tuple[Event, bool]]) -> Trace:
    left_out = 0

    def in_force() -> Iterator[Event]:
        nonlocal left_out
        for event, holds in told:
            if holds:
                yield event
            else:
                left_out += len(event.get("scores", ()))

    trace = trace_of_events(name, in_force())
    note = f"{counted(left_out, 'episode')} left out: a later attempt went on from before"
    return replace(trace, notes=(*trace.notes, note)) if left_out else trace


def trace_of_events(name: str, events: Iterable[Event]) -> Trace:
    """A row an episode, in order. A transition gets a row with the stage that it entered and no score: there a
    replay decides as the run did."""
    start: list[str] = []
    rows = list(_rows_of(events, start))
    return trace_of_rows(name, rows, start[0] if start else None)


def _rows_of(events: Iterable[Event], start: list[str]) -> Iterator[Row]:
    """A run's rows. What came between two boundaries stands at the later one, with which it was decided."""
    tops: list[str] = []
    played: list[str] = []
    criteria: set[str] = set()
    metrics: list[dict[str, float]] = []
    advance_to: str | None = None
    for event in events:
        kind, step = event["event"], event["step"]
        if "stages" in event:  # the run's beginning, or an attempt that goes on under a changed recipe
            tops = [stage["name"] for stage in event["stages"]]
            played = [m["name"] for stage in event["stages"] for m in (stage.get("parallel") or [stage])]
            criteria = set(event.get("metrics", ()))
            if event.get("path") is None:  # an attempt without a checkpoint begins at step 0, as the recipe now says
                start[:] = [tops[event.get("start", 0)]]
        elif kind == "metrics":
            metrics.append({name: value for name, value in event["metrics"].items() if name in criteria})
        elif kind == "request_answered" and event["request"] == "advance":
            advance_to = event["to"]
        elif kind in ("episodes", "progress"):
            yield from (Row(step, metrics=told) for told in metrics if told)
            metrics.clear()
            if kind == "progress":
                yield Row(step, advance_to=advance_to)
            for stage, score, *visit in event.get("scores", ()):
                yield Row(step, score, played[stage], visit[0] if visit else None, advance_to)
            advance_to = None
        elif kind == "stage_transition":
            yield Row(step, stage=tops[event["to_stage"]])
