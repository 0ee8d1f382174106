"""The language of criteria, as a tree: what `performance >= 0.8 and episodes >= 200 or steps >= 2M` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

COUNTERS = ("steps", "episodes", "total_steps", "total_episodes", "visits")
SERIES = ("score", "success", "performance")
AGGREGATES = ("mean", "min", "max", "std", "ema", "lower_bound")
CONDITIONS = ("plateau", "sustained")


@dataclass(frozen=True, slots=True)
class Number:
    value: float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Counter:
    """Whole numbers that the curriculum counts: `steps` and `episodes` are those in the stage."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Series:
    """Values over steps: the scores of the stage's episodes, its performance, or a logged metric."""

    name: str
    is_metric: bool = False

    def __str__(self) -> str:
        if not self.is_metric:
            return self.name
        quote = "'" if '"' in self.name else '"'
        return f"metric({quote}{self.name}{quote})"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A number made of a series' newest values; `parameter` is the smoothing or the confidence."""

    function: str
    series: Series
    last: int | None = None
    parameter: float | None = None

    def __str__(self) -> str:
        parameter = "" if self.parameter is None else f", {self.parameter!r}"
        return f"{self.function}({self.series}{parameter}{'' if self.last is None else f', last={self.last}'})"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The stage's `performance_threshold`, which may change with the steps in it; or `best_minus` below its best."""

    best_minus: float | None = None

    def __str__(self) -> str:
        return "threshold" if self.best_minus is None else f"best - {self.best_minus:g}"


Value = Number | Counter | Series | Aggregate | Threshold


@dataclass(frozen=True, slots=True)
class Compare:
    left: Value
    operator: str
    right: Value

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Plateau:
    """Over the last `over` steps the series' mean moved by less than `less_than` from the first half to the second."""

    series: Series
    over: int
    less_than: float

    def __str__(self) -> str:
        return f"plateau({self.series}, over={self.over}, less_than={self.less_than!r})"


@dataclass(frozen=True, slots=True)
class Sustained:
    """The condition held at every step boundary of the last `steps` steps."""

    condition: Condition
    steps: int

    def __str__(self) -> str:
        return f"sustained({self.condition}, for={self.steps})"


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition

    def __str__(self) -> str:
        return f"not ({self.condition})"


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({c})" if isinstance(c, Or) else str(c) for c in self.conditions)


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.conditions))


Condition = Compare | Plateau | Sustained | Not | And | Or


def walk(node: Condition | Value) -> Iterator[Condition | Value]:
    """Every node of the tree, the leaves before what they stand in."""
    match node:
        case And(conditions) | Or(conditions):
            for below in conditions:
                yield from walk(below)
        case Not(condition) | Sustained(condition):
            yield from walk(condition)
        case Compare(left, _, right):
            yield from walk(left)
            yield from walk(right)
        case Aggregate(_, series) | Plateau(series):
            yield from walk(series)
    yield node


def metrics_in(condition: Condition) -> list[str]:
    """The logged metrics that a condition names."""
    return [node.name for node in walk(condition) if isinstance(node, Series) and node.is_metric]
