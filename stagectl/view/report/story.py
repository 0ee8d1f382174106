"""What a run's events tell over its steps: visits to stages, curves, attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stagectl.curriculum import Stage
from stagectl.curriculum.evidence import shown
from stagectl.runs import Event, RunStatus
from stagectl.runs.status import EVALUATION
from stagectl.view.report.chart import Bar, Line
from stagectl.view.report.page import Palette
from stagectl.view.stages import threshold_of
from stagectl.view.words import clean, score, steps

STAGES = "stages"


@dataclass
class Visit:
    """A visit to a stage, or to a group."""

    top: int
    start: int
    end: int | None = None
    why: str = ""


@dataclass
class Attempt:
    """One start of the training process: when and where it began, and how it ended."""

    number: int
    step: int
    began: float
    why: str = ""
    ended: float | None = None
    last_step: int = 0
    how: str = ""


@dataclass
class Story:
    """A run's events, told over its steps."""

    status: RunStatus
    visits: list[Visit] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    performance: dict[tuple[int, int], Line] = field(default_factory=dict)
    terms: dict[str, dict[int, Line]] = field(default_factory=dict)
    evaluations: dict[str, Line] = field(default_factory=dict)

    @property
    def palette(self) -> Palette:
        """A colour for each stage and group, in the recipe's order."""
        tops = self.status.curriculum
        return Palette(tuple(name for top in tops for name in (top.name, *(member.name for member in top.parallel))))

    def bars(self) -> list[Bar]:
        palette = self.palette
        return [self._bar(visit, palette) for visit in self.visits]

    def _bar(self, visit: Visit, palette: Palette) -> Bar:
        name = self.status.name_of(visit.top)
        end = self.status.step if visit.end is None else visit.end
        told = f"{name}: step {steps(visit.start)} to {steps(end)}, {visit.why or 'not left'}"
        over = visit.end is not None or self.status.ended is not None
        return Bar(palette.number(name), clean(name), visit.start, end, clean(told), open=not over)


def story_of(run_id: str, told: Iterable[tuple[Event, bool]]) -> Story:
    """A run's story, of all its events, each with whether it is in force; one that is not counts for its own attempt.

    Raises:
        DamagedRunError: An event makes no sense.
    """
    story = Story(RunStatus(run_id))
    for event, holds in told:
        if holds:
            story.status.apply(event)
            _tell(story, event)
        else:
            story.status.pass_over(event)
        _tell_attempt(story, event)
    return story


def _tell(story: Story, event: Event) -> None:
    match event["event"]:
        case "run_created":
            story.visits.append(Visit(event.get("start", 0), 0))
        case "attempt_started" if "stages" in event and event.get("path") is None:  # it begins under a changed recipe
            story.visits[:] = [Visit(event["start"], 0)]
        case "attempt_started" if "stages" in event:  # what was over by the old recipe goes on
            story.visits[-1].end, story.visits[-1].why = None, ""
        case "stage_transition" | "curriculum_ended":
            visit = story.visits[-1]
            visit.end, visit.why = event["step"], f"{event['reason']}, performance {score(event['performance'])}"
            if event["event"] == "stage_transition":
                story.visits.append(Visit(event["to_stage"], event["step"]))
        case "metrics":
            _add_evaluations(story, event)
        case "episodes" | "progress":
            _add_performance(story, event)
            _add_terms(story, event)


def _add_performance(story: Story, event: Event) -> None:
    """The current stage's performance; beside it, faint, that of stages that are rehearsed."""
    if "performance" not in event:
        return
    status, visit = story.status, len(story.visits) - 1
    for index, (entry, value) in enumerate(zip(status.stages, event["performance"], strict=True)):
        current = entry.top == status.current
        rehearsed = entry.stage.name in status.curriculum[status.current].rehearse
        if value is None or not (current or rehearsed):
            continue
        line = story.performance.get((visit, index))
        if line is None:
            name = clean(entry.stage.name)
            line = Line(story.palette.number(entry.stage.name), name, STAGES, [], [], [], faint=not current)
            story.performance[visit, index] = line
        goal = threshold_of(entry, status.steps_in(index)) if current and _by_performance(entry.stage) else None
        _append(line, event["step"], float(value), goal)


def _add_terms(story: Story, event: Event) -> None:
    """What a criterion in words asks for, beside counts and the performance itself."""
    visit, name = len(story.visits) - 1, story.status.name_of(story.status.current)
    for term in event.get("waiting_for", ()):
        if "(" not in term["term"] or term["value"] is None:
            continue
        lines = story.terms.setdefault(clean(term["term"]), {})
        line = lines.setdefault(visit, Line(story.palette.number(name), clean(name), STAGES, [], [], []))
        _append(line, event["step"], term["value"], term["target"])


def _add_evaluations(story: Story, event: Event) -> None:
    for name, value in event["metrics"].items():
        if name.startswith(EVALUATION):
            stage = name.removeprefix(EVALUATION).rpartition("/")[0]
            line = Line(story.palette.number(stage), clean(stage), STAGES, [], [], [])
            _append(story.evaluations.setdefault(name, line), event["step"], value, None)


def _append(line: Line, step: int, value: float, goal: float | None) -> None:
    for values, added in ((line.steps, step), (line.values, value), (line.goal, goal)):
        assert isinstance(values, list)
        values.append(added)


def _by_performance(stage: Stage) -> bool:
    return stage.transition_criteria in ("performance", "both", "either")


def _tell_attempt(story: Story, event: Event) -> None:
    if event["event"] == "attempt_started":
        told = [event.get("reason", ""), *(f"passed over: {reason}" for reason in event.get("rejected", ()))]
        why = clean("; ".join(part for part in told if part))
        story.attempts.append(Attempt(event["attempt"], event["step"], event["time"], why, last_step=event["step"]))
    elif story.attempts:
        attempt = story.attempts[-1]
        attempt.last_step = max(attempt.last_step, event["step"]) if event["event"] != "metrics" else attempt.last_step
        if event["event"] == "attempt_ended":
            attempt.ended = event["time"]
            attempt.how = f"exit code {shown(float(event['exit_code']))}" if event["exit_code"] else "finished"
