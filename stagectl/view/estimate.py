"""How long until the current stage is left."""

from __future__ import annotations

from collections.abc import Sequence

from stagectl.runs import RunStatus
from stagectl.runs.status import StageStatus

FEWEST = 6
RECENT = 0.4  # share of the stage's steps that the fit looks back over
FARTHEST = 20.0  # how many times as far as it looked back an extrapolation may reach


def estimate_seconds(status: RunStatus) -> float | None:
    """Seconds to the next transition, or to the end from the last stage; None where it cannot be told.

    By steps it is exact at the rate of late. By performance it is a straight line through the stage's recent
    history, drawn on to the threshold: None while that is flat or falls, or rests on too little. A curriculum
    class of the user's own decides by what is not known here.
    """
    rate = status.rate
    if status.stage is None or status.ended or status.end or status.target or not rate or rate <= 0:
        return None
    steps = steps_left(status)
    return None if steps is None else steps / rate


def budget_seconds(status: RunStatus) -> float | None:
    """Seconds until the step budget is spent, at the rate of late."""
    if status.total_timesteps is None or not status.rate or status.rate <= 0:
        return None
    return max(0, status.total_timesteps - status.step) / status.rate


def steps_left(status: RunStatus) -> float | None:
    """Environment steps to the next transition, as `estimate_seconds` tells them."""
    entry = status.stage
    if entry is None:
        return None
    stage = status.curriculum[status.current]
    inside = status.step - (entry.entered or 0)
    steps = _steps_by_criterion(status, entry, inside)
    if stage.max_steps is not None and stage.on_timeout == "advance":
        limit = max(0.0, stage.max_steps - inside)
        return limit if steps is None else min(steps, limit)
    return steps


def _steps_by_criterion(status: RunStatus, entry: StageStatus, inside: int) -> float | None:
    """As the short forms say; what a criterion of the user's own words or a group needs cannot be told."""
    stage = status.curriculum[status.current]
    if stage.transition_criteria is None and not stage.next:
        return None if status.total_timesteps is None else max(0.0, status.total_timesteps - status.step)
    if stage.advance_when is not None or stage.next or stage.parallel:
        return None
    by_time = max(0.0, float(stage.time_threshold_steps - inside))
    by_performance = _latest(_steps_to_threshold(status, entry, inside), _steps_to_episodes(entry, inside))
    match stage.transition_criteria:
        case "time":
            return by_time
        case "both":
            return _latest(by_time, by_performance)
        case "either":
            return by_time if by_performance is None else min(by_time, by_performance)
    return by_performance


def _latest(*steps: float | None) -> float | None:
    known = [value for value in steps if value is not None]
    return max(known) if len(known) == len(steps) else None


def _steps_to_episodes(entry: StageStatus, inside: int) -> float | None:
    missing = entry.stage.min_episodes - entry.episodes
    if missing <= 0:
        return 0.0
    return missing * inside / entry.episodes if entry.episodes and inside else None


def _steps_to_threshold(status: RunStatus, entry: StageStatus, inside: int) -> float | None:
    threshold = entry.stage.threshold_at(inside)
    if entry.performance is None or threshold is None:
        return None
    gap = threshold - entry.performance
    if gap <= 0:
        return 0.0
    span = RECENT * inside
    recent = [(step, value) for step, value in entry.history if step >= status.step - span]
    slope = _rising_slope(recent)
    if slope is None or gap / slope > FARTHEST * span:
        return None
    return gap / slope


def _rising_slope(samples: Sequence[tuple[int, float]]) -> float | None:
    """The least-squares slope, if it is above zero by more than twice its standard error."""
    count = len(samples)
    if count < FEWEST:
        return None
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    if spread == 0:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread
    residue = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in samples)
    error = (residue / (count - 2) / spread) ** 0.5
    return slope if slope > 2 * error else None
