"""The report of one run: where it stands or how it ended, its curves, and tables of what happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stagectl.runs import ENDED, Event, Liveness, RunStatus
from stagectl.runs.status import EVALUATION
from stagectl.view.facts import Facts, judged, sayings
from stagectl.view.panel import step_words, transition_cells
from stagectl.view.report.chart import Bar, Chart, Line, Panel, Row, curves_panel
from stagectl.view.report.html import Cell, Child, table, tag
from stagectl.view.report.page import Palette, Section, foldable, page
from stagectl.view.report.story import STAGES, Attempt, Story, story_of
from stagectl.view.stages import gauge, name_of, place_of, spent_in
from stagectl.view.words import NOTHING, clean, dollars, duration, moment, score, steps

MANY = 12
SHOWN_ATTEMPTS = 8  # in the chart; the table has all
_NOT_COLOURED = 7
_NOT_SAID = ("ended", "last event", "cluster", "cost")  # a kept page outlives ages; the rest stands in its facts


def run_report(
    run_id: str,
    told: Iterable[tuple[Event, bool]],
    liveness: Liveness,
    recipe: str,
    now: float,
    kept: Collection[str] | None = None,
) -> str:
    """A run as one HTML page, from the events that its log has now.

    Args:
        run_id: The run's id.
        told: All of its log's events, each with whether it is in force.
        liveness: What the operating system says of the run's processes.
        recipe: The text of the recipe that it runs.
        now: Seconds since the epoch.
        kept: The checkpoints that are still there, where that is known.

    Raises:
        DamagedRunError: An event makes no sense.
    """
    story = story_of(run_id, told)
    status = story.status
    facts = judged(status, liveness, now)
    palette = story.palette
    sections = [
        Section("performance", "Performance", [_chart(story).element() if status.curriculum else None]),
        Section("stages", "Stages", [_stages(status, facts, palette)]),
        Section("transitions", "Transitions", [_transitions(status, palette)]),
        Section("evaluations", "Evaluations", [_evaluations(story, palette)]),
        Section("attempts", "Attempts", [_attempts(story.attempts, facts)]),
        Section("checkpoints", "Checkpoints", [_checkpoints(status, palette, kept)]),
        Section("recipe", "Recipe", [tag("pre", tag("code", recipe), tabindex=0, aria_label="the recipe")]),
    ]
    name = clean(run_id)
    kicker = " · ".join(part for part in ("stagectl run", clean(status.recipe), clean(status.backend)) if part)
    return page(f"{name}, {facts.word}", kicker, _answer(status, facts, palette), _facts(status, facts), sections)


def _answer(status: RunStatus, facts: Facts, palette: Palette) -> list[Cell]:
    run, count = clean(status.run_id), len(status.curriculum)
    if status.stage is None:
        return [f"{run} is {facts.word}."]
    where = palette.stage(clean(status.name_of(status.current)))
    stage = f", stage {status.current + 1} of {count}, "
    if facts.state == "completed":
        whole = {1: "its one stage", 2: "both its stages"}.get(count, f"all {count} stages")
        left = status.end is not None or status.current + 1 == count
        words: list[Cell] = [f"{run} completed {whole}" if left else f"{run} completed in ", *([] if left else [where])]
        words += [f" in {steps(status.step)} steps and {duration(facts.elapsed)}."]
    elif facts.over:
        words = [f"{run} {_ended(facts)} in ", where, f"{stage}at step {steps(status.step)}."]
    else:
        words = [f"{run} is {facts.word} in ", where, f"{stage}at {step_words(status)}."]
    said = [
        f"{label}: {' · '.join(text for text, _ in parts)}"
        for label, parts in sayings(status, facts)
        if label and label not in _NOT_SAID
    ]
    if said:
        words.append(tag("span", "; ".join(said), class_="aside"))
    return words


def _ended(facts: Facts) -> str:
    return "spent its budget" if facts.state == "budget_spent" else facts.word


def _facts(status: RunStatus, facts: Facts) -> list[tuple[str, Cell]]:
    told: list[tuple[str, Cell]] = [
        ("state", tag("span", f"{facts.sign} {facts.word}", class_="state")),
        ("steps", step_words(status).removesuffix(" steps")),
        ("time", duration(facts.elapsed)),
    ]
    if facts.rate:
        told.append(("speed", f"{facts.rate:,.0f} steps/s"))
    if facts.away is not None and facts.away.machine is not None:
        told.append(("cluster", clean(facts.away.machine.infra)))
    if facts.paid:
        told.append(("spent", f"≈ {dollars(facts.paid.total)}"))
    told.append(("began", moment(status.started or status.created)))
    if status.attempt > 1:
        told.append(("attempts", str(status.attempt)))
    return told


def _chart(story: Story) -> Chart:
    status = story.status
    lines = list(story.performance.values())
    bounded = all(entry.stage.score.bounded for entry in status.stages)
    ticks = [(event["step"], f"checkpoint {clean(event['path'])}") for event in status.checkpoints]
    rows = [Row(STAGES, story.bars(), ticks=ticks)]
    if len(story.attempts) > 1:
        rows += [
            Row(f"attempt {attempt.number}", [_attempt_bar(attempt)]) for attempt in story.attempts[-SHOWN_ATTEMPTS:]
        ]
    panels = [Panel("", rows), curves_panel("performance", lines, bounded=bounded)]
    panels += [
        curves_panel(name, list(by_visit.values()), small=True)
        for name, by_visit in story.terms.items()
        if not _is_evaluation(name, story)
    ]
    for measure in sorted({name.rpartition("/")[2] for name in story.evaluations}):
        of = [_with_goal(line, name, story) for name, line in story.evaluations.items() if name.endswith(f"/{measure}")]
        title = f"evaluation: {measure.replace('_', ' ')}"
        panels.append(curves_panel(title, of, bounded=measure == "success_rate", small=True))
    names = [(story.palette.number(name), clean(name)) for name in story.palette.names]
    return Chart(max(status.step, 1), panels, stages=names)


def _is_evaluation(term: str, story: Story) -> bool:
    return any(term == f'metric("{name}")' for name in story.evaluations)


def _with_goal(line: Line, name: str, story: Story) -> Line:
    """An evaluation with the value that a criterion asks of it, if one does."""
    asked = next(iter(story.terms.get(f'metric("{name}")', {}).values()), None)
    if asked is None:
        return line
    return Line(line.colour, line.name, line.row, line.steps, line.values, [asked.goal[-1]] * len(line.steps))


def _attempt_bar(attempt: Attempt) -> Bar:
    told = f"attempt {attempt.number}: from step {steps(attempt.step)}"
    return Bar(_NOT_COLOURED, str(attempt.number), attempt.step, max(attempt.last_step, attempt.step), told)


def _stages(status: RunStatus, facts: Facts, palette: Palette) -> Child:
    header = (
        "stage",
        "",
        "value",
        "target",
        "entered",
        "left",
        "steps",
        "episodes",
        "visits",
        *(("spent",) if facts.paid else ()),
    )
    rows: list[tuple[Cell, ...]] = []
    for index, entry in enumerate(status.stages):
        meter = gauge(status, index)
        rows.append(
            (
                palette.stage(entry.stage.name, name_of(status, entry)),
                tag("span", place_of(status, index, facts), class_="quiet"),
                meter.value,
                meter.target or NOTHING,
                *(NOTHING if step is None else steps(step) for step in (entry.entered, entry.left)),
                steps(status.steps_in(index)),
                f"{entry.episodes:,}",
                str(entry.visits),
                *((spent_in(status, index, facts),) if facts.paid else ()),
            )
        )
    return table("stages", header, rows, range(2, len(header))) if rows else None


def _transitions(status: RunStatus, palette: Palette) -> Child:
    events = status.transitions + ([status.end] if status.end else [])
    rows = []
    for event in events:
        where, at, performance, reason = transition_cells(event)
        name = event.get("from_name") or event["name"]
        threshold = event.get("threshold")
        wanted = NOTHING if threshold is None else score(float(threshold))
        rows.append((palette.stage(name, where), at, performance, wanted, tag("span", reason)))
    header = ("transition", "step", "performance", "threshold", "reason")
    return table("transitions", header, rows, range(1, 4)) if rows else None


def _evaluations(story: Story, palette: Palette) -> Child:
    """Each evaluation's last value, its best and how often it was made."""
    rows = []
    for name, line in sorted(story.evaluations.items()):
        stage, _, measure = name.removeprefix(EVALUATION).rpartition("/")
        last = (score(line.values[-1]), steps(line.steps[-1]), score(max(line.values)), str(len(line.values)))
        rows.append((palette.stage(stage, clean(stage)), clean(measure.replace("_", " ")), *last))
    header = ("stage", "measure", "last", "at step", "best", "times")
    return table("evaluations", header, rows, range(2, len(header))) if rows else None


