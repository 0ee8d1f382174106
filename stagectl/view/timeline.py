"""A simulated timeline: a table of its stages, and a picture of them and of their performance over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from stagectl.view.answer import NOT_REACHED, at_least
from stagectl.view.curve import curve_lines
from stagectl.view.grid import gap_for, grid
from stagectl.view.lines import DIM, aligned, fitted, joined, labelled, padded
from stagectl.view.words import NOTHING, clean, score, short_steps, steps

if TYPE_CHECKING:
    from stagectl.curriculum import Decision
    from stagectl.simulate import StageSpan, Timeline

HEADER = ("STAGE", "ENTERED", "LEFT", "PERFORMANCE", "STEPS", "EPISODES", "REASON")
_RIGHT = frozenset(HEADER[1:-1])
_SHORT = {"PERFORMANCE": "PERF.", "EPISODES": "EP."}
CURVE_HEIGHT = 8


def timeline_panel(timeline: Timeline, width: int) -> RenderableType:
    """Table, picture and notes, at most `width` cells wide."""
    rows = [[Text(cell, _style(span)) for cell in _row(timeline, span)] for span in timeline.stages]
    header = HEADER if gap_for(width) > 1 else tuple(_SHORT.get(name, name) for name in HEADER)
    right = frozenset(header[1:-1])
    parts: list[RenderableType] = [grid(header, rows, width, right=right, gives_way=("STAGE", "REASON"))]
    if timeline.total_steps > 0:
        parts += [Text(), timeline_picture(timeline, width)]
    said = labelled("in all", [(_sum(timeline), "")], width)
    for note in timeline.notes:
        said += labelled("note", [(clean(note), "")], width)
    return Group(*parts, Text(), joined(said))


def timeline_text(timeline: Timeline) -> str:
    """The same for a pipe: complete lines, no picture."""
    table = aligned(HEADER, [_row(timeline, span) for span in timeline.stages], _RIGHT)
    return "\n".join([table, "", _sum(timeline), *(clean(note) for note in timeline.notes)])


def timeline_picture(timeline: Timeline, width: int) -> Text:
    """A bar a stage over the axis of all steps, and after it the step at which it was left; then the performance."""
    names = [clean(span.name) for span in timeline.stages]
    name_width = min(max(map(cell_len, names)), max(8, width // 4))
    labels = [_label(timeline, span) for span in timeline.stages]
    room = max(10, width - name_width - 4 - max(map(cell_len, labels)))
    lines = [
        Text.assemble(
            " ", (padded(name, name_width), _style(span)), "  ", _bar(span, timeline, room), (label, _style(span))
        )
        for name, label, span in zip(names, labels, timeline.stages, strict=True)
    ]
    gutter = name_width + 3
    moves = [move.step for move in timeline.transitions]
    curve = curve_lines(timeline.curves, timeline.total_steps, moves, room, CURVE_HEIGHT, gutter)
    lines += [Text(), *curve] if curve else []
    lines += axis_lines(timeline.total_steps, room, gutter)
    return joined(fitted(line, width) for line in lines)


def _label(timeline: Timeline, span: StageSpan) -> str:
    if span.entered is None:
        return "not reached"
    return f" {steps(_end(timeline, span))}" + ("" if _reason(timeline, span) else " …")


def _bar(span: StageSpan, timeline: Timeline, room: int) -> Text:
    if span.entered is None:
        return Text()
    start = min(room - 1, span.entered * room // timeline.total_steps)
    length = max(1, -(-_end(timeline, span) * room // timeline.total_steps) - start)
    return Text.assemble(" " * start, ("━" * length, "green" if _reason(timeline, span) else "cyan"))


def _end(timeline: Timeline, span: StageSpan) -> int:
    return timeline.total_steps if span.left is None else span.left


def axis_lines(total: int, room: int, gutter: int) -> list[Text]:
    """The steps' axis ruled in equal parts, and under each tick its step."""
    parts = 4 if room >= 40 else 2
    ends = [part * room // parts for part in range(1, parts + 1)]
    rule = "".join("┴" if cell + 1 in ends else "─" for cell in range(room))
    marks = "0"
    for part, end in enumerate(ends, 1):
        marks += short_steps(total * part // parts).rjust(end - len(marks))
    return [Text(" " * gutter + line, DIM) for line in (rule, marks)]


def _row(timeline: Timeline, span: StageSpan) -> tuple[str, ...]:
    name = f"{span.index + 1} {clean(span.name)}"
    if span.entered is None:
        return (name, *[NOTHING] * 5, "not reached")
    left = NOTHING if span.left is None else steps(span.left)
    numbers = (steps(span.entered), left, score(performance_of(timeline, span)), at_least(span), f"{span.episodes:,}")
    return (name, *numbers, reason_of(timeline, span))


def reason_of(timeline: Timeline, span: StageSpan) -> str:
    """Why the stage was left, or why it was not."""
    if span.entered is None:
        return "not reached"
    return _reason(timeline, span) or _last(timeline, span)


def _last(timeline: Timeline, span: StageSpan) -> str:
    if span.censored:
        return NOT_REACHED
    return "the budget is spent" if timeline.budget_spent else "the trace ends"


def performance_of(timeline: Timeline, span: StageSpan) -> float | None:
    """A stage's performance: of one that was left as it was then, else as it is at the end."""
    decision = _decision(timeline, span)
    return span.performance if decision is None else decision.performance


def _reason(timeline: Timeline, span: StageSpan) -> str:
    """Why the stage was left: what its decision says; empty while it was not."""
    decision = _decision(timeline, span)
    if decision is None:
        return ""
    outcome = getattr(decision, "outcome", None)
    reason = clean(decision.reason)
    return reason if outcome in (None, "completed") else f"{reason}, {outcome}"


def _decision(timeline: Timeline, span: StageSpan) -> Decision | None:
    """What ended the last visit to the stage."""
    if span.left is None:
        return None
    left = {"from_stage": span.index, "stage": span.index}
    return next(
        (d for d in reversed(timeline.decisions) if any(getattr(d, k, None) == v for k, v in left.items())), None
    )


def _style(span: StageSpan) -> str:
    return DIM if span.entered is None else ""


def _sum(timeline: Timeline) -> str:
    moves = sum(1 for decision in timeline.decisions if not hasattr(decision, "outcome"))
    counted = f"{moves} transition" + ("" if moves == 1 else "s")
    return f"{steps(timeline.total_steps)} steps, {timeline.total_episodes:,} episodes, {counted}"
