"""The tests marked `cluster` need the cluster that up.sh makes: `. /opt/stagectl-cluster/env && pytest -m cluster`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CLUSTER = os.environ.get("STAGECTL_CLUSTER", "")
ENVIRONMENT = dict(os.environ)  # as env sets it, before a test gets a home of its own


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: launches on the Slurm of tests/cluster/up.sh")


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a laptop that can launch on the cluster, with a home for runs of its own."""
    if not CLUSTER:
        pytest.skip("no test cluster: run tests/cluster/up.sh, then . the file that it prints")
    return {**ENVIRONMENT, "STAGECTL_HOME": str(tmp_path / "runs")}
