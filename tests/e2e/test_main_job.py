"""The main job, shortened: a real policy trains through real stages, by the installed command."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stagectl.runs.locks import is_locked
from tests.e2e.conftest import COMMAND, RECIPES, Stagectl, eventually
from tests.e2e.test_commands import trainer_pid
from tests.folding import folded


@pytest.fixture(scope="module")
def run(module_stagectl: Stagectl) -> dict[str, Any]:
    """One run watched to its end in a pipe, and what status said while it trained."""
    command = [str(COMMAND), "run", str(RECIPES / "short.yaml"), "run=short"]
    with subprocess.Popen(
        command, env=module_stagectl.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        folder = module_stagectl.folder("short")
        eventually(lambda: (folder / "events.jsonl").exists() and "stage_started" in _text(folder))
        during = module_stagectl.json("status", "short")
        out, err = process.communicate(timeout=180)
    eventually(lambda: not is_locked(folder / "mirror.lock"))  # it sends on for a moment
    return {"during": during, "code": process.returncode, "out": out, "err": err}


def _text(folder: Path) -> str:
    return (folder / "events.jsonl").read_text()


def test_the_run_goes_through_all_stages_and_exits_with_0(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    assert run["code"] == 0, run["out"] + run["err"]
    status = module_stagectl.json("status", "short")
    assert status["state"] == "completed"
    assert [stage["left_step"] is not None for stage in status["stages"]] == [True, True, True]
    assert [(t["from_name"], t["to_name"]) for t in status["transitions"]] == [("small", "random"), ("random", "timed")]


def test_status_while_it_trains_says_where_it_stands_and_what_it_waits_for(run: dict[str, Any]) -> None:
    during = run["during"]
    assert during["state"] == "running"
    assert during["stage_name"] in ("small", "random", "timed")
    assert {term["term"] for term in during["waiting_for"]} <= {"performance", "episodes", "steps"}


def test_in_a_pipe_the_view_is_one_plain_line_an_event(run: dict[str, Any]) -> None:
    lines = run["out"].splitlines()
    assert "\x1b" not in run["out"]
    assert sum("small" in line and "random" in line for line in lines) >= 1
    assert any("completed" in line for line in lines)


def test_the_seeds_log_line_is_in_the_training_log(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    step = module_stagectl.json("status", "short")["transitions"][0]["step"]
    logs = module_stagectl("logs", "short").stdout
    assert f"INFO - Transitioning from stage 0 (small) to stage 1 (random) at step {step}" in logs


def test_there_is_a_checkpoint_at_every_transition_and_at_the_end(
    run: dict[str, Any], module_stagectl: Stagectl
) -> None:
    events = module_stagectl.events("short")
    saved = {event["step"] for event in events if event["event"] == "checkpoint"}
    moved = {event["step"] for event in events if event["event"] in ("stage_transition", "curriculum_ended")}
    assert moved <= saved
    for event in events:
        if event["event"] == "checkpoint":
            folder = module_stagectl.folder("short") / event["path"]
            assert {path.name for path in folder.iterdir()} == {"MANIFEST.json", "curriculum.json", "model.zip"}


def test_its_exported_trace_with_its_own_recipe_gives_its_own_transitions(
    run: dict[str, Any], module_stagectl: Stagectl, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.csv"
    assert module_stagectl("export", "short", "--to", trace).returncode == 0
    simulated = module_stagectl.json("simulate", trace, "--recipe", module_stagectl.folder("short") / "recipe.yaml")
    assert simulated["transitions"] == module_stagectl.json("status", "short")["transitions"]
    ended = next(event for event in module_stagectl.events("short") if event["event"] == "curriculum_ended")
    assert simulated["end"] == {key: ended[key] for key in simulated["end"]}


def test_the_stages_of_the_view_are_those_that_training_applied(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    assert [stage["applied"] for stage in module_stagectl.json("status", "short")["stages"]] == [True, True, True]


def test_without_a_key_wandb_is_written_offline_and_says_so(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    folder = module_stagectl.folder("short")
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert "offline" in (folder / "train.log").read_text()


def test_the_trainer_cannot_be_told_from_a_seeded_twin(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    """The same recipe and seed give the same events, to the bit."""
    assert module_stagectl("run", RECIPES / "short.yaml", "run=twin", "wandb.enabled=false").returncode == 0
    first, second = (
        [(e["step"], e["scores"]) for e in module_stagectl.events(name) if e["event"] == "episodes"]
        for name in ("short", "twin")
    )
    assert first == second


def test_killed_it_goes_on_by_itself_and_cannot_be_told_from_the_run_that_was_not(
    run: dict[str, Any], module_stagectl: Stagectl
) -> None:
    run_id = module_stagectl.start(RECIPES / "short.yaml", "run=killed", "wandb.enabled=false")
    events = functools.partial(module_stagectl.events, run_id)
    eventually(lambda: any(event["event"] == "checkpoint" for event in events()))
    os.kill(trainer_pid(module_stagectl, run_id), signal.SIGKILL)
    assert module_stagectl("status", run_id, "--watch").returncode == 0
    assert [event["attempt"] for event in events() if event["event"] == "attempt_started"] == [1, 2]
    assert training(events()) == training(module_stagectl.events("short"))
    ours, theirs = (module_stagectl.json("status", name) for name in (run_id, "short"))
    assert (ours["transitions"], ours["stages"]) == (theirs["transitions"], theirs["stages"])


def training(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What training told, step by step."""
    kinds = ("episodes", "stage_started", "stage_transition", "curriculum_ended", "checkpoint")
    keys = ("event", "step", "scores", "performance", "to_name", "reason", "stage")
    return [tuple(event.get(key) for key in keys) for event in folded(events) if event["event"] in kinds]


