"""A file of text as polars can read it: unpacked, and in UTF-8."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from stagectl.errors import TraceError

GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
HEAD_BYTES = 1 << 16
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CHUNK = 1 << 20
_SMALL, _RATIO = 1 << 28, 200  # a table packs 5 to 50 times; what unpacks to far more is no recording


@dataclass(frozen=True)
class Source:
    """Bytes under the name by which the user knows them: a file that polars reads by itself, or unpacked ones."""

    name: str
    content: Path | bytes
    notes: tuple[str, ...] = ()

    def head(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[:HEAD_BYTES]
        with self.content.open("rb") as file:
            return file.read(HEAD_BYTES)

    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def text(self) -> TextIO:
        """The whole as text, its line ends kept."""
        if isinstance(self.content, bytes):
            return io.TextIOWrapper(io.BytesIO(self.content), encoding="utf-8-sig", newline="")
        return self.content.open(encoding="utf-8-sig", newline="")

    def lines(self) -> Iterator[str]:
        with self.text() as file:
            yield from file


def open_source(name: str, content: Path | bytes) -> Source:
    """Unpack what is packed, and turn UTF-16 into UTF-8.

    Raises:
        TraceError: It is not there, cannot be read, is cut short, or is no text (Parquet is left as it is).
    """
    try:
        return _opened(name, content)
    except FileNotFoundError:
        raise TraceError(f"{name}: no such file", hint="a run's trace is written by: stagectl export RUN_ID") from None
    except OSError as error:
        raise TraceError(f"{name}: cannot be read: {error.strerror or error}") from None


def _opened(name: str, content: Path | bytes) -> Source:
    notes: tuple[str, ...] = ()
    head = Source(name, content).head()
    if head.startswith((GZIP, ZSTD)):
        packed = content.read_bytes() if isinstance(content, Path) else content
        content = _gunzipped(packed, name) if head.startswith(GZIP) else _unzstd(packed, name)
        head = content[:HEAD_BYTES]
    if head.startswith(_UTF16):
        raw = content.read_bytes() if isinstance(content, Path) else content
        try:
            content = raw.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise TraceError(f"{name}: begins as UTF-16, and is none from byte {error.start} on") from None
        notes, head = ("read as UTF-16",), content[:HEAD_BYTES]
    if b"\0" in head and not head.startswith(PARQUET):
        where = f"{name}: not a text file (byte {head.index(0)} is zero)"
        raise TraceError(where, hint="a trace is CSV, JSONL, Parquet, a .wandb or a TensorBoard file")
    return Source(name, content, notes)


def _gunzipped(packed: bytes, name: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while part := file.read(_CHUNK):
                parts.append(part)
                size += len(part)
                if size > max(_SMALL, _RATIO * len(packed)):
                    raise TraceError(f"{name}: unpacks to more than {_RATIO} times its size; that is no recording")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _cut_short(name, "gzip", error) from None
    return b"".join(parts)


def _unzstd(packed: bytes, name: str) -> bytes:
    """By polars, which unpacks a table: one of whole lines."""
    import polars as pl

    try:
        lines = pl.read_csv(packed, **whole_lines()).to_series().fill_null("")
    except pl.exceptions.NoDataError:
        return b""
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _cut_short(name, "zstd", error) from None
    return "\n".join(lines).encode()


def whole_lines() -> dict[str, Any]:
    """polars' arguments that read a text as one column, `line`."""
    import polars as pl

    return {"separator": "\x1f", "quote_char": None, "has_header": False, "schema": {"line": pl.String()}}


def _cut_short(name: str, packing: str, error: Exception) -> TraceError:
    reason = " ".join(str(error).split())
    return TraceError(f"{name}: its {packing} data are cut short or damaged: {reason}", hint="copy the file again")


def check_utf8(source: Source, passed: int = 0) -> None:
    """Raises TraceError with the line of the first byte that is no UTF-8."""
    content = source.content if isinstance(source.content, bytes) else source.content.read_bytes()
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1 + passed
        raise TraceError(f"{source.name}:{number}: not a text file in UTF-8", hint="save it in UTF-8") from None


def csv_records(source: Source, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records with the number of their last line; for a place to tell, as it is slow."""
    with source.text() as file:
        reader = csv.reader(file, delimiter=separator)
        for record in reader:
            yield reader.line_num, record
