"""What a run on a cluster costs, as far as SkyPilot knows prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stagectl.runs.away import Away
from stagectl.runs.liveness import ENDED, State
from stagectl.runs.status import RunStatus

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spending:
    """Dollars: an hour now, in all so far, and in each of the stages that the run plays.

    What it took until training began counts for the first stage. All of it is free where every price is 0.
    """

    hourly: float
    total: float
    stages: tuple[float, ...]


def spending(status: RunStatus, away: Away | None, state: State, now: float) -> Spending | None:
    """What a run has cost until now; until it ended, or was last heard of. None where a price is not known."""
    if away is None or not away.machines:
        return None
    rates = [machine.hourly for machine in away.machines if machine.hourly is not None]
    if len(rates) < len(away.machines):
        return None
    until = now
    if state in ENDED:
        until = status.last_time
    elif state == "unfollowed":
        until = max(away.seen, status.last_time)
    held = list(zip(rates, _held(away, status.ends, until), strict=True))
    stages = [[(begin, until if end is None else end) for begin, end in entry.times] for entry in status.stages]
    return Spending(rates[-1], _cost(held, [(0.0, until)]), tuple(_cost(held, spans) for spans in stages))


def _held(away: Away, ends: Sequence[float], until: float) -> list[Span]:
    """From when until when each machine cost: until the next one was seen, or the run ended.

    How long it was already gone before the next one came nobody knows.
    """
    nexts = [*(after.since for _, after in pairwise(away.machines)), until]
    return [
        (machine.since, min([following, *(end for end in ends if end >= machine.since)]))
        for machine, following in zip(away.machines, nexts, strict=True)
    ]


def _cost(held: Sequence[tuple[float, Span]], spans: Sequence[Span]) -> float:
    """What falls into those spans of time; where clocks differ, none is negative."""
    hours = [
        rate * max(0.0, min(end, last) - max(begin, since)) / 3600
        for rate, (since, last) in held
        for begin, end in spans
    ]
    return sum(hours)
