"""The staged progressive curriculum: the one core that decides transitions, in training and in replay alike."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagectl.curriculum.config import read_stages
from stagectl.curriculum.criteria import own_condition
from stagectl.curriculum.decisions import CurriculumEnd, Decision, Finished, StageTransition, Task
from stagectl.curriculum.evidence import Standing, Term
from stagectl.curriculum.ids import TaskIds
from stagectl.curriculum.language import Condition
from stagectl.curriculum.numbers import finite, not_finite, whole_steps
from stagectl.curriculum.records import Records
from stagectl.curriculum.sampling import Shares, probabilities
from stagectl.curriculum.saved import STATE_VERSION, fitting, plain
from stagectl.curriculum.smoothing import Ema
from stagectl.curriculum.stages import END, Stage, active, members_of
from stagectl.curriculum.ways import Way, after_timeout, metrics_named, position, remembers_steps, ways_of
from stagectl.errors import CurriculumError, Fault, ScoreError, nearest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands in a stage: steps and episodes in it, its performance (NaN before any episode)."""

    steps: int
    episodes: int
    performance: float


class StagedProgressiveCurriculum:
    """Goes through its stages, leaving each when its criterion holds.

    By itself it decides at every `complete_task` and `update_step_count`. A session, and a replay, call
    `decide_between_steps()` first: then it decides at `update_step_count` alone, after all episodes of that step,
    which count as equally old: the order in which they arrived makes no difference.

    Subclasses may override `_should_transition_to_next_stage` and read in it `_stage_performance` (a list, NaN
    where a stage has no episode), `_current_stage`, `_total_steps`, `_stage_start_step`, `performance_threshold`
    and `time_threshold_steps`. A stage that leaves by performance is not asked before its `min_episodes`.

    Attributes:
        metric_names: The logged metrics that criteria name.
        remembers_steps: Whether what a criterion makes of a step depends on the step boundaries before it
            (`sustained`), so that a replay needs every one of them.

    Args:
        stages: An environment's name or a mapping for each stage.
        env_overrides: Merged deeply into every stage's environment settings.
        transition_criteria: `performance`, `time`, `both` or `either`.
        performance_threshold: The smoothed score that ends a stage.
        time_threshold_steps: The environment steps in the stage that end it.
        transition_smoothing: Weight of the newest episode in the moving average, in (0, 1].
        settings: What else a `curriculum:` block may have (docs/curriculum.md).

    Raises:
        CurriculumError: What makes no sense, all of it.
    """

    def __init__(
        self,
        stages: Sequence[str | Mapping[str, Any]],
        env_overrides: Mapping[str, Any] | None = None,
        transition_criteria: str = "performance",
        performance_threshold: float = 0.8,
        time_threshold_steps: int = 100_000,
        transition_smoothing: float = 0.1,
        **settings: Any,
    ) -> None:
        self.stages = read_stages(
            {
                "stages": stages,
                "env_overrides": env_overrides or {},
                "transition_criteria": transition_criteria,
                "performance_threshold": performance_threshold,
                "time_threshold_steps": time_threshold_steps,
                "transition_smoothing": transition_smoothing,
                **settings,
            }
        )
        self.end: CurriculumEnd | None = None
        self.metric_names = metrics_named(self.stages)
        self.remembers_steps = remembers_steps(self.stages)
        self._top = [top for top, _ in members_of(self.stages)]
        self._played = tuple(member for _, member in members_of(self.stages))
        self._ways = [ways_of(self.stages, index) for index in range(len(self.stages))]
        self._own = {stage.name: own_condition(stage) for stage in (*self.stages, *self._played)}
        self._records = Records(self.stages, self._asked())
        self._ids = TaskIds([member.name for member in self._played])
        self._current_stage = position(self.stages, settings["start"]) if settings.get("start") else 0
        self._total_steps = 0
        self._stage_start_step = 0
        self._visits = [int(index == self._current_stage) for index in range(len(self.stages))]
        self._done: list[str] = []  # the members of the current group that are
        self._applied_stage: int | None = None
        self._due = 0
        self._decided_at: int | None = None
        own_rule = type(self)._should_transition_to_next_stage
        self._own_rule = own_rule is not StagedProgressiveCurriculum._should_transition_to_next_stage
        self._manual: str | None = None
        self._decides_on_completion = True
        self._refused: Callable[[ScoreError], None] | None = None
        self._finished: list[Finished] = []
        self._metrics: list[tuple[str, float]] = []
        self._hand_out()

    def _asked(self) -> dict[str, list[Condition]]:
        """By a stage's name, the conditions of its ways out."""
        asked = {name: [own] if own is not None else [] for name, own in self._own.items()}
        for stage, ways in zip(self.stages, self._ways, strict=True):
            asked[stage.name] += [way.condition for way in ways if way.condition is not None]
        return asked

    def _hand_out(self) -> None:
        """Begin to hand out the current stage's tasks."""
        self._shares = Shares(probabilities(self.stages, self._current_stage))
        self._ids.enter([self._visits[top] for top in self._top])

    # ── what training asks and tells ────────────────────────────────────────────────────────────────────────

    def get_task(self) -> Task:
        """The next episode to play: of those that the current stage plays, the one furthest behind its share."""
        index = self._shares.next()
        self._applied_stage = self._current_stage
        return Task(self._ids.next(index), self._played[index], self)

    def complete_task(self, id: str, score: float) -> Decision | None:
        """Count a finished episode for the stage, and the visit to it, in which it began.

        Args:
            id: The task's id, or a stage's name; anything else counts for the current stage.
            score: The episode's score, a finite number.

        Raises:
            ScoreError: The score is no finite number; nothing was counted.
        """
        index, visit = self._ids.source(id) or (self._ids.index[self.stage.members[0].name], None)
        return self._complete(index, visit, score)

    def complete_in(self, stage: str, score: float, visit: int | None = None) -> Decision | None:
        """The same, told with the stage's name and the visit to it: for those that kept these, as a trace does.

        Args:
            stage: The name of a stage that is played: of a member, not of its group.
            score: The episode's score, a finite number.
            visit: The number, from 1, of the visit in which the episode began; None: the last one.

        Raises:
            CurriculumError: No stage of that name is played.
            ScoreError: The score is no finite number; nothing was counted.
        """
        index = self._ids.index.get(stage)
        if index is None:
            raise CurriculumError(
                Fault((), f"no stage that is played is named '{stage}'; {nearest(stage, self._ids.index)}")
            )
        return self._complete(index, None if visit == self._visits[self._top[index]] else visit, score)

    def _complete(self, index: int, visit: int | None, score: float) -> Decision | None:
        value = self._checked(score, "the score of an episode", self._played[index].name)
        if value is None:
            return None
        self._finished.append(Finished(index, value, visit))
        return self._boundary() if self._decides_on_completion else None

    def update_step_count(self, steps: int) -> Decision | None:
        """Tell the total environment steps so far; a transition happens here, between rollouts.

        Between steps a step count decides once: what finishes after that belongs to the next one, since a trace
        cannot tell two decisions at one step apart.

        Raises:
            CurriculumError: The step count goes back, or is no whole number.
        """
        steps = whole_steps(steps)
        if steps < self._total_steps:
            message = f"the step count went back from {self._total_steps} to {steps}; it is the total so far"
            raise CurriculumError(Fault((), message))
        if steps == self._decided_at and not self._decides_on_completion:
            return None  # one decision a step: what finished since belongs to the next one, in a replay too
        self._decided_at = self._total_steps = steps
        if steps < self._due and not self._finished and not self._metrics and self._manual is None:
            return None
        return self._boundary()

    def record_metrics(self, metrics: Mapping[str, float]) -> None:
        """Tell logged metrics; those that a criterion names count from the next decision on.

        Raises:
            ScoreError: One of those is no finite number; none was counted.
        """
        named = [(name, value) for name, value in metrics.items() if name in self.metric_names]
        checked = [(name, self._checked(value, f"metric '{name}'", self.stage.name)) for name, value in named]
        self._metrics += [(name, value) for name, value in checked if value is not None]

    def take_in(self, finished: Iterable[Finished]) -> None:
        """Count episodes that finished in another process which trains in the same stage."""
        self._finished += finished

    def follow(self, steps: int, decision: Decision | None) -> None:
        """Do as another process has decided at that step; what finished here was told to it."""
        self._finished.clear()
        self._metrics.clear()
        self._decided_at = self._total_steps = steps
        if isinstance(decision, StageTransition):
            self._go(decision.to_stage, decision.reason)
        elif decision is not None:
            self.end = decision

    def pass_over(self, steps: int, smoothed: Ema) -> None:
        """Go on to that step count, over boundaries that tell scores of the current stage alone and decide nothing.

        For a replay that has worked out how the stage's average goes on; `smoothed` is what it is then.
        """
        self._records.total_episodes += smoothed.count - self.smoothed.count
        self._records[self.stage].smoothed.load_state_dict(smoothed.state_dict())
        self._decided_at = self._total_steps = steps

    def request_stage(self, name: str | None = None) -> str:
        """Go to a stage, else to the next one, at the next `update_step_count`, whatever the criteria say; its name.

        Raises:
            CurriculumError: There is no such stage, or the curriculum is over.
        """
        if self.end is not None:
            raise CurriculumError(Fault((), f"the curriculum is over since step {self.end.step}"))
        if name is None:
            ahead = [way.to for way in self._ways[self._current_stage] if way.reason != "demotion"]
            to = next((to for to in ahead if self._may_enter(to)), self._current_stage + 1)
            name = self.stages[to].name if to < len(self.stages) else END
        if name != END:
            position(self.stages, name)
        self._manual = name
        return name

    def decide_between_steps(self, refused: Callable[[ScoreError], None] | None = None) -> None:
        """From now on decide at `update_step_count` alone, once a step count, after all episodes of that step.

        A score or metric that is no finite number is handed to `refused`, where it is given, instead of raised.
        """
        self._decides_on_completion = False
        self._refused = refused

    # ── where it stands ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def current_stage(self) -> int:
        return self._current_stage

    @property
    def stage(self) -> Stage:
        return self.stages[self._current_stage]

    @property
    def played(self) -> tuple[Stage, ...]:
        """Every stage that is played: the plain ones, and the members of the groups."""
        return self._played

    @property
    def applied_stage(self) -> int | None:
        """The stage that is on, once a task of this visit was handed out; None before."""
        return self._applied_stage

    @property
    def total_steps(self) -> int:
        return self._total_steps

    @property
    def total_episodes(self) -> int:
        """All episodes that were counted, in whatever stage and visit."""
        return self._records.total_episodes

    @property
    def finished(self) -> Sequence[Finished]:
        """The episodes that finished since the last `update_step_count`."""
        return self._finished

    @property
    def smoothed(self) -> Ema:
        """The current stage's average as it is now, a copy."""
        return self._records[self.stage].smoothed.copy()

    @property
    def awaits_boundary(self) -> bool:
        """Whether something was told that counts from the next `update_step_count` on."""
        return bool(self._finished or self._metrics or self._manual is not None)

    @property
    def decides_itself(self) -> bool:
        """Whether a subclass has its own rule for leaving a stage."""
        return self._own_rule

    @property
    def performance_threshold(self) -> float:
        """The current stage's threshold that is in force; NaN where it has yet to be found."""
        return self._records[self.stage].threshold(self._total_steps - self._stage_start_step)

    @property
    def threshold_in_force(self) -> float | None:
        """The threshold that the current stage is left by; None where something else ends it, or none is found yet."""
        uses_it = self.transition_criteria in ("performance", "both", "either") and self.stage.advance_when is None
        return _or_none(self.performance_threshold) if uses_it else None

    @property
    def time_threshold_steps(self) -> int:
        return self.stage.time_threshold_steps

    @property
    def transition_criteria(self) -> str | None:
        return self.stage.transition_criteria

    @property
    def transition_smoothing(self) -> float:
        return self.stage.transition_smoothing

    @property
    def _stage_performance(self) -> list[float]:
        return [self._records[stage].smoothed.value for stage in self.stages]

    def progress(self) -> Progress:
        """Steps and episodes in the current stage, and its performance."""
        smoothed = self._records[self.stage].smoothed
        return Progress(self._total_steps - self._stage_start_step, smoothed.count, smoothed.value)

    def performance(self) -> list[float | None]:
        """The smoothed score of each stage that is played, in its last visit; None without any episode."""
        return [average.value if average.count else None for average in self._records.smoothed()]

    def episodes(self) -> list[int]:
        """The finished episodes of each stage that is played, in its last visit."""
        return [average.count for average in self._records.smoothed()]

    def stage_probs(self) -> list[float]:
        """The share of episodes that each stage that is played gets now."""
        return list(self._shares.probs)

    def waiting_for(self) -> tuple[Term, ...]:
        """The terms of the current stage's ways out, with their values now; those that do not hold block."""
        stage = self.stage
        if stage.parallel and not stage.next:
            return tuple(
                term.of(member.name)
                for member in stage.parallel
                if member.name not in self._done
                for term in self._standing(member).terms(self._own[member.name])
            )
        terms: list[Term] = []
        for way in self._ways[self._current_stage]:
            if way.reason != "demotion":
                found = self._standing(stage).terms(way.condition or self._own[stage.name])
                terms += [term.of(self._name_at(way.to)) for term in found] if stage.next else found
                terms += self._closed(way.to)
        return tuple(terms)

    def _closed(self, to: int) -> list[Term]:
        """What keeps a way closed whatever its criterion says: the stage was entered as often as it may be."""
        if self._may_enter(to):
            return []
        limit = float(self.stages[to].max_visits or 0)
        return [Term(f"visits of {self.stages[to].name}", float(self._visits[to]), limit, "<", holds=False)]

    # ── one step boundary ───────────────────────────────────────────────────────────────────────────────────

    def _boundary(self) -> Decision | None:
        """Take in what came, and decide."""
        self._records.take_in(self._total_steps, self._finished, self._metrics, self.stage)
        self._finished.clear()
        self._metrics.clear()
        if self.end is not None:
            return None
        decision = self._decide_after_boundary()
        self._due = self._next_due() if decision is None else 0  # what was entered may be left at once
        return decision

    def _next_due(self) -> int:
        """The total steps before which, if nothing else comes, nothing can change."""
        if self.end is not None:
            return sys.maxsize
        if self._own_rule or any(self._records[stage].changes_with_steps for stage in active(self.stage)):
            return self._total_steps
        start, limit = self._stage_start_step, self.stage.max_steps
        marks = [start + limit] if limit is not None else []
        for stage in active(self.stage):
            own, total = self._records[stage].step_marks
            marks += [start + mark for mark in own] + list(total)
        return min((mark for mark in marks if mark >= self._total_steps), default=sys.maxsize)

    def _decide_after_boundary(self) -> Decision | None:
        for stage in active(self.stage):
            self._standing(stage).end_boundary()
        for member in self.stage.parallel:
            if member.name not in self._done and self._holds(member, self._own[member.name]):
                self._done.append(member.name)
        return self._decide()

    def _should_transition_to_next_stage(self) -> bool:
        """Whether the current stage's own criterion holds. Subclasses may decide otherwise."""
        stage = self.stage
        if stage.parallel:
            return len(self._done) == len(stage.parallel) if stage.done == "all" else bool(self._done)
        return self._holds(stage, self._own[stage.name])

    def _decide(self) -> Decision | None:
        if self._manual is not None:
            to, self._manual = self._manual, None
            return self._go(len(self.stages) if to == END else position(self.stages, to), "manual")
        for way in self._ways[self._current_stage]:
            if self._may_enter(way.to) and self._is_open(way):
                return self._go(way.to, self._own_reason() if way.condition is None else way.reason)
        stage = self.stage
        if stage.max_steps is not None and self._total_steps - self._stage_start_step >= stage.max_steps:
            return self._time_out(stage)
        return None

    def _is_open(self, way: Way) -> bool:
        if way.condition is not None:
            return self._holds(self.stage, way.condition)
        needs_episodes = self.transition_criteria in ("performance", "both") and self.stage.advance_when is None
        if needs_episodes and not self._records[self.stage].mature:
            return False
        return self._should_transition_to_next_stage()

    def _time_out(self, stage: Stage) -> Decision | None:
        to = after_timeout(self.stages, self._current_stage)
        if to is not None and self._may_enter(to):
            return self._go(to, "timeout")
        return self._finish("stopped" if stage.on_timeout == "stop" else "failed", "timeout")

    def _may_enter(self, to: int) -> bool:
        limit = self.stages[to].max_visits if to < len(self.stages) else None
        return limit is None or self._visits[to] < limit

    def _holds(self, stage: Stage, condition: Condition | None) -> bool:
        return condition is not None and self._standing(stage).truth(condition) is True

    def _standing(self, stage: Stage) -> Standing:
        evidence = self._records[stage]
        counters = {
            "steps": self._total_steps - self._stage_start_step,
            "episodes": evidence.smoothed.count,
            "total_steps": self._total_steps,
            "total_episodes": self._records.total_episodes,
            "visits": self._visits[self._current_stage],
        }
        return Standing(evidence, self._total_steps, counters)

    def _own_reason(self) -> str:
        if self._own_rule:
            return type(self).__name__
        if self.stage.parallel:
            return f"{self.stage.done} done"
        return "advance_when" if self.stage.advance_when is not None else str(self.transition_criteria)

    def _go(self, to: int, reason: str) -> Decision:
        """Enter a stage, with fresh evidence; at the end, end."""
        if to == len(self.stages):
            return self._finish("completed", reason)
        left = self.stage
        transition = StageTransition(
            from_stage=self._current_stage,
            to_stage=to,
            from_name=left.name,
            to_name=self.stages[to].name,
            step=self._total_steps,
            performance=_or_none(self._records[left].smoothed.value),
            reason=reason,
            threshold=self.threshold_in_force,
        )
        self._current_stage = to
        self._stage_start_step = self._total_steps
        self._visits[to] += 1
        self._applied_stage = None
        self._done.clear()
        self._records.enter(self.stage)
        self._hand_out()
        logger.info(
            "Transitioning from stage %d (%s) to stage %d (%s) at step %d",
            transition.from_stage,
            transition.from_name,
            transition.to_stage,
            transition.to_name,
            transition.step,
        )
        return transition

    def _finish(self, outcome: str, reason: str) -> CurriculumEnd:
        self.end = CurriculumEnd(
            outcome=outcome,
            stage=self._current_stage,
            name=self.stage.name,
            step=self._total_steps,
            performance=_or_none(self._records[self.stage].smoothed.value),
            reason=reason,
            threshold=self.threshold_in_force,
        )
        where = (self._current_stage, self.stage.name, self._total_steps)
        logger.info("Curriculum %s in stage %d (%s) at step %d", outcome, *where)
        return self.end

    def _name_at(self, index: int) -> str:
        return self.stages[index].name if index < len(self.stages) else END

    def _checked(self, number: float, what: str, stage: str) -> float | None:
        """The number; None where it is no finite one, and was handed to whom it may concern."""
        value = finite(number)
        if value is not None:
            return value
        error = not_finite(number, f"{what} in stage '{stage}' at step {self._total_steps}")
        if self._refused is None:
            raise error
        self._refused(error)
        return None

    # ── saved and restored ──────────────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what happens next, as plain JSON; stages by name."""
        return {
            "version": STATE_VERSION,
            "stages": [plain(stage.to_dict()) for stage in self.stages],
            "stage": self.stage.name,
            "total_steps": self._total_steps,
            "decided_at": self._decided_at,
            "stage_start_step": self._stage_start_step,
            "total_episodes": self._records.total_episodes,
            "tasks_given": self._ids.given,
            "shares": self._shares.state_dict(),
            "visits": {stage.name: visits for stage, visits in zip(self.stages, self._visits, strict=True)},
            "done": list(self._done),
            "evidence": self._records.state_dict(),
            "finished": [[self._played[e.stage].name, e.score, e.visit] for e in self._finished],
            "metrics": [list(pair) for pair in self._metrics],
            "manual": self._manual,
            "end": self.end and self.end.to_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], accept_changes: bool = False) -> None:
        """Go on from where `state_dict` was taken: the same transitions at the same steps.

        Args:
            state: What `state_dict` gave.
            accept_changes: Take a state of a curriculum with other stages or settings too. Stages are matched by
                name; what they have seen is kept, what a changed criterion asks for newly begins afresh, and a
                curriculum that was over goes on until it is over by its new criteria.

        Raises:
            CurriculumError: The state is of another version, or of a curriculum with other stages or settings; with
                `accept_changes`: the stage in which it stands is gone. Nothing was changed then.
        """
        state = fitting(state, self.stages, accept_changes=accept_changes)
        self._current_stage = position(self.stages, state["stage"])
        self._total_steps = state["total_steps"]
        self._decided_at = state["decided_at"]
        self._stage_start_step = state["stage_start_step"]
        self._visits = [state["visits"][stage.name] for stage in self.stages]
        self._done = list(state["done"])
        self._records.total_episodes = state["total_episodes"]
        self._records.load_state_dict(state["evidence"])
        self._hand_out()
        self._ids.given = state["tasks_given"]
        if state["shares"] is not None:
            self._shares.load_state_dict(state["shares"])
        self._due = 0
        self._finished = [Finished(self._ids.index[name], score, visit) for name, score, visit in state["finished"]]
        self._metrics = [(name, float(value)) for name, value in state["metrics"] if name in self.metric_names]
        self._manual = state["manual"]
        self.end = CurriculumEnd(**state["end"]) if state["end"] else None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
