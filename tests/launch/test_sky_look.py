"""What SkyPilot's own records of a managed job come to; the records of a cluster need one (tests/cluster)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.launch.sky_look import look

pytestmark = pytest.mark.filterwarnings("ignore")  # what SkyPilot's import warns of is not ours


@pytest.fixture
def records(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the jobs controller tells; each becomes the record that SkyPilot makes of it."""
    from sky.schemas.api.responses import ManagedJobRecord

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "stagectl.launch.sky_look.managed_jobs", lambda **_: [ManagedJobRecord(**record) for record in told]
    )
    return told


def seen() -> dict[str, Any]:
    return look({"name": "r-1", "cluster": None}, 7)


SLURM = {
    "job_id": 7,
    "status": "RUNNING",
    "cloud": "Slurm",
    "region": "testbed",
    "cluster_resources_full": "2x(cpus=2, mem=4, disk=256)",
    "cluster_name_on_cloud": "r-1-7-ab12",
    "last_recovered_at": -1.0,
    "start_at": 5.0,
}


def test_a_managed_jobs_machine_is_told_and_slurms_is_free(records: list[dict[str, Any]]) -> None:
    records.append(SLURM)
    machine = {"infra": "slurm/testbed", "cluster": "r-1-7-ab12", "region": "testbed", "hourly": 0.0, "since": 5.0}
    assert seen() == {"state": "RUNNING", "machine": machine}


def test_a_job_that_is_being_recovered_is_on_no_machine(records: list[dict[str, Any]]) -> None:
    records.append({**SLURM, "status": "RECOVERING"})
    assert seen() == {"state": "RECOVERING", "machine": None}


@pytest.mark.parametrize("told", [{"cloud": "-"}, {"cloud": None, "region": None}])
def test_a_job_of_which_no_machine_is_known_has_none(records: list[dict[str, Any]], told: dict[str, Any]) -> None:
    records.append({**SLURM, **told})
    assert seen() == {"state": "RUNNING", "machine": None}


@pytest.mark.parametrize("text", [None, "-", "", "1x(gpus=L4:1, disk=256)"])
def test_a_machine_whose_price_is_not_known_has_none(records: list[dict[str, Any]], text: str | None) -> None:
    records.append({**SLURM, "cloud": "AWS", "region": "no-such-region", "cluster_resources_full": text})
    assert seen()["machine"]["hourly"] is None


def test_a_state_that_skypilot_itself_does_not_know_is_told_as_it_is(records: list[dict[str, Any]]) -> None:
    records.append({**SLURM, "status": "HIBERNATING"})
    assert seen() == {"state": "HIBERNATING", "machine": None}


def test_a_job_that_the_controller_does_not_have_is_gone(records: list[dict[str, Any]]) -> None:
    records.append({**SLURM, "job_id": 8})
    assert seen() == {"state": "GONE", "machine": None}
