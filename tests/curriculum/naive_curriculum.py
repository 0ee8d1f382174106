"""The curriculum a second time, as plainly as it can be said: everything recomputed from the whole history.

Shares no code and no arithmetic with the package: means are sums over written-out weights, not recurrences; a
window is cut out of the history; a sustained condition asks every step boundary again. Criteria are nested tuples
(`random_recipes.py` writes them out for the package to parse), undefined is None, and truth has three values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

DEFAULTS: dict[str, Any] = {
    "transition_criteria": "performance",
    "advance_when": None,
    "performance_threshold": 0.8,
    "time_threshold_steps": 100_000,
    "transition_smoothing": 0.1,
    "ema": "corrected",
    "max_steps": None,
    "on_timeout": "fail",
    "next": None,
    "demote": None,
    "max_visits": None,
    "done": "all",
}
OF_THE_GROUP = {"max_steps", "on_timeout"}
SAYS_WHEN = {"transition_criteria", "advance_when", "performance_threshold", "time_threshold_steps", "next", "done"}

Batch = tuple[int, Sequence[float]]  # the step of a boundary, and what came with it


def weighted_mean(scores: Sequence[float], smoothing: float, *, zero_start: bool = False) -> float:
    """The newest score weighs `a`, the one before `a·(1−a)`, …; what is left weighs 0, or is not there."""
    return moving_average([[score] for score in scores], smoothing, zero_start=zero_start)


def moving_average(batches: Sequence[Sequence[float]], smoothing: float, *, zero_start: bool = False) -> float:
    """The weighted mean, where those that came together share the weight that they would have had one by one."""
    pairs: list[tuple[float, float]] = []
    newer = 0
    for batch in reversed(batches):
        weights = [smoothing * (1 - smoothing) ** (newer + k) for k in range(len(batch))]
        pairs += [(math.fsum(weights) / len(batch), score) for score in batch]
        newer += len(batch)
    total = math.fsum(weight * score for weight, score in pairs)
    return total if zero_start else total / math.fsum(weight for weight, _ in pairs)


@functools.cache
def normal_quantile(share: float) -> float:
    """By halving, from the error function."""
    low, high = -10.0, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + math.erf(middle / math.sqrt(2))) / 2 < share else (low, middle)
    return (low + high) / 2


def wilson(rate: float, count: int, confidence: float) -> float:
    """The lesser root of (rate − p)² = z²·p·(1 − p)/count."""
    z2 = normal_quantile(confidence) ** 2 / count
    a, b, c = 1 + z2, -(2 * rate + z2), rate * rate
    return (-b - math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)


def is_plateau(batches: Sequence[Batch], over: int, less_than: float) -> tuple[bool | None, float]:
    """Whether it is one, and how near a call that was. The halves are cut between bins of 64ths."""
    if not batches or batches[-1][0] - batches[0][0] < over:
        return None, math.inf
    width, now = max(1, over // 64), batches[-1][0]
    halves: tuple[list[float], list[float]] = ([], [])
    for step, values in batches:
        if step // width >= (now - over) // width:
            halves[step // width >= (now - over / 2) / width].extend(values)
    if not halves[0] or not halves[1]:
        return None, math.inf
    old, new = (math.fsum(half) / len(half) for half in halves)
    return abs(new - old) < less_than, abs(abs(new - old) - less_than)


class Part:
    """A stage, a member of a group, or a group: its settings and what it has to do with."""

    def __init__(self, settings: dict[str, Any], top: int, plays: list[str]) -> None:
        self.settings = settings
        self.name = settings["name"]
        self.top = top
        self.plays = plays  # the names of what it plays: its own, or its members'


class Naive:
    def __init__(self, config: dict[str, Any], between_steps: bool) -> None:
        self.between_steps = between_steps
        self.tops: list[Part] = []
        self.played: list[Part] = []
        shared = {key: value for key, value in config.items() if key not in ("stages", "start")}
        for index, entry in enumerate(config["stages"]):
            self._add(entry, shared, index, last=index == len(config["stages"]) - 1)
        self.names = [top.name for top in self.tops]
        self.current = self.names.index(config["start"]) if "start" in config else 0
        self.steps = self.entered_step = self.total_episodes = 0
        self.visits = [int(index == self.current) for index in range(len(self.tops))]
        self.began = dict.fromkeys([*self.names, *[part.name for part in self.played]], 0)
        self.history: list[dict[str, Any]] = []  # of each boundary: step, scores by name, metrics, episodes, active
        self.pending: list[tuple[str, float, bool]] = []
        self.pending_metrics: list[tuple[str, float]] = []
        self.manual: int | None = None
        self.decided_at: int | None = None
        self.over = False
        self.nearest_call = math.inf  # how near a measured number ever came to what it is compared with

    def _add(self, entry: dict[str, Any], shared: dict[str, Any], index: int, *, last: bool) -> None:
        if "parallel" not in entry:
            settings = self._settled(entry, shared)
            if last and not SAYS_WHEN & set(entry):
                settings |= {"transition_criteria": None, "advance_when": None}
            part = Part(settings, index, [settings["name"]])
            self.tops.append(part)
            self.played.append(part)
            return
        handed_on = {key: value for key, value in {**shared, **entry}.items() if key in DEFAULTS | {"min_episodes": 0}}
        if "transition_criteria" in entry and "advance_when" not in entry:
            handed_on["advance_when"] = None
        for_members = {k: v for k, v in handed_on.items() if k not in (*OF_THE_GROUP, "next", "max_visits", "done")}
        members = [Part(self._settled(m, for_members), index, [m["name"]]) for m in entry["parallel"]]
        settings = {**self._settled(entry, shared), "transition_criteria": "group", "advance_when": None}
        if last and not any(SAYS_WHEN & set(said) for said in (entry, *entry["parallel"])):
            for part in members:
                part.settings |= {"transition_criteria": None, "advance_when": None}
            settings["transition_criteria"] = None
        self.tops.append(Part(settings, index, [member.name for member in members]))
        self.played += members

    @staticmethod
    def _settled(entry: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
        settings = {**DEFAULTS, **shared, **entry}
        if "transition_criteria" in entry and "advance_when" not in entry:
            settings["advance_when"] = None
        settings.setdefault("min_episodes", max(1, round(1 / settings["transition_smoothing"])))
        settings.setdefault("name", settings.get("curriculum"))
        return settings

    # ── what it is told ─────────────────────────────────────────────────────────────────────────────────────

    def complete(self, name: str | None, visit: int | None, score: float) -> tuple[Any, ...] | None:
        """An episode of the stage of that name (None: the current one), begun in that visit (None: in the last)."""
        part = self._played_part(name) or self._played_part(self.tops[self.current].plays[0])
        assert part is not None
        counts = visit is None or visit == self.visits[part.top]
        self.pending.append((part.name, score, counts))
        return None if self.between_steps else self._boundary()

    def tell_steps(self, steps: int) -> tuple[Any, ...] | None:
        if self.between_steps and steps == self.decided_at:
            return None
        self.steps = self.decided_at = steps
        return self._boundary()

    def tell_metric(self, name: str, value: float) -> None:
        self.pending_metrics.append((name, value))

    def request(self, name: str | None) -> None:
        if name is not None:
            self.manual = self.names.index(name)
            return
        ways = [to for to, _, reason in self._ways() if reason != "demotion" and self._may_enter(to)]
        self.manual = ways[0] if ways else self.current + 1

    def visit_of(self, name: str) -> int:
        part = self._played_part(name)
        assert part is not None
        return self.visits[part.top]

    def _played_part(self, name: str | None) -> Part | None:
        return next((part for part in self.played if part.name == name), None)

    # ── what it answers ─────────────────────────────────────────────────────────────────────────────────────

    def performance(self, part: Part) -> float | None:
        return self._average(part, len(self.history))

    def episodes(self, part: Part) -> int:
        return sum(len(values) for _, values in self._scores(part, len(self.history)))

    def shown_performance(self) -> float | None:
        """The current stage's; a group's is of all its members' episodes together."""
        return self.performance(self.tops[self.current])

    # ── a boundary ──────────────────────────────────────────────────────────────────────────────────────────

    def _boundary(self) -> tuple[Any, ...] | None:
        self.total_episodes += len(self.pending)
        scores: dict[str, list[float]] = {}
        for name, score, counts in self.pending:
            if counts:
                scores.setdefault(name, []).append(score)
        top = self.tops[self.current]
        self.history.append(
            {
                "step": self.steps,
                "scores": scores,
                "metrics": list(self.pending_metrics),
                "active": {top.name, *top.plays},
                "total_episodes": self.total_episodes,
            }
        )
        self.pending.clear()
        self.pending_metrics.clear()
        return None if self.over else self._decide()

    def _decide(self) -> tuple[Any, ...] | None:
        if self.manual is not None:
            to, self.manual = self.manual, None
            return self._go(to, "manual")
        top, now = self.tops[self.current], len(self.history)
        for to, condition, reason in self._ways():
            if self._may_enter(to) and (self._group_done() if condition is None else self.truth(condition, top, now)):
                return self._go(to, reason)
        settings = top.settings
        if settings["max_steps"] is None or self.steps - self.entered_step < settings["max_steps"]:
            return None
        if settings["on_timeout"] == "advance" and self._may_enter(self.current + 1):
            return self._go(self.current + 1, "timeout")
        if isinstance(settings["on_timeout"], dict):
            to = self.names.index(settings["on_timeout"]["goto"])
            if self._may_enter(to):
                return self._go(to, "timeout")
        return self._finish("stopped" if settings["on_timeout"] == "stop" else "failed", "timeout")

    def _ways(self) -> list[tuple[int, Any, str]]:
        """Where to, the condition (None: that the group is done), the reason."""
        top = self.tops[self.current]
        own, settings = self.own_condition(top), top.settings
        by_itself = "advance_when" if settings["advance_when"] else settings["transition_criteria"]
        by_itself = f"{settings['done']} done" if by_itself == "group" else by_itself
        ways: list[tuple[int, Any, str]] = []
        for edge in settings["next"] or []:
            to = len(self.tops) if edge["to"] == "end" else self.names.index(edge["to"])
            ways.append((to, edge["when"].tree, f"next: {edge['when']}") if "when" in edge else (to, own, by_itself))
        if not settings["next"] and by_itself is not None:
            ways.append((self.current + 1, own, by_itself))
        demote = settings["demote"]
        if demote:
            low = ("number", demote["below"]) if "below" in demote else ("best minus", demote["margin"])
            condition = ("sustained", ("compare", ("performance",), "<", low), demote["patience"])
            ways.append((self.names.index(demote["to"]), condition, "demotion"))
        return ways

    def own_condition(self, part: Part) -> Any:
        settings = part.settings
        if settings["advance_when"]:
            return settings["advance_when"].tree
        enough = ("compare", ("counter", "episodes"), ">=", ("number", settings["min_episodes"]))
        performance = ("and", [("compare", ("performance",), ">=", ("threshold",)), enough])
        time = ("compare", ("counter", "steps"), ">=", ("number", settings["time_threshold_steps"]))
        forms = {
            "performance": performance,
            "time": time,
            "both": ("and", [performance, time]),
            "either": ("or", [performance, time]),
        }
        return forms.get(settings["transition_criteria"])

    def done_members(self) -> set[str]:
        """The members whose criterion held at some boundary of this visit."""
        top = self.tops[self.current]
        members = [part for part in self.played if part.name in top.plays]
        boundaries = range(self.began[top.name] + 1, len(self.history) + 1)
        return {m.name for m in members if any(self.truth(self.own_condition(m), m, now) for now in boundaries)}

    def _group_done(self) -> bool:
        top = self.tops[self.current]
        done = self.done_members()
        return bool(done) if top.settings["done"] == "any" else len(done) == len(top.plays)

    def _may_enter(self, to: int) -> bool:
        limit = self.tops[to].settings["max_visits"] if to < len(self.tops) else None
        return limit is None or self.visits[to] < limit

    def _go(self, to: int, reason: str) -> tuple[Any, ...]:
        if to == len(self.tops):
            return self._finish("completed", reason)
        left, performance, threshold = self.current, self.shown_performance(), self.threshold_in_force()
        self.current, self.entered_step = to, self.steps
        self.visits[to] += 1
        for name in (self.names[to], *self.tops[to].plays):
            self.began[name] = len(self.history)
        return (left, to, self.steps, reason, performance, threshold)

    def _finish(self, outcome: str, reason: str) -> tuple[Any, ...]:
        self.over = True
        return (outcome, self.current, self.steps, reason, self.shown_performance(), self.threshold_in_force())

    def threshold_in_force(self) -> float | None:
        top = self.tops[self.current]
        if top.settings["advance_when"] or top.settings["transition_criteria"] not in ("performance", "both", "either"):
            return None
        return self._threshold(top, len(self.history))

    # ── what a part has seen until a boundary, of which there are `now` ─────────────────────────────────────

    def _seen(self, part: Part, now: int) -> Iterable[dict[str, Any]]:
        return self.history[self.began[part.name] : now]

    def _scores(self, part: Part, now: int) -> list[Batch]:
        batches = (
            (b["step"], [s for name in part.plays for s in b["scores"].get(name, [])]) for b in self._seen(part, now)
        )
        return [(step, values) for step, values in batches if values]

    def _series(self, series: Any, part: Part, now: int) -> list[Batch]:
        if series[0] == "score":
            return self._scores(part, now)
        if series[0] == "metric":
            seen = [b for b in self._seen(part, now) if part.name in b["active"]]
            return [(b["step"], [value]) for b in seen for name, value in b["metrics"] if name == series[1]]
        scores = self._scores(part, now)
        told = [sum(len(values) for _, values in scores[: at + 1]) for at in range(len(scores))]
        return [
            (step, [self._smoothed(part, scores[: at + 1])])
            for at, (step, _) in enumerate(scores)
            if told[at] >= part.settings["min_episodes"]
        ]

    def _smoothed(self, part: Part, scores: list[Batch]) -> float:
        zero_start = part.settings["ema"] == "zero_start"
        return moving_average([v for _, v in scores], part.settings["transition_smoothing"], zero_start=zero_start)

    def _average(self, part: Part, now: int) -> float | None:
        scores = self._scores(part, now)
        return self._smoothed(part, scores) if scores else None

    def _best(self, part: Part, now: int) -> float | None:
        scores, best, count = self._scores(part, now), None, 0
        for at, (_, values) in enumerate(scores):
            count += len(values)
            if count >= part.settings["min_episodes"]:
                value = self._smoothed(part, scores[: at + 1])
                best = value if best is None else max(best, value)
        return best

    def _threshold(self, part: Part, now: int) -> float | None:
        threshold = part.settings["performance_threshold"]
        if not isinstance(threshold, dict):
            return float(threshold)
        if "from" in threshold:
            share = min(1.0, (self.history[now - 1]["step"] - self.entered_step) / threshold["over"])
            return float(threshold["from"] * (1 - share) + threshold["to"] * share)
        batches = self._series(("performance",), part, now)
        plateau, nearness = is_plateau(batches, threshold["over"], threshold["below_best"])
        self.nearest_call = min(self.nearest_call, nearness)
        best = self._best(part, now)
        return best - threshold["below_best"] if plateau and best is not None else None

    # ── truth: True, False, or None over nothing ────────────────────────────────────────────────────────────

    def truth(self, condition: Any, part: Part, now: int) -> bool | None:
        kind = condition[0]
        if kind == "compare":
            return self._compare(condition, part, now)
        if kind in ("and", "or"):
            truths = [self.truth(below, part, now) for below in condition[1]]
            settles = kind == "or"
            return settles if settles in truths else None if None in truths else not settles
        if kind == "not":
            below = self.truth(condition[1], part, now)
            return None if below is None else not below
        if kind == "plateau":
            plateau, nearness = is_plateau(self._series(condition[1], part, now), condition[2], condition[3])
            self.nearest_call = min(self.nearest_call, nearness)
            return plateau
        return self._sustained(condition, part, now)

    def _sustained(self, condition: Any, part: Part, now: int) -> bool | None:
        here = self.truth(condition[1], part, now)
        if not here:
            return here
        first = now
        while first - 1 > self.began[part.name] and self.truth(condition[1], part, first - 1):
            first -= 1
        return bool(self.history[now - 1]["step"] - self.history[first - 1]["step"] >= condition[2])

    def _compare(self, condition: Any, part: Part, now: int) -> bool | None:
        _, left_value, operator, right_value = condition
        left, right = (self.number(value, part, now) for value in (left_value, right_value))
        if left is None or right is None:
            return None
        exact = {"counter", "number", "metric"}
        if left_value[0] not in exact or right_value[0] not in exact:
            self.nearest_call = min(self.nearest_call, abs(left - right))
        return {">=": left >= right, ">": left > right, "<=": left <= right, "<": left < right}[operator]

    def number(self, value: Any, part: Part, now: int) -> float | None:
        kind = value[0]
        if kind == "number":
            return float(value[1])
        if kind == "counter":
            return self._count(value[1], part, now)
        if kind == "performance":
            enough = sum(len(v) for _, v in self._scores(part, now)) >= part.settings["min_episodes"]
            return self._average(part, now) if enough else None
        if kind == "metric":
            batches = self._series(value, part, now)
            return batches[-1][1][0] if batches else None
        if kind == "threshold":
            return self._threshold(part, now)
        if kind == "best minus":
            best = self._best(part, now)
            return None if best is None else best - value[1]
        return aggregate(value[1], self._series(value[2], part, now), value[3], value[4])

    def _count(self, name: str, part: Part, now: int) -> float:
        boundary = self.history[now - 1]
        return {
            "steps": boundary["step"] - self.entered_step,
            "episodes": sum(len(values) for _, values in self._scores(part, now)),
            "total_steps": boundary["step"],
            "total_episodes": boundary["total_episodes"],
            "visits": self.visits[part.top],
        }[name]


def aggregate(function: str, batches: Sequence[Batch], last: int | None, parameter: float | None) -> float | None:
    """Over the fewest newest batches that have `last` values; over all of them without `last`."""
    if function == "ema":
        assert parameter is not None
        return moving_average([values for _, values in batches], parameter) if batches else None
    values: list[float] = []
    for _, batch in reversed(batches):
        if last is not None and len(values) >= last:
            break
        values += batch
    if len(values) < (last or 1):
        return None
    mean = math.fsum(values) / len(values)
    if function == "lower_bound":
        assert parameter is not None
        return wilson(mean, len(values), parameter)
    spread = math.sqrt(math.fsum((v - w) ** 2 for v in values for w in values) / 2) / len(values)
    return {"mean": mean, "min": min(values), "max": max(values), "std": spread}[function]
