"""The staged progressive curriculum: the one core that decides transitions, in training and in replay alike."""

from __future__ import annotations

import logging
import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagectl.curriculum.config import read_stages
from stagectl.curriculum.criteria import own_condition
from stagectl.curriculum.decisions import CurriculumEnd, Decision, Finished, StageTransition, Task
from stagectl.curriculum.evidence import Evidence, Standing, Term
from stagectl.curriculum.language import Condition
from stagectl.curriculum.sampling import Shares, probabilities
from stagectl.curriculum.saved import current_gone, differences, plain, unchanged
from stagectl.curriculum.stages import END, Stage, members_of
from stagectl.curriculum.ways import Way, metrics_named, position, remembers_steps, ways_of
from stagectl.errors import CurriculumError, Fault, ScoreError

logger = logging.getLogger(__name__)

STATE_VERSION = 3
LARGEST_SCORE = 1e100  # its square is finite too


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
        self._top = [top for top, _ in members_of(self.stages)]
        self._played = tuple(member for _, member in members_of(self.stages))
        self._index = {member.name: index for index, member in enumerate(self._played)}
        self._ways = [ways_of(self.stages, index) for index in range(len(self.stages))]
        self._own = {stage.name: own_condition(stage) for stage in (*self.stages, *self._played)}
        self.metric_names = metrics_named(self.stages)
        self.remembers_steps = remembers_steps(self.stages)
        self._current_stage = position(self.stages, settings["start"]) if settings.get("start") else 0
        self._total_steps = 0
        self._stage_start_step = 0
        self._evidence = {stage.name: self._fresh(stage) for stage in (*self.stages, *self._played)}
        self._visits = [int(index == self._current_stage) for index in range(len(self.stages))]
        self._present = self._present_visits()
        self._done: list[str] = []
        self._total_episodes = 0
        self._tasks_given = 0
        self._shares = Shares(probabilities(self.stages, self._current_stage))
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

    # ── what training asks and tells ────────────────────────────────────────────────────────────────────────

    def get_task(self) -> Task:
        """The next episode to play: of those that the current stage plays, the one furthest behind its share."""
        index = self._shares.next()
        self._tasks_given += 1
        self._applied_stage = self._current_stage
        member = self._played[index]
        return Task(f"{member.name}@{self._visits[self._top[index]]}#{self._tasks_given}", member, self)

    def complete_task(self, id: str, score: float) -> Decision | None:
        """Count a finished episode for the stage, and the visit to it, in which it began.

        Args:
            id: The task's id, or a stage's name; anything else counts for the current stage.
            score: The episode's score, a finite number.

        Raises:
            ScoreError: The score is no finite number; nothing was counted.
        """
        index, visit = self._source_of(id)
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
        steps = _checked_steps(steps)
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
        return self._total_episodes

    @property
    def finished(self) -> Sequence[Finished]:
        """The episodes that finished since the last `update_step_count`."""
        return self._finished

    @property
    def performance_threshold(self) -> float:
        """The current stage's threshold that is in force; NaN where it has yet to be found."""
        return self._evidence[self.stage.name].threshold(self._total_steps - self._stage_start_step)

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
        return [self._performance_of(stage) for stage in self.stages]

    def progress(self) -> Progress:
        """Steps and episodes in the current stage, and its performance."""
        steps = self._total_steps - self._stage_start_step
        return Progress(steps, self._evidence[self.stage.name].smoothed.count, self._performance_of(self.stage))

    def performance(self) -> list[float | None]:
        """The smoothed score of each stage that is played, in its last visit; None without any episode."""
        values = [self._evidence[member.name].smoothed for member in self._played]
        return [average.value if average.count else None for average in values]

    def episodes(self) -> list[int]:
        """The finished episodes of each stage that is played, in its last visit."""
        return [self._evidence[member.name].smoothed.count for member in self._played]

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
        self._take_in()
        if self.end is not None:
            return None
        decision = self._decide_after_boundary()
        self._due = self._next_due() if decision is None else 0  # what was entered may be left at once
        return decision

    def _next_due(self) -> int:
        """The total steps before which, if nothing else comes, nothing can change."""
        if self.end is not None:
            return sys.maxsize
        if self._own_rule or any(self._evidence[stage.name].changes_with_steps for stage in self._active()):
            return self._total_steps
        start, limit = self._stage_start_step, self.stage.max_steps
        marks = [start + limit] if limit is not None else []
        for stage in self._active():
            own, total = self._evidence[stage.name].step_marks
            marks += [start + mark for mark in own] + list(total)
        return min((mark for mark in marks if mark >= self._total_steps), default=sys.maxsize)

    def _active(self) -> tuple[Stage, ...]:
        """The current stage, and its members where it is a group."""
        return (self.stage, *self.stage.parallel)

    def _decide_after_boundary(self) -> Decision | None:
        for stage in self._active():
            self._standing(stage).end_boundary()
        for member in self.stage.parallel:
            if member.name not in self._done and self._holds(member, self._own[member.name]):
                self._done.append(member.name)
        return self._decide()

    def _take_in(self) -> None:
        """Let the evidence have what came since the last boundary, all of one age."""
        for name, value in self._metrics:
            for stage in self._active():
                self._evidence[stage.name].add_metric(self._total_steps, name, value)
        scores: dict[str, list[float]] = {}
        for episode in self._finished:
            self._total_episodes += 1
            if episode.visit is None:
                scores.setdefault(self._played[episode.stage].name, []).append(episode.score)
        for group in self.stages:
            if group.parallel and any(member.name in scores for member in group.parallel):
                scores[group.name] = [s for member in group.parallel for s in scores.get(member.name, ())]
        for name, values in scores.items():
            self._evidence[name].add_scores(self._total_steps, values)
        self._metrics.clear()
        self._finished.clear()

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
        if needs_episodes and not self._evidence[self.stage.name].mature:
            return False
        return self._should_transition_to_next_stage()

    def _time_out(self, stage: Stage) -> Decision | None:
        if stage.on_timeout in ("advance", "goto"):
            to = position(self.stages, stage.goto) if stage.goto else self._current_stage + 1
            if self._may_enter(to):
                return self._go(to, "timeout")
        return self._finish("stopped" if stage.on_timeout == "stop" else "failed", "timeout")

    def _may_enter(self, to: int) -> bool:
        limit = self.stages[to].max_visits if to < len(self.stages) else None
        return limit is None or self._visits[to] < limit

    def _holds(self, stage: Stage, condition: Condition | None) -> bool:
        return condition is not None and self._standing(stage).truth(condition) is True

    def _standing(self, stage: Stage) -> Standing:
        evidence = self._evidence[stage.name]
        counters = {
            "steps": self._total_steps - self._stage_start_step,
            "episodes": evidence.smoothed.count,
            "total_steps": self._total_steps,
            "total_episodes": self._total_episodes,
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
            performance=_or_none(self._performance_of(left)),
            reason=reason,
            threshold=self._threshold_in_force(),
        )
        self._current_stage = to
        self._stage_start_step = self._total_steps
        self._visits[to] += 1
        self._applied_stage = None
        self._present = self._present_visits()
        self._done.clear()
        for stage in self._active():
            self._evidence[stage.name] = self._fresh(stage)
        self._shares = Shares(probabilities(self.stages, to))
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
            performance=_or_none(self._performance_of(self.stage)),
            reason=reason,
            threshold=self._threshold_in_force(),
        )
        where = (self._current_stage, self.stage.name, self._total_steps)
        logger.info("Curriculum %s in stage %d (%s) at step %d", outcome, *where)
        return self.end

    def _threshold_in_force(self) -> float | None:
        uses_it = self.transition_criteria in ("performance", "both", "either") and self.stage.advance_when is None
        return _or_none(self.performance_threshold) if uses_it else None

    def _performance_of(self, stage: Stage) -> float:
        """A stage's smoothed score; a group's is that of the member that decides."""
        if not stage.parallel:
            return self._evidence[stage.name].smoothed.value
        values = [self._evidence[member.name].smoothed.value for member in stage.parallel]
        if any(map(math.isnan, values)):
            return math.nan
        return min(values) if stage.done == "all" else max(values)

    def _fresh(self, stage: Stage) -> Evidence:
        at = next((index for index, entry in enumerate(self.stages) if entry.name == stage.name), None)
        ways = self._ways[at] if at is not None else []
        conditions = [way.condition for way in ways if way.condition is not None]
        own = self._own[stage.name]
        return Evidence(stage, [*conditions, *([own] if own else [])])

    def _present_visits(self) -> dict[str, int]:
        """The beginnings of the ids of tasks that belong to the last visit to their stage."""
        return {f"{m.name}@{self._visits[self._top[index]]}": index for index, m in enumerate(self._played)}

    def _name_at(self, index: int) -> str:
        return self.stages[index].name if index < len(self.stages) else END

    def _source_of(self, task_id: str) -> tuple[int, int | None]:
        """The stage that an id is of, and the visit where it is not the present one."""
        prefix = task_id.rpartition("#")[0]
        index = self._present.get(prefix)
        if index is not None:
            return index, None
        if task_id in self._index:
            return self._index[task_id], None
        for named in (prefix, task_id):
            name, at, visit = named.rpartition("@")
            if at and name in self._index and visit.isdecimal():
                return self._index[name], None if named in self._present else int(visit)
        if prefix in self._index:
            return self._index[prefix], None
        return self._index[self.stage.members[0].name], None

    def _checked(self, number: float, what: str, stage: str) -> float | None:
        """The number; None where it is no finite one, and was handed to whom it may concern."""
        try:
            value = math.nan if isinstance(number, str) else float(number)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if abs(value) <= LARGEST_SCORE:
            return value
        where = f"stage '{stage}' at step {self._total_steps}"
        reason = "too large to average" if math.isfinite(value) else "not a finite number"
        error = ScoreError(Fault((), f"{what} in {where} is {number!r:.40}, {reason}"))
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
            "total_episodes": self._total_episodes,
            "tasks_given": self._tasks_given,
            "shares": self._shares.state_dict(),
            "visits": {stage.name: visits for stage, visits in zip(self.stages, self._visits, strict=True)},
            "done": list(self._done),
            "evidence": {name: evidence.state_dict() for name, evidence in self._evidence.items()},
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
        if state.get("version") != STATE_VERSION:
            message = f"the state is of version {state.get('version')!r}; this stagectl reads {STATE_VERSION}"
            raise CurriculumError(Fault((), message))
        before, now = state["stages"], [stage.to_dict() for stage in self.stages]
        changes = differences(before, now)
        if changes and not accept_changes:
            raise CurriculumError(*changes)
        if state["stage"] not in (stage.name for stage in self.stages):
            raise CurriculumError(Fault(("stages",), current_gone(state["stage"], self.stages)))
        self._current_stage = position(self.stages, state["stage"])
        self._total_steps = state["total_steps"]
        self._decided_at = state["decided_at"]
        self._stage_start_step = state["stage_start_step"]
        self._total_episodes = state["total_episodes"]
        self._tasks_given = state["tasks_given"]
        self._visits = [state["visits"].get(stage.name, 0) for stage in self.stages]
        self._present = self._present_visits()
        kept = unchanged(before, now)
        self._done = [name for name in state["done"] if name in kept and name in self._member_names()]
        for name, evidence in self._evidence.items():
            if name in state["evidence"]:
                evidence.load_state_dict(state["evidence"][name])
        self._shares = Shares(probabilities(self.stages, self._current_stage))
        if not changes:
            self._shares.load_state_dict(state["shares"])
        self._due = 0
        known = [pair for pair in state["finished"] if pair[0] in self._index]
        self._finished = [Finished(self._index[name], score, visit) for name, score, visit in known]
        self._metrics = [(name, float(value)) for name, value in state["metrics"] if name in self.metric_names]
        self._manual = state["manual"] if state["manual"] in (*(s.name for s in self.stages), END) else None
        self.end = CurriculumEnd(**state["end"]) if state["end"] and not changes else None

    def _member_names(self) -> list[str]:
        return [member.name for member in self.stage.parallel]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _checked_steps(steps: Any) -> int:
    """A plain int: numpy's whole numbers are no JSON."""
    try:
        return operator.index(int(steps) if isinstance(steps, float) and steps.is_integer() else steps)
    except TypeError:
        raise CurriculumError(Fault((), f"the step count is {steps!r}, not a whole number")) from None
