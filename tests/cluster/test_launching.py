"""What comes before a job: its task shown, priced, refused, taken back; and two that begin from one commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pexpect
import pytest
import yaml

from tests.cluster.conftest import LAUNCH, SECONDS, allocation, recipe_at
from tests.e2e.conftest import COMMAND, RECIPES, Stagectl, eventually

pytestmark = pytest.mark.cluster

SCRIPT = """
import stagectl
with stagectl.attach() as session:
    print("{said}, seed", session.recipe.trainer.seed)
    while not session.should_stop:
        session.curriculum.get_task().complete(1.0)
        session.update_step_count(session.step + 100)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return recipe_at(tmp_path / "code", RECIPES / "endless.yaml")


def test_a_dry_run_shows_the_task_and_leaves_nothing(laptop: Stagectl, recipe: Path) -> None:
    done = laptop("run", recipe, "run=dry", "--cpus", "3", "--dry-run")
    task = yaml.safe_load(done.stdout)
    assert (done.returncode, task["name"], task["resources"]["cpus"]) == (0, "dry", "3+")
    assert not laptop.home.exists()


def test_what_skypilots_own_schema_refuses_is_refused_with_its_words_and_leaves_nothing(
    laptop: Stagectl, recipe: Path
) -> None:
    done = laptop("run", recipe, "run=refused", "launch.autostop={idle_minutes: soon}", timeout=SECONDS)
    assert done.returncode != 0
    assert "'soon' is not of type 'integer'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(laptop.home.glob("runs/*")) == []


def test_a_price_that_is_declined_leaves_nothing(laptop: Stagectl, recipe: Path) -> None:
    child = pexpect.spawn(
        str(COMMAND),
        ["run", str(recipe), "run=dear", "--confirm"],
        env={**laptop.env, "TERM": "xterm"},
        dimensions=(40, 120),
        timeout=SECONDS,
        encoding="utf-8",
    )
    child.expect(r"Slurm \(testbed\).* 0\.00 ")
    child.expect("launch dear")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3
    assert list(laptop.home.glob("runs/*")) == []


def test_a_run_that_is_stopped_before_its_job_has_started_ends_and_holds_no_machine(
    laptop: Stagectl, recipe: Path, unique: str
) -> None:
    run_id = laptop.start(recipe, f"run=early-{unique}")
    stopped = laptop("stop", run_id, timeout=SECONDS)
    assert stopped.returncode == 0, stopped.stderr
    status = laptop.json("status", run_id)
    assert (status["state"], status["step"]) == ("stopped", 0)
    assert "before its job had started" in status["detail"]
    eventually(lambda: allocation(run_id) is None, SECONDS)


def test_copies_of_an_older_commit_run_with_seeds_of_their_own_in_an_environment_made_for_them(
    laptop: Stagectl, tmp_path: Path, unique: str
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    plain = {key: value for key, value in LAUNCH.items() if key not in ("python", "setup")}
    trainer = {"command": ["python", "mine.py"], "total_timesteps": 1000, "seed": 7}
    data = {"trainer": trainer, "curriculum": {"stages": ["a", "b"]}, "launch": plain}
    (code / "mine.yaml").write_text(yaml.safe_dump(data))
    (code / "mine.py").write_text(SCRIPT.format(said="older"))
    git(code, "init", "--quiet")
    git(code, "add", ".")
    git(code, "commit", "--quiet", "--message", "older")
    commit = git(code, "rev-parse", "HEAD").strip()
    (code / "mine.py").write_text(SCRIPT.format(said="newer"))

    refused = laptop("run", code / "mine.yaml", timeout=SECONDS)
    assert refused.returncode == 2
    assert "mine.py" in refused.stderr

    started = laptop(
        "run", code / "mine.yaml", f"run=twin-{unique}", "--copies", "2", "--git-ref", "HEAD", timeout=SECONDS
    )
    assert started.returncode == 0, started.stderr
    names = started.stdout.split()
    assert len(names) == 2
    for name, seed in zip(names, (7, 8), strict=True):
        assert laptop("status", name, "--watch", "--progress", "plain", timeout=SECONDS).returncode == 0
        assert laptop("logs", name).stdout == f"older, seed {seed}\n"
        assert laptop.events(name)[0]["commit"] == commit
        assert laptop.json("status", name)["state"] in ("completed", "budget_spent")
    eventually(lambda: not any(map(allocation, names)), SECONDS)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
