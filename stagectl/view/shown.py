"""What commands call to show a value: a picture on a terminal, complete plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from stagectl.runs import Liveness, RunStatus
from stagectl.view.console import show, stdout
from stagectl.view.explanation import explanation_panel, explanation_text, suggestion_panel, suggestion_text
from stagectl.view.panel import run_panel, run_text
from stagectl.view.plan import Plan, plan_panel, plan_text
from stagectl.view.simulation import comparison_panel, comparison_text, simulation_panel, simulation_text
from stagectl.view.sweep import sweep_panel, sweep_text
from stagectl.view.tables import Listed, run_table, run_table_text

if TYPE_CHECKING:
    from stagectl.simulate import Comparison, Simulation
    from stagectl.simulate.explain import Explanation
    from stagectl.simulate.suggest import Suggestion
    from stagectl.simulate.sweep import Sweep


def show_status(status: RunStatus, liveness: Liveness) -> None:
    """One run, whole."""
    now = time.time()
    show(run_panel(status, liveness, stdout().width, now), run_text(status, liveness, now))


def show_runs(runs: Sequence[Listed]) -> None:
    """All runs, a line each."""
    now = time.time()
    show(run_table(runs, stdout().width, now), run_table_text(runs, now))


def show_simulation(simulation: Simulation) -> None:
    """What a recipe would have done on one trace, or on several."""
    show(simulation_panel(simulation, stdout().width), simulation_text(simulation))


def show_comparison(comparison: Comparison) -> None:
    """What several recipes would have done on the same traces."""
    show(comparison_panel(comparison, stdout().width), comparison_text(comparison))


def show_sweep(sweep: Sweep, rank: str = "steps") -> None:
    """What every variant of a recipe would have done; the best first, by `steps`, `false_exits` or `finished`."""
    show(sweep_panel(sweep, stdout().width, rank), sweep_text(sweep, rank))


def show_explanations(told: Sequence[Explanation]) -> None:
    """What each trace's replay was waiting for at a step."""
    width = stdout().width
    pictures: list[RenderableType] = []
    for number, each in enumerate(told):
        pictures += [*([Text()] if number else []), explanation_panel(each, width)]
    show(Group(*pictures), "\n\n".join(map(explanation_text, told)))


def show_suggestion(suggestion: Suggestion) -> None:
    """The threshold and smoothing that the traces support."""
    show(suggestion_panel(suggestion, stdout().width), suggestion_text(suggestion))


def show_plan(plan: Plan) -> None:
    """What a launch would do."""
    show(plan_panel(plan, stdout().width), plan_text(plan))
