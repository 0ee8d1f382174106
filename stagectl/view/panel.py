"""One frame of a run: the whole picture for `status` and for the live view, and the same as plain text."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from stagectl.runs import Event, Liveness, RunStatus
from stagectl.view.facts import Facts, judged, sayings
from stagectl.view.lines import DIM, aligned, bar, fitted, joined, labelled, padded, spread
from stagectl.view.stages import gauge, name_of, place_of, scale, spent_in, stage_lines
from stagectl.view.words import NO_DATA, clean, duration, percent, score, sparkline, steps

SHOWN_TRANSITIONS = 5


def run_panel(status: RunStatus, liveness: Liveness, width: int, now: float, height: int | None = None) -> Text:
    """A run's picture, at most `width` cells wide and, where it is given, `height` lines high.

    What goes first when there is little room: old transitions, stages far from the current one, blank lines.
    """
    facts = judged(status, liveness, now)
    head = _head(status, facts, width)
    stages = stage_lines(status, facts, width) if status.stages else []
    said = _curve(status, width) if status.stages else []
    for label, parts in sayings(status, facts):
        said += labelled(label, parts, width)
    return joined(_bounded(head, stages, said, _transitions(status, width), status.current, height))


def run_text(status: RunStatus, liveness: Liveness, now: float) -> str:
    """A run as plain text for a pipe: nothing cut, nothing wrapped."""
    facts = judged(status, liveness, now)
    lines = [("run", clean(status.run_id)), ("recipe", clean(status.recipe)), ("backend", clean(status.backend))]
    lines += [("state", facts.word), ("step", step_words(status)), ("elapsed", duration(facts.elapsed))]
    if facts.rate:
        lines.append(("speed", f"{facts.rate:,.0f} steps/s"))
    lines += [(label, "; ".join(text for text, _ in parts)) for label, parts in sayings(status, facts)]
    blocks = ["\n".join(f"{label:<12} {text}".rstrip() for label, text in lines)]
    if status.stages:
        blocks.append(_stage_table(status, facts))
    if status.transitions:
        rows = [transition_cells(event) for event in status.transitions]
        blocks.append(
            aligned(("TRANSITION", "STEP", "PERFORMANCE", "REASON"), rows, frozenset({"STEP", "PERFORMANCE"}))
        )
    return "\n\n".join(blocks)


def _head(status: RunStatus, facts: Facts, width: int) -> list[Text]:
    about = [part for part in (clean(status.recipe), clean(status.backend)) if part]
    if status.attempt > 1:
        about.append(f"attempt {status.attempt}")
    pace = [duration(facts.elapsed)] + ([f"{facts.rate:,.0f} steps/s"] if facts.rate else [])
    title = Text.assemble(" ", (clean(status.run_id), "bold"))
    state = Text(f"{facts.sign} {facts.word} ", f"bold {facts.style}")
    lines = [
        spread(title, state, width),
        spread(Text(" " + " · ".join(about), DIM), Text(" · ".join(pace) + " "), width),
    ]
    return [*lines, _total(status, facts, width)]


def _total(status: RunStatus, facts: Facts, width: int) -> Text:
    words = step_words(status)
    budget = status.total_timesteps
    if not budget:
        return fitted(Text(f" {words}"), width)
    share = status.step / budget
    shown = f"{words}  {padded(percent(share), 5, right=True)} "
    room = max(4, width - len(shown) - 3)
    style = facts.style if facts.over else "blue"
    return fitted(Text.assemble(" ", bar(room, share, style), "  ", shown), width)


def step_words(status: RunStatus) -> str:
    """`98,304 of 400,000 steps`."""
    if status.total_timesteps:
        return f"{steps(status.step)} of {steps(status.total_timesteps)} steps"
    return f"{steps(status.step)} steps"


def _curve(status: RunStatus, width: int) -> list[Text]:
    """The sparkline of the current stage's performance, on the scale of its bar."""
    entry = status.stage or status.stages[0]
    if not entry.history:
        return labelled("performance", [(NO_DATA, DIM)], width)
    low, high = scale(entry, status.step - (entry.entered or 0))
    line = sparkline(entry.history, min(40, width - 24), low=low, high=high)
    return labelled("performance", [(line, "cyan"), (score(entry.performance), "")], width, separator="  ")


def _transitions(status: RunStatus, width: int) -> list[Text]:
    """A header and the last transitions, the newest first."""
    events = status.transitions + ([status.end] if status.end else [])
    rows = [transition_cells(event) for event in reversed(events[-SHOWN_TRANSITIONS:])]
    if not rows:
        return []
    tails = [Text.assemble(f"  {step:>9}  {performance:>5}  ", (reason, DIM)) for _, step, performance, reason in rows]
    room = width - 4 - max(tail.cell_len for tail in tails)
    room = min(max(cell_len(row[0]) for row in rows), max(8, room))
    lines = [Text.assemble("   ", padded(row[0], room), tail) for row, tail in zip(rows, tails, strict=True)]
    return [Text("   transitions", DIM), *(fitted(line, width) for line in lines)]


def transition_cells(event: Event) -> tuple[str, str, str, str]:
    """From where to where, at which step, with which performance and why."""
    if event["event"] == "curriculum_ended":
        where = f"{clean(event['name'])} → {clean(event['outcome'])}"
    else:
        where = f"{clean(event['from_name'])} → {clean(event['to_name'])}"
    return where, steps(event["step"]), score(event["performance"]), clean(event["reason"])


def _stage_table(status: RunStatus, facts: Facts) -> str:
    header = ["STAGE", "NAME", "", "VALUE", "TARGET", "STEPS", "EPISODES", "PERFORMANCE", "ENTERED", "LEFT"]
    header += ["SPENT"] if facts.paid else []
    rows = []
    for index, entry in enumerate(status.stages):
        meter = gauge(status, index)
        rows.append(
            (
                f"{entry.top + 1}/{len(status.curriculum)}",
                name_of(status, entry),
                place_of(status, index, facts),
                meter.value,
                meter.target or "—",
                steps(status.steps_in(index)),
                f"{entry.episodes:,}",
                score(entry.performance),
                *("—" if step is None else steps(step) for step in (entry.entered, entry.left)),
                *((spent_in(status, index, facts),) if facts.paid else ()),
            )
        )
    return aligned(header, rows, frozenset(header[3:]))


def _bounded(
    head: list[Text], stages: list[Text], said: list[Text], moves: list[Text], current: int, height: int | None
) -> list[Text]:
    blank = [Text()]
    full = [
        *head,
        *(blank + stages if stages else []),
        *(blank + said if said else []),
        *(blank + moves if moves else []),
    ]
    if height is None or len(full) <= height:
        return full
    fixed = len(head) + len(said)
    shown = _window(stages, current, max(3, height - fixed - 2))
    spare = height - fixed - len(shown)
    if spare >= 2:
        tail = [*blank, *moves[: spare - 3]] if spare >= 5 and moves else []
        return [*head, *blank, *shown, *blank, *said, *tail]
    return [*head, *shown, *said][:height]


def _window(stages: list[Text], current: int, room: int) -> list[Text]:
    """The header and the stages around the current one, with what is left out said."""
    rows = stages[1:]
    if len(stages) <= room:
        return stages
    keep = max(1, room - 2)
    first = min(max(0, current - keep // 2), len(rows) - keep)
    hidden = len(rows) - keep
    note = Text(f"   … {hidden} more stages" if hidden > 1 else "   … 1 more stage", DIM)
    return [stages[0], *rows[first : first + keep], note]
