"""Stable-Baselines3: a callback and a logger output that connect a model to a session."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from stagectl.session import Session


class SessionCallback(BaseCallback):
    """Tells the session the steps between rollouts, stops when it says so, and saves checkpoints.

    A checkpoint is saved at every transition, every `checkpoint_every` steps, and at the end.
    """

    def __init__(self, session: Session, checkpoint_every: int = 100_000) -> None:
        super().__init__()
        self._session = session
        self._checkpoint_every = checkpoint_every
        self._checkpointed = 0
        self._stage = session.curriculum.current_stage

    def _on_step(self) -> bool:
        return not self._session.should_stop

    def _on_rollout_end(self) -> None:
        self._session.update_step_count(self.num_timesteps)
        if self._session.should_stop:
            return  # the last update is still to come; the end of training saves it
        moved = self._session.curriculum.current_stage != self._stage
        due = self.num_timesteps - self._checkpointed >= self._checkpoint_every
        if moved or due:
            self._stage = self._session.curriculum.current_stage
            self._checkpointed = self.num_timesteps
            self._save()

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        with self._session.checkpoint() as folder:
            self.model.save(folder / "model.zip")


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
