"""Steps that go back: after a resume the rows of the earlier attempt are superseded, and late rows take their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagectl.errors import TraceError
from stagectl.traces.trace import Whole

MOST_RESUMES = 100  # that often a step goes back in no run, but in rows that nobody sorted
LATE = 4  # a resume records about as often as what it supersedes; rows that are this many times fewer are late ones

FEW, LONG = 20, 20  # a gap is told among so many steps at least, where it is so many times their mean
_LOOKS = 100_000


@dataclass(frozen=True)
class Fold:
    """The rows to keep, in the order of their steps, and what was done."""

    rows: NDArray[np.int64]
    superseded: int = 0
    late: int = 0

    def notes(self) -> tuple[str, ...]:
        said = []
        if self.superseded:
            said.append(f"{counted(self.superseded, 'row')} left out: a later attempt went on from before")
        if self.late:
            said.append(f"{counted(self.late, 'row')} came late: put where the steps belong")
        return tuple(said)


def fold(steps: Whole, attempts: Whole | None, column: str, place: Callable[[int], str]) -> Fold | None:
    """What is in force of rows in their recorded order; None where no step goes back.

    Without an attempt's number, a step that goes back begins a new attempt, which supersedes the rows from that step
    on, unless only few rows follow before the steps are again where they were: those came late.

    Raises:
        TraceError: The steps go back to their beginning, or over and over: that is no one run in its order.
    """
    back = np.flatnonzero(steps[1:] < steps[:-1]) + 1
    if attempts is not None and len(np.unique(attempts)) > 1:
        return _by_attempt(steps, attempts, column, place)
    if not len(back):
        return None
    if len(back) > MOST_RESUMES:
        raise _disorder(steps, int(back[0]), column, place, f"{len(back):,} times, first ")
    kept = np.arange(back[0])
    superseded = late = 0
    for first, last in zip(back, [*back[1:], len(steps)], strict=True):
        again = np.arange(first, last)
        top = steps[kept[-1]]
        over = int((steps[kept] >= steps[first]).sum())
        below = int((steps[again] < top).sum())
        reaches = below < len(again)
        if below * LATE < over and reaches:
            merged = np.concatenate([kept, again])
            kept = merged[np.argsort(steps[merged], kind="stable")]
            late += below
            continue
        if over == len(kept):
            raise _disorder(steps, int(first), column, place, "")
        kept = np.concatenate([kept[: len(kept) - over], again])
        superseded += over
    return Fold(kept, superseded, late)


class Gap:
    """The longest stretch without a row, of steps that come in parts."""

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None  # the first step and the last
        self._longest = (0, 0, 0)  # its length, and the steps about it
        self._boundaries = 0

    def add(self, steps: Whole) -> None:
        """The next steps, which do not go back."""
        if not len(steps):
            return
        first, last = int(steps[0]), int(steps[-1])
        if self._ends is not None:
            self._take(np.array([self._ends[1], first]))
        stride = max(len(steps) // _LOOKS, 1)  # so few rows show where a long one is
        if len(steps) > stride:
            apart = np.diff(steps[::stride])
            self._boundaries += int(np.count_nonzero(apart))
            at = int(apart.argmax()) * stride
            self._take(steps[at : at + stride + 1])
        self._ends = (self._ends[0] if self._ends else first, last)

    def _take(self, steps: Whole) -> None:
        apart = np.diff(steps)
        at = int(apart.argmax())
        self._longest = max(self._longest, (int(apart[at]), int(steps[at]), int(steps[at + 1])))

    def note(self) -> str | None:
        """What is to be said of it, where it is far longer than the others."""
        if self._ends is None or self._boundaries < FEW:
            return None
        longest, before, after = self._longest
        total = self._ends[1] - self._ends[0]
        if longest * self._boundaries < LONG * total or longest * LONG < total:
            return None
        return f"no row between step {before:,} and step {after:,}"


def _by_attempt(steps: Whole, attempts: Whole, column: str, place: Callable[[int], str]) -> Fold:
    """Each attempt supersedes what the earlier ones recorded from its own first step on."""
    kept = np.empty(0, np.int64)
    superseded = 0
    for attempt in np.unique(attempts):
        rows = np.flatnonzero(attempts == attempt)
        back = np.flatnonzero(np.diff(steps[rows]) < 0)
        if len(back):
            at = rows[back[0]]
            raise _disorder(steps, int(rows[back[0] + 1]), column, place, "", before=int(steps[at]))
        before = steps[kept] < steps[rows[0]]
        superseded += int((~before).sum())
        kept = np.concatenate([kept[before], rows])
    return Fold(kept, superseded)


def counted(count: int, thing: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


def _disorder(
    steps: Whole, row: int, column: str, place: Callable[[int], str], often: str, before: int | None = None
) -> TraceError:
    told = (
        f"{place(row)}: {column} goes back {often}from {steps[row - 1] if before is None else before} to {steps[row]}"
    )
    hint = "sort the rows by step; where it has several runs, name the column that tells them apart: --run-column NAME"
    return TraceError(told, hint=hint)
