"""Where a run stands: its events folded."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from stagectl.curriculum import Stage, Term, members_of, metrics_named, terms_at_entry
from stagectl.errors import DamagedRunError
from stagectl.runs.events import Event

RATE_SECONDS = 30.0
HISTORY = 512
AT_REST = ("training_ended", "attempt_ended", "run_ended")  # between these and the next attempt nothing trains
EVALUATION = "eval/"  # how the names of an evaluation's metrics begin
TELLING_REPORTS = 20  # of metrics: a name that is in none of them may well be misspelt
KNOWN_METRICS = 1000  # names: a script may make up new ones all the time; past these, which are missing is not known


@dataclass(slots=True)
class StageStatus:
    """One stage that a run plays, in its last visit: steps at which it was entered and left, episodes, smoothed score.

    `top` is the index of the curriculum's stage that it is, or of the group that it stands in.
    """

    stage: Stage
    top: int = 0
    visits: int = 0
    entered: int | None = None
    left: int | None = None
    applied: bool = False
    episodes: int = 0
    performance: float | None = None
    history: list[tuple[int, float]] = field(default_factory=list)
    times: list[tuple[float, float | None]] = field(default_factory=list)  # when each visit began and ended

    def record(self, step: int, performance: float) -> None:
        self.performance = performance
        self.history.append((step, performance))
        if len(self.history) > HISTORY:
            del self.history[::2]

    def enter(self, step: int, time: float) -> None:
        """Begin a visit, with nothing seen in it yet."""
        self.entered, self.left = step, None
        self.times.append((time, None))
        self.applied = False
        self.visits += 1
        self.episodes, self.performance = 0, None
        self.history.clear()

    def leave(self, step: int, time: float) -> None:
        self.left = step
        if self.times:  # a stage that a changed recipe added to the group that is on was never entered
            self.times[-1] = (self.times[-1][0], time)


@dataclass(slots=True)
class RunStatus:
    """What a run's events say, folded one by one."""

    run_id: str
    recipe: str = ""
    backend: str = ""
    target: str | None = None
    total_timesteps: int | None = None
    curriculum: tuple[Stage, ...] = ()
    stages: list[StageStatus] = field(default_factory=list)
    current: int = 0
    waiting: tuple[Term, ...] = ()
    step: int = 0
    attempt: int = 0
    seq: int = 0
    ready: bool = False
    created: float = 0.0
    started: float | None = None
    last_time: float = 0.0
    at_work: bool = False
    worked: float = 0.0
    ends: list[float] = field(default_factory=list)  # when it ended, each time that it did
    resumed: Event | None = None
    ended: Event | None = None
    end: Event | None = None
    exit_code: int | None = None  # of this attempt, as its script told, else as its process ended
    attempt_ended: Event | None = None
    stop_requested: bool = False
    transitions: list[Event] = field(default_factory=list)
    checkpoints: list[Event] = field(default_factory=list)
    refused_scores: int = 0
    scores_outside: dict[str, float] = field(default_factory=dict)  # by stage, the first that was not from 0 to 1
    reports: int = 0  # of metrics
    metrics: dict[str, tuple[int, float]] = field(default_factory=dict)  # by name, the last: its step, its value
    pace: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=600))

    def apply(self, event: Event) -> None:
        """Fold one event; unknown ones only move step and time.

        Raises:
            DamagedRunError: It has the name of one of ours, and not what ours have.
        """
        try:
            self.pass_over(event)
            self.attempt = event["attempt"]
            self.seq = event["seq"]
            self._move(event)
            fold = getattr(self, f"_on_{event['event']}", None)
            if fold is not None:
                fold(event)
        except (LookupError, TypeError, ValueError) as error:
            message = f"the run {self.run_id}: event {event['seq']}, {event['event']}, makes no sense: {error!r}"
            raise DamagedRunError(message, hint="the events before it can be trusted") from error

    def pass_over(self, event: Event) -> None:
        """Count the time of an event, and nothing else: of one that a later attempt superseded."""
        time, kind = float(event["time"]), event["event"]
        if self.at_work and kind != "attempt_started":
            self.worked += max(0.0, time - self.last_time)
        if kind == "attempt_started" and self.started is None:
            self.started, self.worked = time, 0.0  # until then it tells how long it waited
        self.at_work = kind not in AT_REST and (self.at_work or kind in ("run_created", "attempt_started"))
        if kind == "run_ended":
            self.ends.append(time)
        self.last_time = time

    def elapsed(self, now: float) -> float:
        """The seconds that its attempts have taken, those since the last event among them; not those between them."""
        return self.worked + (max(0.0, now - self.last_time) if self.at_work else 0.0)

    @property
    def stage(self) -> StageStatus | None:
        """The stage that is on, or the first of the group that is."""
        return next((entry for entry in self.stages if entry.top == self.current), None)

    def name_of(self, top: int) -> str:
        """The name of one of the curriculum's stages; a run that is only just made has none."""
        return self.curriculum[top].name if self.curriculum else ""

    def steps_in(self, index: int) -> int:
        """The environment steps spent in the last visit to a stage."""
        stage = self.stages[index]
        if stage.entered is None:
            return 0
        return (self.step if stage.left is None else stage.left) - stage.entered

    def waiting_for(self) -> tuple[Term, ...]:
        """The terms of the current stage's ways out, with the values that the training process told last."""
        return self.waiting

    @property
    def rate(self) -> float | None:
        """Environment steps a second of late; None while nothing can be told."""
        if len(self.pace) < 2:
            return None
        last_time, last_step = self.pace[-1]
        before = list(self.pace)[:-1]
        first_time, first_step = next((p for p in before if p[0] >= last_time - RATE_SECONDS), before[-1])
        if last_time <= first_time:
            return None
        return (last_step - first_step) / (last_time - first_time)

    @property
    def evaluations(self) -> dict[str, tuple[int, float]]:
        """The last of each metric that is an evaluation's."""
        return {name: told for name, told in self.metrics.items() if name.startswith(EVALUATION)}

    def missing_metrics(self) -> list[str]:
        """The metrics that criteria name and nobody logged, once others were often; an evaluation takes its time."""
        if self.reports < TELLING_REPORTS or len(self.metrics) >= KNOWN_METRICS:
            return []
        named = metrics_named(self.curriculum) - self.metrics.keys()
        return sorted(name for name in named if not name.startswith(EVALUATION))

    def _move(self, event: Event) -> None:
        if event["event"] == "metrics":  # its step is the script's own
            return
        grown = event["step"] > self.step
        if grown:
            self.step = event["step"]
        if grown and event["event"] in ("episodes", "progress"):  # what else is told has no time of training
            self.pace.append((event["time"], event["step"]))

    def _on_run_created(self, event: Event) -> None:
        self.created = event["time"]
        self.recipe = event["recipe"]
        self.backend = event["backend"]
        self._begin(event)

    def _begin(self, event: Event) -> None:
        """Stand at the beginning of the curriculum that the event tells."""
        self._read_recipe(event)
        self.stages = [StageStatus(stage, top) for top, stage in members_of(self.curriculum)]
        self._enter(event.get("start", 0), 0)
        self.waiting = terms_at_entry(self.curriculum[self.current])

    def _read_recipe(self, event: Event) -> None:
        self.target = event["target"]
        self.total_timesteps = event["total_timesteps"]
        self.curriculum = tuple(Stage.from_dict(stage) for stage in event["stages"])

    def become(self, other: RunStatus) -> None:
        """Say what another status says, for who looks at this one."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(other, entry.name))

    def _on_attempt_started(self, event: Event) -> None:
        self.ready = self.stop_requested = False
        self.ended = self.exit_code = self.attempt_ended = None
        self.resumed = _having(event, "step", "path", "reason", "rejected") if "after" in event else None
        if "stages" in event and event.get("path") is None:  # without a checkpoint it begins, as the recipe now says
            self._begin(event)
        elif "stages" in event:
            self._change_recipe(event)

    def _change_recipe(self, event: Event) -> None:
        """Go on under a changed recipe: stages keep what was seen in them, by their names."""
        before = {entry.stage.name: entry for entry in self.stages}
        name = self.name_of(self.current)
        self._read_recipe(event)
        self.current = [stage.name for stage in self.curriculum].index(name)
        self.stages = []
        for top, stage in members_of(self.curriculum):
            entry = before.get(stage.name, StageStatus(stage))
            entry.stage, entry.top = stage, top
            self.stages.append(entry)
            if not stage.score.bounded:
                self.scores_outside.pop(stage.name, None)
        if self.end is not None:  # by its old criteria; the stage in which it was over goes on
            self.end = None
            for entry in self._of(self.current):
                entry.left = None
                entry.times.append((self.last_time, None))

    def _on_ready(self, event: Event) -> None:
        self.ready = True
        self.pace.clear()  # the time that it took to start is no time of training

    def _on_stage_started(self, event: Event) -> None:
        self.curriculum[event["stage"]]  # an index of ours, or the log is damaged
        for entry in self._of(event["stage"]):
            entry.applied = True

    def _on_episodes(self, event: Event) -> None:
        for entry, episodes, performance in zip(self.stages, event["episodes"], event["performance"], strict=True):
            if int(episodes) != entry.episodes and performance is not None:
                entry.record(event["step"], float(performance))
            entry.episodes = int(episodes)
        scores = [told[1] for told in event["scores"]]
        if scores and (min(scores) < 0 or max(scores) > 1):
            self._note_outside(event["scores"])
        self._on_progress(event)

    def _note_outside(self, told: list[Any]) -> None:
        for index, score, *_ in told:
            if not 0 <= score <= 1 and (stage := self.stages[index].stage).score.bounded:
                self.scores_outside.setdefault(stage.name, float(score))

    def _on_progress(self, event: Event) -> None:
        self.waiting = tuple(read_term(term) for term in event.get("waiting_for", ()))

    def _on_checkpoint(self, event: Event) -> None:
        self.checkpoints.append(_having(event, "path", "stage"))

    def _on_metrics(self, event: Event) -> None:
        self.reports += 1
        for name, value in event["metrics"].items():
            if name in self.metrics or len(self.metrics) < KNOWN_METRICS or name.startswith(EVALUATION):
                self.metrics[name] = (event["step"], float(value))

    def _on_score_refused(self, event: Event) -> None:
        self.refused_scores += 1

    def _on_training_ended(self, event: Event) -> None:
        self.exit_code = event["exit_code"]

    def _on_attempt_ended(self, event: Event) -> None:
        self.attempt_ended = _having(event, "exit_code")
        if self.exit_code != 0:  # whose script told a good end has it, whatever became of its process
            self.exit_code = event["exit_code"]

    def _on_request_answered(self, event: Event) -> None:
        self.stop_requested = self.stop_requested or event["request"] == "stop"

    def _on_stage_transition(self, event: Event) -> None:
        self.transitions.append(_having(event, "from_name", "to_name", "performance", "reason"))
        self._leave(event["from_stage"], event["step"])
        self._enter(event["to_stage"], event["step"])

    def _on_curriculum_ended(self, event: Event) -> None:
        self.end = _having(event, "outcome", "name", "performance", "reason")
        self._leave(event["stage"], event["step"])

    def _of(self, top: int) -> list[StageStatus]:
        return [entry for entry in self.stages if entry.top == top]

    def _enter(self, top: int, step: int) -> None:
        self.current = top
        for entry in self._of(top):
            entry.enter(step, self.last_time)

    def _leave(self, top: int, step: int) -> None:
        for entry in self._of(top):
            entry.leave(step, self.last_time)

    def _on_run_ended(self, event: Event) -> None:
        self.ended = _having(event, "outcome", "message")


def read_term(data: Mapping[str, Any]) -> Term:
    value, target = (math.nan if data[key] is None else float(data[key]) for key in ("value", "target"))
    return Term(data["term"], value, target, data["operator"], data["holds"])


def _having(event: Event, *keys: str) -> Event:
    """The event, once it is sure to have what is read of it later. Raises KeyError."""
    for key in keys:
        event[key]
    return event
