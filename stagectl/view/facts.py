"""What there is to say about a run beside its stages: label and parts, for the picture and for plain text alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stagectl.curriculum import Stage, Term
from stagectl.curriculum.evidence import shown
from stagectl.errors import nearest
from stagectl.runs import ENDED, Away, Event, Liveness, RunStatus, Spending, judge, spending
from stagectl.runs.away import shown_state
from stagectl.runs.liveness import elapsed
from stagectl.runs.status import EVALUATION
from stagectl.view.estimate import budget_seconds, estimate_seconds
from stagectl.view.lines import DIM, Part
from stagectl.view.words import TIMEOUTS, age, clean, dollars, duration, score, short_steps, steps, versus

OLD_SECONDS = 10.0
WORRYING_SECONDS = 60.0
STATE_STYLES = {
    "starting": "cyan",
    "running": "green",
    "stalled": "yellow",
    "recovering": "yellow",
    "unfollowed": "yellow",
    "completed": "green",
    "budget_spent": "yellow",
    "stopped": "yellow",
    "failed": "red",
    "crashed": "red",
}
_SIGNS = {"completed": "✓", "failed": "✗", "crashed": "✗", "stopped": "■", "budget_spent": "■"}


@dataclass(frozen=True)
class Facts:
    """A run's state in words, its times and costs, judged once for a whole picture."""

    state: str
    detail: str
    elapsed: float
    rate: float | None
    silence: float
    away: Away | None
    seen: float  # how long ago SkyPilot said what it said last
    spending: Spending | None

    @property
    def over(self) -> bool:
        return self.state in ENDED

    @property
    def paid(self) -> Spending | None:
        """What it costs, where a price is known and it is not free."""
        return self.spending if self.spending and (self.spending.hourly or self.spending.total) else None

    @property
    def word(self) -> str:
        return self.state.replace("_", " ")

    @property
    def sign(self) -> str:
        return _SIGNS.get(self.state, "●")

    @property
    def style(self) -> str:
        return STATE_STYLES[self.state]


def judged(status: RunStatus, liveness: Liveness, now: float) -> Facts:
    """A run's state and times. An ended run's rate is its mean; a silent one has none."""
    state, detail = judge(status, liveness, now)
    over = state in ENDED
    seconds = elapsed(status, state, now)
    rate = status.rate if state == "running" else None
    if over:
        rate = status.step / seconds if seconds > 0 and status.step else None
    silence = max(0.0, now - status.last_time) if status.last_time else 0.0
    away = liveness.away
    seen = now - away.seen if away is not None else 0.0
    spent = spending(status, away, state, now)
    return Facts(state, clean(detail), seconds, rate, silence, away, seen, spent)


def sayings(status: RunStatus, facts: Facts) -> list[tuple[str, list[Part]]]:
    """Everything that is to be said now, most urgent last to be cut: label and parts."""
    said: list[tuple[str, list[Part]]] = []
    if facts.detail:
        said.append((facts.word, [(facts.detail, facts.style)]))
    if facts.away is not None:
        said.append(("cluster", _whereabouts(facts, facts.away)))
    if facts.paid:
        said.append(("cost", _cost(facts, facts.paid)))
    if status.stage is not None and not facts.over:
        said += _prospects(status)
    said += _evaluations(status)
    said += _troubles(status, facts)
    return said


def waiting(status: RunStatus) -> list[Part]:
    """What the current stage is waiting for: each term's value and target, and which block."""
    parts: list[Part] = []
    if status.target:
        parts.append((f"decided by {clean(status.target)}", ""))
    parts += [term_part(term) for term in status.waiting_for()]
    if not parts:
        parts.append(("the end of the step budget" if status.total_timesteps else "the end of training", ""))
    return parts


def term_numbers(term: Term) -> tuple[str, str]:
    """A term's value and target as they are shown; whole numbers are counts."""
    if term.value == int(term.value) and term.target == int(term.target) and "performance" not in term.name:
        return steps(int(term.value)), steps(int(term.target))
    return versus(term.value, term.target)


def limit(stage: Stage, inside: int) -> list[Part]:
    """A stage's way out: how far it may go without reaching its criterion, and what happens then."""
    if stage.max_steps is None:
        return []
    near = inside >= 0.8 * stage.max_steps
    then = f"then {clean(stage.goto)}" if stage.goto else TIMEOUTS[stage.on_timeout]
    text = f"{steps(inside)} of {steps(stage.max_steps)} steps, {then}"
    return [(text, "yellow" if near else "")]


def is_applied(status: RunStatus) -> bool:
    """Whether the training process said that it trains in the current stage."""
    return status.stage is not None and status.stage.applied


def resumed_words(event: Event) -> str:
    """How a later attempt began: `goes on from step 61,440: the training process was killed by SIGKILL …`."""
    where = "begins again at step 0" if event["path"] is None else f"goes on from step {steps(event['step'])}"
    passed_over = "".join(f"; passed over: {clean(reason)}" for reason in event["rejected"])
    return f"{where}: {clean(event['reason'])}{passed_over}"


