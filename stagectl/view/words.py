"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections.abc import Sequence

from stagectl.runs.liveness import age as age

NOTHING = "—"
NO_DATA = "no data"
HEIGHTS = "▁▂▃▄▅▆▇"
TIMEOUTS = {"advance": "then the next stage", "stop": "then the run stops", "fail": "then the run fails"}

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
_SPACES = {"\n", "\r", "\t", "\v", "\f", "\x85"}


def clean(text: object) -> str:
    """Text that came from a run, on one line and without anything that a terminal would obey."""
    return "".join(map(_harmless, _ESCAPE.sub("", str(text)))).strip()


def printable(line: str) -> str:
    """A line of a log as a terminal would leave it, without what a terminal would obey; tabs and blanks stay."""
    shown = line.rstrip("\r\n")
    if shown.isprintable():
        return shown
    shown = _ESCAPE.sub("", line).rstrip("\r\n").rpartition("\r")[2]
    return "".join(char if char == "\t" else _harmless(char) for char in shown)


def steps(count: int) -> str:
    """`77,840`; from a million on cut to one decimal: `1.2M`, `3G`."""
    for unit, letter in ((10**9, "G"), (10**6, "M")):
        if abs(count) >= unit:
            whole, tenth = divmod(abs(count) * 10 // unit, 10)
            sign = "-" if count < 0 else ""
            return f"{sign}{whole:,}{f'.{tenth}' if tenth else ''}{letter}"
    return f"{count:,}"


def short_steps(count: int) -> str:
    """As `steps`, and thousands rounded to one decimal: `20k`, `77.8k`; less than a million is never told as one."""
    if 10_000 <= abs(count) < 10**6:
        whole, tenth = divmod(min(round(abs(count) / 100), 9_999), 10)
        return f"{'-' if count < 0 else ''}{whole}{f'.{tenth}' if tenth else ''}k"
    return steps(count)


def duration(seconds: float) -> str:
    """`45s`, `1m 20s`, `2h 05m`, `3d 04h`."""
    total = int(max(0.0, seconds))
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02}s"
    if total < 86_400:
        return f"{total // 3600}h {total % 3600 // 60:02}m"
    return f"{total // 86_400}d {total % 86_400 // 3600:02}h"


def moment(when: float) -> str:
    """A wall-clock time here: `2026-11-25 09:03:17`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def score(value: float | None) -> str:
    """`0.81`, `12.4`, `1,240`; what is not there is a dash."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{_decimals(value)}f}"


def versus(value: float | None, target: float) -> tuple[str, str]:
    """A value and its target, with as many decimals as it takes not to round the one up to the other."""
    shown, goal = score(value), _exact(target)
    if value is None or not math.isfinite(value) or value >= target:
        return shown, goal
    decimals = _decimals(value)
    while decimals < 6 and float(f"{value:.{decimals}f}") >= target:
        decimals += 1
    return f"{value:,.{decimals}f}", goal


def dollars(amount: float) -> str:
    """`$0.42`, `$1,240`; what is less than half a cent is told as `< $0.01`."""
    if 0 < amount < 0.005:
        return "< $0.01"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def percent(share: float) -> str:
    """`19 %`; never 100 before the end."""
    return f"{math.floor(min(max(share, 0.0), 1.0) * 100 + 1e-9)} %"


def sparkline(
    samples: Sequence[tuple[int, float]], cells: int, *, low: float | None = None, high: float | None = None
) -> str:
    """A curve of (step, value) samples in at most `cells` characters of 7 heights.

    A cell shows the mean of the samples in its share of the steps, or the one before where it has none; the last
    cell shows the newest sample. `low` and `high` bound the heights; without them the samples do.
    """
    finite = [(step, value) for step, value in samples if math.isfinite(value)]
    if not finite or cells < 1:
        return NO_DATA if cells >= 1 else ""
    values = _resampled(finite, min(cells, len(finite)))
    low = min(values) if low is None else low
    high = max(values) if high is None else high
    if high <= low:
        return HEIGHTS[len(HEIGHTS) // 2] * len(values)
    return "".join(HEIGHTS[_height((value - low) / (high - low))] for value in values)


def _harmless(char: str) -> str:
    if char in _SPACES:
        return " "
    category = unicodedata.category(char)
    if category in ("Zl", "Zp"):
        return " "
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else char


def _decimals(value: float) -> int:
    size = abs(value)
    return 2 if size < 10 else 1 if size < 1000 else 0


def _exact(target: float) -> str:
    """A target as the recipe wrote it, with two decimals where it has fewer and is small."""
    decimals = _decimals(target)
    while decimals < 6 and not math.isclose(float(f"{target:.{decimals}f}"), target, rel_tol=1e-9):
        decimals += 1
    if float(target).is_integer() and abs(target) >= 10:
        decimals = 0
    return f"{target:,.{decimals}f}"


def _resampled(samples: list[tuple[int, float]], cells: int) -> list[float]:
    first, last = samples[0][0], samples[-1][0]
    span = max(1, last - first)
    buckets: list[list[float]] = [[] for _ in range(cells)]
    for step, value in samples:
        buckets[min(cells - 1, max(0, (step - first) * cells // span))].append(value)
    values: list[float] = []
    for bucket in buckets:
        values.append(math.fsum(bucket) / len(bucket) if bucket else (values[-1] if values else samples[0][1]))
    values[-1] = samples[-1][1]
    return values


def _height(share: float) -> int:
    return round(min(max(share, 0.0), 1.0) * (len(HEIGHTS) - 1))
