"""A recipe as a SkyPilot task."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import UsageError
from stagectl.job.torchrun import SECRETS_VARIABLE
from stagectl.launch.cluster import packed
from stagectl.launch.git import Code
from stagectl.launch.sky import Place
from stagectl.launch.task import cluster_name, redacted, task_data
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import create_run

COMMIT = "c" * 40


def task(tmp_path: Path, launch: str, *, more: str = "", environ: dict[str, str] | None = None) -> dict[str, Any]:
    file = tmp_path / "r.yaml"
    file.write_text(
        f"trainer: {{total_timesteps: 1000{more}}}\ncurriculum: {{stages: [a]}}\nlaunch: {{backend: sky{launch}}}\n"
    )
    code = Code(Path("/code"), Path("recipes"), COMMIT)
    return task_data(load_recipe(file), "doorkey-1", code, Path("/runs/doorkey-1/launch"), "s.whl", environ or {})


def test_the_code_the_wheel_and_the_recipe_travel(tmp_path: Path) -> None:
    data = task(tmp_path, ", cpus: 2+, num_nodes: 1")
    assert data["name"] == "doorkey-1"
    assert data["workdir"] == "/code"
    assert data["file_mounts"] == {"~/.stagectl-launch/doorkey-1": "/runs/doorkey-1/launch"}
    assert data["resources"]["cpus"] == "2+"
    assert data["envs"] == {"STAGECTL_COMMIT": COMMIT}
    assert "secrets" not in data


@pytest.mark.parametrize(("nodes", "words"), [(1, 0), (2, 2)])
def test_several_nodes_know_each_other_by_random_words_among_the_secrets(
    tmp_path: Path, nodes: int, words: int
) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        "run: r-1\ntrainer: {command: [python, t.py]}\ncurriculum: {stages: [a]}\n"
        f"launch: {{backend: sky, num_nodes: {nodes}}}\n"
    )
    recipe = load_recipe(file)
    paths = create_run("r-1", write_resolved(recipe), tmp_path, recipe.facts())
    data = packed(paths, Place("r-1", "r-1"), recipe, Code(tmp_path, Path(), ""), {})
    told = data.get("secrets", {}).get(SECRETS_VARIABLE, "")
    assert [len(word) for word in told.split("-") if word] == [32] * words
    assert len(set(told.split("-"))) == max(words, 1)


def test_the_wheel_is_installed_after_the_users_setup_and_the_job_runs_where_the_recipe_stands(tmp_path: Path) -> None:
    data = task(tmp_path, ", setup: 'apt-get install -y swig'")
    setup = data["setup"].splitlines()
    assert setup.index("apt-get install -y swig") < setup.index("set -e")
    installed = "~/stagectl-env/bin/python -m pip install --quiet ~/.stagectl-launch/doorkey-1/s.whl'[train]'"
    assert setup[-1] == installed
    assert data["run"].splitlines() == [
        "cd ~/sky_workdir/recipes",
        "exec ~/stagectl-env/bin/python -P -m stagectl.job.cluster ~/.stagectl-launch/doorkey-1",
    ]


def test_a_named_interpreter_is_the_training_environment(tmp_path: Path) -> None:
    data = task(tmp_path, ", python: '/opt/my env/bin/python'", more=", command: [python, train.py]")
    assert "venv" not in data["setup"]
    assert "'/opt/my env/bin/python' -m pip install --quiet ~/.stagectl-launch/doorkey-1/s.whl\n" in data["setup"]
    assert "exec '/opt/my env/bin/python' -P -m stagectl.job.cluster" in data["run"]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The home on a node: with SkyPilot's `uv`, which is not on the path, and makes an environment with a pip."""
    home = tmp_path / "home"
    uv = home / ".local/bin/uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(
        '#!/bin/sh\nmade="$HOME/stagectl-env/bin/python"; mkdir "$HOME/stagectl-env" "${made%/*}"\n'
        'printf \'#!/bin/sh\\necho "$@" >> ~/pip\\n\' > "$made"; chmod +x "$made"\n'
    )
    uv.chmod(0o755)
    return home


def set_up(node: Path, setup: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "-c", setup], env={"HOME": str(node), "PATH": "/usr/bin:/bin"})


