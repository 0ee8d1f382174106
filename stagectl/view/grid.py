"""A table without rules: a dim header, aligned columns, and a say in which of them give way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from stagectl.view.lines import DIM, fitted, joined

_NARROWEST = 6


def grid(
    header: Sequence[str],
    rows: Sequence[Sequence[Text]],
    width: int,
    *,
    right: frozenset[str] = frozenset(),
    gives_way: Sequence[str] = (),
    drops: Sequence[str] = (),
) -> Text:
    """The table, at most `width` cells wide.

    Where it is too wide, the columns of `drops` are left out one by one, then those of `gives_way` are cut.
    """
    gap = gap_for(width)
    columns = list(range(len(header)))
    widths = natural_widths(header, rows)
    for name in drops:
        if _total([widths[i] for i in columns], gap) > width:
            columns.remove(header.index(name))
    excess = _total([widths[i] for i in columns], gap) - width
    for name in gives_way:
        column = header.index(name)
        cut = max(0, min(excess, widths[column] - max(_NARROWEST, cell_len(name))))
        widths[column] -= cut
        excess -= cut
    names, sizes = [header[i] for i in columns], [widths[i] for i in columns]
    head = [Text(name, DIM) for name in names]
    body = [[row[i] for i in columns] for row in rows]
    return joined(_line(cells, sizes, names, right, gap, width) for cells in [head, *body])


def natural_widths(header: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    """The cells that each column needs to be shown whole."""
    return [max(cell_len(name), *(row[i].cell_len for row in rows), 0) for i, name in enumerate(header)]


def fits(header: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Whether the table can be shown whole."""
    return _total(natural_widths(header, rows), gap_for(width)) <= width


def gap_for(width: int) -> int:
    """The blanks between two columns: a narrow picture saves on them first."""
    return 2 if width >= 72 else 1


def _total(widths: Sequence[int], gap: int) -> int:
    return 1 + sum(widths) + gap * (len(widths) - 1)


def _line(
    cells: Sequence[Text], widths: Sequence[int], header: Sequence[str], right: frozenset[str], gap: int, width: int
) -> Text:
    parts = [Text(" ")]
    for cell, size, name in zip(cells, widths, header, strict=True):
        cut = fitted(cell.copy(), size)
        blank = Text(" " * (size - cut.cell_len))
        parts += [blank, cut] if name in right else [cut, blank]
        parts.append(Text(" " * gap))
    line = Text.assemble(*parts)
    line.rstrip()
    return fitted(line, width)
