"""The staged progressive curriculum: the one core that decides transitions, in training and in replay alike."""

from __future__ import annotations

import copy
import logging
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stagectl.curriculum import criteria
from stagectl.curriculum.criteria import Progress, Term
from stagectl.curriculum.smoothing import Ema
from stagectl.curriculum.stages import Stage, read_stages, stage_index
from stagectl.errors import CurriculumError, Fault, ScoreError

logger = logging.getLogger(__name__)

STATE_VERSION = 1
LARGEST_SCORE = 1e100  # its square is finite too


@dataclass(frozen=True, slots=True)
class Task:
    """One episode to play. It belongs to its stage for good, however late its score arrives."""

    id: str
    stage: Stage
    curriculum: StagedProgressiveCurriculum

    def env_cfg(self) -> dict[str, Any]:
        """The stage's environment overrides, a copy that the caller may change."""
        return copy.deepcopy(dict(self.stage.env_overrides))

    def complete(self, score: float) -> Decision | None:
        return self.curriculum.complete_task(self.id, score)


@dataclass(frozen=True, slots=True)
class StageTransition:
    """Leaving a stage for another. `step` is the total step count, `performance` that of the stage left."""

    from_stage: int
    to_stage: int
    from_name: str
    to_name: str
    step: int
    performance: float | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CurriculumEnd:
    """The curriculum is over: `completed` by the last stage's criterion, or `stopped` or `failed` by a time-out."""

    outcome: str
    stage: int
    name: str
    step: int
    performance: float | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Decision = StageTransition | CurriculumEnd


