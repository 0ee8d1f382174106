"""`defaults:`, `${…}` and KEY=VALUE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stagectl.errors import RecipeError
from stagectl.recipe import Recipe, load_recipe

Write = Callable[[str], Path]

BASE = """\
trainer: {total_timesteps: 1000}
curriculum:
  stages:
    - env/navigation
    - {name: sequence, curriculum: env/nav_backchain}
    - env/simple
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "recipe.yaml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return to_file


def refused(file: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as raised:
        load_recipe(file, overrides)
    return str(raised.value)


# ── KEY=VALUE ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_override_sets_a_value(write: Write) -> None:
    recipe = load_recipe(write(BASE), ["trainer.total_timesteps=2M", "trainer.seed=7", "run=mine"])
    assert (recipe.trainer.total_timesteps, recipe.trainer.seed, recipe.run) == (2_000_000, 7, "mine")


def test_of_two_overrides_of_one_key_the_last_one_holds(write: Write) -> None:
    assert load_recipe(write(BASE), ["trainer.seed=1", "trainer.seed=2"]).trainer.seed == 2


def test_an_override_makes_the_blocks_that_are_not_there(write: Write) -> None:
    recipe = load_recipe(write(BASE), ["wandb.enabled=true", "curriculum.env_overrides.game.num_agents=24"])
    assert recipe.wandb.enabled
    assert recipe.stages[1].env_overrides == {"game": {"num_agents": 24}}


def test_an_overrides_value_is_yaml(write: Write) -> None:
    recipe = load_recipe(write(BASE), ["curriculum.stages=[x, {curriculum: y, weight: 2}]", "trainer.lr=3e-4"])
    assert [(s.name, s.weight) for s in recipe.stages] == [("x", 1.0), ("y", 2.0)]
    assert recipe.trainer.arguments == {"lr": 3e-4}


def test_an_overrides_value_may_have_equals_signs(write: Write) -> None:
    assert load_recipe(write(BASE), ["trainer.note=a=b=c"]).trainer.arguments == {"note": "a=b=c"}


@pytest.mark.parametrize("stage", ["1", "sequence"])
def test_an_override_names_a_stage_by_index_or_by_name(write: Write, stage: str) -> None:
    recipe = load_recipe(write(BASE), [f"curriculum.stages.{stage}.performance_threshold=0.6"])
    assert [s.performance_threshold for s in recipe.stages] == [0.8, 0.6, 0.8]


def test_an_override_of_a_bare_string_stage_keeps_its_environment(write: Write) -> None:
    recipe = load_recipe(write(BASE), ["curriculum.stages.0.performance_threshold=0.6"])
    first = recipe.stages[0]
    assert (first.name, first.curriculum, first.performance_threshold) == ("navigation", "env/navigation", 0.6)


def test_an_override_names_a_stage_by_the_name_that_its_path_gives_it(write: Write) -> None:
    recipe = load_recipe(write(BASE), ["curriculum.stages.navigation.performance_threshold=0.6"])
    assert recipe.stages[0].performance_threshold == 0.6


def test_an_override_of_a_stage_that_is_not_there_names_those_that_are(write: Write) -> None:
    message = refused(write(BASE), "curriculum.stages.9.weight=1")
    assert "curriculum.stages.9.weight=1" in message
    assert "has no '9'" in message
    assert "sequence" in message


@pytest.mark.parametrize("override", ["trainer.seed", "=5", ""])
def test_what_is_no_override_is_refused_with_an_example(write: Write, override: str) -> None:
    assert "write KEY=VALUE" in refused(write(BASE), override)


@pytest.mark.parametrize("override", ["trainer.seed=[1", "trainer.seed=a: b", "trainer.x=!!python/name:os.system"])
def test_an_override_that_is_no_yaml_is_named(write: Write, override: str) -> None:
    assert override in refused(write(BASE), override)


def test_an_override_below_a_single_value_is_refused(write: Write) -> None:
    message = refused(write(BASE), "trainer.total_timesteps.x=1")
    assert "trainer.total_timesteps is a single value and has no 'x'" in message


def test_a_fault_that_an_override_makes_names_the_override_and_no_line_of_the_file(write: Write) -> None:
    file = write(BASE)
    message = refused(file, "trainer.sed=1e", "curriculum.stages.1.wieght=2")
    assert "did you mean 'weight'?" in message
    assert "curriculum.stages.1.wieght=2" in message
    assert f"{file}:1:1" not in message


# ── ${…} ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_users_name_is_taken_from_the_environment(write: Write) -> None:
    assert load_recipe(write("run: ${oc.env:USER}.doorkey\n" + BASE)).run == "tester.doorkey"


def test_a_value_may_refer_to_another(write: Write) -> None:
    recipe = load_recipe(write(BASE + "run: a-${trainer.total_timesteps}\n"))
    assert recipe.run == "a-1000"


def test_an_override_may_refer_to_a_value(write: Write) -> None:
    assert load_recipe(write(BASE), ["trainer.n_steps=${trainer.total_timesteps}"]).trainer.arguments == {
        "n_steps": 1000
    }


@pytest.mark.parametrize(
    "text",
    ["${oc.env:NO_SUCH_VARIABLE_HERE}", "${no.such.key}", "${nosuchresolver:x}", "${", "${a", "${oc.env:}", "x${run}"],
)
def test_an_interpolation_that_cannot_be_resolved_is_refused_with_its_place(write: Write, text: str) -> None:
    file = write(BASE + f"run: '{text}'\n")
    assert refused(file).startswith(f"{file}:7:")


def test_an_interpolation_that_fails_far_below_is_refused_with_its_place(write: Write) -> None:
    file = write(BASE + "wandb: {tags: [x, '${a.b}']}\n")
    assert refused(file).startswith(f"{file}:7:")


@pytest.mark.parametrize(
    "block",
    [
        "wandb: {project: '${wandb.entity}', entity: '${wandb.project}'}\n",
        "wandb: {project: '${wandb.project}'}\n",
        "wandb: {project: '${wandb}'}\n",
    ],
)
def test_interpolations_in_a_circle_are_refused(write: Write, block: str) -> None:
    file = write(BASE + block)
    assert refused(file).startswith(f"{file}:7:")


def test_a_chain_of_interpolations_whose_end_is_missing_is_refused(write: Write) -> None:
    file = write(BASE + "wandb: {project: '${wandb.entity}', entity: '${wandb.group}', group: '${oc.env:NOT_THERE}'}\n")
    assert "NOT_THERE" in refused(file)


def test_a_key_with_a_dot_does_not_hide_a_missing_variable(write: Write) -> None:
    file = write(BASE + "  env_overrides: {'a.b': '${oc.env:NOT_THERE}'}\n")
    assert "NOT_THERE" in refused(file)


def test_interpolations_that_double_each_time_are_refused_at_once(write: Write) -> None:
    """The YAML bomb again, in `${…}`: ten lines are a thousand copies, twenty a million."""
    bomb = "".join(f"    x{i}: '${{trainer.x{i - 1}}}${{trainer.x{i - 1}}}'\n" for i in range(1, 11))
    file = write(f"trainer:\n    total_timesteps: 1\n    x0: 0123456789\n{bomb}curriculum: {{stages: [a]}}\n")
    assert "expand" in refused(file)


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:WANDB_API_KEY}",
        "${oc.env:WANDB_API_KEY,none}",
        "${ oc.env : HF_TOKEN }",
        "x-${oc.env:my_secret}",
        "${oc.env:DB_PASSWORD}",
        "${oc.env:'WANDB_API_KEY'}",
        '${oc.env:"WANDB_API_KEY"}',
        "${oc.decode:${oc.env:WANDB_API_KEY}}",
        "${oc.env:${trainer.which}}",
        "${oc.env:WANDB_${trainer.part}}",
    ],
)
def test_a_secret_is_refused_and_its_value_told_to_nobody(
    write: Write, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name in ("WANDB_API_KEY", "HF_TOKEN", "my_secret", "DB_PASSWORD"):
        monkeypatch.setenv(name, "plantedvalue")
    file = write(BASE.replace("1000}", "1000, which: WANDB_API_KEY, part: API_KEY}") + f"wandb: {{group: {text!r}}}\n")
    message = refused(file)
    assert "secret" in message
    assert "plantedvalue" not in message


@pytest.mark.parametrize("name", ["KEYBOARD_LAYOUT", "TOKENIZERS_PARALLELISM", "SECRETARY"])
def test_a_variable_that_only_has_such_letters_in_its_name_is_no_secret(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "plainvalue")
    recipe = load_recipe(write(BASE + f"wandb: {{group: '${{oc.env:{name}}}'}}\n"))
    assert recipe.wandb.group == "plainvalue"


@pytest.mark.parametrize(
    "name", ["KEY", "OPENAI_APIKEY", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "TOKEN_2", "my_tokens"]
)
def test_a_variable_with_a_secrets_word_in_its_name_is_a_secret_by_its_value_too(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "plantedvalue")
    assert name in refused(write(BASE + f"wandb: {{group: '${{oc.env:{name}}}'}}\n"))
    assert name in refused(write(BASE + "wandb: {group: 'x${oc.env:USER}plantedvalue'}\n"))


# ── `defaults:` ─────────────────────────────────────────────────────────────────────────────────────────────


def composed(write: Write, text: str, **files: str) -> Recipe:
    for name, content in files.items():
        write(content, f"{name}.yaml")
    return load_recipe(write(text))


def test_what_the_recipe_says_is_laid_over_what_its_defaults_say(write: Write) -> None:
    recipe = composed(
        write,
        "defaults: [base, _self_]\ntrainer: {seed: 5}\n",
        base=BASE + "wandb: {project: p}\n",
    )
    assert (recipe.trainer.total_timesteps, recipe.trainer.seed, recipe.wandb.project) == (1000, 5, "p")


def test_a_key_that_came_with_defaults_and_is_not_ours_is_passed_over(write: Write) -> None:
    assert composed(write, "defaults: [base, _self_]\nrun: r\n", base=BASE + "replay_job: {x: 1}\n").run == "r"


def test_a_key_of_the_recipe_itself_must_be_known_even_with_defaults(write: Write) -> None:
    write(BASE, "base.yaml")
    file = write("defaults: [base, _self_]\nwanbd: {enabled: true}\n")
    assert refused(file) == f"{file}:2:1: wanbd: unknown key; did you mean 'wandb'?"


def test_a_file_of_defaults_that_is_not_there_is_named(write: Write) -> None:
    write(BASE, "base.yaml")
    for entry in ("nosuch", "/nosuch/file", "/trainer/nosuch"):
        file = write(f"defaults: [base, {entry}]\n")
        message = refused(file)
        assert message.startswith(f"{file}:1:")
        assert entry.strip("/") in message


@pytest.mark.parametrize("defaults", ["foo", "{a: b}", "[[x]]", "[5]", "5", "[null]"])
def test_defaults_that_are_no_list_of_names_are_refused_in_one_line(write: Write, defaults: str) -> None:
    file = write(f"defaults: {defaults}\n{BASE}")
    message = refused(file)
    assert message.startswith(f"{file}:1:")
    assert "\n" not in message


def test_a_recipe_with_another_ending_composes_or_says_why_not(write: Write, tmp_path: Path) -> None:
    write(BASE, "base.yaml")
    (tmp_path / "other.yml").write_text("defaults: [base, _self_]\nrun: r\n")
    assert ".yaml" in refused(tmp_path / "other.yml")


def test_a_file_of_defaults_is_bounded_as_the_recipe_is(write: Write) -> None:
    bomb = "x0: &x0 [0,0,0,0,0,0,0,0]\n"
    bomb += "".join(f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 8)}]\n" for i in range(1, 4))
    write(BASE + "extra:\n" + "".join(f"  {line}\n" for line in bomb.splitlines()), "base.yaml")
    file = write("defaults: [base, _self_]\nrun: r\n")
    assert "aliases expand" in refused(file)


