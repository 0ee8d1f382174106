"""What a recipe would have done: the answer, and the table and picture that it rests on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from stagectl.view.answer import (
    Phrase,
    answer,
    confidence,
    interval,
    median,
    money,
    plain,
    recipe_name,
    seeds,
    verdicts,
)
from stagectl.view.console import stdout
from stagectl.view.grid import grid
from stagectl.view.lines import DIM, aligned, joined, labelled
from stagectl.view.seeds import seeds_picture, short_names, summary_table, summary_text
from stagectl.view.timeline import timeline_panel, timeline_text
from stagectl.view.words import NOTHING, clean

if TYPE_CHECKING:
    from stagectl.simulate import Comparison, Difference, Simulation

HEADER = ("RECIPE", "STAGE", "LEFT AT", "DIFFERENCE", "INTERVAL", "SURE", "SEEDS", "COST")
_RIGHT = frozenset(HEADER[2:])
_NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*(?!\w)")  # one that stands alone: no part of a stage's name
_STYLES = {"": "", "stage": "bold", "number": "bold cyan"}


def simulation_panel(simulation: Simulation, width: int) -> RenderableType:
    """The answer, a table, a picture and notes, at most `width` cells wide."""
    parts: list[RenderableType] = [phrases(answer(simulation), width), Text()]
    if simulation.summary is None:
        parts.append(timeline_panel(simulation.timelines[0], width))
    else:
        parts += [summary_table(simulation, width), Text(), seeds_picture(simulation.timelines, width)]
    notes = notes_of(simulation)
    return Group(*parts, *([Text(), _notes(notes, width)] if notes else []))


def simulation_text(simulation: Simulation) -> str:
    """The same for a pipe: complete lines, no picture."""
    several = simulation.summary is not None
    body = summary_text(simulation) if several else timeline_text(simulation.timelines[0])
    notes = notes_of(simulation)
    return "\n".join([plain(answer(simulation)), "", body, *([""] if notes else []), *notes])


def comparison_panel(comparison: Comparison, width: int) -> RenderableType:
    """What each recipe saves over the first; a table, and each recipe's picture."""
    parts: list[RenderableType] = [phrases(verdict, width) for verdict in verdicts(comparison)]
    parts += [Text(), _difference_table(comparison, width)]
    for simulation in comparison.simulations:
        title = Text(f" {recipe_name(simulation)}", "bold")
        parts += [Text(), title, simulation_panel(simulation, width)]
    return Group(*parts)


def comparison_text(comparison: Comparison) -> str:
    """The same for a pipe."""
    heads = [plain(verdict) for verdict in verdicts(comparison)]
    table = aligned(HEADER, difference_rows(comparison), _RIGHT)
    each = [f"{recipe_name(simulation)}\n{simulation_text(simulation)}" for simulation in comparison.simulations]
    return "\n\n".join(["\n".join(heads), table, *each])


def phrases(sentence: list[Phrase], width: int) -> Text:
    """A sentence, on as many lines as it needs."""
    line = Text.assemble(*((text, _STYLES[kind]) for text, kind in sentence))
    return joined(Text.assemble(" ", part) for part in line.wrap(stdout(), max(8, width - 2)))


def notes_of(simulation: Simulation) -> list[str]:
    """What must be known before any of it is believed; what is so for several seeds is told of the first."""
    of_seeds = [note for timeline in simulation.timelines for note in timeline.notes] if simulation.summary else []
    alike: dict[str, list[str]] = {}
    for note in map(clean, (*simulation.notes, *of_seeds)):
        alike.setdefault(_NUMBER.sub("", note), []).append(note)
    return [_told_once(notes) for notes in alike.values()]


def _told_once(notes: list[str]) -> str:
    others = len(notes) - 1
    if not others or len(set(notes)) == 1:
        return notes[0]
    return f"{notes[0]}; and so, with other numbers, {others} more time{'s' * (others > 1)}"


def _notes(notes: list[str], width: int) -> Text:
    return joined(line for note in notes for line in labelled("note", [(note, "")], width))


def _difference_table(comparison: Comparison, width: int) -> Text:
    rows = [[Text(cell, DIM if cell == NOTHING else "") for cell in row] for row in difference_rows(comparison)]
    header = HEADER if comparison.price else HEADER[:-1]
    rows = [row[: len(header)] for row in rows]
    drops = ("SURE", "INTERVAL")
    return grid(header, rows, width, right=_RIGHT, gives_way=("RECIPE", "STAGE"), drops=drops)


def difference_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The first recipe's medians, then what each other recipe's stages are later or earlier."""
    first, *others = comparison.simulations
    shown, *names = short_names([recipe_name(simulation) for simulation in comparison.simulations])
    rows = [(shown, clean(name), left, *[NOTHING] * 5) for name, left in _lefts(first)]
    for name, other in zip(names, others, strict=True):
        lefts = dict(_lefts(other))
        rows += [
            (
                name,
                clean(told.stage or "all of them"),
                lefts.get(told.stage or "", NOTHING),
                *_cells(told),
            )
            for told in comparison.differences
            if told.recipe == other.recipe
        ]
    return rows


def _lefts(simulation: Simulation) -> list[tuple[str, str]]:
    if simulation.summary is not None:
        return [(stage.name, median(stage.left)) for stage in simulation.summary.stages]
    spans = simulation.timelines[0].stages
    return [(span.name, NOTHING if span.left is None else f"{span.left:,}") for span in spans]


def _cells(told: Difference) -> tuple[str, str, str, str, str]:
    steps = told.steps
    moved = median(steps, lambda value: f"{round(value):+,}")
    cost = (
        NOTHING
        if told.cost is None
        else median(told.cost, lambda value: f"{'-' if value < 0 else '+'}{money(abs(value))}")
    )
    sure = confidence(steps) if steps.low is not None or steps.high is not None else NOTHING
    return moved, interval(steps), sure, seeds(steps), cost
