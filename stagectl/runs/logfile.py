"""The training process's output, read from its end without reading it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stagectl.runs.files import storage_error

_BLOCK = 1 << 16
_LONGEST = 1 << 20


class LogTail:
    """Reads a log's last lines, and at each further `read` what was added since.

    Args:
        path: The log; one that is not there yet is empty.
        lines: How many of the last lines to begin with; 0 is all.
    """

    def __init__(self, path: Path, lines: int = 0) -> None:
        self._path = path
        self._offset = _start_of_last(path, lines) if lines else 0

    def read(self, *, whole: bool = False) -> Iterator[str]:
        """The lines since the last `read`; bytes that are not UTF-8 become `�`.

        With `whole` a last line that has no end yet is left for later. A line of over 1 MiB comes in pieces.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while line := file.readline(_LONGEST):
                    if whole and not line.endswith(b"\n") and len(line) < _LONGEST:
                        return
                    self._offset += len(line)
                    yield line.decode("utf-8", "replace").rstrip("\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self._path, error) from None


def last_lines(path: Path, lines: int) -> list[str]:
    return list(LogTail(path, lines).read())


def _start_of_last(path: Path, lines: int) -> int:
    """The offset of the first of the last `lines` lines."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        end = os.fstat(fd).st_size
        wanted = lines + 1 if end and os.pread(fd, 1, end - 1) == b"\n" else lines
        while end > 0:
            start = max(0, end - _BLOCK)
            block = os.pread(fd, end - start, start)
            for position in range(len(block) - 1, -1, -1) if block.count(b"\n") >= wanted else ():
                if block[position : position + 1] == b"\n":
                    wanted -= 1
                    if wanted == 0:
                        return start + position + 1
            wanted -= block.count(b"\n")
            end = start
        return 0
    finally:
        os.close(fd)
