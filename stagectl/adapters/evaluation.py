"""Evaluation: the policy played deterministically in environments of its own, beside training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stagectl.adapters.gymnasium import make_stage
from stagectl.adapters.pettingzoo import Episode, ParallelEnv, as_parallel
from stagectl.curriculum import Stage, StagedProgressiveCurriculum, stages_evaluated

Predict = Callable[[Any], Any]

AT_ONCE = 16
LONGEST = 100_000  # steps after which an episode counts as over: a policy without chance in it may go in circles


class Evaluator:
    """Says when the current stage's `evaluate:` is due, and plays it.

    Every evaluation of a stage plays the same episodes, seeded apart from training's, so that two of them differ
    by the policy alone. Nothing of it counts as training: no step, no episode, no random number.

    Args:
        curriculum: Asked which stage is on, and for how many steps; told nothing.
        make: The environment of a stage, of Gymnasium or PettingZoo; made at the first evaluation and kept.
        seed: The run's.
    """

    def __init__(
        self,
        curriculum: StagedProgressiveCurriculum,
        make: Callable[[Stage], Any] = make_stage,
        seed: int = 0,
    ) -> None:
        self._curriculum = curriculum
        self._make = make
        self._seed = seed
        self._envs: dict[str, list[ParallelEnv]] = {}
        self._last = self._seen()

    def due(self) -> bool:
        """Whether the steps in the stage have passed another multiple of `every` since this was last asked."""
        before, self._last = self._last, self._seen()
        evaluation = self._curriculum.stage.evaluate
        if evaluation is None:
            return False
        stage, start, steps = self._last
        passed = before[2] if before[:2] == (stage, start) else 0
        return steps // evaluation.every > passed // evaluation.every

    def play(self, predict: Predict) -> dict[str, float]:
        """Play the evaluation; its metrics, `eval/<stage>/success_rate` and `eval/<stage>/return`.

        The success rate is the mean of what the stage's `score:` makes of the episodes. Of an unbounded score,
        which is the return itself, there is none. The return of several agents is their mean.

        Args:
            predict: From a batch of observations to a batch of actions.
        """
        evaluation = self._curriculum.stage.evaluate
        if evaluation is None:
            return {}
        metrics = {}
        for stage in stages_evaluated(self._curriculum.stages, self._curriculum.current_stage):
            scores, returns = zip(*self._episodes(stage, evaluation.episodes, predict), strict=True)
            if stage.score.bounded:
                metrics[f"eval/{stage.name}/success_rate"] = float(np.mean(scores))
            metrics[f"eval/{stage.name}/return"] = float(np.mean(returns))
        return metrics

    def close(self) -> None:
        for envs in self._envs.values():
            for env in envs:
                env.close()
        self._envs.clear()

    def _seen(self) -> tuple[int, int, int]:
        """The stage, the total steps at which it began, and the steps in it."""
        curriculum = self._curriculum
        steps = curriculum.progress().steps
        return curriculum.current_stage, curriculum.total_steps - steps, steps

    def _episodes(self, stage: Stage, number: int, predict: Predict) -> list[tuple[float, float]]:
        """The score and the return of each episode."""
        envs = self._envs.setdefault(stage.name, [])
        while len(envs) < min(number, AT_ONCE):
            envs.append(as_parallel(self._make(stage)))
        waiting = iter(range(number))
        playing = [begun for env in envs[:number] for begun in self._begin(env, waiting)]
        finished: list[tuple[float, float]] = [(0.0, 0.0)] * number
        while playing:
            seen = [observation for _, episode in playing for observation in episode.observations.values()]
            actions = iter(predict(batched(seen)))
            still = []
            for index, episode in playing:
                episode.step({agent: next(actions) for agent in episode.observations})
                if not episode.over and episode.length < LONGEST:
                    still.append((index, episode))
                    continue
                returned = episode.mean_return
                finished[index] = (stage.score.of(returned, episode.success), returned)
                still.extend(self._begin(episode.env, waiting))
            playing = still
        return finished

    def _begin(self, env: ParallelEnv, waiting: Iterator[int]) -> list[tuple[int, Episode]]:
        """The next episode that waits to be played, with its number, if there is one."""
        index = next(waiting, None)
        return [] if index is None else [(index, Episode(env, self._seed_of(index)))]

    def _seed_of(self, index: int) -> int:
        own = np.random.SeedSequence([abs(self._seed), 0x5EED, index]).generate_state(1)[0]
        return int(own) >> 1


def batched(observations: Sequence[Any]) -> Any:
    """Single observations as one batch; of a dict, a batch of each entry."""
    if isinstance(observations[0], dict):
        return {key: np.stack([each[key] for each in observations]) for key in observations[0]}
    return np.stack([np.asarray(each) for each in observations])
