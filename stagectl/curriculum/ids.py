"""The ids of tasks: of which stage each is, and of which visit to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ID = re.compile(r"(.+)@(\d{1,9})#\d+", re.DOTALL | re.ASCII)


class TaskIds:
    """Ids of the form `STAGE@VISIT#NUMBER`.

    A stage's name may hold these signs too: an id is read from its end, and none is given that is a stage's name.

    Args:
        names: The stages that are played.

    Attributes:
        index: Each one's index by its name.
        given: How many ids were given.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self.index = {name: index for index, name in enumerate(names)}
        self._beginnings: list[str] = []
        self._present: dict[str, int] = {}
        self.given = 0

    def enter(self, visits: Sequence[int]) -> None:
        """The number of the last visit to each stage, from 1; of a stage that was never entered, 0."""
        self._beginnings = [f"{name}@{visit}" for name, visit in zip(self._names, visits, strict=True)]
        self._present = {beginning: index for index, beginning in enumerate(self._beginnings)}

    def next(self, index: int) -> str:
        """A new id, of the last visit to the stage of that index."""
        self.given += 1
        new = f"{self._beginnings[index]}#{self.given}"
        return self.next(index) if new in self.index else new

    def source(self, text: str) -> tuple[int, int | None] | None:
        """The index of the stage that an id, or a stage's own name, is of, and the visit, None for the last one.

        None where it is nobody's.
        """
        index = self.index.get(text)
        if index is None:
            index = self._present.get(text.rpartition("#")[0])
        if index is not None:
            return index, None
        match = _ID.fullmatch(text)
        if match is None or match[1] not in self.index:
            return None
        return self.index[match[1]], int(match[2])
