"""The shipped recipe, shortened: it trains on a node, watched from a terminal here."""

from __future__ import annotations

from pathlib import Path

import pexpect
import pyte
import pytest

from tests.cluster.conftest import SECONDS, allocation, recipe_at
from tests.e2e.conftest import COMMAND, Stagectl, eventually
from tests.e2e.test_main_job import training

pytestmark = pytest.mark.cluster

DOORKEY = Path(__file__).parents[2] / "recipes" / "doorkey.yaml"
SHORT = [
    "trainer.total_timesteps=32k",
    "curriculum.transition_smoothing=0.1",
    "curriculum.min_episodes=10",
    "curriculum.performance_threshold=0.2",
    "curriculum.max_steps=8k",
    "curriculum.on_timeout=advance",
]


def test_a_run_watched_to_its_end_tells_what_the_same_run_here_tells(
    laptop: Stagectl, tmp_path: Path, unique: str
) -> None:
    recipe, away, here = recipe_at(tmp_path / "code", DOORKEY), f"away-{unique}", f"here-{unique}"
    screen = pyte.HistoryScreen(100, 40, history=1000)
    terminal = pyte.Stream(screen)
    env = {key: value for key, value in laptop.env.items() if key != "NO_COLOR"}
    child = pexpect.spawn(
        str(COMMAND),
        ["run", str(recipe), f"run={away}", *SHORT],
        env={**env, "TERM": "xterm"},
        dimensions=(40, 100),
        timeout=SECONDS,
        encoding="utf-8",
    )
    pictures = []
    while True:
        try:
            terminal.feed(child.read_nonblocking(1 << 16, SECONDS))
        except pexpect.EOF:
            break
        pictures.append("\n".join(screen.display))
    child.close()
    assert child.exitstatus == 0, pictures[-1]
    assert any("doorkey_8" in picture and "running" in picture for picture in pictures)
    assert "completed" in pictures[-1]

    assert laptop("run", recipe, f"run={here}", "launch.backend=local", *SHORT).returncode == 0
    assert training(laptop.events(away)) == training(laptop.events(here))
    ours, theirs = laptop.json("status", away), laptop.json("status", here)
    assert ours["transitions"] == theirs["transitions"]
    assert [one["reason"] for one in ours["transitions"]] == ["performance", "timeout", "timeout"]
    assert ours["cluster"]["infra"] == "slurm/testbed/dev"
    eventually(lambda: allocation(away) is None, SECONDS)  # a run's own cluster is given back
