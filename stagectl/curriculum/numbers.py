"""The numbers that training tells, checked: scores, metrics and step counts."""

from __future__ import annotations

import math
import operator
from typing import Any

from stagectl.errors import CurriculumError, Fault, ScoreError

LARGEST_SCORE = 1e100  # its square is finite too


def finite(number: Any) -> float | None:
    """The number; None where it is no finite one that can be averaged. A text is none, whatever it says."""
    try:
        value = math.nan if isinstance(number, str) else float(number)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if abs(value) <= LARGEST_SCORE else None


def not_finite(number: Any, what: str) -> ScoreError:
    """What is said of a number that is no finite one."""
    large = isinstance(number, (int, float)) and LARGEST_SCORE < abs(number) < math.inf
    reason = "too large to average" if large else "not a finite number"
    if isinstance(number, str):
        reason = "a text and not a number"
    return ScoreError(Fault((), f"{what} is {number!r:.40}, {reason}"))


def whole_steps(steps: Any) -> int:
    """A step count as a plain int, since numpy's whole numbers are no JSON. Raises CurriculumError."""
    try:
        return operator.index(int(steps) if isinstance(steps, float) and steps.is_integer() else steps)
    except TypeError:
        raise CurriculumError(Fault((), f"the step count is {steps!r}, not a whole number")) from None
