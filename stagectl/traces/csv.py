"""CSV, by polars: separator, decimal comma and comments found, every fault told with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagectl.errors import TraceError
from stagectl.traces.columns import Chosen
from stagectl.traces.source import HEAD_BYTES, Source, check_utf8, csv_records, whole_lines
from stagectl.traces.table import Table

if TYPE_CHECKING:
    import polars as pl

_SEPARATORS = (",", ";", "\t", "|")
LOOKED_THROUGH = 1 << 25  # up to this size all columns are read, so that a row of another width shows
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Layout:
    """How one CSV file is written."""

    header: list[str]
    separator: str
    decimal_comma: bool
    line_end: str
    comments: int  # lines before the header
    passed: Callable[[], int] | None = None  # of a part, which has no header: how many lines of the file are before it

    @property
    def lead(self) -> int:
        """Lines before the first row."""
        return 0 if self.passed else self.comments + 1

    def lines_before(self) -> int:
        return self.passed() if self.passed else 0

    def settings(self, wanted: Sequence[str], types: Mapping[str, pl.DataType]) -> dict[str, Any]:
        """polars' arguments that read this file, and of a part the wanted columns; as text, where no type is told."""
        import polars as pl

        written = {
            "separator": self.separator,
            "decimal_comma": self.decimal_comma,
            "eol_char": self.line_end,
            "glob": False,
        }
        if not self.passed:
            return {**written, "skip_lines": self.comments, "infer_schema": False, "schema_overrides": types}
        names = [name if name in wanted else f"\0{at}" for at, name in enumerate(self.header)]
        places = sorted(self.header.index(name) for name in wanted)
        schema = {name: types.get(name, pl.String()) for name in names}
        return {**written, "has_header": False, "schema": schema, "columns": places}


def csv_table(source: Source, layout: Layout | None = None) -> Table:
    """A CSV file's table. Raises TraceError: no header, no UTF-8, a first row that does not fit the header."""
    written = layout or layout_of(source)

    def read(chosen: Chosen) -> pl.DataFrame:
        return _read(source, written, chosen)

    def place(row: int) -> str:
        return _place(source, written, row)

    notes = source.notes + ((f"columns are separated by {written.separator!r}",) if written.separator != "," else ())
    start = f"{source.name}:{written.comments + 1}"
    return Table(source.name, written.header, read, place, start, notes=notes, is_part=written.passed is not None)


def layout_of(source: Source) -> Layout:
    """The header and how the file is written, told from its first lines."""
    raw = source.head()
    text = raw.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text[:-4]:  # the last character may be cut in two
        check_utf8(source)
    line_end = "\n" if "\n" in text or "\r" not in text else "\r"
    lines = text.split(line_end)
    if len(raw) == HEAD_BYTES and len(lines) > 1:
        lines.pop()  # cut
    comments = next((at for at, line in enumerate(lines) if not line.startswith("#")), 0)
    if not lines[comments].strip():
        raise TraceError(f"{source.name}: is empty; a trace has a header line and a row an episode")
    separator = max(_SEPARATORS, key=lambda character: _unquoted(lines[comments]).count(character))
    reader = csv.reader((line + line_end for line in lines[comments : comments + 20]), delimiter=separator)
    try:
        header, *rows = list(reader)
    except csv.Error as error:
        raise TraceError(f"{source.name}:{comments + 1}: this is no CSV: {error}") from None
    for at, row in enumerate(rows[:-1], comments + 2):
        if row and len(row) != len(header):
            raise _uneven(f"{source.name}:{at}", row, header, separator)
    cells = [cell.strip() for row in rows for cell in row if "," in cell]
    decimal_comma = separator != "," and bool(cells) and all(map(_DECIMAL_COMMA.fullmatch, cells))
    return Layout(header, separator, decimal_comma, line_end, comments)


def _read(source: Source, layout: Layout, chosen: Chosen) -> pl.DataFrame:
    """The chosen columns; as numbers, or where some cell is no plain number all as text, for its reader to judge."""
    import polars as pl

    wanted = chosen.all()
    types = dict.fromkeys(chosen.wholes(), pl.Int64()) | dict.fromkeys(chosen.numbers(), pl.Float64())
    some = {"columns": wanted} if source.size() > LOOKED_THROUGH else {}
    try:
        frame = pl.read_csv(source.content, **some | layout.settings(wanted, types))
    except (pl.exceptions.PolarsError, OSError):
        try:
            frame = pl.read_csv(source.content, **some | layout.settings(wanted, {}))
        except (pl.exceptions.PolarsError, OSError) as error:
            check_utf8(source, layout.lines_before())
            _find_uneven(source, layout)
            reason = str(error).strip().splitlines()[0]
            raise TraceError(f"{source.name}: this is no CSV: {reason}") from None
        if layout.decimal_comma:
            frame = frame.with_columns(pl.col(*types).str.replace(",", ".", literal=True))
    looked_at = frame.columns if some or layout.passed else frame.columns[-1:]
    if any(frame[name].null_count() for name in looked_at) and _may_be_uneven(source, layout):
        _find_uneven(source, layout)
    return frame.select(wanted)


def _may_be_uneven(source: Source, layout: Layout) -> bool:
    """Whether a line has too few separators: polars fills a row that is too short with nothing."""
    import polars as pl

    line = pl.col("line")
    short = line.str.count_matches(layout.separator, literal=True) < len(layout.header) - 1
    lines = pl.scan_csv(source.content, glob=False, **whole_lines()).slice(layout.lead)
    return not lines.filter(short & (line.str.strip_chars() != "")).head(1).collect().is_empty()


def _find_uneven(source: Source, layout: Layout) -> None:
    try:
        for at, (line, row) in enumerate(csv_records(source, layout.separator)):
            if at >= layout.lead and row and len(row) != len(layout.header):
                raise _uneven(f"{source.name}:{line + layout.lines_before()}", row, layout.header, layout.separator)
    except csv.Error as error:
        raise TraceError(f"{source.name}: this is no CSV: {error}") from None


def _uneven(where: str, row: list[str], header: list[str], separator: str) -> TraceError:
    other = next((s for s in _SEPARATORS if s != separator and len(row) == 1 and s in row[0]), None)
    hint = f"the header is separated by {separator!r}, this row by {other!r}" if other else ""
    return TraceError(f"{where}: has {len(row)} values, the header has {len(header)} columns", hint=hint)


def _place(source: Source, layout: Layout, row: int) -> str:
    """The line in which a row ends."""
    for at, (line, _) in enumerate(csv_records(source, layout.separator)):
        if at == row + layout.lead:
            return f"{source.name}:{line + layout.lines_before()}"
    return f"{source.name}, row {row + 1:,}"


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)
