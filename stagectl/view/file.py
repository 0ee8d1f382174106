"""Files that people asked for: whole or as they were."""

from __future__ import annotations

import os
from pathlib import Path

from stagectl.errors import StorageError


def write_file(to: Path, content: str | bytes) -> None:
    """Write beside and rename, so that whatever fails leaves what was there; into a pipe or a device directly.

    Raises:
        StorageError: The disk refused.
    """
    raw = content.encode() if isinstance(content, str) else content
    try:
        if to.exists() and not to.is_file():
            to.write_bytes(raw)
            return
        target = to.resolve()
        beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            beside.write_bytes(raw)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{to}: cannot be written: {error.strerror or error}") from None
