"""The original document's files, unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.recipe import Recipe, build_curriculum, load_recipe

DATA = Path(__file__).parents[1] / "data"
SEED = (DATA / "seed_curriculum.yaml").read_text()


@pytest.fixture
def as_block(tmp_path: Path) -> Path:
    indented = "".join(f"  {line}" if line.strip() else line for line in SEED.splitlines(keepends=True))
    file = tmp_path / "block.yaml"
    file.write_text(f"trainer: {{total_timesteps: 1M}}\ncurriculum:\n{indented}")
    return file


def stands_for_the_document(recipe: Recipe) -> None:
    assert [(s.name, s.curriculum, s.weight) for s in recipe.stages] == [
        ("navigation_training", "/env/mettagrid/curriculum/navigation", 1.0),
        ("navigation_sequence", "/env/mettagrid/curriculum/navsequence/nav_backchain", 1.0),
        ("simple_tasks", "/env/mettagrid/curriculum/simple", 1.0),
    ]
    assert [s.transition_criteria for s in recipe.stages] == ["performance", "performance", None]
    assert {s.performance_threshold for s in recipe.stages} == {0.8}
    assert {s.time_threshold_steps for s in recipe.stages} == {100_000}
    assert {s.transition_smoothing for s in recipe.stages} == {0.1}
    assert recipe.target is None
    assert [s.name for s in build_curriculum(recipe).stages] == [s.name for s in recipe.stages]


def test_the_documents_yaml_is_valid_as_the_curriculum_block(as_block: Path) -> None:
    stands_for_the_document(load_recipe(as_block))


def test_the_documents_yaml_is_valid_as_a_whole_file() -> None:
    recipe = load_recipe(DATA / "seed_curriculum.yaml")
    stands_for_the_document(recipe)
    assert (recipe.name, recipe.trainer.total_timesteps) == ("seed_curriculum", None)


def test_a_whole_file_that_is_a_curriculum_takes_overrides_of_the_rest_of_a_recipe() -> None:
    overrides = ["trainer.total_timesteps=1M", "curriculum.stages.simple_tasks.weight=2"]
    recipe = load_recipe(DATA / "seed_curriculum.yaml", overrides)
    assert recipe.trainer.total_timesteps == 1_000_000
    assert [stage.weight for stage in recipe.stages] == [1.0, 1.0, 2.0]


def test_the_documents_user_configuration_composes() -> None:
    recipe = load_recipe(DATA / "metta_configs" / "user" / "staged_progressive_example.yaml")
    stands_for_the_document(recipe)
    assert recipe.run == "tester.staged_progressive_example"
    assert recipe.trainer.total_timesteps == 2_000_000
    assert recipe.trainer.arguments == {"batch_size": 256, "gamma": 0.99}
    assert recipe.wandb.enabled
    assert (recipe.wandb.project, recipe.wandb.entity) == ("metta", "metta-research")
    assert recipe.wandb.tags == ("staged_progressive", "multi_stage_training")


def test_overrides_are_laid_over_the_composed_configuration() -> None:
    file = DATA / "metta_configs" / "user" / "staged_progressive_example.yaml"
    recipe = load_recipe(
        file, ["trainer.total_timesteps=5k", "curriculum.stages.simple_tasks.performance_threshold=0.6", "run=other"]
    )
    assert (recipe.trainer.total_timesteps, recipe.run) == (5000, "other")
    assert recipe.stages[2].performance_threshold == 0.6


def test_the_documents_custom_curriculum_stands_beside_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "seed_custom_module.py").write_text(
        "from stagectl import StagedProgressiveCurriculum\n"
        "class CustomStagedCurriculum(StagedProgressiveCurriculum):\n"
        "    def _should_transition_to_next_stage(self) -> bool:\n"
        "        return self._stage_performance[self._current_stage] >= self.performance_threshold\n"
    )
    target = "_target_: seed_custom_module.CustomStagedCurriculum"
    file = tmp_path / "recipe.yaml"
    file.write_text(SEED.replace("_target_: mettagrid.curriculum.StagedProgressiveCurriculum", target))
    recipe = load_recipe(file, ["trainer.total_timesteps=1M"])
    assert recipe.target == "seed_custom_module.CustomStagedCurriculum"
    assert type(build_curriculum(recipe)).__name__ == "CustomStagedCurriculum"
