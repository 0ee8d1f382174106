"""The stages of a run, a line each: a bar of performance against its threshold, of steps, or of the budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.text import Text

from stagectl.runs import RunStatus
from stagectl.runs.status import StageStatus
from stagectl.view.facts import Facts
from stagectl.view.grid import gap_for
from stagectl.view.lines import DIM, bar, fitted, padded
from stagectl.view.words import NOTHING, clean, dollars, score, short_steps, steps, versus

Place = Literal["done", "current", "halted", "broken", "rehearsed", "later"]
_MARKS = {
    "done": ("✓", "green"),
    "current": ("▶", "bold cyan"),
    "halted": ("■", "yellow"),
    "broken": ("✗", "red"),
    "rehearsed": ("↻", "cyan"),
    "later": ("·", DIM),
}
_BAR_STYLES = {
    "done": "green",
    "current": "cyan",
    "halted": "yellow",
    "broken": "red",
    "rehearsed": "green",
    "later": DIM,
}


@dataclass(frozen=True)
class Gauge:
    """How far a stage is: a share of its bar, where on the bar its target is, and both in words."""

    share: float
    mark: float | None
    value: str
    target: str


def stage_lines(status: RunStatus, facts: Facts, width: int) -> list[Text]:
    """A header and a line a stage, each at most `width` cells."""
    gauges = [gauge(status, index) for index in range(len(status.stages))]
    values = [_of(g) for g in gauges]
    names = [f"{entry.top + 1} {name_of(status, entry)}" for entry in status.stages]
    gap = gap_for(width)
    counts = {
        "steps": [_count(e, status.steps_in(i)) for i, e in enumerate(status.stages)],
        "episodes" if gap > 1 else "ep.": [_count(e, e.episodes) for e in status.stages],
    }
    if facts.paid and gap > 1:
        counts["spent"] = [spent_in(status, i, facts) for i in range(len(status.stages))]
    tails = {head: max(map(cell_len, [head, *column])) for head, column in counts.items()}
    value_width = max(map(cell_len, values))
    free = width - 4 - (2 + len(counts)) * gap - value_width - sum(tails.values())
    name_width = min(max(5, *map(cell_len, names)), max(8, free * 2 // 5))
    bar_width = free - name_width
    space = " " * gap

    def row(mark: Text | str, name: Text | str, picture: Text | str, ends: Iterable[str], style: str = "") -> Text:
        widths = (value_width, *tails.values())
        cells = [picture, *(padded(end, size, right=True) for end, size in zip(ends, widths, strict=True))]
        line = Text.assemble(" ", mark, " ", name, *(part for cell in cells for part in (space, cell)))
        line.stylize_before(style)
        return fitted(line, width)

    lines = [row(" ", padded("stage", name_width), " " * bar_width, ("", *counts), DIM)]
    for index, meter in enumerate(gauges):
        place = place_of(status, index, facts)
        name = Text(padded(names[index], name_width), "bold" if place == "current" else "")
        picture = bar(bar_width, meter.share, _bar_style(place, meter), mark=meter.mark)
        ends = (values[index], *(column[index] for column in counts.values()))
        lines.append(row(Text(*_MARKS[place]), name, picture, ends, DIM if place == "later" else ""))
    return lines


def name_of(status: RunStatus, entry: StageStatus) -> str:
    """A stage's name; of a member of a group the group's too."""
    group = status.curriculum[entry.top]
    return clean(f"{group.name}/{entry.stage.name}" if group.parallel else entry.stage.name)


def spent_in(status: RunStatus, index: int, facts: Facts) -> str:
    """What was spent in a stage."""
    return dollars(facts.paid.stages[index]) if facts.paid and status.stages[index].times else NOTHING


def place_of(status: RunStatus, index: int, facts: Facts) -> Place:
    """Where a stage stands in its run."""
    entry = status.stages[index]
    if entry.top != status.current:
        if entry.stage.name in status.curriculum[status.current].rehearse and not facts.over:
            return "rehearsed"
        sent_back = any(e["reason"] == "demotion" for e in status.transitions[-1:] if e["from_stage"] == entry.top)
        return "later" if entry.entered is None or sent_back else "done"
    if facts.state == "completed":
        return "done"
    if facts.state in ("failed", "crashed"):
        return "broken"
    if status.stages[index].left is not None:
        return "done"
    return "halted" if facts.over else "current"


def gauge(status: RunStatus, index: int) -> Gauge:
    """A stage's bar: performance against its threshold, else steps against their threshold or the budget's rest."""
    entry = status.stages[index]
    stage, inside = entry.stage, status.steps_in(index)
    if stage.transition_criteria in ("performance", "both", "either"):
        performance = reached(status, index)
        low, high = scale(entry, inside)
        share = 0.0 if performance is None else _share(performance, low, high)
        threshold = threshold_of(entry, inside)
        if threshold is None:
            return Gauge(share, None, score(performance), "")
        value, target = versus(performance, threshold)
        return Gauge(share, _share(threshold, low, high), value, target)
    if stage.next and stage.transition_criteria is None:
        low, high = scale(entry, inside)
        share = 0.0 if entry.performance is None else _share(entry.performance, low, high)
        return Gauge(share, None, score(entry.performance), "")
    goal: int | None = stage.time_threshold_steps
    if stage.transition_criteria is None:
        goal = None if status.total_timesteps is None else status.total_timesteps - (entry.entered or 0)
        if entry.entered is None:
            return Gauge(0.0, None, score(entry.performance), "")
    if goal is None:
        return Gauge(0.0, None, score(entry.performance), "")
    return Gauge(inside / goal if goal > 0 else 1.0, None, short_steps(inside), short_steps(goal))


def reached(status: RunStatus, index: int) -> float | None:
    """A stage's performance; of one that was left what it was then, unless it is rehearsed: then what it is now."""
    entry = status.stages[index]
    if entry.stage.name in status.curriculum[status.current].rehearse:
        return entry.performance
    for event in reversed(status.transitions):
        if event["from_stage"] == entry.top and event["step"] == entry.left and event["from_name"] == entry.stage.name:
            performance: float | None = event["performance"]
            return performance
    return entry.performance


def threshold_of(entry: StageStatus, inside: int) -> float | None:
    """The performance to reach, as it is after so many steps; None where a criterion in words decides."""
    return None if entry.stage.advance_when is not None else entry.stage.threshold_at(inside)


def scale(entry: StageStatus, inside: int) -> tuple[float, float]:
    """The scores at the two ends of a stage's bar: 0 and 1 where scores are bounded, else what was seen."""
    stage = entry.stage
    if stage.score.bounded:
        return 0.0, 1.0
    threshold = threshold_of(entry, inside)
    seen = [value for _, value in entry.history if math.isfinite(value)] + ([] if threshold is None else [threshold])
    low, high = min(0.0, *seen), max(0.0, *seen)
    return low, high + max(0.1 * (high - low), 1e-9)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low)


def _of(meter: Gauge) -> str:
    return f"{meter.value} of {meter.target}" if meter.target else meter.value


def _count(entry: StageStatus, count: int) -> str:
    return NOTHING if entry.entered is None and not count else steps(count)


def _bar_style(place: Place, meter: Gauge) -> str:
    if place == "current" and meter.mark is not None and meter.share >= meter.mark:
        return "green"
    return _BAR_STYLES[place]
