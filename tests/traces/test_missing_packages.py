"""Without an optional package, the file that needs it says which extra has it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stagectl.errors import TraceError
from stagectl.traces import read_traces


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("run.wandb", "wandb", "stagectl[train]"),
        ("events.out.tfevents.1", "tensorboard", "stagectl[simulate]"),
    ],
)
def test_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TraceError) as caught:
        read_traces([str(tmp_path / name)])
    assert f"needs the package {package} (pip install '{extra}')" in str(caught.value)


def test_wandbs_address_names_its_extra_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TraceError, match="needs the package wandb"):
        read_traces(["wandb://entity/project/run"])
