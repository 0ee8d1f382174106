"""A recipe's faults: each with file, line, column and remedy; all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.errors import RecipeError
from stagectl.recipe import load_recipe

TRAINER = "trainer: {total_timesteps: 1}\n"
CURRICULUM = "curriculum: {stages: [a, b]}\n"


def refused(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as raised:
        load_recipe(file)
    assert raised.value.exit_code == 2
    return str(raised.value).replace(f"{tmp_path}/", "").splitlines()


FAULTS = [
    (TRAINER, "r.yaml:1:1: there is no `curriculum:`; it names the stages"),
    (TRAINER + "curriculum:\n", "r.yaml:2:1: curriculum: expected a mapping, found nothing"),
    (TRAINER + "curriculum: [a]\n", "r.yaml:2:1: curriculum: expected a mapping, found a list"),
    (TRAINER + "curriculum: {stages: []}\n", "r.yaml:2:14: curriculum.stages: a curriculum needs at least one stage"),
    (TRAINER + "curriculum:\n  stages:\n    - a\n    - {name: b}\n", "r.yaml:5:7: curriculum.stages.1: a stage needs"),
    (
        TRAINER + "curriculum:\n  stages: [a, b]\n  performance_treshold: 0.9\n",
        "r.yaml:4:3: curriculum.performance_treshold: unknown key; did you mean 'performance_threshold'?",
    ),
    (
        TRAINER + "curriculum:\n  stages: [x/a, y/a]\n",
        "r.yaml:3:17: curriculum.stages.1: 'a' names stage 0 too; give each stage a `name:` of its own",
    ),
    (
        TRAINER + "curriculum:\n  stages: [a, b]\n  performance_threshold: 80\n",
        "r.yaml:4:3: curriculum.performance_threshold: 80 is outside the score's range (0, 1]",
    ),
    (
        TRAINER
        + "curriculum:\n  stages:\n    - {curriculum: a, evaluate: {every: 9, episodes: 1}, "
        + "advance_when: 'metric(\"eval/aa/success_rate\") > 0.5'}\n    - b\n",
        "r.yaml:4:7: curriculum.stages.0: stage 'a' waits for 'eval/aa/success_rate', which no `evaluate:` logs there; "
        "did you mean 'eval/a/success_rate'?",
    ),
    (CURRICULUM + "seed: 3\n", "r.yaml:2:1: seed: unknown key; did you mean 'trainer.seed'?"),
    (
        TRAINER + CURRICULUM + "performance_threshold: 0.9\n",
        "r.yaml:3:1: performance_threshold: unknown key; did you mean 'curriculum.performance_threshold'?",
    ),
    (TRAINER + CURRICULUM + "tariner: {}\n", "r.yaml:3:1: tariner: unknown key; did you mean 'trainer'?"),
    (TRAINER + CURRICULUM + "run: a b\n", "r.yaml:3:1: run: 'a b' cannot name a run"),
    (TRAINER + CURRICULUM + "run: latest\n", "r.yaml:3:1: run: 'latest' cannot name a run"),
    (TRAINER + CURRICULUM + "run: ../x\n", "r.yaml:3:1: run: '../x' cannot name a run"),
    (TRAINER + CURRICULUM + f"run: {'a' * 41}\n", "r.yaml:3:1: run: "),
    (TRAINER + CURRICULUM + "launch: {backend: moon}\n", "r.yaml:3:10: launch.backend: 'moon' is not one of"),
    (TRAINER + CURRICULUM + "launch: {stop_grace: -1}\n", "r.yaml:3:10: launch.stop_grace: -1 is outside [0, ∞)"),
    (TRAINER + CURRICULUM + "wandb: {enabled: maybe}\n", "r.yaml:3:9: wandb.enabled: expected true or false"),
    (TRAINER + CURRICULUM + "wandb: {tags: staged}\n", "r.yaml:3:9: wandb.tags: expected a list, found 'staged'"),
    (TRAINER + CURRICULUM + "wandb: {tags: [1]}\n", "r.yaml:3:9: wandb.tags: expected text, found 1"),
    (TRAINER + CURRICULUM + "wandb: {api_key: abc}\n", "r.yaml:3:9: wandb.api_key: unknown key"),
    (CURRICULUM + "trainer: {total_timesteps: 0}\n", "r.yaml:2:11: trainer.total_timesteps: 0 is less than 1"),
    (CURRICULUM + "trainer: {total_timestep: 5}\n", "did you mean 'total_timesteps'?"),
    (CURRICULUM + "trainer: {name: sb4, total_timesteps: 1}\n", "r.yaml:2:11: trainer.name: 'sb4' is not one of sb3"),
    (CURRICULUM + "trainer: {command: python x.py}\n", "r.yaml:2:11: trainer.command: expected a list of words"),
    (CURRICULUM + "trainer: {command: []}\n", "r.yaml:2:11: trainer.command: is empty"),
    (CURRICULUM + "trainer: {command: [x], lr: 1}\n", "r.yaml:2:25: trainer.lr: unknown key"),
    (CURRICULUM + "trainer: {command: [x], name: sb3}\n", "r.yaml:2:11: trainer.command: `name:` is there too"),
    (TRAINER + "curriculum: {_target_: 5, stages: [a]}\n", "r.yaml:2:14: curriculum._target_: expected module.Class"),
    (
        TRAINER + "curriculum: {_target_: Mine, stages: [a]}\n",
        "curriculum._target_: expected module.Class, found 'Mine'",
    ),
    (
        TRAINER + "curriculum: {_target_: my.Mine, stages: [a, b], performance_treshold: 1}\n",
        "did you mean 'performance_threshold'?",
    ),
]


@pytest.mark.parametrize(("text", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_a_fault_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    lines = refused(tmp_path, text)
    assert any(said in line for line in lines), lines
    assert all(line.startswith("r.yaml:") for line in lines)


def test_several_faults_are_told_together_each_with_its_own_place(tmp_path: Path) -> None:
    text = (
        "trainer: {total_timesteps: many}\n"
        "curriculum:\n"
        "  stages:\n"
        "    - {curriculum: a, weight: -1}\n"
        "    - {name: b}\n"
        "  transition_smoothing: 2\n"
        "launch: {backend: moon}\n"
        "extra: 1\n"
    )
    lines = refused(tmp_path, text)
    assert sorted(line.split(": ")[0] for line in lines) == [
        "r.yaml:1:11",
        "r.yaml:4:23",
        "r.yaml:5:7",
        "r.yaml:6:3",
        "r.yaml:7:10",
        "r.yaml:8:1",
    ]


@pytest.mark.parametrize(
    ("written", "steps"), [("100k", 100_000), ("2M", 2_000_000), ("1e6", 1_000_000), ("400_000", 400_000), ("7", 7)]
)
def test_numbers_may_be_written_as_people_write_them(tmp_path: Path, written: str, steps: int) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(CURRICULUM + f"trainer: {{total_timesteps: {written}}}\n")
    assert load_recipe(file).trainer.total_timesteps == steps


def test_a_run_may_be_named_by_a_number(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(TRAINER + CURRICULUM)
    assert load_recipe(file, ["run=2026"]).run == "2026"


@pytest.mark.parametrize("written", ["true", "1.5", "[1]", "-1"])
def test_what_is_no_name_does_not_name_a_run(tmp_path: Path, written: str) -> None:
    (line,) = refused(tmp_path, TRAINER + CURRICULUM + f"run: {written}\n")
    assert line.startswith("r.yaml:3:1: run: ")


def test_a_key_that_an_override_adds_must_be_known(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(TRAINER + CURRICULUM)
    with pytest.raises(RecipeError, match="wanbd: unknown key; did you mean 'wandb'"):
        load_recipe(file, ["wanbd.enabled=true"])


def test_a_key_that_was_merged_in_must_be_known(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, TRAINER + CURRICULUM + "<<: {wanbd: {enabled: true}}\n")
    assert "wanbd: unknown key; did you mean 'wandb'?" in line


def test_an_environment_setting_that_json_cannot_hold_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = refused(tmp_path, TRAINER + "curriculum:\n  stages: [a, b]\n  env_overrides: {x: {y: .inf}}\n")
    assert len(lines) == 1
    assert lines[0].startswith("r.yaml:4:")


def test_half_a_character_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = refused(tmp_path, TRAINER + 'curriculum:\n  stages: [{curriculum: a, name: "x\\ud800"}, b]\n')
    assert len(lines) == 1
    assert lines[0].startswith("r.yaml:3:")
    lines[0].encode()


def test_a_script_of_ones_own_may_log_metrics_that_are_named_like_an_evaluations(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    stages = "[{curriculum: a, advance_when: 'metric(\"eval/x/return\") > 1'}, b]"
    file.write_text(f"trainer: {{command: [python, t.py]}}\ncurriculum: {{stages: {stages}}}\n")
    assert load_recipe(file)
