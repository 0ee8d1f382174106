"""What every stage has seen in its last visit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stagectl.curriculum.decisions import Finished
from stagectl.curriculum.evidence import Evidence
from stagectl.curriculum.language import Condition
from stagectl.curriculum.smoothing import Ema
from stagectl.curriculum.stages import Stage, active, members_of


class Records:
    """The evidence of every stage: of the plain ones, the members of groups, and of a group all its members' together.

    Args:
        stages: The curriculum's.
        asked: By a stage's name, the conditions that are asked of what it has seen.
    """

    def __init__(self, stages: tuple[Stage, ...], asked: Mapping[str, Sequence[Condition]]) -> None:
        self._groups = [stage for stage in stages if stage.parallel]
        self._played = [member for _, member in members_of(stages)]
        self._asked = asked
        self._evidence: dict[str, Evidence] = {}
        self.total_episodes = 0
        for stage in stages:
            self.enter(stage)

    def __getitem__(self, stage: Stage) -> Evidence:
        return self._evidence[stage.name]

    def enter(self, stage: Stage) -> None:
        """Begin a visit, with nothing seen in it."""
        for begun in active(stage):
            self._evidence[begun.name] = Evidence(begun, self._asked[begun.name])

    def take_in(self, step: int, finished: Sequence[Finished], metrics: Iterable[tuple[str, float]], on: Stage) -> None:
        """What came since the last step boundary, all of one age; metrics are of the stage that is on."""
        for name, value in metrics:
            for stage in active(on):
                self[stage].add_metric(step, name, value)
        self.total_episodes += len(finished)
        scores: dict[str, list[float]] = {}
        for episode in finished:
            if episode.visit is None:
                scores.setdefault(self._played[episode.stage].name, []).append(episode.score)
        for group in self._groups:
            together = [score for member in group.parallel for score in scores.get(member.name, ())]
            if together:
                scores[group.name] = together
        for name, values in scores.items():
            self._evidence[name].add_scores(step, values)

    def smoothed(self) -> list[Ema]:
        """The smoothed score of each stage that is played."""
        return [self[member].smoothed for member in self._played]

    def state_dict(self) -> dict[str, Any]:
        return {name: evidence.state_dict() for name, evidence in self._evidence.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from that state; a stage that it does not know has seen nothing."""
        for name, evidence in self._evidence.items():
            if name in state:
                evidence.load_state_dict(state[name])
