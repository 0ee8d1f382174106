"""A table of recorded values, wherever it comes from: its header now, its columns when they are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagectl.traces.columns import Chosen

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        name: What the user called it.
        header: The columns' names, as they stand there.
        read: The chosen columns by their names, as numbers where they are, else as text.
        place: Where a row stands, for messages: `file.csv:12`.
        start: Where its header stands.
        can_be_mended: Whether the user can correct a value; else those that are no finite number are left out and
            counted.
        notes: What one should know of how it was read.
        is_part: There are rows before or after these.
    """

    name: str
    header: list[str]
    read: Callable[[Chosen], pl.DataFrame]
    place: Callable[[int], str]
    start: str
    can_be_mended: bool = True
    notes: tuple[str, ...] = ()
    is_part: bool = False
