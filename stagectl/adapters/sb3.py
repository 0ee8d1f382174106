"""Stable-Baselines3: a callback and a logger output that connect a model to a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from stagectl.adapters.evaluation import Evaluator
from stagectl.adapters.gymnasium import make_stage
from stagectl.adapters.sb3_checkpoints import begin_anew, restore, save
from stagectl.adapters.sb3_settings import StageSettings
from stagectl.curriculum import Stage
from stagectl.session import Session


class SessionCallback(BaseCallback):
    """Tells the session the steps between rollouts, stops when it says so, saves checkpoints, and goes on from them.

    A checkpoint is saved at every transition, every `checkpoint_every` steps, and at the end; all but the last begin
    training anew, with new seeds and new episodes (`sb3_checkpoints`). Before a rollout the model gets the settings
    of the stage that is on (`trainer:`, `on_enter:`), and its `evaluate:` is played when it is due, and at the end of
    training. Where the run goes on from a checkpoint, `learn` does: with the total number of steps as ever.

    Args:
        session: From `stagectl.attach()`.
        make: The environment of a stage, for evaluation; the model's own kind.
    """

    def __init__(self, session: Session, make: Callable[[Stage], gym.Env[Any, Any]] = make_stage) -> None:
        super().__init__()
        self._session = session
        self._make = make
        self._settings: StageSettings | None = None
        self._evaluator: Evaluator | None = None
        self._resumes = session.resumed_from is not None

    def _on_training_start(self) -> None:
        curriculum = self._session.curriculum
        if self._settings is None or self._settings.model is not self.model:  # `learn` may be called again
            self._settings = StageSettings(self.model, curriculum)
            self._evaluator = Evaluator(curriculum, self._make, self.model.seed or 0)

    def _on_rollout_start(self) -> None:
        if self._settings is None or self._evaluator is None:
            return
        if self._resumes:
            self._resume()
        if self._session.should_stop:
            return
        if self._evaluator.due():
            self._evaluate(self._evaluator)
        if self._session.checkpoint_due:  # here the model has learnt from the last rollout
            self._save()
            begin_anew(self.model)
        self._settings.apply()

    def _on_step(self) -> bool:
        return not self._session.should_stop

    def _on_rollout_end(self) -> None:
        self._session.update_step_count(self.num_timesteps)

    def _on_training_end(self) -> None:
        self._evaluate_at_the_end()
        self._save()

    def _resume(self) -> None:
        """Go on from the checkpoint; what `learn` did of its own until here is undone."""
        session, self._resumes = self._session, False
        assert session.resumed_from is not None, "it was asked before"
        session.restore()
        restore(self.model, session.resumed_from, session.step)
        self.num_timesteps = session.step
        begin_anew(self.model)

    def _save(self) -> None:
        if self.logger.name_to_value:  # what the last update recorded; it would not be there after a restore
            self.logger.dump(self.num_timesteps)
        with self._session.checkpoint() as folder:
            save(self.model, folder)

    def _evaluate(self, evaluator: Evaluator) -> None:
        normalized = self.model.get_vec_normalize_env()

        def predict(observations: Any) -> Any:
            if normalized is not None:
                observations = normalized.normalize_obs(observations)
            return self.model.predict(observations, deterministic=True)[0]

        self._session.log(evaluator.play(predict), self._session.curriculum.total_steps)

    def _evaluate_at_the_end(self) -> None:
        """Where training ran to its end: who asks it to stop does not wait for an evaluation."""
        assert self._evaluator is not None, "training has started"
        curriculum = self._session.curriculum
        spent = self.num_timesteps >= self.model._total_timesteps
        if (spent or curriculum.end is not None) and curriculum.stage.evaluate is not None:
            self._evaluate(self._evaluator)
        self._evaluator.close()


class SessionWriter(KVWriter):
    """An output of SB3's logger that records its numbers as the run's metrics."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        del key_excluded
        numbers = {key: float(value) for key, value in key_values.items() if _is_number(value)}
        self._session.log(numbers, step)

    def close(self) -> None:
        """The session is closed by whoever opened it."""


def session_logger(session: Session) -> Logger:
    """A logger for `model.set_logger`."""
    return Logger(folder=None, output_formats=[SessionWriter(session)])


def _is_number(value: Any) -> bool:
    return not isinstance(value, (str, bool)) and hasattr(value, "__float__")