class StagedProgressiveCurriculum:
    """Goes through its stages in order, leaving each when its criterion holds.

    By itself it decides at every `complete_task` and `update_step_count`. A session, and a replay, call
    `decide_between_steps()` first: then it decides at `update_step_count` alone, after all episodes of that step.

    Subclasses may override `_should_transition_to_next_stage` and read in it `_stage_performance` (a list, NaN
    where a stage has no episode), `_current_stage`, `_total_steps`, `_stage_start_step`, `performance_threshold`
    and `time_threshold_steps`. A stage that leaves by performance is not asked before its `min_episodes`.

    Args:
        stages: An environment's name or a mapping for each stage.
        env_overrides: Merged deeply into every stage's environment settings.
        transition_criteria: `performance` or `time`.
        performance_threshold: The smoothed score that ends a stage.
        time_threshold_steps: The environment steps in the stage that end it.
        transition_smoothing: Weight of the newest episode in the moving average, in (0, 1].
        settings: `min_episodes`, `ema`, `max_steps`, `on_timeout`, `score`.

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
        self._index = {stage.name: index for index, stage in enumerate(self.stages)}
        self._current_stage = 0
        self._total_steps = 0
        self._stage_start_step = 0
        self._smoothed = [Ema(s.transition_smoothing, zero_start=s.ema == "zero_start") for s in self.stages]
        self._stage_performance = [math.nan] * len(self.stages)
        self._tasks_given = 0
        self._applied_stage: int | None = None
        self._decides_on_completion = True
        self._decided_step: int | None = None
        self._refused: Callable[[ScoreError], None] | None = None
        self._finished: list[tuple[int, float]] = []

    # ── what training asks and tells ────────────────────────────────────────────────────────────────────────

    def get_task(self) -> Task:
        """The next episode to play: one of the current stage."""
        self._tasks_given += 1
        self._applied_stage = self._current_stage
        stage = self.stages[self._current_stage]
        return Task(f"{stage.name}#{self._tasks_given}", stage, self)

    def complete_task(self, id: str, score: float) -> Decision | None:
        """Count a finished episode for the stage in which it began.

        Args:
            id: The task's id, or a stage's name; anything else counts for the current stage.
            score: The episode's score, a finite number.

        Raises:
            ScoreError: The score is no finite number; nothing was counted.
        """
        stage = self._stage_of(id)
        try:
            value = self._checked(score, stage)
        except ScoreError as error:
            if self._refused is None:
                raise
            self._refused(error)
            return None
        self._smoothed[stage].add(value)
        self._stage_performance[stage] = self._smoothed[stage].value
        if self._decides_on_completion:
            return self._decide()
        self._finished.append((stage, value))
        return None

    def update_step_count(self, steps: int) -> Decision | None:
        """Tell the total environment steps so far; a transition happens here, between rollouts.

        Between steps a step count decides once: what finishes after that belongs to the next one, since a trace
        cannot tell two decisions at one step apart.

        Raises:
            CurriculumError: The step count goes back, or is no whole number.
        """
        steps = self._checked_steps(steps)
        if steps < self._total_steps:
            message = f"the step count went back from {self._total_steps} to {steps}; it is the total so far"
            raise CurriculumError(Fault((), message))
        self._total_steps = steps
        if not self._decides_on_completion and steps == self._decided_step:
            return None
        self._decided_step = steps
        self._finished.clear()
        return self._decide()

    def decide_between_steps(self, refused: Callable[[ScoreError], None] | None = None) -> None:
        """From now on decide at `update_step_count` alone, once a step count, after all episodes of that step.

        A score that is no finite number is handed to `refused`, where it is given, instead of raised.
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
    def applied_stage(self) -> int | None:
        """The stage of the newest task handed out; None before the first."""
        return self._applied_stage

    @property
    def total_steps(self) -> int:
        return self._total_steps

    @property
    def finished(self) -> Sequence[tuple[int, float]]:
        """Stage and score of each episode that finished since the last decision between steps, in order."""
        return self._finished

    @property
    def performance_threshold(self) -> float:
        return self.stage.performance_threshold

    @property
    def time_threshold_steps(self) -> int:
        return self.stage.time_threshold_steps

    @property
    def transition_criteria(self) -> str | None:
        return self.stage.transition_criteria

    @property
    def transition_smoothing(self) -> float:
        return self.stage.transition_smoothing

    def progress(self) -> Progress:
        """Steps and episodes in the current stage, and its performance."""
        smoothed = self._smoothed[self._current_stage]
        return Progress(self._total_steps - self._stage_start_step, smoothed.count, smoothed.value)

    def performance(self) -> list[float | None]:
        """The smoothed score of each stage; None where it has no episode yet."""
        return [average.value if average.count else None for average in self._smoothed]

    def episodes(self) -> list[int]:
        """The finished episodes of each stage."""
        return [average.count for average in self._smoothed]

    def stage_probs(self) -> list[float]:
        """The share of episodes that each stage gets now."""
        return [float(index == self._current_stage) for index in range(len(self.stages))]

    def waiting_for(self) -> tuple[Term, ...]:
        """The terms of the current stage's criterion, with their values now; those that do not hold block."""
        return criteria.terms(self.stage, self.progress())

    # ── the decision ────────────────────────────────────────────────────────────────────────────────────────

    def _should_transition_to_next_stage(self) -> bool:
        """Whether to leave the current stage. Subclasses may decide otherwise."""
        return criteria.holds(self.stage, self.progress())

    def _decide(self) -> Decision | None:
        if self.end is not None:
            return None
        if self._may_leave() and self._should_transition_to_next_stage():
            return self._advance(self._reason()) or self._finish("completed", self._reason())
        stage, progress = self.stage, self.progress()
        if stage.max_steps is not None and progress.steps >= stage.max_steps:
            if stage.on_timeout == "advance":
                return self._advance("timeout") or self._finish("completed", "timeout")
            return self._finish({"stop": "stopped", "fail": "failed"}[stage.on_timeout], "timeout")
        return None

    def _may_leave(self) -> bool:
        if self.transition_criteria == "performance":
            return self._smoothed[self._current_stage].count >= self.stage.min_episodes
        return self.transition_criteria is not None

    def _reason(self) -> str:
        own_rule = type(self)._should_transition_to_next_stage
        if own_rule is StagedProgressiveCurriculum._should_transition_to_next_stage:
            return str(self.transition_criteria)
        return type(self).__name__

    def _advance(self, reason: str) -> StageTransition | None:
        """Go to the next stage; None where there is none."""
        left = self._current_stage
        if left + 1 == len(self.stages):
            return None
        transition = StageTransition(
            from_stage=left,
            to_stage=left + 1,
            from_name=self.stages[left].name,
            to_name=self.stages[left + 1].name,
            step=self._total_steps,
            performance=self.performance()[left],
            reason=reason,
        )
        self._current_stage = left + 1
        self._stage_start_step = self._total_steps
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
        stage = self._current_stage
        self.end = CurriculumEnd(outcome, stage, self.stage.name, self._total_steps, self.performance()[stage], reason)
        logger.info("Curriculum %s in stage %d (%s) at step %d", outcome, stage, self.stage.name, self._total_steps)
        return self.end

    def _stage_of(self, task_id: str) -> int:
        index = self._index.get(task_id.rpartition("#")[0])  # a task's id first: a stage may be named `a#1`
        if index is None:
            index = self._index.get(task_id, self._current_stage)
        return index

    @staticmethod
    def _checked_steps(steps: Any) -> int:
        """A plain int: numpy's whole numbers are no JSON."""
        try:
            return operator.index(int(steps) if isinstance(steps, float) and steps.is_integer() else steps)
        except TypeError:
            raise CurriculumError(Fault((), f"the step count is {steps!r}, not a whole number")) from None

    def _checked(self, score: float, stage: int) -> float:
        try:
            value = math.nan if isinstance(score, str) else float(score)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not abs(value) <= LARGEST_SCORE:
            where = f"stage '{self.stages[stage].name}' at step {self._total_steps}"
            reason = "too large to average" if math.isfinite(value) else "not a finite number"
            raise ScoreError(Fault((), f"the score of an episode in {where} is {score!r:.40}, {reason}"))
        return value

    # ── saved and restored ──────────────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what happens next, as plain JSON; stages by name."""
        return {
            "version": STATE_VERSION,
            "stage": self.stage.name,
            "total_steps": self._total_steps,
            "stage_start_step": self._stage_start_step,
            "decided_step": self._decided_step,
            "tasks_given": self._tasks_given,
            "smoothed": {s.name: e.state_dict() for s, e in zip(self.stages, self._smoothed, strict=True)},
            "finished": [[self.stages[stage].name, score] for stage, score in self._finished],
            "end": self.end and self.end.to_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken: the same transitions at the same steps.

        Raises:
            CurriculumError: The state is of another version, or of a curriculum with other stages.
        """
        if state.get("version") != STATE_VERSION:
            message = f"the state is of version {state.get('version')!r}; this stagectl reads {STATE_VERSION}"
            raise CurriculumError(Fault((), message))
        names = [stage.name for stage in self.stages]
        if sorted(state["smoothed"]) != sorted(names):
            message = f"the state is of stages {', '.join(state['smoothed'])}; this curriculum has {', '.join(names)}"
            raise CurriculumError(Fault(("stages",), message))
        self._current_stage = stage_index(self.stages, state["stage"])
        self._total_steps = state["total_steps"]
        self._stage_start_step = state["stage_start_step"]
        self._decided_step = state["decided_step"]
        self._tasks_given = state["tasks_given"]
        for stage, average in zip(self.stages, self._smoothed, strict=True):
            average.load_state_dict(state["smoothed"][stage.name])
        self._stage_performance = [average.value for average in self._smoothed]
        self._finished = [(names.index(name), score) for name, score in state["finished"]]
        self.end = CurriculumEnd(**state["end"]) if state["end"] else None
