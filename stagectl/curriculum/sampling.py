"""Which stages' episodes are played while a stage is on, and in which shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stagectl.curriculum.stages import Stage, members_of


def probabilities(stages: tuple[Stage, ...], current: int) -> list[float]:
    """The share of episodes of each stage that is played, while the stage of that index is on; they sum to 1.

    What `rehearse` gives to other stages is theirs; the rest is shared by the members by their weights.
    """
    stage = stages[current]
    own = {member.name: member.weight for member in stage.parallel} or {stage.name: 1.0}
    rest = 1.0 - sum(stage.rehearse.values())
    shares = {name: rest * weight / sum(own.values()) for name, weight in own.items()} | dict(stage.rehearse)
    return [shares.get(member.name, 0.0) for _, member in members_of(stages)]


class Shares:
    """Gives each stage its share of the episodes, as evenly as whole episodes allow: no chance is in it.

    Of the stages that have an episode coming, the next is of the one that must get it soonest to stay within one
    episode of its share (Tijdeman 1980, "The chairman assignment problem"); the one furthest behind may fall further.
    """

    def __init__(self, probs: list[float]) -> None:
        self.probs = probs
        self._given = [0] * len(probs)
        self._single = probs.index(1.0) if 1.0 in probs else None

    def next(self) -> int:
        """The index of the stage to play next."""
        if self._single is not None:
            return self._single
        total = sum(self._given) + 1
        some = [at for at, share in enumerate(self.probs) if share > 0]
        least = 1 / (2 * len(some) - 2) - 1e-9
        coming = [at for at in some if self.probs[at] * total - self._given[at] >= least]
        index = min(coming or some, key=lambda at: (1 - least + self._given[at]) / self.probs[at])
        self._given[index] += 1
        return index

    def state_dict(self) -> dict[str, Any]:
        return {"given": list(self._given)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._given = list(state["given"])
