"""Stages with different numbers of agents in the bundled trainer: what is refused, and a real training."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stagectl.errors import Fault
from stagectl.trainers.sb3 import check
from tests.adapters.test_sb3_resume import Run, same
from tests.trainers.conftest import SMALL

MODULE = """
import gymnasium as gym
import numpy as np


class Team:
    def __init__(self, agents=1, spaces=None, length=4):
        self.possible_agents = [f"agent_{index}" for index in range(agents)]
        self.agents, self.length, self.spaces = [], length, spaces or {}

    def observation_space(self, agent):
        return gym.spaces.Box(0, 1, (self.spaces.get(agent, 3),))

    def action_space(self, agent):
        return gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.steps = list(self.possible_agents), 0
        if seed is not None or not hasattr(self, "random"):
            self.random = np.random.default_rng(seed)
        return self.seen(), {}

    def seen(self):
        return {agent: self.random.random(3, np.float32) for agent in self.agents}

    def step(self, actions):
        self.steps += 1
        agents, over = self.agents, self.steps == self.length
        rewards = {agent: float(actions[agent]) / self.length for agent in agents}
        results = self.seen(), rewards, dict.fromkeys(agents, over), dict.fromkeys(agents, False), {}
        self.agents = [] if over else agents
        return results

    def close(self):
        pass


class Alone(gym.Env):
    observation_space = gym.spaces.Box(0, 1, (3,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), float(action), True, False, {}


def nothing():
    return 5
"""


@pytest.fixture(autouse=True)
def teams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "teams.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("teams", None)


def team(name: str, agents: int, more: str = "", settings: str = "") -> str:
    return f"{{name: {name}, curriculum: teams:Team, env_overrides: {{agents: {agents}{settings}}}{more}}}"


def faults(recipe: Any, *stages: str) -> list[Fault]:
    return check(recipe(f"[{', '.join(stages)}]", SMALL))


def test_stages_may_have_different_numbers_of_agents(recipe: Any) -> None:
    assert faults(recipe, "{name: alone, curriculum: teams:Alone}", team("two", 2), team("three", 3)) == []


def test_agents_with_spaces_of_their_own_are_refused_with_their_names(recipe: Any) -> None:
    (fault,) = faults(recipe, team("two", 2, settings=", spaces: {agent_1: 4}"))
    assert fault.path == ("curriculum", "stages", 0, "curriculum")
    assert "the observation space of agent_0 is Box(0.0, 1.0, (3,), float32) and that of agent_1 is" in fault.message
    assert fault.message.endswith("a trainer of your own may do it: `trainer: {command: […]}`")


def test_a_stage_with_other_spaces_than_the_first_is_refused(recipe: Any) -> None:
    (fault,) = faults(recipe, "CartPole-v1", team("two", 2))
    assert fault.path == ("curriculum", "stages", 1)
    assert "the observation space of stage 'CartPole-v1' is Box([-4.8" in fault.message


@pytest.mark.parametrize("key", ["rehearse", "parallel"])
def test_different_numbers_of_agents_at_one_time_are_refused(recipe: Any, key: str) -> None:
    if key == "rehearse":
        stages = [team("one", 1), team("two", 2, ", rehearse: {one: 0.1}")]
        where, said = 1, "stage 'two' has 2 agents and stage 'one' 1 agent, and both are on at one time"
    else:
        stages = [f"{{name: g, parallel: [{team('one', 1)}, {team('two', 2)}]}}"]
        where, said = 0, "stage 'one' has 1 agent and stage 'two' 2 agents, and both are on at one time"
    (fault,) = faults(recipe, *stages)
    assert fault.path == ("curriculum", "stages", where, key)
    assert fault.message.startswith(said)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("teams:nothing", "teams:nothing gives a builtins.int, neither Gymnasium's Env nor PettingZoo's ParallelEnv"),
        ("nowhere:Team", "nowhere:Team cannot be imported: No module named 'nowhere'"),
        ("teams:Tean", "has no environment 'Tean' and registers none with Gymnasium (did you mean 'Team'?)"),
    ],
)
def test_what_is_no_environment_is_told_with_its_stage(recipe: Any, written: str, said: str) -> None:
    (fault,) = faults(recipe, f"{{name: a, curriculum: '{written}'}}")
    assert fault.path == ("curriculum", "stages", 0, "curriculum")
    assert fault.message.startswith("stage 'a': ")
    assert said in fault.message


def test_without_pettingzoo_its_names_are_told_to_need_it(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    (fault,) = faults(recipe, "{name: a, curriculum: sisl/pursuit-v5}")
    assert fault.message.endswith("if it is one of PettingZoo's: pip install 'stagectl[agents]'")


def test_a_picture_in_small_numbers_is_no_image_for_a_convolution(recipe: Any) -> None:
    class View(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, 1, (7, 7, 3))
        action_space = gym.spaces.Discrete(2)

        def reset(self, **settings: Any) -> Any:
            return np.zeros((7, 7, 3), np.float32), {}

    gym.register("View-v0", View)
    try:
        assert faults(recipe, "View-v0") == []
    finally:
        del gym.registry["View-v0"]


STAGES = (
    "[{name: alone, curriculum: teams:Alone, advance_when: steps >= 128}, "
    f"{team('two', 2, ', advance_when: steps >= 128')}, "
    f"{team('four', 4, ', evaluate: {every: 128, episodes: 3, earlier: true}')}]"
)
LEARNER = "{n_envs: 2, n_steps: 8, batch_size: 32, n_epochs: 1, total_timesteps: 512, threads: 1, seed: 1}"


def test_one_learner_goes_through_stages_of_one_two_and_four_agents(trained: Any) -> None:
    run = trained(STAGES, LEARNER, score="{return: [0, 1]}")
    moved = run.all_of("stage_transition")
    assert [(step, to) for _, step, _, to in moved] == [(128, "two"), (256, "four")]
    episodes = [(step, len(scores)) for _, step, scores, _ in run.all_of("episodes")]
    assert episodes[0] == (64, 2 * 4 * 8)  # two blocks of four slots, an episode of one step in each slot
    assert episodes[-1] == (512, 2 * 1 * 2)  # one copy in each block, four steps an episode


def test_several_agents_are_evaluated_together_with_the_stages_before(trained: Any) -> None:
    run = trained(STAGES, LEARNER, score="{return: [0, 1]}")
    for name in ("alone", "two", "four"):
        found = run.metrics(f"eval/{name}/return")
        assert [step for step, _ in found] == [384, 512]
        assert all(0 <= value <= 1 for _, value in found)


def test_a_run_of_several_agents_is_the_same_for_a_seed(trained: Any) -> None:
    def one() -> Any:
        return trained(STAGES, LEARNER, score="{return: [0, 1]}").all_of("episodes", "stage_transition")

    assert one() == one()


def test_killed_and_gone_on_it_is_the_training_that_was_not_killed(recipe: Any) -> None:
    """Checkpoints begin every block anew: in a stage of one agent, of two, and of four."""
    settings = "n_envs: 2, n_steps: 8, batch_size: 32, n_epochs: 1, threads: 1, seed: 1"
    written = recipe(STAGES, f"{{{settings}, total_timesteps: 640, checkpoint_every: 64}}", score="{return: [0, 1]}")
    whole, killed = Run(written, "whole", []), Run(written, "killed", [128, 256, 512])
    assert sum(event["event"] == "attempt_started" for event in killed.events) == 4
    assert killed.training == whole.training
    assert same(killed.parameters, whole.parameters)
