"""Reading configuration: a table of field → reader, every fault reported together, unknown keys named.

A reader turns a value as YAML gives it into the value that the program uses, or raises ValueError with the
reason. Only the standard library: a training environment needs no more than this to read its recipe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stagectl.errors import Fault, Path, nearest

Reader = Callable[[Any], Any]

_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKMG]?)")
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}


def read_fields(
    fields: Mapping[str, Reader], data: Mapping[str, Any], path: Path, faults: list[Fault]
) -> dict[str, Any]:
    """The fields that `data` has, read; what is wrong is added to `faults` with its path."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in fields:
            faults.append(Fault((*path, key), f"unknown key; {nearest(str(key), fields)}"))
            continue
        try:
            values[key] = fields[key](value)
        except ValueError as error:
            faults.append(Fault((*path, key), str(error)))
    return values


def parse_number(value: Any) -> float:
    """A number as recipes write it: `0.8`, `1e6`, `400_000`, `100k`, `2M`. Booleans, NaN and infinity are refused."""
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match is None:
            share = _NUMBER.fullmatch(value.strip().removesuffix("%")) if "%" in value else None
            hint = f"; write {parse_number(share[0]) / 100:g}" if share else ""
            raise ValueError(f"expected a number, found {value!r}{hint}")
        text, suffix = match.group(1).replace("_", ""), match.group(2)
        number = float(text) * _SCALE[suffix]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _float(value)
    else:
        raise ValueError(f"expected a number, found {_shown(value)}")
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {value!r:.40}")
    return number


def number(low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Reader:
    """A number in [low, high] and greater than `above`."""

    def read(value: Any) -> float:
        result = parse_number(value)
        if not low <= result <= high or result <= above:
            raise ValueError(f"{_shown(value)} is outside {_interval(low, high, above)}")
        return result

    return read


def whole(low: int = 0) -> Reader:
    """A whole number of at least `low`."""

    def read(value: Any) -> int:
        result = parse_number(value)
        if not result.is_integer():
            raise ValueError(f"expected a whole number, found {_shown(value)}")
        if result < low:
            raise ValueError(f"{_shown(value)} is less than {low}")
        return int(result)

    return read


def record(table: Mapping[str, Reader], value: Any, *, needs: Sequence[str] = (), shape: str = "") -> dict[str, Any]:
    """The fields of a small mapping of that shape; `needs` must be there. What is wrong is one ValueError."""
    faults: list[Fault] = []
    read = read_fields(table, plain_mapping(value), (), faults)
    missing = [key for key in needs if key not in read]
    if missing and not faults:
        raise ValueError(f"lacks {', '.join(missing)}; expected {shape}")
    if faults:
        raise ValueError("; ".join(map(str, faults)))
    return read


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, found {_shown(value)}")
    if not value.strip():
        raise ValueError("is empty")
    check_plain(value)
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {_shown(value)}")
    return value


def one_of(*known: str) -> Reader:
    def read(value: Any) -> str:
        if value not in known:
            close = nearest(str(value), known)
            hint = f"; {close}" if close.startswith("did you mean") else ""
            raise ValueError(f"{_shown(value)} is not one of {', '.join(known)}{hint}")
        return str(value)

    return read


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, found {_shown(value)}")
    return dict(value)


def plain_mapping(value: Any) -> dict[str, Any]:
    """A mapping that an event log can hold, however deep."""
    check_plain(value)
    return mapping(value)


def check_plain(value: Any) -> None:
    """ValueError where an event log and a resolved recipe could not hold the value: JSON has no infinity."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            check_plain(key)
            check_plain(below)
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"has half a character in {value!r}")
    elif isinstance(value, Sequence):
        for below in value:
            check_plain(below)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"has {value!r}, which no JSON can hold; write it as text")


def list_of_text(value: Any) -> tuple[str, ...]:
    return tuple(text(item) for item in sequence(value))


def sequence(value: Any) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"expected a list, found {_shown(value)}")
    return list(value)


def optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of over 308 digits
        return math.inf


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    return repr(value)


def _interval(low: float, high: float, above: float) -> str:
    opening = f"({above:g}" if above > low else f"[{low:g}"
    return f"{opening}, {high:g}]" if math.isfinite(high) else f"{opening}, ∞)"
