"""The tests marked `cluster`: the installed command, a real SkyPilot and the Slurm that up.sh makes.

PYTHON=.venv/bin/python tests/cluster/up.sh && . /opt/stagectl-cluster/env && pytest -m cluster
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stagectl.runs import ENDED
from tests.e2e.conftest import Stagectl, eventually

CLUSTER = Path(os.environ.get("STAGECTL_CLUSTER", ""))
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "PYTEST"))}
USER = "stagectl-test"  # whom jobs run as
SECONDS = 400  # for a launch on a machine that others use, too

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# an environment of the run's own, which has what the suite's has: torch is not installed anew for each
SETUP = f"""{CLUSTER}/{PYTHON}/bin/{PYTHON} -m venv --without-pip ~/training
echo {CLUSTER}/packages > ~/training/lib/{PYTHON}/site-packages/suite.pth
"""
LAUNCH = {"backend": "sky", "infra": "slurm", "cpus": "2+", "python": "~/training/bin/python", "setup": SETUP}


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Stagectl]:
    """The command on a machine that can launch on the cluster; what a test leaves there is taken away after it."""
    if not CLUSTER.is_absolute():
        missing = "no test cluster: run tests/cluster/up.sh, then . the file that it prints"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    assert (CLUSTER / PYTHON).exists(), f"the nodes have no {PYTHON}: PYTHON={sys.executable} tests/cluster/up.sh"
    home = tmp_path / "stagectl"
    command = Stagectl(home, {**ENVIRONMENT, "STAGECTL_HOME": str(home), "NO_COLOR": "1"})
    yield command
    # where the test came to its end, all are over and their machines given back
    for run in command.json("list")["runs"]:
        if run["state"] not in ENDED:
            command("stop", run["run"], "--grace", "0", timeout=SECONDS)
        if left := allocation(run["run"]):
            subprocess.run(["scancel", left], env=ENVIRONMENT, check=False)
    kill(processes("launch.follow", str(home)))  # SkyPilot's own server is everybody's


@pytest.fixture
def unique() -> str:
    """What tells a test's runs from those of another day: SkyPilot remembers clusters by their name."""
    return uuid.uuid4().hex[:6]


def recipe_at(folder: Path, source: Path, **launch: Any) -> Path:
    """A recipe for the cluster in a folder of its own, made of one for this machine, with the scripts beside that."""
    folder.mkdir()
    for script in source.parent.glob("*.py"):
        shutil.copy(script, folder)
    made = folder / source.name
    made.write_text(yaml.safe_dump({**yaml.safe_load(source.read_text()), "launch": {**LAUNCH, **launch}}))
    return made


def come_to_step(laptop: Stagectl, run_id: str, step: int, kind: str = "") -> None:
    """Wait until the run is seen to be there, by an event of that kind where one is named."""

    def reached() -> bool:
        file = laptop.folder(run_id) / "events.jsonl"
        return file.exists() and any(
            event["step"] >= step and kind in event["event"] for event in laptop.events(run_id)
        )

    eventually(reached, SECONDS)


def allocation(run_id: str) -> str | None:
    """The number of the Slurm job that carries a run: it is named by the run's id, and by SkyPilot's."""
    squeue = ["squeue", "--noheader", "--format", "%i %j"]

    def asked() -> list[str]:
        told = subprocess.run(squeue, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        return [told.stdout] if told.returncode == 0 else []

    jobs = (line.split() for line in eventually(asked, SECONDS)[0].splitlines())
    return next((number for number, name in jobs if name.startswith(run_id.replace(".", "-"))), None)


def processes(*words: str) -> list[int]:
    """The processes whose command line or environment has all of the words, but this one and its tests' workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()
        except OSError:
            continue
        if all(word.encode() in told for word in words) and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def kill(those: Iterable[int]) -> None:
    for process in those:
        with contextlib.suppress(ProcessLookupError):  # it has just ended, or was about to become another
            os.kill(process, signal.SIGKILL)


def trainer(script: str, run_id: str) -> int:
    """The process on the node that trains a run by a script."""
    return eventually(lambda: [one for one in processes(script, "STAGECTL_RUN=", run_id) if owner(one) == USER])[0]


def owner(process: int) -> str:
    try:
        return Path(f"/proc/{process}").owner()
    except OSError:
        return ""
