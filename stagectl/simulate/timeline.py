"""A timeline: stages and transitions over steps, of a replay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stagectl.curriculum import CurriculumEnd, Decision, StageTransition


@dataclass(frozen=True, slots=True)
class StageSpan:
    """One stage of a timeline: the total step counts at which it was last entered and left, None where it was not.

    `censored`: the recording has no more of this stage, and its criterion had not held: it takes `steps` at least.
    """

    index: int
    name: str
    entered: int | None
    left: int | None
    steps: int
    episodes: int
    performance: float | None
    censored: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """The performance over one visit to a stage, thinned to what a picture shows: by total steps."""

    stage: int
    steps: tuple[int, ...]
    performance: tuple[float, ...]
    threshold: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a curriculum did on a trace.

    `notes` say what a reader must know before believing it. `budget_spent`: it ends with the step budget.
    `finished`: every stage that can be left was left. `aligned`: a stage saw what was recorded in it; else the scores
    drove whatever stage was on, as they came. From `differs_from` on, in total steps, it is not what was recorded:
    what is replayed then was recorded in another situation.
    """

    stages: tuple[StageSpan, ...]
    decisions: tuple[Decision, ...]
    total_steps: int
    total_episodes: int
    notes: tuple[str, ...] = ()
    budget_spent: bool = False
    trace: str = ""
    aligned: bool = False
    curves: tuple[Curve, ...] = ()
    finished: bool = False
    differs_from: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing would come after it, however much more had been recorded."""
        return self.end is not None or self.budget_spent

    @property
    def is_censored(self) -> bool:
        """Whether the recording ends before the stage that is on does."""
        return any(span.censored for span in self.stages)

    @property
    def transitions(self) -> tuple[StageTransition, ...]:
        return tuple(d for d in self.decisions if isinstance(d, StageTransition))

    @property
    def end(self) -> CurriculumEnd | None:
        return next((d for d in self.decisions if isinstance(d, CurriculumEnd)), None)

    def to_data(self) -> dict[str, Any]:
        """The timeline as `simulate -o json` prints it (docs/json.md)."""
        return {
            "stages": [asdict(stage) for stage in self.stages],
            "transitions": [transition.to_dict() for transition in self.transitions],
            "end": self.end.to_dict() if self.end else None,
            "total_steps": self.total_steps,
            "total_episodes": self.total_episodes,
            "budget_spent": self.budget_spent,
            "finished": self.finished,
            "aligned": self.aligned,
            "differs_from": self.differs_from,
            "notes": list(self.notes),
        }
