"""What every test stands on: a home of its own, no run around it, and a bounded search of hypothesis."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("suite", max_examples=40, derandomize=True, **COMMON)
settings.register_profile("search", max_examples=1000, **COMMON)  # HYPOTHESIS_PROFILE=search looks for new cases
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs go to a temporary folder, which is also the user's home; no test finds a run that started it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("STAGECTL_HOME", str(folder / ".stagectl"))
    monkeypatch.setenv("USER", "tester")
    for variable in ("STAGECTL_RUN", "STAGECTL_ATTEMPT"):
        monkeypatch.delenv(variable, raising=False)
    return folder
