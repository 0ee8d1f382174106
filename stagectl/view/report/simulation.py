"""The report of a simulation: the answer, timelines and curves of every seed, tables, the sweep, the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stagectl.view.answer import (
    Phrase,
    answer,
    at_least,
    interval,
    plain,
    recipe_name,
    seeds,
    verdicts,
    whole_steps,
)
from stagectl.view.report.chart import Bar, Chart, Line, Panel, Row, Whisker, curves_panel
from stagectl.view.report.html import Cell, Child, listed, table, tag, text
from stagectl.view.report.page import Palette, Section, foldable, page
from stagectl.view.report.sweep import sweep_parts
from stagectl.view.seeds import HEADER as SUMMARY_HEADER
from stagectl.view.seeds import short_names, summary_rows, visits
from stagectl.view.simulation import HEADER as DIFFERENCE_HEADER
from stagectl.view.simulation import difference_rows, notes_of
from stagectl.view.timeline import performance_of, reason_of
from stagectl.view.words import NOTHING, score, steps

if TYPE_CHECKING:
    from stagectl.simulate import Comparison, Simulation, StageSpan, Summary, Timeline
    from stagectl.simulate.sweep import Sweep

MANY = 30
MEDIAN = "median"
INTERVALS = (
    "an interval holds the median of all seeds that there could be, as surely as it says: seeds like these, that is"
)


def simulation_report(
    told: Comparison, recipes: Sequence[tuple[str, str]] = (), sweep: Sweep | None = None, rank: str = "steps"
) -> str:
    """What one recipe or several would have done, as one HTML page.

    Args:
        told: What was simulated; of one recipe alone there is no difference to show.
        recipes: Each recipe's name and text.
        sweep: What variants of the recipe would have done.
        rank: What the best variant has least of: `steps`, `false_exits`; or most of: `finished`.
    """
    simulations = told.simulations
    names = [span.name for simulation in simulations for span in simulation.timelines[0].stages]
    palette = Palette(tuple(dict.fromkeys(names)))
    sections = [
        Section("timeline", "Timeline", [_chart(simulations, palette).element()]),
        Section("comparison", "Comparison", [_differences(told, palette)] if told.differences else []),
        Section("stages", "Stages", _tables(simulations, palette)),
        Section("sweep", "Sweep", sweep_parts(sweep, palette, rank) if sweep else []),
        Section("assumptions", "Assumptions", [_notes(simulations)]),
        Section("recipe", "Recipe" if len(recipes) < 2 else "Recipes", _recipes(recipes)),
    ]
    traces = len(simulations[0].timelines)
    kicker = " · ".join(["stagectl simulate", *map(recipe_name, simulations), f"{traces} trace{'s' * (traces > 1)}"])
    sentences = verdicts(told) or [answer(simulations[0])]
    return page(plain(sentences[0]), kicker, _headline(sentences, simulations, palette), _facts(simulations), sections)


def _headline(sentences: list[list[Phrase]], simulations: Sequence[Simulation], palette: Palette) -> list[Cell]:
    """The answer; of a comparison what each recipe comes to under it."""
    words: list[Cell] = [cell for sentence in sentences for cell in (*_cells(sentence, palette), " ")]
    if len(simulations) > 1:
        shown = short_names([recipe_name(simulation) for simulation in simulations])
        for name, simulation in zip(shown, simulations, strict=True):
            words.append(tag("span", f"{name}: ", *_cells(answer(simulation), palette), class_="aside"))
    return words


def _cells(phrases: Sequence[Phrase], palette: Palette) -> list[Cell]:
    return [palette.stage(shown) if kind == "stage" else shown for shown, kind in phrases]


def _facts(simulations: Sequence[Simulation]) -> list[tuple[str, Cell]]:
    """Of the first recipe: how many seeds finish, how many steps and episodes were replayed, and how."""
    timelines = simulations[0].timelines
    done = sum(timeline.finished for timeline in timelines)
    replayed = [timeline for simulation in simulations for timeline in simulation.timelines]
    facts: list[tuple[str, Cell]] = [
        ("finished", f"{done} of {len(timelines)} seeds" if len(timelines) > 1 else "yes" if done else "no"),
        ("steps replayed", steps(sum(timeline.total_steps for timeline in replayed))),
        ("episodes", f"{sum(timeline.total_episodes for timeline in replayed):,}"),
    ]
    aligned = {timeline.aligned for timeline in replayed}
    if len(aligned) == 1:
        facts.append(("replay", "stage by stage" if aligned == {True} else "as recorded"))
    return facts


def _chart(simulations: Sequence[Simulation], palette: Palette) -> Chart:
    panels: list[Panel] = []
    for simulation in simulations:
        title = recipe_name(simulation) if len(simulations) > 1 else ""
        names = short_names([timeline.trace for timeline in simulation.timelines])
        pairs = list(zip(names, simulation.timelines, strict=True))
        rows = [Row(name, _bars(timeline, palette)) for name, timeline in pairs]
        if simulation.summary is not None:
            rows.append(Row(MEDIAN, whiskers=_whiskers(simulation.summary, palette)))
        lines = [line for name, timeline in pairs for line in _lines(name, timeline, palette, alone=len(pairs) == 1)]
        panels += [
            Panel(title, rows),
            *([curves_panel("performance", lines, bounded=_are_shares(lines))] if lines else []),
        ]
    end = max(timeline.total_steps for simulation in simulations for timeline in simulation.timelines)
    return Chart(end, panels, stages=[(palette.number(name), text(name)) for name in palette.names])


def _are_shares(lines: Sequence[Line]) -> bool:
    return all(0 <= value <= 1 for line in lines for value in line.values)


def _bars(timeline: Timeline, palette: Palette) -> list[Bar]:
    bars = []
    last = len(timeline.transitions)
    for number, (start, end, stage) in enumerate(visits(timeline)):
        name = text(timeline.stages[stage].name)
        goes_on = number == last and timeline.stages[stage].censored
        why = "the data end" if goes_on else ""
        told = f"{name}: step {steps(start)} to {steps(end)}{', ' if why else ''}{why}"
        bars.append(Bar(palette.number(timeline.stages[stage].name), name, start, end, told, open=goes_on))
    return bars


def _whiskers(summary: Summary, palette: Palette) -> list[Whisker]:
    return [
        Whisker(
            palette.number(stage.name),
            stage.left.median,
            stage.left.low,
            stage.left.high,
            f"{text(stage.name)} is left at {whole_steps(stage.left.median)} ({interval(stage.left)})",
        )
        for stage in summary.stages
        if stage.left.median is not None
    ]


def _lines(row: str, timeline: Timeline, palette: Palette, *, alone: bool) -> list[Line]:
    lines = []
    for curve in timeline.curves:
        stage = timeline.stages[curve.stage].name
        shown = text(stage) if alone else f"{row}: {text(stage)}"
        lines.append(Line(palette.number(stage), shown, row, curve.steps, curve.performance, curve.threshold))
    return lines


def _tables(simulations: Sequence[Simulation], palette: Palette) -> list[Child]:
    parts: list[Child] = []
    for simulation in simulations:
        if len(simulations) > 1:
            parts.append(tag("h3", recipe_name(simulation)))
        if simulation.summary is not None:
            parts += [_summary(simulation, palette), tag("h3", "Seed by seed"), _seeds(simulation.timelines, palette)]
        else:
            parts.append(_spans(simulation.timelines[0], palette))
    return parts


def _summary(simulation: Simulation, palette: Palette) -> Child:
    assert simulation.summary is not None
    rows: list[tuple[Cell, ...]] = [
        (palette.stage(stage.name, text(stage.name)), *cells[1:])
        for stage, cells in zip(simulation.summary.stages, summary_rows(simulation), strict=True)
    ]
    return table(
        "stages over all seeds", [name.lower() for name in SUMMARY_HEADER], rows, range(1, len(SUMMARY_HEADER))
    )


def _seeds(timelines: Sequence[Timeline], palette: Palette) -> Child:
    """A row a seed: the step at which it leaves each stage, or how far it was seen not to."""
    names = short_names([timeline.trace for timeline in timelines])
    rows: list[tuple[Cell, ...]] = []
    for name, timeline in zip(names, timelines, strict=True):
        lefts = [_left(timeline, span) for span in timeline.stages]
        last = next((span for span in reversed(timeline.stages) if span.entered is not None), timeline.stages[0])
        rows.append((name, *lefts, reason_of(timeline, last)))
    stages = [span.name for span in timelines[0].stages]
    header: list[Cell] = ["left at", *(palette.stage(stage, text(stage)) for stage in stages), "ends with"]
    whole = table("each seed", header, rows, range(1, len(header) - 1))
    return whole if len(rows) <= MANY else foldable(f"{len(rows)} seeds", whole, open_=False)


def _left(timeline: Timeline, span: StageSpan) -> str:
    if span.left is not None:
        return steps(span.left)
    return f"≥ {steps(timeline.total_steps)}" if span.censored else NOTHING


def _spans(timeline: Timeline, palette: Palette) -> Child:
    """A row a stage of the one timeline that there is."""
    rows: list[tuple[Cell, ...]] = []
    for span in timeline.stages:
        known = span.entered is not None
        entered = steps(span.entered) if span.entered is not None else NOTHING
        numbers = (entered, _left(timeline, span), at_least(span) if known else NOTHING, f"{span.episodes:,}")
        stage = palette.stage(span.name, text(span.name))
        rows.append((stage, *numbers, score(performance_of(timeline, span)), reason_of(timeline, span)))
    header = ("stage", "entered", "left", "steps", "episodes", "performance", "reason")
    return table("stages", header, rows, range(1, 6))


def _differences(comparison: Comparison, palette: Palette) -> Child:
    header = DIFFERENCE_HEADER if comparison.price else DIFFERENCE_HEADER[:-1]
    rows: list[tuple[Cell, ...]] = [
        (recipe, palette.stage(stage) if stage in palette.names else stage, *cells[: len(header) - 2])
        for recipe, stage, *cells in difference_rows(comparison)
    ]
    return table("differences between recipes", _lower(header), rows, range(2, len(header)))


def _notes(simulations: Sequence[Simulation]) -> Child:
    notes = [note for simulation in simulations for note in notes_of(simulation)]
    if len(simulations) == 1 and simulations[0].summary is None:
        notes += map(text, simulations[0].timelines[0].notes)
    for simulation in simulations:
        if simulation.summary is not None:
            notes += [INTERVALS, *_unseen(simulation.summary)]
    return listed(dict.fromkeys(notes), "notes") if notes else None


def _unseen(summary: Summary) -> list[str]:
    """Stages that some seeds were recorded too little to leave, and how those count."""
    return [
        f"'{text(stage.name)}' is seen to be left in {seeds(stage.left)} seeds; the others count with how far they "
        "were recorded, as Kaplan and Meier do it"
        for stage in summary.stages
        if 0 < stage.left.reached < stage.left.of
    ]


def _recipes(recipes: Sequence[tuple[str, str]]) -> list[Child]:
    parts: list[Child] = []
    for name, source in recipes:
        parts += [tag("h3", text(name)), tag("pre", tag("code", source), tabindex=0, aria_label=f"recipe {text(name)}")]
    return parts


def _lower(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]
