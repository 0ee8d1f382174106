"""Stable-Baselines3: training that was killed and goes on is, to the bit, training that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3.common.save_util import load_from_zip_file  # noqa: E402

from stagectl.job import __main__ as job  # noqa: E402
from stagectl.recipe import Recipe, load_recipe, write_resolved  # noqa: E402
from stagectl.runs import Beginning, Ending, EventLog, RunPaths, create_run, read_events  # noqa: E402
from stagectl.session import Session  # noqa: E402
from stagectl.trainers.sb3 import train  # noqa: E402
from tests.folding import folded  # noqa: E402

OF_ATTEMPTS = ("attempt_started", "ready", "training_ended", "attempt_ended", "run_ended")
COMMON = ("seq", "attempt", "time", "path", "run")
SMALL = "n_envs: 2, threads: 1, seed: 3, total_timesteps: 384, checkpoint_every: 96"
ON_POLICY = f"{SMALL}, n_steps: 16, normalize_observations: true, normalize_returns: true"
OFF_POLICY = f"{SMALL}, learning_starts: 20, buffer_size: 1000, batch_size: 16, train_freq: 8"
STAGES = """\
  transition_smoothing: 0.3
  stages:
    - {name: short, curriculum: %s, transition_criteria: time, time_threshold_steps: 150,
       trainer: {learning_rate: 3e-3}, on_enter: {warmup_steps: 64}}
    - {name: long, curriculum: %s, env_overrides: {max_episode_steps: 40}, score: {return: [-400, 60]},
       evaluate: {every: 64, episodes: 1}, trainer: {learning_rate: {from: 1e-2, to: 1e-3, over: 300}},
       on_enter: {reset: [optimizer]}, rehearse: {short: 0.5}}
"""


class Killed(BaseException):
    """The training process is gone."""


class Run:
    """A run of the bundled trainer in this process, killed once each of some steps is told."""

    def __init__(self, recipe: Recipe, name: str, kills: list[int]) -> None:
        self.paths = create_run(name, write_resolved(recipe), recipe.folder, recipe.facts())
        self._kills = kills
        here = mock.patch.multiple(job, run_attempt=self._attempt, end_processes=mock.DEFAULT)
        with here, mock.patch("os.fsync"):
            job._write_end(self.paths, job._Run(self.paths, recipe, []).train())
        self.events = read_events(self.paths.events)

    def _attempt(self, paths: RunPaths, recipe: Recipe, number: int, start: Beginning) -> Ending:
        log = EventLog(paths.events, attempt=number, clock=lambda: 0.0)
        folder = start.checkpoint and start.checkpoint.folder
        session = Session(paths, recipe, log, resumed_from=folder, clock=lambda: 0.0)
        tell = session.update_step_count

        def tell_and_die(step: int) -> None:
            tell(step)
            if self._kills and step >= self._kills[0]:
                del self._kills[0]
                raise Killed

        session.update_step_count = tell_and_die  # type: ignore[method-assign]
        try:
            train(session)
        except Killed:
            log.close()
            return Ending(-9)
        session.close()
        return Ending(0)

    @property
    def training(self) -> list[dict[str, Any]]:
        """What training told, without the time that it took and what every attempt says anew."""
        kept = [event for event in folded(self.events) if event["event"] not in OF_ATTEMPTS]
        told = [{key: value for key, value in event.items() if key not in COMMON} for event in kept]
        for event in told:
            if event["event"] == "metrics":
                event["metrics"] = {k: v for k, v in event["metrics"].items() if not k.startswith("time/")}
        return told

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters and optimizers in the last checkpoint."""
        last = sorted(self.paths.checkpoints.iterdir(), key=lambda folder: folder.name[:17])[-1]
        return dict(load_from_zip_file(last / "model.zip")[1])


@pytest.mark.parametrize(
    ("algorithm", "arguments", "env"),
    [
        ("PPO", f"{ON_POLICY}, batch_size: 16, n_epochs: 2", "CartPole-v1"),
        ("A2C", f"{ON_POLICY}, use_sde: true", "Pendulum-v1"),
        ("DQN", f"{OFF_POLICY}, target_update_interval: 50, exploration_fraction: 0.9", "CartPole-v1"),
        ("SAC", f"{OFF_POLICY}, normalize_observations: true", "Pendulum-v1"),
        ("TD3", OFF_POLICY, "Pendulum-v1"),
    ],
)
def test_killed_and_gone_on_it_is_the_training_that_was_not_killed(
    tmp_path: Path, algorithm: str, arguments: str, env: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"trainer: {{algorithm: {algorithm}, {arguments}}}\ncurriculum:\n{STAGES % (env, env)}")
    recipe = load_recipe(file)
    whole, killed = Run(recipe, "whole", []), Run(recipe, "killed", [130, 230, 340])
    starts = [event["step"] for event in killed.events if event["event"] == "attempt_started"]
    assert len(starts) == 4
    assert starts == sorted(set(starts)), "every attempt goes on from a later checkpoint"
    assert killed.training == whole.training
    ours, theirs = killed.parameters, whole.parameters
    assert ours.keys() == theirs.keys()
    assert all(same(ours[name], theirs[name]) for name in ours)


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, tensors in whatever they are nested."""
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
