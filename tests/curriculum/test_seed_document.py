"""The original document, line by line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from stagectl import StagedProgressiveCurriculum
from stagectl.curriculum import StageTransition
from stagectl.curriculum.metrics import document_metrics

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def block() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DATA / "seed_curriculum.yaml").read_text())
    del loaded["_target_"]
    return loaded


def complete(curriculum: StagedProgressiveCurriculum, score: float, times: int) -> list[Any]:
    return [curriculum.complete_task(curriculum.get_task().id, score) for _ in range(times)]


def test_the_documents_configuration_gives_its_three_stages(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    assert [(s.name, s.curriculum, s.weight) for s in curriculum.stages] == [
        ("navigation_training", "/env/mettagrid/curriculum/navigation", 1.0),
        ("navigation_sequence", "/env/mettagrid/curriculum/navsequence/nav_backchain", 1.0),
        ("simple_tasks", "/env/mettagrid/curriculum/simple", 1.0),
    ]


def test_the_defaults_are_the_documents() -> None:
    stage = StagedProgressiveCurriculum(["a", "b"]).stages[0]
    assert stage.transition_criteria == "performance"
    assert stage.performance_threshold == 0.8
    assert stage.time_threshold_steps == 100_000
    assert stage.transition_smoothing == 0.1
    assert stage.weight == 1.0
    assert stage.env_overrides == {}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/env/mettagrid/curriculum/navigation", "navigation"),
        ("/env/mettagrid/curriculum/navigation/", "navigation"),
        ("MiniGrid-DoorKey-6x6-v0", "MiniGrid-DoorKey-6x6-v0"),
        ("BabyAI/GoTo", "GoTo"),
    ],
)
def test_a_stage_that_is_a_bare_string_is_named_by_the_paths_last_part(path: str, name: str) -> None:
    stage = StagedProgressiveCurriculum([path]).stages[0]
    assert (stage.name, stage.curriculum) == (name, path)


def test_a_mapping_without_a_name_is_named_by_the_paths_last_part() -> None:
    assert StagedProgressiveCurriculum([{"curriculum": "/env/nav"}]).stages[0].name == "nav"


def test_strings_and_mappings_may_stand_side_by_side() -> None:
    curriculum = StagedProgressiveCurriculum(["/env/nav", {"curriculum": "/env/nav", "name": "again", "weight": 0.5}])
    assert [(s.name, s.weight) for s in curriculum.stages] == [("nav", 1.0), ("again", 0.5)]


def test_environment_overrides_are_applied_to_all_stages() -> None:
    overrides = {"game": {"num_agents": 24, "max_steps": 1000}, "sampling": 0.7}
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], env_overrides=overrides)
    assert [s.env_overrides for s in curriculum.stages] == [overrides] * 3
    assert curriculum.get_task().env_cfg() == overrides


def test_a_stages_environment_overrides_are_laid_deeply_over_the_shared_ones() -> None:
    stages = [{"curriculum": "a", "env_overrides": {"game": {"max_steps": 50, "map": {"size": 3}}}}, "b"]
    overrides = {"game": {"num_agents": 24, "max_steps": 1000}, "sampling": 0.7}
    curriculum = StagedProgressiveCurriculum(stages, env_overrides=overrides)
    merged = {"game": {"num_agents": 24, "max_steps": 50, "map": {"size": 3}}, "sampling": 0.7}
    assert curriculum.stages[0].env_overrides == merged
    assert curriculum.stages[1].env_overrides == overrides


def test_who_changes_a_tasks_environment_settings_changes_nobody_elses() -> None:
    overrides = {"game": {"maps": ["a"]}}
    curriculum = StagedProgressiveCurriculum(["a", "b"], env_overrides=overrides)
    config = curriculum.get_task().env_cfg()
    config["game"]["maps"].append("b")
    config["new"] = 1
    assert curriculum.get_task().env_cfg() == {"game": {"maps": ["a"]}}
    assert overrides == {"game": {"maps": ["a"]}}


def test_who_changes_the_settings_afterwards_changes_no_stage() -> None:
    overrides = {"game": {"maps": ["a"], "agents": 1}}
    curriculum = StagedProgressiveCurriculum(["a", "b"], env_overrides=overrides)
    overrides["game"]["agents"] = 2
    overrides["game"]["maps"].append("b")
    assert curriculum.get_task().env_cfg() == {"game": {"maps": ["a"], "agents": 1}}


def test_a_stage_is_left_when_its_performance_reaches_the_threshold(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    *before, decision = complete(curriculum, 1.0, 10)
    assert before == [None] * 9
    assert decision == StageTransition(0, 1, "navigation_training", "navigation_sequence", 0, 1.0, "performance", 0.8)


def test_performance_below_the_threshold_holds_the_stage(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    assert complete(curriculum, 0.79, 500) == [None] * 500
    assert curriculum.current_stage == 0


def test_performance_is_an_exponential_moving_average_with_the_documents_smoothing(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block, ema="zero_start", min_episodes=1)
    complete(curriculum, 1.0, 16)
    assert curriculum.current_stage == 1  # 1 − 0.9¹⁶ = 0.815, and 1 − 0.9¹⁵ = 0.794
    assert curriculum.episodes() == [16, 0, 0]


def test_by_time_a_stage_is_left_after_its_steps(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**{**block, "transition_criteria": "time"})
    assert curriculum.update_step_count(99_999) is None
    first = curriculum.update_step_count(150_000)
    assert first == StageTransition(0, 1, "navigation_training", "navigation_sequence", 150_000, None, "time")
    assert curriculum.update_step_count(249_999) is None
    second = curriculum.update_step_count(250_000)
    assert isinstance(second, StageTransition)
    assert (second.to_name, second.step) == ("simple_tasks", 250_000)


def test_by_time_scores_move_nothing(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**{**block, "transition_criteria": "time"})
    assert complete(curriculum, 1.0, 100) == [None] * 100


def test_the_transition_is_logged_in_the_documents_words(
    block: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    curriculum = StagedProgressiveCurriculum(**{**block, "transition_criteria": "time"})
    with caplog.at_level(logging.INFO):
        curriculum.update_step_count(150_000)
    message = "Transitioning from stage 0 (navigation_training) to stage 1 (navigation_sequence) at step 150000"
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("INFO", message)]


def test_stages_progress_in_order_and_the_last_one_stays(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    seen = []
    for _ in range(60):
        seen.append(curriculum.get_task().stage.name)
        complete(curriculum, 1.0, 1)
    assert list(dict.fromkeys(seen)) == ["navigation_training", "navigation_sequence", "simple_tasks"]
    assert curriculum.current_stage == 2
    assert curriculum.end is None


def test_a_task_is_of_the_current_stage_and_has_an_id_of_its_own(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    tasks = [curriculum.get_task() for _ in range(100)]
    assert len({task.id for task in tasks}) == 100
    assert {task.stage.name for task in tasks} == {"navigation_training"}


def test_a_task_completes_itself() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b"], min_episodes=1)
    assert isinstance(curriculum.get_task().complete(0.9), StageTransition)


# ── Custom Transition Logic, verbatim ───────────────────────────────────────────────────────────────────────


class CustomStagedCurriculum(StagedProgressiveCurriculum):
    def _should_transition_to_next_stage(self) -> bool:
        # Custom transition logic
        current_performance = self._stage_performance[self._current_stage]
        current_stage_steps = self._total_steps - self._stage_start_step

        # Transition if both performance and time criteria are met
        performance_ready = current_performance >= self.performance_threshold
        time_ready = current_stage_steps >= self.time_threshold_steps

        return performance_ready and time_ready


def test_the_documents_custom_curriculum_needs_performance_and_time(block: dict[str, Any]) -> None:
    curriculum = CustomStagedCurriculum(**block)
    assert complete(curriculum, 1.0, 50) == [None] * 50  # performance alone
    decision = curriculum.update_step_count(100_000)
    assert decision == StageTransition(
        0, 1, "navigation_training", "navigation_sequence", 100_000, 1.0, "CustomStagedCurriculum", 0.8
    )
    assert curriculum.update_step_count(300_000) is None  # time alone
    assert [bool(d) for d in complete(curriculum, 1.0, 10)] == [False] * 9 + [True]


def test_the_documents_custom_curriculum_is_not_moved_by_no_data(block: dict[str, Any]) -> None:
    curriculum = CustomStagedCurriculum(**{**block, "transition_criteria": "time"})
    assert curriculum.update_step_count(10**9) is None


# ── WandB Logging ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_metrics_have_the_documents_keys() -> None:
    stages = StagedProgressiveCurriculum(["navigation", "sequence", "simple"]).stages
    metrics = document_metrics(stages, 1, [0.81, 0.4, None])
    assert metrics == {
        "curriculum/current_stage": 1,
        "curriculum/stage_name": "sequence",
        "curriculum/stage_probs": {"navigation": 0.0, "sequence": 1.0, "simple": 0.0},
        "curriculum/stage_performance": {"navigation": 0.81, "sequence": 0.4},
    }


def test_the_probabilities_over_stages_are_one_hot_for_the_current_stage(block: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum(**block)
    assert curriculum.stage_probs() == [1.0, 0.0, 0.0]
    complete(curriculum, 1.0, 10)
    assert curriculum.stage_probs() == [0.0, 1.0, 0.0]


def test_a_transition_event_has_the_documents_keys_and_the_reason() -> None:
    transition = StageTransition(0, 1, "a", "b", 7, 0.8, "performance")
    keys = {"from_stage", "to_stage", "from_name", "to_name", "step", "performance", "reason"}
    assert transition.to_dict().keys() == {*keys, "threshold"}
