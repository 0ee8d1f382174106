"""One recipe on a recording that is too large to be held: it is replayed while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stagectl.errors import TraceError
from stagectl.recipe import Recipe
from stagectl.simulate.replay import replay
from stagectl.simulate.simulation import AS_RECORDED, curriculum_for, late, outside, span_of
from stagectl.simulate.summary import Simulation, simulation_of
from stagectl.traces import Trace
from stagectl.traces.fold import Gap


def simulate_streamed(
    parts: Iterator[Trace],
    recipe: Recipe,
    *,
    file: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Simulation:
    """What `simulate` gives for the whole recording, as recorded.

    Args:
        parts: The recording in parts of which none tells a stage (`parts_of`); all are read, so that all are checked.
        recipe: Its step budget ends the replay as it ends training.
        file: The recipe's file, as it is to be named in the result; None: the defaults.
        progress: Told now and then how many more rows were read.

    Raises:
        TraceError: A part cannot be read, or none has a score.
        RecipeError: The recipe's class cannot be built, or fails.
    """
    heard = _Heard(recipe, progress)
    with ThreadPoolExecutor(1) as reader:
        told = heard.each_of(_read_ahead(reader, parts))
        first = next(told)
        budget = recipe.trainer.total_timesteps
        timeline = replay(curriculum_for(recipe, first), first, budget, more=told)
        for _ in told:
            pass
    if not heard.has_scores:
        raise TraceError(f"{first.name}: has no score")
    return simulation_of(file, [timeline], [*first.notes, *heard.notes(), AS_RECORDED])


def _read_ahead(reader: ThreadPoolExecutor, parts: Iterator[Trace]) -> Iterator[Trace]:
    """The parts, each read while the one before it is used."""
    coming = reader.submit(next, parts, None)
    while (part := coming.result()) is not None:
        coming = reader.submit(next, parts, None)
        yield part


class _Heard:
    """What is to be said of all parts together."""

    def __init__(self, recipe: Recipe, progress: Callable[[int], None]) -> None:
        self.has_scores = False
        self._recipe = recipe
        self._progress = progress
        self._gap = Gap()
        self._spans: list[tuple[float, float]] = []
        self._rows = self._first = self._last = 0

    def each_of(self, parts: Iterator[Trace]) -> Iterator[Trace]:
        for part in parts:
            self._gap.add(part.steps)
            self.has_scores = self.has_scores or not np.isnan(part.scores).all()
            self._spans.append(span_of(part, self._recipe))
            self._first = self._first if self._rows else int(part.steps[0])
            self._last = int(part.steps[-1])
            self._rows += len(part)
            self._progress(len(part))
            yield part

    def notes(self) -> list[str]:
        gap = self._gap.note()
        late_notes = late([self._first, self._last], self._rows)
        return [*([gap] if gap else []), *late_notes, *outside(self._spans)]
