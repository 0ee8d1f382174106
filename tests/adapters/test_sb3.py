"""Stable-Baselines3's callback: what it saves, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.runs import RunPaths, verify_checkpoint
from stagectl.session import attach

torch = pytest.importorskip("torch")
sb3 = pytest.importorskip("stable_baselines3")


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunPaths, dict[str, object]]:
    """A short training's run, and the model's parameters at its end."""
    from stagectl.adapters.sb3 import SessionCallback, session_logger

    recipe = tmp_path / "recipe.yaml"
    trainer = "{command: [none], total_timesteps: 128, checkpoint_every: 64}"
    recipe.write_text(f"trainer: {trainer}\ncurriculum: {{stages: [CartPole-v1]}}\n")
    torch.set_num_threads(1)
    with attach(recipe) as session:
        model = sb3.PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
        model.set_logger(session_logger(session))
        model.learn(128, callback=SessionCallback(session))
        return session.paths, dict(model.policy.state_dict())


def test_the_last_checkpoint_holds_the_last_update(run: tuple[RunPaths, dict[str, object]]) -> None:
    paths, trained = run
    folders = sorted(paths.checkpoints.iterdir())
    assert [folder.name for folder in folders] == ["step-000000000064", "step-000000000128"]
    verify_checkpoint(folders[-1])
    saved = sb3.PPO.load(folders[-1] / "model.zip", device="cpu").policy.state_dict()
    assert all(torch.equal(saved[name], value) for name, value in trained.items())
    before = sb3.PPO.load(folders[0] / "model.zip", device="cpu").policy.state_dict()
    assert not all(torch.equal(before[name], value) for name, value in trained.items())
