from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import DamagedRunError, StorageError
from stagectl.runs import RunPaths, commit_checkpoint, prune_checkpoints, verify_checkpoint
from stagectl.runs.checkpoints import MANIFEST

PLAN = "aaaabbbabcccc"  # the stage at each checkpoint, one after another
FACTS = {"step": 1234, "stage": "navigation", "attempt": 1}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / ".step.tmp"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "model.zip").write_bytes(os.urandom(5000))
    (folder / "empty").touch()
    (folder / "deep" / "er" / "é.json").write_text("{}")
    return folder


@pytest.fixture
def committed(filled: Path) -> Path:
    final = filled.with_name("step")
    commit_checkpoint(filled, final, FACTS)
    return final


def test_a_committed_checkpoint_verifies_and_tells_its_facts_and_files(committed: Path, filled: Path) -> None:
    manifest = verify_checkpoint(committed)
    assert {key: manifest[key] for key in FACTS} == FACTS
    assert sorted(manifest["files"]) == ["deep/er/é.json", "empty", "model.zip"]
    assert manifest["files"]["model.zip"]["size"] == 5000
    assert not filled.exists()


def test_a_checkpoints_files_are_their_owners_alone(committed: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in committed.rglob("*") if path.is_file()}
    assert modes == {0o600}


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_file_that_a_checkpoint_links_to_is_verified_and_stays_as_readable_as_it_was(
    filled: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    base = tmp_path / "base.bin"
    base.write_bytes(b"weights")
    base.chmod(0o644)
    link(filled / "base", base)
    final = filled.with_name("step")
    commit_checkpoint(filled, final, FACTS)
    assert base.stat().st_mode & 0o777 == 0o644
    verify_checkpoint(final)
    base.write_bytes(b"changed")
    with pytest.raises(DamagedRunError, match="base is not what was saved"):
        verify_checkpoint(final)


@pytest.mark.parametrize("name", ["model.zip", "deep/er/é.json"])
def test_a_file_that_is_cut_changed_grown_or_missing_is_refused_by_name(committed: Path, name: str) -> None:
    file = committed / name
    raw = file.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    for damaged in (raw[:-1], bytes(flipped), raw + b"x", b""):
        file.write_bytes(damaged)
        with pytest.raises(DamagedRunError, match=f"{name} is not what was saved"):
            verify_checkpoint(committed)
    file.unlink()
    with pytest.raises(DamagedRunError, match=f"{name} is missing"):
        verify_checkpoint(committed)
    file.write_bytes(raw)
    verify_checkpoint(committed)


def test_a_checkpoint_without_its_manifest_does_not_count(committed: Path) -> None:
    (committed / MANIFEST).unlink()
    with pytest.raises(DamagedRunError, match="its writing was cut off"):
        verify_checkpoint(committed)


def test_a_manifest_cut_at_any_byte_does_not_count(committed: Path) -> None:
    raw = (committed / MANIFEST).read_bytes()
    for length in range(0, len(raw) - 1, 7):
        (committed / MANIFEST).write_bytes(raw[:length])
        with pytest.raises(DamagedRunError):
            verify_checkpoint(committed)


def test_a_manifest_with_any_flipped_bit_does_not_count(committed: Path) -> None:
    raw = (committed / MANIFEST).read_bytes()
    whole: dict[str, Any] = json.loads(raw)
    for position in range(0, len(raw), 3):
        damaged = bytearray(raw)
        damaged[position] ^= 0x01
        (committed / MANIFEST).write_bytes(damaged)
        try:
            assert verify_checkpoint(committed) == whole, f"byte {position} changed and nobody noticed"
        except DamagedRunError:
            continue


@pytest.mark.parametrize("manifest", [{"step": 1}, {"files": None}, {"files": {"a": 1}}, {"files": {"model.zip": {}}}])
def test_a_manifest_that_says_something_else_does_not_count(committed: Path, manifest: dict[str, Any]) -> None:
    (committed / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedRunError):
        verify_checkpoint(committed)


def test_the_manifest_is_written_last(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    rename = Path.rename

    def noted(self: Path, target: Path) -> Path:
        written.append(Path(target).name)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", noted)
    commit_checkpoint(filled, filled.with_name("step"), FACTS)
    assert written == [MANIFEST, "step"]


def test_a_disk_that_refuses_makes_no_checkpoint(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="No space left"):
            commit_checkpoint(filled, filled.with_name("step"), FACTS)
    assert not filled.with_name("step").exists()


# ── how many are kept ───────────────────────────────────────────────────────────────────────────────────────────


def saved(paths: RunPaths, number: int, stage: str) -> None:
    beside = paths.checkpoints / ".beside"
    beside.mkdir(parents=True)
    (beside / "model").write_text(stage)
    facts = {"step": number, "stage": stage, "seq": 10 * number, "recipe": "r"}
    commit_checkpoint(beside, paths.checkpoints / f"step-{number:012d}", facts)


def left(paths: RunPaths) -> list[int]:
    assert not list(paths.checkpoints.glob(".*"))
    return sorted(int(folder.name.removeprefix("step-")) for folder in paths.checkpoints.iterdir())


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(1, [0, 4, 7, 8, 9, 12]), (3, [0, 4, 7, 8, 9, 10, 11, 12]), (99, list(range(13)))],
)
def test_the_newest_checkpoints_stay_and_the_first_of_each_stage(
    tmp_path: Path, keep: int, expected: list[int]
) -> None:
    paths = RunPaths(tmp_path)
    for number, stage in enumerate(PLAN):
        saved(paths, number, stage)
    prune_checkpoints(paths, keep, [])
    assert left(paths) == expected
    for number in expected:
        verify_checkpoint(paths.checkpoints / f"step-{number:012d}")


