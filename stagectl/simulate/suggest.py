"""The lowest threshold and the smoothing that the recordings support."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stagectl.errors import TraceError
from stagectl.recipe import Recipe
from stagectl.simulate.simulation import extent
from stagectl.simulate.sweep import WINDOW, Axis, Floats, Sweep
from stagectl.simulate.sweeping import sweep as sweep_of
from stagectl.traces import Trace

THRESHOLDS = Axis("performance_threshold", tuple(round(0.05 * number, 2) for number in range(10, 20)))
SMOOTHINGS = Axis("transition_smoothing", (0.005, 0.01, 0.02, 0.05, 0.1, 0.2))
ALLOWED = 0.05  # of the exits may be false
SURE = 0.95


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to write into a recipe, how often it was wrong in the data, and why it and no other.

    `exits` are those after which enough was recorded to judge them, `false_exits` those of them after which the
    performance fell back. `yaml` is the line for the recipe.
    """

    performance_threshold: float
    transition_smoothing: float
    false_exits: int
    exits: int
    reasons: tuple[str, ...]
    yaml: str


def suggest(
    traces: Sequence[Trace],
    recipe: Recipe,
    *,
    as_recorded: bool = False,
    window: int = WINDOW,
    progress: Callable[[int], None] = lambda rows: None,
) -> Suggestion:
    """Try thresholds from 0.5 to 0.95 with smoothings from 0.005 to 0.2 on the recordings.

    The threshold is the lowest at which fewer than 5 % of the exits were false: the earliest exit that holds. Below
    0.5 nothing is tried: what fails more often than not is not learnt. The smoothing is, of those that hold at this
    threshold, one with which as many stages are left as with any, and of these the one that leaves them first.

    Raises:
        TraceError: Scores are not from 0 to 1, no exit can be judged, or false exits are at 5 % or more wherever
            one can.
    """
    least, greatest = zip(*(extent(trace.scores) for trace in traces), strict=True)
    low, high = min(0.0, *least), max(1.0, *greatest)
    if low < 0 or high > 1:
        hint = "a table's can be scaled by --score-range LOW:HIGH, a run's by its recipe: score: {return: [LOW, HIGH]}"
        raise TraceError(f"scores go from {low:g} to {high:g}, and thresholds from 0.5 to 0.95 are tried", hint=hint)
    sweep = sweep_of(
        recipe, traces, (THRESHOLDS, SMOOTHINGS), as_recorded=as_recorded, window=window, progress=progress
    )
    judged, fell_back = sweep.judged.sum((-2, -1)), sweep.fell_back.sum((-2, -1))
    share = sweep.false_exit_share()
    if not judged.any():
        hint = (
            "record on after the threshold is reached, as with `transition_criteria: both` and time_threshold_steps; "
            f"or judge by fewer, and less surely: --window N (now {window:,})"
        )
        told = f"after none were {window:,} more episodes of its stage recorded, in two rows or more"
        raise TraceError(f"no exit can be judged: {told}", hint=hint)
    holds = share < ALLOWED  # NaN, where nothing was judged, does not
    if not holds.any():
        raise TraceError(_none_holds(sweep), hint="the scores are too noisy for these traces; record more, or longer")
    row = int(holds.any(axis=1).argmax())
    left = np.where(holds[row], np.isfinite(sweep.left[row]).sum((-2, -1)), 0)
    steps = _median_end(sweep)
    column = int(np.where(left == left.max(), steps[row], math.inf).argmin())
    threshold, smoothing = THRESHOLDS.values[row], SMOOTHINGS.values[column]
    exits, false = int(judged[row, column]), int(fell_back[row, column])
    reasons = [
        f"{threshold:g} is the lowest threshold from 0.5 on at which fewer than 5 % of the exits were false",
        *([_one_lower(sweep, row - 1)] if row else []),
        f"of the smoothings that hold there, {smoothing:g} leaves most stages ({left[column]} in "
        f"{len(traces)} {'recording' if len(traces) == 1 else 'recordings'}), and the last of them first (median: step "
        f"{steps[row, column]:,.0f})",
        f"an exit is judged by the {window:,} episodes of its stage after it; "
        f"{_still_possible(false, exits, int(np.count_nonzero(judged)))}",
        *sweep.notes,
    ]
    yaml = f"curriculum: {{performance_threshold: {threshold:g}, transition_smoothing: {smoothing:g}}}"
    return Suggestion(threshold, smoothing, false, exits, tuple(reasons), yaml)


def _median_end(sweep: Sweep) -> Floats:
    """The median over traces of the step at which the last of the stages that are left is left; inf: none is."""
    ends = np.where(np.isnan(sweep.left), -math.inf, sweep.left).max(axis=-1)
    medians: Floats = np.median(np.where(np.isfinite(ends), ends, math.inf), axis=-1)
    return medians


def _one_lower(sweep: Sweep, row: int) -> str:
    judged, fell_back = sweep.judged[row].sum((-2, -1)), sweep.fell_back[row].sum((-2, -1))
    if not judged.any():
        return f"at {THRESHOLDS.values[row]:g} no exit can be judged"
    best = int(np.where(judged > 0, fell_back / np.maximum(judged, 1), math.inf).argmin())
    return f"at {THRESHOLDS.values[row]:g} the fewest were {fell_back[best]} of {judged[best]}"


def _none_holds(sweep: Sweep) -> str:
    share = sweep.false_exit_share()
    at = np.unravel_index(int(np.nanargmin(share)), share.shape)
    judged, false = int(sweep.judged[at].sum()), int(sweep.fell_back[at].sum())
    values = f"threshold {THRESHOLDS.values[at[0]]:g} with smoothing {SMOOTHINGS.values[at[1]]:g}"
    return f"5 % or more of the exits are false whatever is tried; the fewest are {false} of {judged}, at {values}"


def _still_possible(false: int, exits: int, variants: int) -> str:
    """Clopper and Pearson's upper limit (Biometrika 26, 1934), found by halving.

    It is chosen among so many variants, the best of which look better than they are: the limit holds for all of them
    at once (Bonferroni).
    """
    low, high = false / exits, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        chance = sum(math.comb(exits, k) * middle**k * (1 - middle) ** (exits - k) for k in range(false + 1))
        low, high = (middle, high) if chance > (1 - SURE) / variants else (low, middle)
    chosen = f", chosen among {variants} variants," if variants > 1 else ","
    return (
        f"{exits} exits, of which {false} were false{chosen} rule out with {SURE:.0%} only that more than "
        f"{high:.0%} are"
    )
