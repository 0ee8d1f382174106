"""Events and the training output as lines of a job's standard output: the one channel that every cluster has.

A line is `@stagectl:CRC JSON`, all of it ASCII: JSON is the event, or `[OFFSET, text]` for a piece of the training
output with the number of bytes before it; CRC is JSON's CRC-32, so that a line that was cut or written into is none.
SkyPilot puts `(name, pid=…)` before each line, may repeat lines and may lose some: a reader goes by `seq` and OFFSET.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from stagectl.runs import Event

MARK = "@stagectl:"
_LINE = re.compile(rf"{MARK}([0-9a-f]{{8}}) ([\[{{].*[\]}}])\s*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of the training output, and the number of bytes before it."""

    offset: int
    text: bytes


def event_line(event: Event) -> str:
    return _line(event)


def output_line(output: Output) -> str:
    return _line([output.offset, output.text.decode("utf-8", "surrogateescape")])


def read_line(line: str) -> Event | Output | None:
    """What a line holds; None where it is somebody else's, or damaged."""
    found = _LINE.search(line)
    if found is None or zlib.crc32(found[2].encode()) != int(found[1], 16):
        return None
    held = json.loads(found[2])
    if isinstance(held, list):
        return Output(held[0], held[1].encode("utf-8", "surrogateescape"))
    return dict(held)


def _line(held: Any) -> str:
    text = json.dumps(held, separators=(",", ":"))
    return f"{MARK}{zlib.crc32(text.encode()):08x} {text}\n"
