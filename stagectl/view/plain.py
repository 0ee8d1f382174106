"""A run as plain lines, one a noteworthy event, for pipes, logs and dumb terminals."""

from __future__ import annotations

from collections.abc import Callable

from stagectl.runs import Event, RunStatus
from stagectl.runs.status import EVALUATION, TELLING_REPORTS
from stagectl.view.estimate import estimate_seconds
from stagectl.view.facts import missing_words, outside_words, resumed_words
from stagectl.view.stages import gauge
from stagectl.view.words import clean, duration, moment, percent, score, steps

PROGRESS_SECONDS = 10.0
PROGRESS_EVENTS = frozenset({"episodes", "progress", "metrics"})


class PlainLines:
    """Turns events into lines; of those that only tell progress, at most one in 10 seconds of event time."""

    def __init__(self) -> None:
        self._told = float("-inf")
        self._outside = self._refused = 0

    def line(self, event: Event, status: RunStatus) -> str | None:
        """The event's line, complete; None where it is not worth one. `status` has the event folded in."""
        kind = event["event"]
        if kind == "metrics" and (told := _evaluation(event)):
            return _stamped(event, "evaluation", told)
        if kind == "score_refused" and not self._is_rare():
            return None
        if kind in PROGRESS_EVENTS:
            if event["time"] - self._told < PROGRESS_SECONDS:
                return None
            self._told = event["time"]
            return _stamped(event, "progress", progress_words(status))
        words = _WORDS.get(kind)
        return None if words is None else _stamped(event, kind, words(event, status))

    def warning(self, event: Event, status: RunStatus) -> str | None:
        """What is to be told before the event's own line: scores that are none from 0 to 1, once a stage; a metric
        that nobody logs, once.
        """
        if event["event"] == "metrics" and status.reports == TELLING_REPORTS and (missing := status.missing_metrics()):
            return _stamped(event, "metric", missing_words(status, missing))
        known, self._outside = self._outside, len(status.scores_outside)
        return _stamped(event, "score", outside_words(status)) if self._outside > known else None

    def _is_rare(self) -> bool:
        """Whether another refused score is told: the first ten are, then each tenth, then each hundredth, …"""
        self._refused += 1
        return not str(self._refused)[1:].strip("0")


def progress_words(status: RunStatus) -> str:
    """Where a run stands, in one line."""
    total = status.total_timesteps
    parts = [f"step {steps(status.step)}"]
    if total:
        parts = [f"step {steps(status.step)} of {steps(total)} ({percent(status.step / total)})"]
    if status.stage is not None:
        meter = gauge(status, status.stages.index(status.stage))
        by_score = status.stage.stage.transition_criteria in ("performance", "both", "either")
        unit = "performance" if by_score or not meter.target else "steps"
        parts.append(f"stage {_stage(status, status.current)}")
        parts.append(f"{unit} {meter.value} of {meter.target}" if meter.target else f"{unit} {meter.value}")
        parts.append(f"{status.stage.episodes:,} episodes")
    if status.rate:
        parts.append(f"{status.rate:,.0f} steps/s")
    seconds = estimate_seconds(status)
    if seconds is not None:
        parts.append(f"next in ≈ {duration(seconds)}")
    return ", ".join(parts)


def _attempt(event: Event) -> str:
    return f"attempt {event['attempt']}" + (f" {resumed_words(event)}" if "after" in event else "")


def _stamped(event: Event, kind: str, words: str) -> str:
    return f"{moment(event['time'])}  {kind:<16}  {words}".rstrip()


def _stage(status: RunStatus, index: int) -> str:
    return f"{index + 1}/{len(status.curriculum)} {clean(status.name_of(index))}"


def _evaluation(event: Event) -> str:
    """What an evaluation found; empty where these are other metrics."""
    found = {name: value for name, value in event["metrics"].items() if name.startswith(EVALUATION)}
    return ", ".join(f"{clean(name.removeprefix(EVALUATION))} {score(value)}" for name, value in found.items())


def _created(event: Event, status: RunStatus) -> str:
    budget = f", {steps(status.total_timesteps)} steps" if status.total_timesteps else ""
    names = " → ".join(clean(stage.name) for stage in status.curriculum)
    return f"run {clean(status.run_id)}, recipe {clean(status.recipe)}, {clean(status.backend)}{budget}, stages {names}"


def _transition(event: Event, status: RunStatus) -> str:
    total = len(status.curriculum)
    left = f"{event['from_stage'] + 1}/{total} {clean(event['from_name'])}"
    entered = f"{event['to_stage'] + 1}/{total} {clean(event['to_name'])}"
    return f"{left} → {entered} at step {steps(event['step'])}, {_why(event)}"


def _curriculum_ended(event: Event, status: RunStatus) -> str:
    where = f"in stage {_stage(status, event['stage'])} at step {steps(event['step'])}"
    return f"{clean(event['outcome'])} {where}, {_why(event)}"


def _why(event: Event) -> str:
    return f"performance {score(event['performance'])}, reason {clean(event['reason'])}"


def _run_ended(event: Event, status: RunStatus) -> str:
    lasted = duration(status.elapsed(event["time"]))
    words = f"{clean(event['outcome']).replace('_', ' ')} at step {steps(event['step'])} after {lasted}"
    return f"{words}: {clean(event['message'])}" if event["message"] else words


_WORDS: dict[str, Callable[[Event, RunStatus], str]] = {
    "run_created": _created,
    "attempt_started": lambda event, _: _attempt(event),
    "ready": lambda event, _: f"the training process trains, step {steps(event['step'])}",
    "stage_started": lambda event, status: f"{_stage(status, event['stage'])} at step {steps(event['step'])}",
    "stage_transition": _transition,
    "curriculum_ended": _curriculum_ended,
    "checkpoint": lambda event, _: f"{clean(event['path'])} at step {steps(event['step'])}",
    "score_refused": lambda event, _: clean(event["message"]),
    "request_answered": lambda event, _: f"{clean(event['request'])} at step {steps(event['step'])}",
    "run_ended": _run_ended,
}
