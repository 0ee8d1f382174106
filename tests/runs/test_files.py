from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import DamagedRunError, StorageError
from stagectl.runs import read_json, write_json, write_whole
from stagectl.runs.files import make_folder


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_files_and_folders_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_folder(tmp_path / "folder")
        write_whole(tmp_path / "folder" / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_open_to_all_is_its_owners_alone_once_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o666)
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["open", "fsync", "fchmod"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_whole(tmp_path / "file", "old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="No space left on device") as raised:
            write_whole(tmp_path / "file", "new" * 10_000)
    assert raised.value.exit_code == 8
    assert (tmp_path / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_rename_that_is_refused_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(StorageError):
            write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "file", {"a": 1})
    for bad in (float("nan"), {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            write_json(tmp_path / "file", {"a": bad})
    assert read_json(tmp_path / "file") == {"a": 1}


def test_text_that_is_half_a_character_leaves_nothing_beside_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with pytest.raises((UnicodeEncodeError, StorageError)):
        write_whole(tmp_path / "file", "x\ud800")
    assert (tmp_path / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_json_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_json(tmp_path / "no.json") == {}


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"5", b"\xff\xfe", b'{"a": 1}}', b"null"])
def test_json_that_is_damaged_is_told(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(DamagedRunError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StorageError, match="STAGECTL_HOME"):
        make_folder(tmp_path / "home" / "runs")
    with pytest.raises(StorageError, match="STAGECTL_HOME"):
        make_folder(tmp_path / "home")
