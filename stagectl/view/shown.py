"""What commands call to show a value: a picture on a terminal, complete plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stagectl.runs import Liveness, RunStatus
from stagectl.view.console import show, stdout
from stagectl.view.panel import run_panel, run_text
from stagectl.view.plan import Plan, plan_panel, plan_text
from stagectl.view.tables import Listed, run_table, run_table_text
from stagectl.view.timeline import timeline_panel, timeline_text

if TYPE_CHECKING:
    from stagectl.simulate import Timeline


def show_status(status: RunStatus, liveness: Liveness) -> None:
    """One run, whole."""
    now = time.time()
    show(run_panel(status, liveness, stdout().width, now), run_text(status, liveness, now))


def show_runs(runs: Sequence[Listed]) -> None:
    """All runs, a line each."""
    now = time.time()
    show(run_table(runs, stdout().width, now), run_table_text(runs, now))


def show_timeline(timeline: Timeline) -> None:
    """What a recipe would have done on a trace."""
    show(timeline_panel(timeline, stdout().width), timeline_text(timeline))


def show_plan(plan: Plan) -> None:
    """What a launch would do."""
    show(plan_panel(plan, stdout().width), plan_text(plan))
