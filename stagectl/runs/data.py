"""A run's status as the plain data that `-o json` prints (docs/json.md)."""

from __future__ import annotations

import math
import time
from typing import Any

from stagectl.curriculum import Term
from stagectl.runs.away import Away, shown_state
from stagectl.runs.events import Event
from stagectl.runs.liveness import ENDED, Liveness, elapsed, judge
from stagectl.runs.spending import Spending, spending
from stagectl.runs.status import RunStatus

END_KEYS = ("outcome", "stage", "name", "step", "performance", "reason")
RESUMED_KEYS = ("step", "path", "reason", "rejected")
TRANSITION_KEYS = ("from_stage", "to_stage", "from_name", "to_name", "step", "performance", "reason", "threshold")


def status_data(status: RunStatus, liveness: Liveness, now: float | None = None) -> dict[str, Any]:
    """A run's status as the plain data that `-o json` prints (docs/json.md)."""
    now = time.time() if now is None else now
    state, detail = judge(status, liveness, now)
    spent = spending(status, liveness.away, state, now)
    return {
        "run": status.run_id,
        "recipe": status.recipe,
        "backend": status.backend,
        "state": state,
        "detail": detail,
        "cluster": None if liveness.away is None else _cluster_data(liveness.away, spent, now, followed=liveness.job),
        "created": status.created,
        "elapsed_seconds": round(elapsed(status, state, now), 3),
        "last_event_age_seconds": round(max(0.0, now - status.last_time), 3),
        "step": status.step,
        "total_timesteps": status.total_timesteps,
        "steps_per_second": None if status.rate is None or state in ENDED else round(status.rate, 1),
        "attempt": status.attempt,
        "resumed": None if status.resumed is None else {key: status.resumed[key] for key in RESUMED_KEYS},
        "current_stage": status.current,
        "stage_name": status.name_of(status.current) or None,
        "waiting_for": [] if state in ENDED else [term_data(term) for term in status.waiting_for()],
        "decided_by": status.target,
        "stages": [_stage_data(status, index, spent) for index in range(len(status.stages))],
        "transitions": [transition_data(event) for event in status.transitions],
        "end": None if status.end is None else {key: status.end[key] for key in END_KEYS},
        "evaluations": {
            name: {"step": step, "value": value} for name, (step, value) in sorted(status.evaluations.items())
        },
        "missing_metrics": status.missing_metrics(),
        "refused_scores": status.refused_scores,
        "scores_outside": dict(status.scores_outside),
        "checkpoint": status.checkpoints[-1]["path"] if status.checkpoints else None,
    }


def term_data(term: Term) -> dict[str, Any]:
    """A term as plain JSON: what is undefined is null."""
    value, target = (None if math.isnan(number) else number for number in (term.value, term.target))
    return {"term": term.name, "value": value, "operator": term.operator, "target": target, "holds": term.holds}


def transition_data(event: Event) -> dict[str, Any]:
    """A `stage_transition` event without what every event has: the document's keys, and the reason."""
    return {key: event.get(key) for key in TRANSITION_KEYS}


def _cluster_data(away: Away, spent: Spending | None, now: float, *, followed: bool) -> dict[str, Any]:
    machine = away.machine
    return {
        "infra": machine and machine.infra,
        "cluster": machine.cluster if machine else away.cluster,
        "region": machine and machine.region,
        "job": away.job,
        "state": shown_state(away.state) if away.state else None,
        "state_age_seconds": round(max(0.0, now - away.seen), 3) if away.state else None,
        "unanswered_seconds": round(max(0.0, now - away.unreachable), 3) if followed and away.unreachable else None,
        "hourly": machine and machine.hourly,
        "spent": spent and round(spent.total, 4),
    }


def _stage_data(status: RunStatus, index: int, spent: Spending | None) -> dict[str, Any]:
    entry = status.stages[index]
    stage, group = entry.stage, status.curriculum[entry.top]
    by_performance = stage.transition_criteria != "time" and stage.transition_criteria and not stage.advance_when
    return {
        "index": index,
        "name": stage.name,
        "group": group.name if group.parallel else None,
        "curriculum": stage.curriculum,
        "entered_step": entry.entered,
        "left_step": entry.left,
        "applied": entry.applied,
        "visits": entry.visits,
        "steps": status.steps_in(index),
        "episodes": entry.episodes,
        "performance": entry.performance,
        "transition_criteria": "advance_when" if stage.advance_when else stage.transition_criteria,
        "performance_threshold": stage.threshold_at(status.steps_in(index)) if by_performance else None,
        "time_threshold_steps": stage.time_threshold_steps if stage.transition_criteria == "time" else None,
        "spent": spent and round(spent.stages[index], 4),
    }
