"""The documents are true: links lead somewhere, recipes load, code runs, commands exist, keys are those printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import stagectl
from stagectl.cli import app, run_command
from stagectl.curriculum.config import GROUP_FIELDS, STAGE_FIELDS
from stagectl.curriculum.language import AGGREGATES, CONDITIONS, COUNTERS
from stagectl.launch.cluster import planned_task
from stagectl.launch.plan import plan_data
from stagectl.recipe import build_curriculum, load_recipe
from stagectl.runs import find_run, read_liveness, read_status, status_data
from stagectl.simulate import replay
from stagectl.traces import trace_of

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(document: Path) -> None:
    known = {info.name for info in app.registered_commands}
    shown = re.findall(r"(?:^|`|\$ )stagectl ([a-z]+)", document.read_text(), re.MULTILINE)
    assert set(shown) - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_recipe_that_a_command_names_is_there(document: Path) -> None:
    lines = re.findall(r"^ *(?:\$ )?(stagectl .*)$", "\n".join(blocks(document, "(?:console|bash|sh)")), re.MULTILINE)
    named = [word for line in lines for word in shlex.split(line, comments=True) if word.startswith("recipes/")]
    assert [word for word in named if not (ROOT / word).is_file()] == []


def test_the_recipe_of_the_recipe_page_loads(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(blocks(ROOT / "docs" / "recipe.md", "yaml")[0])
    loaded = load_recipe(recipe)
    assert [stage.name for stage in loaded.stages] == ["MiniGrid-Empty-Random-6x6-v0", "doorkey"]
    assert loaded.run == "tester.doorkey"


def test_the_custom_class_of_the_recipe_page_decides(tmp_path: Path) -> None:
    (tmp_path / "documented_module.py").write_text(blocks(ROOT / "docs" / "recipe.md", "python")[0])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("_target_: documented_module.CustomStagedCurriculum\nstages: [a, b]\ntime_threshold_steps: 500\n")
    timeline = replay(build_curriculum(load_recipe(recipe)), trace_of("t", list(range(0, 1000, 50)), [1.0] * 20))
    assert [transition.step for transition in timeline.transitions] == [500]


def test_the_script_of_the_training_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("trainer: {command: [python], total_timesteps: 10k}\ncurriculum: {stages: [a, b]}\n")
    script = blocks(ROOT / "docs" / "training-scripts.md", "python")[0].replace("attach()", f"attach({str(recipe)!r})")
    exec(compile(script, "training-scripts.md", "exec"), {})
    assert read_status(find_run("latest")).step == 10_000


def test_the_keys_of_the_json_page_are_those_that_are_printed(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("trainer: {command: [python], total_timesteps: 2k}\ncurriculum: {stages: [a, b]}\n")
    with stagectl.attach(recipe) as session:
        for step in range(100, 2001, 100):
            session.curriculum.get_task().complete(1.0)
            session.update_step_count(step)
    paths = find_run("latest")
    status = status_data(read_status(paths), read_liveness(paths))
    timeline = replay(build_curriculum(load_recipe(recipe)), trace_of("t", [1], [1.0])).to_data()
    plan = plan_data(load_recipe(recipe))
    page = (ROOT / "docs" / "json.md").read_text()
    _, status_page, _, rest = re.split(r"^## (?:status|events\.jsonl|simulate)$", page, flags=re.MULTILINE)
    simulate_page, plan_page = rest.split("## run --dry-run")
    simulate_page, detach_page = simulate_page.split("## run --detach")
    assert words(detach_page) == {"run"}
    assert words(status_page) >= {*status, *status["stages"][0], *status["transitions"][0]}
    assert words(simulate_page) >= {*timeline, *timeline["stages"][0]}
    assert words(plan_page) == {*plan, *plan["stages"][0]}
    first_column = {w for cell in re.findall(r"^\| (`.*?) \|", status_page, re.MULTILINE) for w in words(cell)}
    assert first_column == set(status)


def words(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_exit_codes_of_the_page_and_of_the_help_are_the_same() -> None:
    from stagectl.cli import HELP

    page = (ROOT / "docs" / "json.md").read_text()
    documented = dict(re.findall(r"^\| (\d+) \| (.*?) \|$", page, re.MULTILINE))
    helped = dict(re.findall(r"(\d+) ([a-z ,]+?)(?: ·|\.)", " ".join(HELP.split())))
    assert documented == helped


@pytest.mark.parametrize("recipe", sorted(ROOT.glob("recipes/**/*.yaml")), ids=lambda path: path.name)
def test_every_shipped_recipe_loads(recipe: Path) -> None:
    assert load_recipe(recipe).stages


CURRICULUM_PAGE = ROOT / "docs" / "curriculum.md"


def test_the_recipe_of_the_curriculum_page_loads(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(blocks(CURRICULUM_PAGE, "yaml")[0])
    assert [stage.name for stage in load_recipe(recipe).stages] == ["easy", "hard", "open"]


def test_the_tables_of_the_curriculum_page_have_every_setting_and_every_term() -> None:
    settings, language = CURRICULUM_PAGE.read_text().split("## The language of criteria")
    assert first_column(settings) == {*STAGE_FIELDS, *GROUP_FIELDS}
    assert first_column(language) == {*COUNTERS, *AGGREGATES, *CONDITIONS, "performance"}


def first_column(page: str) -> set[str]:
    return {word for cell in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for word in words(cell)}


def test_every_recipe_of_the_clusters_page_is_a_task_that_skypilot_takes(tmp_path: Path) -> None:
    tasks = []
    for number, block in enumerate(blocks(ROOT / "docs" / "clusters.md", "yaml")):
        recipe = tmp_path / f"{number}.yaml"
        recipe.write_text(block)
        tasks.append(planned_task(load_recipe(recipe), {}))
    check = "import json, sky, sys; [sky.Task.from_yaml_config(task) for task in json.load(sys.stdin)]"
    environment = {**os.environ, "HOME": str(tmp_path)}  # importing SkyPilot writes there
    subprocess.run([sys.executable, "-c", check], input=json.dumps(tasks), text=True, env=environment, check=True)
    assert len(tasks) == 6


def test_every_command_of_the_simulate_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("trace", *(f"seed{number}" for number in range(5))):
        rows = [f"{step},{min(1.0, step / 60_000)}" for step in range(100, 200_001, 100)]
        Path(f"{name}.csv").write_text("\n".join(["step,score", *rows]) + "\n")
    for name, threshold in (("a", 0.7), ("b", 0.8)):
        Path(f"{name}.yaml").write_text(f"curriculum: {{stages: [near, far], performance_threshold: {threshold}}}\n")
    commands = re.findall(r"^\$ stagectl (.*)$", blocks(ROOT / "docs" / "simulate.md", "console")[0], re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        assert run_command(shlex.split(command, comments=True)) == 0, command