def _whereabouts(facts: Facts, away: Away) -> list[Part]:
    """Where a run's job is, and what SkyPilot says of it."""
    machine = away.machine
    told = [machine.infra, machine.cluster] if machine else [away.cluster or "managed by SkyPilot"]
    if machine and machine.region and machine.region not in machine.infra:
        told.append(machine.region)
    if away.job is not None:
        told.append(f"job {away.job}")
    if away.state and not facts.over and "SkyPilot said" not in facts.detail:
        told.append(f"SkyPilot said {shown_state(away.state)} {age(facts.seen)}")
    return [(clean(text), "") for text in told if text]


def _cost(facts: Facts, paid: Spending) -> list[Part]:
    spent = f"≈ {dollars(paid.total)} spent".replace("≈ <", "<")
    return [(spent, "")] if facts.over else [(f"{dollars(paid.hourly)} an hour", ""), (spent, "")]


def _prospects(status: RunStatus) -> list[tuple[str, list[Part]]]:
    stage = status.curriculum[status.current]
    said = [("waiting for", waiting(status))]
    if not is_applied(status) and status.ready:
        said.append(("", [(f"{clean(stage.name)}: ordered, not yet applied", "yellow")]))
    said.append(("next", _next(status)))
    entered = status.stage.entered if status.stage else 0
    if parts := limit(stage, status.step - (entered or 0)):
        said.append(("limit", parts))
    return said


def _evaluations(status: RunStatus) -> list[tuple[str, list[Part]]]:
    """Each stage's last evaluation: its success rate, or where there is none its return; and how old it is."""
    last: dict[str, tuple[str, int, float]] = {}
    for name, (step, value) in status.evaluations.items():
        stage, _, measure = name.removeprefix(EVALUATION).rpartition("/")
        if stage not in last or measure == "success_rate":
            last[stage] = (measure, step, value)
    parts: list[Part] = []
    for stage, (measure, step, value) in last.items():
        words = f"{clean(stage)} {clean(measure).replace('_', ' ')} {score(value)}"
        parts.append((f"{words} at {short_steps(step)}", ""))
    return [("evaluation", parts)] if parts else []


def _next(status: RunStatus) -> list[Part]:
    last = status.current + 1 == len(status.curriculum)
    where = "the end" if last else clean(status.name_of(status.current + 1))
    seconds = estimate_seconds(status)
    if seconds is None:
        return [("—", DIM)]
    parts: list[Part] = [(f"≈ {duration(seconds)} to {where}", "")]
    budget = budget_seconds(status)
    if budget is not None and seconds > budget + 1:
        parts.append((f"the budget ends before, in ≈ {duration(budget)}", "yellow"))
    return parts


def outside_words(status: RunStatus) -> str:
    """Which score is none from 0 to 1, and what to do about it."""
    name, value = next(iter(status.scores_outside.items()))
    others = len(status.scores_outside) - 1
    more = f" (and in {others} more stage{'s' * (others > 1)})" if others else ""
    kind = next((entry.stage.score.kind for entry in status.stages if entry.stage.name == name), "success")
    mend = "a return? `score: return`" if kind == "success" else "scale it: task.stage.score.of(return)"
    return f"{value:g} in {clean(name)}{more} is not from 0 to 1; {mend}"


def missing_words(status: RunStatus, missing: list[str]) -> str:
    """Which metric a criterion names that nobody logs, and which may be meant."""
    more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
    where = f"is in none of {status.reports:,} reports"
    return f"{clean(missing[0])}{more}, which a criterion names, {where}; {clean(nearest(missing[0], status.metrics))}"


def term_part(term: Term) -> Part:
    """A term as it stands: what holds and what blocks are told apart."""
    if math.isnan(term.value) or math.isnan(term.target):
        value, target = shown(term.value), shown(term.target)
    else:
        value, target = term_numbers(term)
    text = f"{clean(term.name)} {value} {'of' if term.operator == '>=' else term.operator} {target}"
    return (f"{text} ok", "green") if term.holds else (text, "yellow")


def _troubles(status: RunStatus, facts: Facts) -> list[tuple[str, list[Part]]]:
    said: list[tuple[str, list[Part]]] = []
    if status.resumed is not None:
        said.append((f"attempt {status.attempt}", [(resumed_words(status.resumed), DIM)]))
    if status.refused_scores:
        count = "1 score" if status.refused_scores == 1 else f"{status.refused_scores:,} scores"
        said.append(("refused", [(f"{count}, no finite numbers", "yellow")]))
    if status.scores_outside:
        said.append(("score", [(outside_words(status), "yellow")]))
    if missing := status.missing_metrics():
        said.append(("metric", [(missing_words(status, missing), "yellow")]))
    if status.stop_requested and not facts.over:
        said.append(("stop", [("asked for; the trainer ends at its next step", "yellow")]))
    if status.last_time and facts.silence >= OLD_SECONDS:
        worrying = not facts.over and facts.silence >= WORRYING_SECONDS
        label = "ended" if facts.over and status.ended else "last event"
        said.append((label, [(age(facts.silence), "yellow" if worrying else DIM)]))
    return said