@given(stages=st.text("abc", min_size=1, max_size=12), keep=st.integers(1, 5))
def test_pruned_one_by_one_or_all_at_once_the_same_stay(
    tmp_path_factory: pytest.TempPathFactory, stages: str, keep: int
) -> None:
    one_by_one, at_once = (RunPaths(tmp_path_factory.mktemp("run")) for _ in range(2))
    for number, stage in enumerate(stages):
        saved(one_by_one, number, stage)
        prune_checkpoints(one_by_one, keep, [])
        saved(at_once, number, stage)
    prune_checkpoints(at_once, keep, [])
    assert left(one_by_one) == left(at_once)


def test_what_a_later_attempt_superseded_stays_and_takes_no_place_of_what_is_in_force(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    for number, stage in enumerate("aaabb" + "ab"):  # those of steps 3 and 4 were damaged: it went on from step 2
        saved(paths, number, stage)
    prune_checkpoints(paths, 2, [range(30, 41)])
    assert left(paths) == [0, 3, 4, 5, 6]
    for number, stage in enumerate("bb", 7):
        saved(paths, number, stage)
    prune_checkpoints(paths, 1, [range(30, 41)])
    assert left(paths) == [0, 3, 4, 6, 8]


def test_what_a_process_that_was_killed_had_half_removed_is_removed(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    saved(paths, 1, "a")
    (paths.checkpoints / ".step-000000000000.tmp" / "deep").mkdir(parents=True)
    prune_checkpoints(paths, 1, [])
    assert left(paths) == [1]


def test_a_damaged_checkpoint_is_not_removed(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    for number in range(6):
        saved(paths, number, "a")
    (paths.checkpoints / f"step-{2:012d}" / MANIFEST).write_text("{}")
    prune_checkpoints(paths, 2, [])
    assert left(paths) == [0, 2, 4, 5]


def test_a_checkpoint_that_cannot_be_removed_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    paths = RunPaths(tmp_path)
    for number in range(4):
        saved(paths, number, "a")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        prune_checkpoints(paths, 1, [])
    assert left(paths) == [0, 1, 2, 3]
