"""The list of runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from stagectl.runs import Liveness, RunStatus
from stagectl.view.facts import STATE_STYLES, judged
from stagectl.view.grid import fits, grid
from stagectl.view.lines import DIM, aligned
from stagectl.view.words import NOTHING, age, clean, duration, steps

HEADER = ("RUN", "RECIPE", "STATE", "STAGE", "STEP", "ELAPSED", "SEEN")
_RIGHT = frozenset({"STEP", "ELAPSED"})
_DROPS = ("RECIPE", "ELAPSED")
_DROPS_FOR_IDS = ("SEEN", "STEP", "STAGE")  # an id that is cut cannot be copied
_GIVES_WAY = ("STAGE", "RUN")

Listed = tuple[RunStatus, Liveness | None]
"""A run's status and its processes; None where its log is damaged and nothing more can be said."""


def run_rows(runs: Sequence[Listed], now: float) -> list[tuple[str, ...]]:
    """A row of `HEADER`'s columns for each run."""
    return [_row(status, liveness, now) for status, liveness in runs]


def run_table(runs: Sequence[Listed], width: int, now: float) -> Text:
    """The runs as a table at most `width` cells wide, their ids whole.

    Recipe and elapsed go first, then the stage is cut; where that does not make room enough, more columns go.
    """
    rows = [
        [Text(cell, _style(name, row)) for name, cell in zip(HEADER, row, strict=True)] for row in run_rows(runs, now)
    ]
    kept = [name for name in HEADER if name not in _DROPS]
    least = [[row[HEADER.index(name)] if name != "STAGE" else Text() for name in kept] for row in rows]
    drops = _DROPS if fits(kept, least, width) else (*_DROPS, *_DROPS_FOR_IDS)
    return grid(HEADER, rows, width, right=_RIGHT, gives_way=_GIVES_WAY, drops=drops)


def run_table_text(runs: Sequence[Listed], now: float) -> str:
    """The same for a pipe: complete lines."""
    return aligned(HEADER, run_rows(runs, now), _RIGHT)


def _row(status: RunStatus, liveness: Liveness | None, now: float) -> tuple[str, ...]:
    run, recipe = clean(status.run_id), clean(status.recipe) or NOTHING
    if liveness is None:
        return (run, recipe, "damaged", *[NOTHING] * 4)
    facts = judged(status, liveness, now)
    stage = NOTHING
    if status.stage is not None:
        stage = f"{status.current + 1}/{len(status.curriculum)} {clean(status.name_of(status.current))}"
    seen = age(facts.silence) if status.last_time else NOTHING
    return (run, recipe, facts.word, stage, steps(status.step), duration(facts.elapsed), seen)


def _style(name: str, row: tuple[str, ...]) -> str:
    if name == "STATE":
        return STATE_STYLES.get(row[2].replace(" ", "_"), "red")
    return {"RUN": "bold", "SEEN": DIM, "RECIPE": DIM}.get(name, "")
