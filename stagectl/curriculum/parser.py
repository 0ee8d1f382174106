"""Criteria parsed from text into the tree of `language.py`.

condition  = conjunction {"or" conjunction}
conjunction = negation {"and" negation}
negation   = "not" negation | "(" condition ")" | comparison
           | plateau(series, over=STEPS, less_than=NUMBER) | sustained(condition, for=STEPS)
comparison = value (">=" | ">" | "<=" | "<") value
value      = NUMBER | counter | performance | metric("name") | aggregate
aggregate  = mean | min | max | std "(" series, last=EPISODES ")" | ema(series, SMOOTHING)
           | lower_bound(series, CONFIDENCE [, last=EPISODES])
series     = score | success | performance | metric("name")
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from stagectl.curriculum.fields import parse_number
from stagectl.curriculum.language import (
    AGGREGATES,
    CONDITIONS,
    COUNTERS,
    SERIES,
    Aggregate,
    And,
    Compare,
    Condition,
    Counter,
    Not,
    Number,
    Or,
    Plateau,
    Series,
    Sustained,
    Value,
)
from stagectl.errors import nearest


def parse_condition(text: Any) -> Condition:
    """Parse and check a criterion.

    Raises:
        ValueError: What is wrong, with its column (from 1).
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"expected a criterion as text, as in 'performance >= 0.8', found {text!r}")
    parser = _Parser(text)
    condition = parser.condition()
    if parser.kind != "end":
        parser.fail(f"expected 'and', 'or' or the end, found {parser.found()}")
    return condition


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[kKMG]?(?!\w))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<sign>>=|<=|=>|=<|==|!=|&&|\|\||[<>=(),&|!%≥≤-])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)


