"""The console on standard output, and how much of a picture it may show."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Literal

from rich.console import Console, RenderableType

Progress = Literal["auto", "rich", "plain", "quiet"]
ProgressKind = Literal["rich", "plain", "quiet"]


@cache
def stdout() -> Console:
    """The console for what was asked for."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")  # a locale that has no such sign shows "?" and nothing fails
    return Console(highlight=False, markup=False, emoji=False)


def drawing() -> Console:
    """The console for a picture that somebody chose, also where standard output is no terminal."""
    return stdout() if sys.stdout.isatty() else Console(force_terminal=True, highlight=False, markup=False, emoji=False)


def progress_kind(wanted: Progress = "auto") -> ProgressKind:
    """How progress is shown: what was chosen, else a picture on a terminal that can draw one, else plain lines."""
    if wanted != "auto":
        return wanted
    return "rich" if _can_draw() and not os.environ.get("NO_COLOR") else "plain"


def show(picture: RenderableType, plain: str) -> None:
    """Print a picture on a terminal; elsewhere its plain text, whole: no line is wrapped or cut."""
    if _can_draw():
        stdout().print(picture)
    else:
        write_line(stdout(), plain)


def write_line(console: Console, line: str) -> None:
    """Write text as it is, and flush it at once."""
    console.file.write(line + "\n")
    console.file.flush()


def _can_draw() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