def test_the_training_environment_is_made_by_the_uv_that_skypilot_brings(tmp_path: Path, node: Path) -> None:
    assert set_up(node, task(tmp_path, "")["setup"]).wait() == 0
    assert (node / "pip").read_text().startswith("-m pip install")


def test_nodes_that_share_a_home_set_it_up_one_after_the_other(tmp_path: Path, node: Path) -> None:
    own = "mkdir ~/alone; sleep 0.2; rmdir ~/alone"  # two at once, and the second mkdir fails
    both = [set_up(node, task(tmp_path, f", setup: '{own}'")["setup"]) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]


@pytest.mark.parametrize("own", ["exit 3", "set -e; false; true", "(exit 3)"])
def test_a_setup_of_the_users_that_fails_is_the_end(own: str, tmp_path: Path, node: Path) -> None:
    assert set_up(node, task(tmp_path, f", setup: '{own}'")["setup"]).wait() != 0
    assert not (node / "pip").exists()


def test_what_a_setup_leaves_running_keeps_no_other_node_waiting(tmp_path: Path, node: Path) -> None:
    setup = task(tmp_path, ", setup: 'sleep 600 > /dev/null 2>&1 & echo $! > ~/left'")["setup"]
    assert set_up(node, setup).wait() == 0
    left = int((node / "left").read_text())
    try:
        assert set_up(node, setup.replace("sleep 600", "sleep 0")).wait(30) == 0
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_secret_is_named_by_the_recipe_valued_by_the_environment_and_hidden_when_shown(tmp_path: Path) -> None:
    data = task(tmp_path, ", secrets: [TOKEN]", environ={"TOKEN": "hunter2"})
    assert data["secrets"] == {"TOKEN": "hunter2"}
    assert "hunter2" not in str(redacted(data))
    assert "TOKEN" in str(redacted(data))
    assert "hunter2" not in str({key: value for key, value in data.items() if key != "secrets"})


def test_a_secret_without_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"launch.secrets names TOKEN, which your environment does not have"):
        task(tmp_path, ", secrets: [TOKEN]")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "the bundled trainer trains in one process"),
        (", command: [torchrun, train.py]", "trainer.command starts torchrun, and so does stagectl"),
        (
            ", command: [python, -m, torch.distributed.run, t.py]",
            "trainer.command starts torch.distributed.run, and so",
        ),
        (", command: [/usr/bin/accelerate, launch, train.py]", "trainer.command starts /usr/bin/accelerate, and so"),
    ],
)
def test_a_trainer_that_is_none_for_several_nodes_is_refused(tmp_path: Path, command: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"num_nodes: 2: {reason}"):
        task(tmp_path, ", num_nodes: 2", more=command)


def test_several_nodes_are_several_nodes_of_the_task(tmp_path: Path) -> None:
    assert task(tmp_path, ", num_nodes: 2", more=", command: [python, train.py, --with, torchrun]")["num_nodes"] == 2


def test_a_managed_job_needs_a_folder_that_stays(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"begins anew"):
        task(tmp_path, ", managed: true")
    kept = task(tmp_path, ", managed: true, envs: {STAGECTL_HOME: /shared}, job_recovery: FAILOVER")
    assert kept["envs"]["STAGECTL_HOME"] == "/shared"
    assert kept["resources"] == {"job_recovery": "FAILOVER"}


@pytest.mark.parametrize(
    ("launch", "goes"),
    [
        ("", True),
        (", infra: aws", True),
        (", infra: slurm/lab", False),
        (", cluster: lab", False),
        (", autostop: 5", False),
    ],
)
def test_a_runs_own_cluster_goes_by_itself(tmp_path: Path, launch: str, goes: bool) -> None:
    resources = task(tmp_path, launch).get("resources", {})
    assert (resources.get("autostop") == {"idle_minutes": 10, "down": True}) is goes


@pytest.mark.parametrize(("run_id", "name"), [("doorkey-1", "doorkey-1"), ("1st.", "s-1st"), ("a_b", "a_b")])
def test_a_runs_own_cluster_has_its_name(run_id: str, name: str) -> None:
    assert cluster_name(run_id) == name