def _attempts(attempts: list[Attempt], facts: Facts) -> Child:
    """Every attempt; one that simply did it all is not worth a table."""
    if len(attempts) < 2 and facts.state == "completed":
        return None
    rows = []
    for attempt in attempts:
        going = attempt is attempts[-1] and facts.state not in ENDED
        how = attempt.how or ("goes on" if going else "its end was not recorded")
        lasted = NOTHING if attempt.ended is None else duration(attempt.ended - attempt.began)
        reached = steps(attempt.last_step)
        why = tag("span", attempt.why or NOTHING)
        rows.append((str(attempt.number), moment(attempt.began), steps(attempt.step), reached, lasted, how, why))
    header = ("attempt", "began", "from step", "to step", "time", "ended", "why it began")
    return table("attempts", header, rows, range(2, 5)) if rows else None


def _checkpoints(status: RunStatus, palette: Palette, kept: Collection[str] | None) -> Child:
    if not status.checkpoints:
        return None
    rows = [
        (
            clean(event["path"]),
            steps(event["step"]),
            palette.stage(event["stage"], clean(event["stage"])),
            "" if kept is None or event["path"] in kept else "not kept",
        )
        for event in reversed(status.checkpoints)
    ]
    whole = table("checkpoints", ("checkpoint", "step", "stage", ""), rows, [1])
    return foldable(f"{len(rows)} checkpoints were saved, the newest first", whole, open_=len(rows) <= MANY)
