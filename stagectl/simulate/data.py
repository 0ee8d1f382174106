"""What was simulated as plain data: for `-o json`, and a row a trace and stage for `-o csv`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from stagectl.simulate.compare import Comparison
from stagectl.simulate.explain import Explanation
from stagectl.simulate.summary import Simulation
from stagectl.simulate.sweep import Sweep

Data = dict[str, Any]


def simulation_data(simulation: Simulation) -> Data:
    """A single timeline lies flat; of several each has its trace, beside their summary."""
    notes = list(simulation.notes)
    if simulation.summary is None:
        (timeline,) = simulation.timelines
        data = timeline.to_data()
        return {"trace": timeline.trace, "recipe": simulation.recipe, **data, "notes": [*data["notes"], *notes]}
    timelines = [{"trace": timeline.trace, **timeline.to_data()} for timeline in simulation.timelines]
    return {
        "recipe": simulation.recipe,
        "timelines": timelines,
        "summary": asdict(simulation.summary),
        "notes": notes,
    }


def comparison_data(comparison: Comparison) -> Data:
    return {
        "simulations": [simulation_data(simulation) for simulation in comparison.simulations],
        "differences": [asdict(difference) for difference in comparison.differences],
        "price": asdict(comparison.price) if comparison.price else None,
    }


def explanation_data(told: Explanation) -> Data:
    terms = [{**asdict(term), "value": _number(term.value), "target": _number(term.target)} for term in told.terms]
    return {**asdict(told), "terms": terms}


def explanation_rows(told: Explanation) -> Iterator[Data]:
    """A row a term."""
    for term in explanation_data(told)["terms"]:
        yield {"trace": told.trace, "step": told.step, "stage": told.stage, **term}


def sweep_data(sweep: Sweep) -> Data:
    """A variant a row: its values, and what it comes to over all traces."""
    medians, false_exits = sweep.median_steps(), sweep.false_exit_share()
    variants = [
        {
            "values": values,
            "steps": {name: _number(medians[(*at, index)]) for index, name in enumerate(sweep.stages)},
            "finished": float(sweep.finished[at].mean()),
            "false_exits": _number(false_exits[at]),
            "judged": int(sweep.judged[at].sum()),
        }
        for at, values in sweep.variants()
    ]
    return {"traces": list(sweep.traces), "window": sweep.window, "variants": variants, "notes": list(sweep.notes)}


def simulation_rows(simulation: Simulation) -> Iterator[Data]:
    """A row a trace and stage."""
    for timeline in simulation.timelines:
        for span in timeline.stages:
            yield {"recipe": simulation.recipe, "trace": timeline.trace, **asdict(span)}


def sweep_rows(sweep: Sweep) -> Iterator[Data]:
    """A row a variant, trace and stage."""
    for at, values in sweep.variants():
        for t, trace in enumerate(sweep.traces):
            for s, stage in enumerate(sweep.stages):
                place = (*at, t, s)
                judged = bool(sweep.judged[place])
                yield {
                    **values,
                    "trace": trace,
                    "stage": stage,
                    "left": _number(sweep.left[place]),
                    "steps": _number(sweep.steps[place]),
                    "false_exit": bool(sweep.fell_back[place]) if judged else None,
                }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