_MEANT = {
    word: word_here  # how other languages write what this one has
    for word_here, words in {
        "and": ("&", "&&", "AND"),
        "or": ("|", "||", "OR"),
        "not": ("!", "NOT"),
        ">=": ("=>", "≥"),
        "<=": ("=<", "≤"),
    }.items()
    for word in words
}


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = 0
        self._depth = 0
        self.kind = self.token = ""
        self.advance()

    def advance(self) -> str:
        """Go on to the next token; the one before."""
        before = self.token
        match = _TOKEN.match(self._text, self._next)
        if match is None:
            self._start = self._next + len(self._text[self._next :]) - len(self._text[self._next :].lstrip())
            self.fail(f"'{self._text[self._start]}' means nothing here")
        self.kind = str(match.lastgroup)
        self._start, self._next = match.start(self.kind), match.end()
        self.token = match.group(self.kind)
        return before

    def fail(self, message: str, column: int | None = None) -> NoReturn:
        raise ValueError(f"column {(self._start if column is None else column) + 1}: {message}")

    def take(self, sign: str) -> None:
        if self.token != sign or self.kind == "text":
            self.fail(f"expected '{sign}', found {self.found()}")
        self.advance()

    def found(self) -> str:
        """The token, and what to write for it where that is known."""
        meant = f"; write {_MEANT[self.token]}" if self.token in _MEANT and self.kind != "text" else ""
        return f"'{self.token}'{meant}" if self.token else "the end"

    def condition(self) -> Condition:
        self._depth += 1
        if self._depth > 50:
            self.fail("nested more than 50 deep")
        parts = [self._conjunction()]
        while self._is_word("or"):
            self.advance()
            parts.append(self._conjunction())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._is_word("and"):
            self.advance()
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Condition:
        if self._is_word("not"):
            self._depth += 1
            if self._depth > 50:
                self.fail("nested more than 50 deep")
            self.advance()
            condition = Not(self._negation())
            self._depth -= 1
            return condition
        if self.token == "(" and self.kind == "sign":
            self.advance()
            condition_ = self.condition()
            self.take(")")
            return condition_
        if self.kind == "name" and self.token in CONDITIONS:
            return self._plateau() if self.token == "plateau" else self._sustained()
        return self._comparison()

    def _comparison(self) -> Compare:
        start = self._start
        left = self._value()
        if self.token in ("=", "==", "!="):
            self.fail("numbers that are measured are never compared for equality; write >= or <=")
        if self.token not in (">=", ">", "<=", "<") or self.kind != "sign":
            self.fail(f"expected a comparison (>=, >, <=, <), found {self.found()}")
        operator = self.advance()
        right = self._value()
        if isinstance(left, Number) and isinstance(right, Number):
            self.fail("compares two numbers, which never changes", start)
        if self.token in (">=", ">", "<=", "<") and self.kind == "sign":
            self.fail("comparisons do not chain; join two of them with 'and'")
        return Compare(left, operator, right)

    def _value(self) -> Value:
        if self.kind == "number" or self.token == "-":
            return self._number()
        if self.kind != "name":
            self.fail(f"expected a number or a term, found {self.found()}")
        name = self.token
        if name in COUNTERS:
            self.advance()
            return Counter(name)
        if name in AGGREGATES:
            return self._aggregate()
        series = self._series()
        if series.name == "score" and not series.is_metric:
            self.fail(f"'{name}' is a value an episode; say of which: mean({name}, last=100)")
        return series

    def _series(self) -> Series:
        if self.kind != "name":
            self.fail(f"expected a series (score, performance or metric(…)), found {self.found()}")
        name = self.token
        if name == "metric":
            self.advance()
            self.take("(")
            if self.kind != "text":
                self.fail("expected a metric's name in quotes")
            metric = self.advance()[1:-1]
            if not metric:
                self.fail("the metric's name is empty")
            self.take(")")
            return Series(metric, is_metric=True)
        if name in _MEANT:
            self.fail(f"expected a number or a term, found {self.found()}")
        if name not in SERIES:
            known = (*COUNTERS, *SERIES, *AGGREGATES, *CONDITIONS, "metric")
            self.fail(f"unknown term '{name}'; {nearest(name, known)}; a logged metric is metric(\"{name}\")")
        self.advance()
        return Series("score" if name == "success" else name)

    def _aggregate(self) -> Aggregate:
        function = self.advance()
        self.take("(")
        series = self._series()
        parameter: float | None = None
        last: int | None = None
        if function in ("ema", "lower_bound"):
            what = "smoothing" if function == "ema" else "confidence"
            self._comma(f"{function}(series, {what})")
            start = self._start
            parameter = self._number().value
            low_open = 0 < parameter < 1 or (function == "ema" and parameter == 1)
            if not low_open:
                self.fail(f"the {what} must lie between 0 and 1", start)
        if function != "ema" and (self.token == "," or function != "lower_bound"):
            self._comma(f"{function}({series}, last=100)")
            last = self._named_whole("last")
        self.take(")")
        return Aggregate(function, series, last, parameter)

    def _plateau(self) -> Plateau:
        self.advance()
        self.take("(")
        series = self._series()
        self._comma("plateau(series, over=100k, less_than=0.01)")
        over = self._named_whole("over")
        self._comma("plateau(series, over=100k, less_than=0.01)")
        self._keyword("less_than")
        start = self._start
        less_than = self._number().value
        if less_than <= 0:
            self.fail("less_than= must be above 0: nothing moves by less than nothing", start)
        self.take(")")
        return Plateau(series, over, less_than)

    def _sustained(self) -> Sustained:
        self.advance()
        self.take("(")
        condition = self.condition()
        self._comma("sustained(condition, for=20k)")
        steps = self._named_whole("for")
        self.take(")")
        return Sustained(condition, steps)

    def _comma(self, shape: str) -> None:
        if self.token != ",":
            self.fail(f"expected ',' as in {shape}")
        self.advance()

    def _keyword(self, name: str) -> None:
        if self.token != name or self.kind != "name":
            self.fail(f"expected {name}=, found {self.found()}")
        self.advance()
        self.take("=")

    def _named_whole(self, name: str) -> int:
        self._keyword(name)
        start = self._start
        value = self._number().value
        if value < 1 or not float(value).is_integer():
            self.fail(f"{name}= must be a whole number from 1", start)
        return int(value)

    def _number(self) -> Number:
        start, sign = self._start, "-" if self.token == "-" else ""
        if sign:
            self.advance()
        if self.kind != "number":
            self.fail(f"expected a number, found {self.found()}")
        text = sign + self.advance()
        try:
            number = parse_number(text)
        except ValueError as error:
            self.fail(str(error), start)
        if self.token == "%":
            self.fail(f"'{text}%' is no number; write {number / 100:g}", start)
        return Number(number, text)

    def _is_word(self, word: str) -> bool:
        return self.kind == "name" and self.token == word