def test_a_second_run_of_that_name_is_refused_with_the_ways_out(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    done = module_stagectl("run", RECIPES / "short.yaml", "run=short")
    assert done.returncode == 6
    assert "'short' exists already" in done.stderr
    assert "stagectl rm short" in done.stderr


def test_everything_of_the_run_is_its_owners_alone(run: dict[str, Any], module_stagectl: Stagectl) -> None:
    folder = module_stagectl.folder("short")
    ours = [path for path in folder.rglob("*") if "wandb" not in path.relative_to(folder).parts]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in ours if path.stat().st_mode & 0o077} == {}


def test_the_shipped_script_of_ones_own_trains_records_its_episodes_and_saves_its_policy(stagectl: Stagectl) -> None:
    recipe = RECIPES.parents[2] / "recipes" / "own_trainer" / "own_trainer.yaml"
    done = stagectl("run", recipe, "run=own", "trainer.total_timesteps=4k")
    assert done.returncode == 0, done.stdout + done.stderr
    status = stagectl.json("status", "own")
    assert (status["state"], status["step"]) == ("budget_spent", 4096)
    assert sum(stage["episodes"] for stage in status["stages"]) > 0
    assert (stagectl.folder("own") / status["checkpoint"] / "agent.pt").is_file()
    assert any("loss/policy" in event.get("metrics", {}) for event in stagectl.events("own"))


def test_a_misspelt_argument_of_the_algorithm_is_refused_before_anything_starts(stagectl: Stagectl) -> None:
    done = stagectl("run", RECIPES / "short.yaml", "trainer.n_epoch=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "PPO has no such argument; did you mean 'n_epochs'?" in done.stderr
    assert not stagectl.home.exists()


def test_an_environment_that_does_not_exist_is_refused_with_its_line(stagectl: Stagectl, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "trainer: {total_timesteps: 1k}\ncurriculum:\n  stages:\n    - CartPole-v1\n    - curriculum: CartPol-v1\n"
    )
    done = stagectl("run", recipe)
    assert done.returncode == 2
    assert f"{recipe}:5:7" in done.stderr
    assert "CartPol" in done.stderr
    assert not stagectl.home.exists()


def test_stages_with_different_spaces_are_refused_with_both_stages_and_both_spaces(
    stagectl: Stagectl, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("trainer: {total_timesteps: 1k}\ncurriculum: {stages: [CartPole-v1, Acrobot-v1]}\n")
    done = stagectl("run", recipe)
    assert done.returncode == 2
    for word in ("'CartPole-v1'", "'Acrobot-v1'", "Discrete(2)", "Discrete(3)", "(4,)", "(6,)"):
        assert word in done.stderr
    assert not stagectl.home.exists()


def test_the_documents_custom_class_decides_in_training_and_in_simulation_alike(
    stagectl: Stagectl, tmp_path: Path
) -> None:
    (tmp_path / "my_module.py").write_text(
        "from stagectl import StagedProgressiveCurriculum\n\n\n"
        "class CustomStagedCurriculum(StagedProgressiveCurriculum):\n"
        "    def _should_transition_to_next_stage(self) -> bool:\n"
        "        current_performance = self._stage_performance[self._current_stage]\n"
        "        current_stage_steps = self._total_steps - self._stage_start_step\n"
        "        performance_ready = current_performance >= self.performance_threshold\n"
        "        time_ready = current_stage_steps >= self.time_threshold_steps\n"
        "        return performance_ready and time_ready\n"
    )
    recipe = tmp_path / "custom.yaml"
    short = (
        (RECIPES / "short.yaml")
        .read_text()
        .replace("curriculum:\n", _CUSTOM, 1)
        .replace("enabled: true", "enabled: false")
    )
    recipe.write_text(short)
    assert stagectl("run", recipe, "run=custom").returncode == 0
    trace = tmp_path / "trace.csv"
    assert stagectl("export", "custom", "--to", trace).returncode == 0
    recorded = stagectl.json("status", "custom")
    assert recorded["decided_by"] == "my_module.CustomStagedCurriculum"
    assert recorded["transitions"][0]["reason"] == "CustomStagedCurriculum"
    assert stagectl.json("simulate", trace, "--recipe", recipe)["transitions"] == recorded["transitions"]


_CUSTOM = "curriculum:\n  _target_: my_module.CustomStagedCurriculum\n  time_threshold_steps: 1000\n"


def test_a_dry_run_prints_the_plan_imports_nothing_and_starts_nothing(stagectl: Stagectl, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("open('imported', 'w').close()\nclass Loud: ...\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("trainer: {total_timesteps: 1k}\ncurriculum: {_target_: loud.Loud, stages: [a, b]}\n")
    done = stagectl("run", recipe, "--dry-run", "-o", "json", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert plan["imports"] == ["loud.Loud"]
    assert [stage["name"] for stage in plan["stages"]] == ["a", "b"]
    assert not stagectl.home.exists()
    assert not (tmp_path / "imported").exists()
