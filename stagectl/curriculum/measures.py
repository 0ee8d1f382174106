"""What a criterion measures: numbers kept over the values that come in, boundary by boundary.

All values of one step boundary are one batch, and equally old; nothing here depends on their order. A window holds
whole batches: the fewest of the newest that have at least `last` values, and is undefined before there are so many.
Undefined is NaN.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, Protocol

from stagectl.curriculum.language import Aggregate, Plateau
from stagectl.curriculum.smoothing import Ema, mean_of


class Measure(Protocol):
    """A number, or for a plateau whether it is one (1 or 0), over a series' values so far."""

    @property
    def value(self) -> float: ...

    def add(self, step: int, values: Sequence[float]) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def measure_of(node: Aggregate | Plateau) -> Measure:
    """The measure that a node of a criterion asks for."""
    if isinstance(node, Plateau):
        return Halves(node.over, node.less_than)
    if node.function == "ema":
        return Average(node.parameter or 1.0)
    if node.function == "lower_bound" and node.last is None:
        return WholeBound(node.parameter or 0.5)
    return Window(node.function, node.last or 1, node.parameter)


class Window:
    """Mean, least, greatest, standard deviation or lower bound of the newest values."""

    def __init__(self, function: str, last: int, parameter: float | None) -> None:
        self._function = function
        self._last = last
        self._parameter = parameter
        self._batches: deque[list[float]] = deque()
        self._count = 0

    def add(self, step: int, values: Sequence[float]) -> None:
        self._batches.append(sorted(values))
        self._count += len(values)
        while self._count - len(self._batches[0]) >= self._last:
            self._count -= len(self._batches.popleft())

    @property
    def value(self) -> float:
        if self._count < self._last:
            return math.nan
        values = [value for batch in self._batches for value in batch]
        match self._function:
            case "mean":
                return mean_of(values)
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "std":
                mean = mean_of(values)
                return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / len(values))
        return wilson_lower_bound(mean_of(values), len(values), self._parameter or 0.5)

    def state_dict(self) -> dict[str, Any]:
        return {"batches": list(self._batches)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._batches = deque([float(value) for value in batch] for batch in state["batches"])
        self._count = sum(map(len, self._batches))


class Average:
    """The exponential moving average."""

    def __init__(self, smoothing: float) -> None:
        self._ema = Ema(smoothing)

    def add(self, step: int, values: Sequence[float]) -> None:
        self._ema.add_together(values)

    @property
    def value(self) -> float:
        return self._ema.value

    def state_dict(self) -> dict[str, Any]:
        return self._ema.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._ema.load_state_dict(state)


class WholeBound:
    """The lower bound of the success rate over all values so far."""

    def __init__(self, confidence: float) -> None:
        self._confidence = confidence
        self._count = 0
        self._sum = 0.0

    def add(self, step: int, values: Sequence[float]) -> None:
        self._count += len(values)
        self._sum += math.fsum(values)

    @property
    def value(self) -> float:
        if self._count == 0:
            return math.nan
        return wilson_lower_bound(self._sum / self._count, self._count, self._confidence)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self._count, "sum": self._sum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._count, self._sum = int(state["count"]), float(state["sum"])


class Halves:
    """Whether the mean moved by less than `less_than` from the first half of the last `over` steps to the second.

    Values are kept in bins of `over / 64` steps, so that the memory is bounded however often they come.
    """

    BINS = 64

    def __init__(self, over: int, less_than: float) -> None:
        self._over = over
        self.less_than = less_than
        self._width = max(1, over // self.BINS)
        self._bins: deque[tuple[int, int, float]] = deque()  # bin, count, sum
        self._first_step: int | None = None
        self._step = 0

    def add(self, step: int, values: Sequence[float]) -> None:
        if self._first_step is None:
            self._first_step = step
        self._step = step
        index = step // self._width
        if self._bins and self._bins[-1][0] == index:
            _, count, total = self._bins.pop()
            self._bins.append((index, count + len(values), total + math.fsum(values)))
        else:
            self._bins.append((index, len(values), math.fsum(values)))
        oldest = (step - self._over) // self._width
        while self._bins[0][0] < oldest:
            self._bins.popleft()

    @property
    def value(self) -> float:
        if self._first_step is None or self._step - self._first_step < self._over:
            return math.nan
        middle = (self._step - self._over / 2) / self._width
        old, new = ([b for b in self._bins if (b[0] < middle) is side] for side in (True, False))
        if not old or not new:
            return math.nan
        first, second = (math.fsum(b[2] for b in half) / sum(b[1] for b in half) for half in (old, new))
        return float(abs(second - first) < self.less_than)

    def state_dict(self) -> dict[str, Any]:
        return {"bins": [list(b) for b in self._bins], "first_step": self._first_step, "step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bins = deque((int(index), int(count), float(total)) for index, count, total in state["bins"])
        self._first_step, self._step = state["first_step"], int(state["step"])


def wilson_lower_bound(rate: float, count: int, confidence: float) -> float:
    """The lower end of the Wilson score interval, one-sided at that confidence (Wilson 1927).

    Args:
        rate: The share of successes, in [0, 1].
        count: The number of trials.
        confidence: In (0, 1); the true rate lies above the bound with that probability.
    """
    z = NormalDist().inv_cdf(confidence)
    centre = rate + z * z / (2 * count)
    spread = z * math.sqrt(max(rate * (1 - rate), 0.0) / count + z * z / (4 * count * count))
    bound = (centre - spread) / (1 + z * z / count)
    return min(max(bound, 0.0), rate) if z > 0 else bound  # whatever is rounded: of no success it is 0, and not above
