"""One learner for environments of one agent and of several: slots, episodes, scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gym = pytest.importorskip("gymnasium")
sb3 = pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from stagectl.adapters.gymnasium import StagedEnv, make_stage  # noqa: E402
from stagectl.adapters.pettingzoo import Episode, find_parallel  # noqa: E402
from stagectl.adapters.sb3_agents import AgentsVecEnv  # noqa: E402
from stagectl.curriculum import StagedProgressiveCurriculum  # noqa: E402
from stagectl.errors import CurriculumError, UsageError  # noqa: E402


class Crowd:
    """Agents that see the step and their number from 1 on; an action is its reward; each leaves after its `lives`."""

    def __init__(self, lives: list[int], says: list[bool] | None = None) -> None:
        self.lives, self.says = lives, says
        self.possible_agents = list(range(len(lives)))
        self.agents: list[int] = []
        self.seeds: list[int | None] = []

    def observation_space(self, agent: int) -> Any:
        return gym.spaces.Box(0, 100, (2,))

    def action_space(self, agent: int) -> Any:
        return gym.spaces.Discrete(5)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.seeds.append(seed)
        self.steps, self.agents = 0, list(self.possible_agents)
        return self.seen(), {}

    def step(self, actions: dict[int, int]) -> tuple[Any, ...]:
        assert set(actions) == set(self.agents)
        self.steps += 1
        seen = self.seen()
        left = {agent: self.steps >= self.lives[agent] for agent in self.agents}
        infos = {agent: {} if self.says is None else {"is_success": self.says[agent]} for agent in self.agents}
        self.agents = [agent for agent in self.agents if not left[agent]]
        rewards = {agent: float(action) for agent, action in actions.items()}
        return seen, rewards, left, dict.fromkeys(left, False), infos

    def seen(self) -> dict[int, Any]:
        return {agent: np.array([self.steps, agent + 1], np.float32) for agent in self.agents}

    def close(self) -> None:
        self.agents = []


class Played:
    """Environments for the stages, kept; and the slots over them."""

    def __init__(self, stages: dict[str, list[int]], blocks: int = 1, **settings: Any) -> None:
        self.made: list[tuple[str, Crowd]] = []
        says = settings.pop("says", None)

        def make(stage: Any) -> Crowd:
            self.made.append((stage.name, Crowd(stages[stage.name], says)))
            return self.made[-1][1]

        entries = [{"name": name, "curriculum": "x", **settings.pop(name, {})} for name in stages]
        self.curriculum = StagedProgressiveCurriculum(entries, score="return", ema="zero_start", **settings)
        self.curriculum.decide_between_steps()
        self.envs = AgentsVecEnv(self.curriculum, blocks, make)
        self.seen = self.envs.reset()

    def step(self, *actions: int) -> tuple[Any, Any, Any, Any]:
        self.seen, rewards, dones, infos = self.envs.step(np.array(actions or [0] * self.envs.num_envs))
        return self.seen, rewards, dones, infos

    def scores(self) -> list[float]:
        return [episode.score for episode in self.curriculum.finished]


BY_STEPS = {"transition_criteria": "time", "time_threshold_steps": 10}


def test_a_block_has_the_least_number_of_slots_that_every_number_of_agents_divides() -> None:
    played = Played({"one": [3], "two": [3, 3], "three": [3] * 3}, blocks=2)
    assert played.envs.num_envs == 2 * 6


def test_a_block_plays_as_many_copies_as_fill_it_and_each_agent_has_a_slot() -> None:
    played = Played({"two": [3, 3], "four": [3] * 4})
    assert played.seen.tolist() == [[0, 1], [0, 2], [0, 1], [0, 2]]
    assert played.step()[0].tolist() == [[1, 1], [1, 2], [1, 1], [1, 2]]


def test_one_episode_of_a_copy_is_one_score_the_mean_of_its_agents_returns() -> None:
    played = Played({"two": [2, 2], "four": [9] * 4})
    played.step(1, 3, 0, 0)
    assert played.scores() == []
    _, _, dones, infos = played.step(0, 2, 1, 1)
    assert played.scores() == [3.0, 1.0]
    assert dones.all()
    assert [info["episode"]["r"] for info in infos] == [1, 5, 1, 1]


@pytest.mark.parametrize(("says", "score"), [([True, True], 1.0), ([True, False], 0.0)])
def test_success_is_what_all_agents_agree_on(says: list[bool], score: float) -> None:
    env = Crowd([1, 2], says)
    episode = Episode(env)
    while not episode.over:
        episode.step(dict.fromkeys(episode.observations, 0))
    assert episode.success is bool(score)


def test_an_episode_that_nobody_is_in_is_refused() -> None:
    with pytest.raises(UsageError, match="began without a single agent"):
        Episode(Crowd([]))


def test_after_a_transition_a_block_goes_over_to_the_next_number_of_agents() -> None:
    played = Played({"one": [2], "two": [5, 5]}, blocks=2, **BY_STEPS)
    played.step()
    played.curriculum.update_step_count(10)
    seen, _, dones, _ = played.step()
    assert dones.all()
    assert seen.tolist() == [[0, 1], [0, 2]] * 2
    assert played.curriculum.total_episodes + len(played.scores()) == 4


def test_what_a_block_still_plays_when_it_goes_over_is_cut_as_by_a_time_limit_and_counts_for_nobody() -> None:
    lengths = iter([2, 5])

    class Uneven(Crowd):
        def reset(self, seed: int | None = None, options: Any = None) -> Any:
            self.lives = [next(lengths)] if len(self.lives) == 1 else self.lives
            return super().reset(seed, options)

    curriculum = StagedProgressiveCurriculum([{"name": "one", "curriculum": "x"}, "two"], **BY_STEPS)  # type: ignore[arg-type]
    curriculum.decide_between_steps()
    envs = AgentsVecEnv(curriculum, 1, lambda stage: Uneven([9] if stage.name == "one" else [9, 9]))
    envs.reset()
    envs.step(np.array([0, 0]))
    curriculum.update_step_count(10)
    _, rewards, dones, infos = envs.step(np.array([1, 3]))
    assert rewards.tolist() == [1, 3]
    assert dones.tolist() == [True, True]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True]
    assert [info["terminal_observation"].tolist() for info in infos] == [[2, 1], [2, 1]]
    assert ["episode" in info for info in infos] == [True, False]
    assert len(curriculum.finished) == 1


def test_the_slot_of_an_agent_that_is_gone_shows_nothing_until_the_episode_is_over() -> None:
    played = Played({"two": [1, 3]})
    seen, rewards, dones, infos = played.step(4, 1)
    assert dones.tolist() == [True, False]
    assert infos[0]["terminal_observation"].tolist() == [1, 1]
    assert seen.tolist() == [[0, 0], [1, 2]]
    seen, rewards, dones, _ = played.step(4, 1)
    assert rewards.tolist() == [0, 1]
    assert dones.tolist() == [False, False]
    seen, _, dones, infos = played.step(4, 1)
    assert dones.tolist() == [True, True]
    assert infos[0]["terminal_observation"].tolist() == [0, 0]
    assert "episode" not in infos[0]
    assert seen.tolist() == [[0, 1], [0, 2]]
    assert played.scores() == [(4 + 3) / 2]


def test_every_copy_has_a_seed_of_its_own_the_first_time_and_a_new_one_when_the_slots_are_seeded_again() -> None:
    played = Played({"one": [1], "two": [1, 1]}, blocks=2)
    played.envs.seed(7)
    played.envs.reset()
    played.step()
    played.envs.seed(100)
    played.envs.reset()
    seeds = [env.seeds for name, env in played.made if name == "one" and env.seeds]
    assert seeds == [[None, 7 + slot, None, 100 + slot] for slot in range(4)]


def test_episodes_that_a_reset_interrupts_count_for_nobody() -> None:
    played = Played({"two": [2, 2]})
    played.step()
    played.envs.reset()
    played.step()
    assert played.scores() == []


def test_stages_of_different_numbers_at_one_time_are_refused_while_playing_too() -> None:
    stages: dict[str, Any] = {"one": [1], "two": [1, 1]}
    with pytest.raises(CurriculumError, match="'two', which is on at the same time"):
        Played(stages, one={"rehearse": {"two": 0.5}}, blocks=2)


def test_with_one_agent_everywhere_it_trains_as_gymnasiums_environments_do_to_the_bit() -> None:
    def weights(slots: bool) -> list[Any]:
        stages = ["CartPole-v1", {"name": "b", "curriculum": "CartPole-v1", "env_overrides": {"max_episode_steps": 30}}]
        curriculum = StagedProgressiveCurriculum(stages, transition_criteria="time", time_threshold_steps=100)
        if slots:
            envs: Any = AgentsVecEnv(curriculum, 3, make_stage)
        else:
            envs = DummyVecEnv([lambda: StagedEnv(curriculum)] * 3)
        model = sb3.PPO("MlpPolicy", envs, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
        model.learn(192)
        curriculum.update_step_count(192)
        model.learn(192)
        assert curriculum.current_stage == 1
        return [parameter.detach().numpy() for parameter in model.policy.parameters()]

    assert all(np.array_equal(one, other) for one, other in zip(weights(True), weights(False), strict=True))


def test_observations_of_a_dict_have_their_entries_and_zeros_where_no_agent_is() -> None:
    class Entries(Crowd):
        def observation_space(self, agent: int) -> Any:
            return gym.spaces.Dict({"step": gym.spaces.Discrete(100), "who": gym.spaces.Box(0, 100, (1,))})

        def seen(self) -> dict[int, Any]:
            return {agent: {"step": self.steps, "who": np.float32([agent + 1])} for agent in self.agents}

    envs = AgentsVecEnv(StagedProgressiveCurriculum(["a"]), 1, lambda stage: Entries([1, 3]))
    envs.reset()
    envs.step(np.array([0, 0]))
    seen, _, _, _ = envs.step(np.array([0, 0]))
    assert seen["step"].tolist() == [0, 2]
    assert seen["who"].tolist() == [[0], [2]]
    _, _, _, infos = envs.step(np.array([0, 0]))
    assert infos[0]["terminal_observation"] == {"step": 0, "who": 0}


def test_what_is_asked_of_a_slot_is_asked_of_the_environment_that_is_played_in_it() -> None:
    played = Played({"two": [1, 1], "one": [1]}, blocks=2)
    played.envs.set_attr("mark", 5, indices=2)
    assert played.envs.get_attr("mark", indices=[2, 3]) == [5, 5]
    assert played.envs.env_method("action_space", 0, indices=0) == [gym.spaces.Discrete(5)]
    assert played.envs.env_is_wrapped(gym.Wrapper) == [False] * 4
    assert played.envs.get_attr("lives") == [[1, 1]] * 4


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_names_an_environment_of_pettingzoos_registry() -> None:
    pettingzoo = pytest.importorskip("pettingzoo")
    registered = type("Registered", (Crowd, pettingzoo.ParallelEnv), {})
    pettingzoo.register("parallel", "tests/Crowd-v0", registered)
    try:
        make = find_parallel("tests/Crowd-v0")
        assert make is not None
        assert make(lives=[1, 2]).lives == [1, 2]
        with pytest.raises(UsageError, match="did you mean 'tests/Crowd-v0'"):
            find_parallel("tests/Crowd-v1")
    finally:
        del pettingzoo.parallel_registry["tests/Crowd-v0"]
    assert find_parallel("CartPole-v1") is None
    assert find_parallel("somebody/CartPole-v1") is None


def test_a_stage_names_a_function_or_class_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crowds_of_mine.py").write_text("def crowd(**settings): return settings\n")
    monkeypatch.syspath_prepend(tmp_path)
    make = find_parallel("crowds_of_mine:crowd")
    assert make is not None
    assert make(a=1) == {"a": 1}
    assert find_parallel("crowds_of_mine:Registered-v0") is None  # which is Gymnasium's `module:id`
    del sys.modules["crowds_of_mine"]
