"""Many processes that train as one, as torchrun starts them: rank 0 decides, the others tell it and follow.

Between rollouts every rank calls `update_step_count`: the finished episodes of all are gathered at rank 0, which
records and decides; its decision is broadcast. So every rank is in the same stage at every step, however slow one is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stagectl.curriculum import Decision, Finished, StagedProgressiveCurriculum
from stagectl.curriculum.metrics import document_metrics
from stagectl.errors import UsageError
from stagectl.recipe import Recipe, build_curriculum


def is_trained(recipe: Recipe, curriculum: StagedProgressiveCurriculum) -> bool:
    """Whether nothing is left to train: the curriculum is over, or the step budget is spent."""
    budget = recipe.trainer.total_timesteps
    return curriculum.end is not None or (budget is not None and curriculum.total_steps >= budget)


class Told(NamedTuple):
    """What every rank tells rank 0 at a step boundary: its finished episodes, and why it refused others' scores."""

    finished: list[Finished]
    refused: Sequence[str] = ()


class News(NamedTuple):
    """What rank 0 tells the others at a step boundary."""

    step: int
    decision: Decision | None
    stop: bool
    checkpoint: bool = False


class Ranks(Protocol):
    """How the ranks of one training exchange values; every rank makes each call."""

    def gather(self, told: Told) -> list[Told]:
        """At rank 0 what each rank gave, in the order of the ranks; elsewhere nothing."""

    def broadcast(self, news: News | None) -> News:
        """What rank 0 gave."""


class Alone:
    """One process."""

    def gather(self, told: Told) -> list[Told]:
        return [told]

    def broadcast(self, news: News | None) -> News:
        assert news is not None, "one process tells itself"
        return news


class TorchRanks:
    """Processes that torch.distributed connects, over a group of their own that needs no GPU (gloo)."""

    def __init__(self) -> None:
        self._group: Any = None

    def gather(self, told: Told) -> list[Told]:
        distributed = self._distributed()
        all_told: list[Any] | None = [None] * distributed.get_world_size() if distributed.get_rank() == 0 else None
        distributed.gather_object(told, all_told, dst=0, group=self._group)
        return all_told or []

    def broadcast(self, news: News | None) -> News:
        box = [news]
        self._distributed().broadcast_object_list(box, src=0, group=self._group)
        assert box[0] is not None, "rank 0 always tells something"
        return box[0]

    def _distributed(self) -> Any:
        import torch.distributed as distributed

        if not distributed.is_initialized():
            hint = "call torch.distributed.init_process_group() before the first update_step_count"
            raise UsageError("the ranks of this training are not connected", hint=hint)
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        return distributed


def find_ranks() -> tuple[int, Ranks]:
    """This process's rank, and how it reaches the others: as torchrun's variables say."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, Alone()
    return int(os.environ["RANK"]), TorchRanks()


class Follower:
    """The session of a rank other than 0: the same calls, but it writes nothing and decides nothing."""

    def __init__(self, recipe: Recipe, ranks: Ranks, resumed_from: Path | None = None) -> None:
        self.recipe = recipe
        self.resumed_from = resumed_from
        self.curriculum: StagedProgressiveCurriculum = build_curriculum(recipe)
        self.curriculum.decide_between_steps(refused=lambda error: self._refused.append(error.message))
        self._refused: list[str] = []
        self._ranks = ranks
        self._news = News(0, None, stop=False)

    def update_step_count(self, step: int) -> None:
        """Tell rank 0 the episodes that finished here, and go where it decides; the step count is rank 0's."""
        self._ranks.gather(Told(list(self.curriculum.finished), list(self._refused)))
        self._refused.clear()
        self._news = self._ranks.broadcast(None)
        self.curriculum.follow(self._news.step, self._news.decision)

    @property
    def step(self) -> int:
        return self.curriculum.total_steps

    @property
    def checkpoint_due(self) -> bool:
        """What rank 0 said at the last step boundary."""
        return self._news.checkpoint

    @property
    def should_stop(self) -> bool:
        """What rank 0 says too: it told so, or where it goes on from there is nothing left to train."""
        return self._news.stop or is_trained(self.recipe, self.curriculum)

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Only rank 0 records metrics."""

    def metrics(self) -> dict[str, Any]:
        curriculum = self.curriculum
        return document_metrics(curriculum.stages, curriculum.current_stage, curriculum.performance())

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """A folder that is thrown away: rank 0's is the checkpoint."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def close(self) -> None:
        """There is nothing to let go of."""

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
