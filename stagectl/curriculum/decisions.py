"""What a curriculum hands out and decides, as values."""

from __future__ import annotations

import copy
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stagectl.curriculum.stages import Stage

if TYPE_CHECKING:
    from stagectl.curriculum.staged import StagedProgressiveCurriculum


@dataclass(slots=True, eq=False)
class Task:
    """One episode to play. It belongs to its stage, and to this visit to it, however late its score arrives."""

    id: str
    stage: Stage
    curriculum: StagedProgressiveCurriculum
    completed: bool = False

    def env_cfg(self) -> dict[str, Any]:
        """The stage's environment overrides, a copy that the caller may change."""
        return copy.deepcopy(dict(self.stage.env_overrides))

    def complete(self, score: float) -> Decision | None:
        """Tell the episode's score, a finite number. A second one is warned of and counts for nothing.

        Raises:
            ScoreError: The score is no finite number; nothing was counted.
        """
        if self.completed:
            message = f"task {self.id} was completed before and counts once; ask get_task() for each episode's own"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return None
        decision = self.curriculum.complete_task(self.id, score)
        self.completed = True
        return decision


class Finished(NamedTuple):
    """A finished episode: the index of its stage among those that are played, its score.

    `visit` is None where the episode began in the stage's present visit; else that visit's number, from 1.
    """

    stage: int
    score: float
    visit: int | None = None


@dataclass(frozen=True, slots=True)
class StageTransition:
    """Leaving a stage for another. `step` is the total step count, `performance` that of the stage left.

    `threshold` is the performance threshold that was in force; None where the stage has none.
    """

    from_stage: int
    to_stage: int
    from_name: str
    to_name: str
    step: int
    performance: float | None
    reason: str
    threshold: float | None = None

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
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Decision = StageTransition | CurriculumEnd
