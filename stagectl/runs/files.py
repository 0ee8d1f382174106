"""Files that are whole or not there: written beside, flushed to disk, renamed. Private to their owner."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from stagectl.errors import DamagedRunError, StorageError


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only.

    Raises:
        StorageError: The disk refused; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o600)
            file.write(text)
            file.flush()
            os.fsync(fd)
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise storage_error(path, error) from None
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: dict[str, Any]) -> None:
    write_whole(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of ours; empty where the file is not there.

    Raises:
        DamagedRunError: It is no JSON object.
        StorageError: It cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(path, error) from None
    except ValueError as error:
        raise DamagedRunError(f"{path} is damaged: {error}") from None
    if not isinstance(data, dict):
        raise DamagedRunError(f"{path} is damaged: it is no JSON object")
    return data


def make_folder(path: Path) -> None:
    """A folder for its owner only, whatever the umask, with the folders above it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from None


def sync_folder(path: Path) -> None:
    """Make a rename in the folder survive power loss."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: {error.strerror or error}", hint="STAGECTL_HOME names the folder for runs")
