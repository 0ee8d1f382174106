"""Checkpoints: a folder counts once its manifest, written last, names every file with its size and hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError, StagectlError
from stagectl.runs.attempts import is_superseded, superseded
from stagectl.runs.files import read_json, storage_error, sync_folder, write_json
from stagectl.runs.paths import RunPaths

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to go on from. `seq` is that of the event which tells it, `recipe` the fingerprint it is of."""

    folder: Path
    step: int
    stage: str
    seq: int
    recipe: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where an attempt begins: at a checkpoint, else at step 0. `rejected` says why newer ones were passed over."""

    checkpoint: Checkpoint | None = None
    rejected: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.step

    @property
    def after(self) -> int:
        """The `seq` of the last event that the attempt knows of; without a checkpoint only `run_created`."""
        return 1 if self.checkpoint is None else self.checkpoint.seq

    def facts(self, paths: RunPaths) -> dict[str, Any]:
        """What `attempt_started` tells of it."""
        path = None if self.checkpoint is None else str(self.checkpoint.folder.relative_to(paths.folder))
        return {"after": self.after, "path": path, "rejected": list(self.rejected)}


def find_beginning(paths: RunPaths, recipes: Collection[str]) -> Beginning:
    """The newest checkpoint that is whole, of the run's present history, and saved under one of the recipes.

    Args:
        paths: The run.
        recipes: Fingerprints of recipes.

    Raises:
        DamagedRunError: There are checkpoints, and none of them can be gone on from; each with its reason.
    """
    gone = superseded(paths.events)
    rejected: list[str] = []
    for folder in sorted(paths.checkpoints.glob("step-*"), reverse=True):
        try:
            manifest = read_manifest(folder)
            if is_superseded(manifest["seq"], gone):
                continue
            if manifest["recipe"] not in recipes:
                raise DamagedRunError(f"{folder} was saved under another recipe")
            verify_checkpoint(folder)  # last, as it reads every file
        except StagectlError as error:
            rejected.append(error.message)
            continue
        return Beginning(_read(folder, manifest), tuple(rejected))
    if rejected:
        message = f"the run {paths.run_id} has no checkpoint to go on from: {'; '.join(rejected)}"
        raise DamagedRunError(message, hint="begin a new run; this one's folder stays as it is")
    return Beginning()


def find_untold(paths: RunPaths, seq: int) -> Checkpoint | None:
    """The checkpoint that the event of that `seq` would tell, were it there: saving it was the last thing done."""
    for folder in sorted(paths.checkpoints.glob("step-*"), reverse=True):
        with contextlib.suppress(StagectlError):
            if read_manifest(folder)["seq"] == seq:
                return _read(folder, verify_checkpoint(folder))
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint, without a look at its files. Raises DamagedRunError."""
    return _read(folder, read_manifest(folder))


def _read(folder: Path, manifest: dict[str, Any]) -> Checkpoint:
    return Checkpoint(folder, **{key: manifest[key] for key in ("step", "stage", "seq", "recipe")})


def commit_checkpoint(folder: Path, final: Path, facts: dict[str, Any]) -> None:
    """Make a filled folder a checkpoint: its files flushed to disk, its manifest written, renamed to `final`.

    Raises:
        StorageError: The disk refused; `final` is not there.
    """
    try:
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if not path.is_symlink() and path.stat().st_nlink == 1:  # a link's file may be somebody else's too
                path.chmod(0o600)
            _sync(path)
            files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": _sha256(path)}
        manifest = {**facts, "files": files}
        write_json(folder / MANIFEST, {**manifest, "sha256": _own_sha256(manifest)})
        folder.rename(final)
        sync_folder(final.parent)
    except OSError as error:
        raise storage_error(folder, error) from None


def prune_checkpoints(paths: RunPaths, keep: int, gone: Sequence[range]) -> None:
    """Remove the checkpoints in force that are not among the newest and do not begin a stage.

    It is for the process that writes them. What the `gone` have stays, as the reason why a run went on from before,
    and so does one whose manifest is damaged, and one that cannot be removed.
    """
    told: list[Checkpoint] = []
    for folder in paths.checkpoints.glob("step-*"):
        with contextlib.suppress(StagectlError):
            told.append(read_checkpoint(folder))
    in_force = sorted((one for one in told if not is_superseded(one.seq, gone)), key=lambda one: one.seq)
    for before, checkpoint in pairwise(in_force[:-keep]):
        if before.stage == checkpoint.stage:
            with contextlib.suppress(OSError):  # first out of sight, so that none is ever found half removed
                checkpoint.folder.rename(checkpoint.folder.with_name(f".{checkpoint.folder.name}.tmp"))
    for hidden in paths.checkpoints.glob(".step-*.tmp"):  # of a process that was killed here, too
        shutil.rmtree(hidden, ignore_errors=True)


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest, after every file it names was found whole.

    Raises:
        DamagedRunError: It has no manifest, or a file is missing, cut or changed.
    """
    manifest = read_manifest(folder)
    for name, facts in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DamagedRunError(f"{folder}: {name} is missing")
        if path.stat().st_size != facts["size"] or _sha256(path) != facts["sha256"]:
            raise DamagedRunError(f"{folder}: {name} is not what was saved ({json.dumps(facts)})")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest, without a look at the files that it names. Raises DamagedRunError."""
    manifest = read_json(folder / MANIFEST)
    if not manifest:
        raise DamagedRunError(f"{folder} has no {MANIFEST}: its writing was cut off")
    if manifest.pop("sha256", None) != _own_sha256(manifest) or "files" not in manifest:
        raise DamagedRunError(f"{folder}: {MANIFEST} is not what was saved")
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
