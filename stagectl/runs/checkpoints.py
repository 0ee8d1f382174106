"""Checkpoints: a folder counts once its manifest, written last, names every file with its size and hash."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError
from stagectl.runs.files import read_json, storage_error, sync_folder, write_json

MANIFEST = "MANIFEST.json"


def commit_checkpoint(folder: Path, final: Path, facts: dict[str, Any]) -> None:
    """Make a filled folder a checkpoint: its files flushed to disk, its manifest written, renamed to `final`.

    Raises:
        StorageError: The disk refused; `final` is not there.
    """
    try:
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            path.chmod(0o600)
            _sync(path)
            files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": _sha256(path)}
        manifest = {**facts, "files": files}
        write_json(folder / MANIFEST, {**manifest, "sha256": _own_sha256(manifest)})
        folder.rename(final)
        sync_folder(final.parent)
    except OSError as error:
        raise storage_error(folder, error) from None


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest, after every file it names was found whole.

    Raises:
        DamagedRunError: It has no manifest, or a file is missing, cut or changed.
    """
    manifest = read_json(folder / MANIFEST)
    if not manifest:
        raise DamagedRunError(f"{folder} has no {MANIFEST}: its writing was cut off")
    if manifest.pop("sha256", None) != _own_sha256(manifest) or "files" not in manifest:
        raise DamagedRunError(f"{folder}: {MANIFEST} is not what was saved")
    for name, facts in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DamagedRunError(f"{folder}: {name} is missing")
        if path.stat().st_size != facts["size"] or _sha256(path) != facts["sha256"]:
            raise DamagedRunError(f"{folder}: {name} is not what was saved ({json.dumps(facts)})")
    return manifest


def _own_sha256(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
