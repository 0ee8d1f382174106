"""What the job's processes say to whoever reads the run's output."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """One line to the run's log, which standard output is."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"stagectl: {text}\n")
        sys.stdout.flush()
