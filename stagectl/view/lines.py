"""Lines of a picture: of known width, aligned, never wrapped by the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from stagectl.view.console import stdout

LABEL_WIDTH = 13
DIM = "bright_black"

Part = tuple[str, str]
"""A piece of text and its style."""


def joined(lines: Iterable[Text]) -> Text:
    """Lines as one renderable, which the console crops rather than wraps."""
    result = Text("\n", no_wrap=True, overflow="crop", end="\n").join(lines)
    result.no_wrap, result.overflow = True, "crop"
    return result


def fitted(line: Text, width: int) -> Text:
    """The line, cut with an ellipsis where it is longer than `width` cells."""
    line.truncate(max(1, width), overflow="ellipsis")
    return line


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Text of exactly `width` cells, cut with an ellipsis or filled with blanks."""
    if cell_len(text) > width:
        cut = Text(text)
        cut.truncate(width, overflow="ellipsis")
        text = cut.plain
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def spread(left: Text, right: Text, width: int) -> Text:
    """Left part and right part at the two ends of a line; the left one gives way."""
    room = width - right.cell_len - 2
    left = fitted(left.copy(), room) if left.cell_len > room else left.copy()
    gap = max(1, width - left.cell_len - right.cell_len)
    return fitted(Text.assemble(left, " " * gap, right), width)


def labelled(
    label: str, parts: Sequence[Part], width: int, *, separator: str = " · ", label_width: int = LABEL_WIDTH
) -> list[Text]:
    """A dim label and parts after it, on as many lines as they need; a part longer than a line is wrapped."""
    room = max(8, width - 1 - label_width)
    lines: list[Text] = []
    for text, style in parts:
        part = Text(text, style)
        if lines and lines[-1].cell_len + cell_len(separator) + part.cell_len <= room:
            lines[-1] = Text.assemble(lines[-1], (separator, DIM), part)
        else:
            lines += _wrapped(part, room)
    heads = [padded(label, label_width), *[" " * label_width] * len(lines)]
    return [fitted(Text.assemble(" ", (head, DIM), line), width) for head, line in zip(heads, lines, strict=False)]


def bar(width: int, share: float, style: str, *, mark: float | None = None) -> Text:
    """A bar filled to `share`, with a mark at the share `mark`.

    What is filled never reaches the mark before the value does, whatever the rounding.
    """
    width = max(1, width)
    halves = int(min(max(share, 0.0), 1.0) * width * 2)
    cells = [("━" if 2 * i + 2 <= halves else "╾" if 2 * i + 1 == halves else "─") for i in range(width)]
    styles = [style if 2 * i < halves else DIM for i in range(width)]
    if mark is not None:
        at = min(width - 1, max(0, int(mark * width)))
        reached = share >= mark
        cells[at], styles[at] = ("╋", style) if reached else ("╂", "bold")
    return Text.assemble(*zip(cells, styles, strict=True))


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """A plain table: complete lines, columns two blanks apart; those named in `right` end flush."""
    table = [header, *rows]
    widths = [max(cell_len(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "  ".join(
            padded(cell, width, right=name in right) for cell, width, name in zip(row, widths, header, strict=True)
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(part: Text, width: int) -> list[Text]:
    return [part] if part.cell_len <= width else list(part.wrap(stdout(), width))
