"""The wheel that travels is the stagectl that runs, whole."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import stagectl
from stagectl.launch.wheel import build_wheel


def test_the_wheel_installs_and_is_this_stagectl(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    package = Path(stagectl.__file__).parent
    mine = {
        path.relative_to(package) for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    theirs = {path.relative_to(target / "stagectl") for path in (target / "stagectl").rglob("*") if path.is_file()}
    assert mine == {path for path in theirs if "__pycache__" not in path.parts}
    shown = [sys.executable, "-c", "import importlib.metadata as m; print(m.version('stagectl'))"]
    version = subprocess.run(shown, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(target)}).stdout
    assert version.startswith(f"{stagectl.__version__}+")


def test_the_same_files_make_the_same_wheel(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = build_wheel(tmp_path), build_wheel(tmp_path / "again")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_what_it_requires_travels_with_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        said = archive.read(name).decode()
    assert "Requires-Dist: pyyaml>=6" in said or "Requires-Dist: PyYAML>=6" in said
    assert said.count("\nVersion:") == 1