@pytest.mark.parametrize("text", ["a: [1\n", "a: !!python/name:os.system\n", "\ta: b\n"])
def test_a_file_of_defaults_that_is_broken_is_refused_in_one_line(write: Write, text: str) -> None:
    named = write(text, "base.yaml")
    message = refused(write(f"defaults: [base, _self_]\n{BASE}"))
    assert str(named) in message
    assert "\n" not in message


def test_a_curriculum_file_is_read_as_strictly_as_the_recipe_and_named_in_its_faults(write: Write) -> None:
    named = write("stages:\n  - {curriculum: a, wieght: 1}\n", "env/mine.yaml")
    file = write("trainer: {curriculum: env/mine, total_timesteps: 1}\n")
    assert refused(file) == f"{named}:2:21: curriculum.stages.0.wieght: unknown key; did you mean 'weight'?"


def test_a_curriculum_file_that_is_not_there_is_named(write: Write) -> None:
    file = write("trainer: {curriculum: env/mine, total_timesteps: 1}\n")
    assert refused(file).startswith(f"{file}:1:11: trainer.curriculum: no folder above this file has env/mine.yaml")


def test_a_curriculum_file_beside_a_curriculum_block_is_refused(write: Write) -> None:
    file = write(BASE.replace("1000}", "1000, curriculum: env/mine}"))
    assert "keep one of them" in refused(file)
