"""The step boundaries of a trace that the core must see: over the others a plain stage is passed in one go.

The core stays what decides. Here is only worked out, to the bit, how a stage's performance goes on over rows that are
all of it, up to the boundary at which something may happen: its performance reaches the threshold, a step count that
is asked for is reached, or a row tells more than a score. There the core takes over.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.curriculum.numbers import LARGEST_SCORE
from stagectl.curriculum.smoothing import Ema
from stagectl.curriculum.stages import Stage
from stagectl.simulate.averages import Places, averages
from stagectl.simulate.story import Story
from stagectl.simulate.together import Boundaries, boundaries_of
from stagectl.traces import Row, Trace
from stagectl.traces.trace import Whole

FIRST_ROWS, MOST_ROWS = 1 << 12, 1 << 22  # that are worked out at a time: few, as the stage may be left soon; then more
WORTHWHILE = 64  # rows; where fewer could be passed over, the core takes some more
CORE_ROWS = 1 << 12  # that the core takes at a time


def why_not(curriculum: StagedProgressiveCurriculum) -> str | None:
    """What keeps the current stage from being passed over, in words; None: nothing."""
    if curriculum.decides_itself:
        return f"{type(curriculum).__name__} decides itself"
    return why_not_plain(curriculum.stage)


def why_not_plain(stage: Stage) -> str | None:
    """What makes a stage more than a smoothed score and a step count can tell, in words; None: nothing."""
    reasons = {
        "parallel stages": stage.parallel,
        "advance_when": stage.advance_when is not None,
        "next": stage.next,
        "demote": stage.demote is not None,
        "a threshold that changes": not isinstance(stage.performance_threshold, (int, float)),
        "ema: zero_start": stage.ema != "corrected",
    }
    found = [reason for reason, applies in reasons.items() if applies]
    return f"stage '{stage.name}' has {', '.join(found)}" if found else None


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a trace that are played: from `first` to before `last`. `clock`: total steps less the recorded ones.

    `told`: a score counts for the stage that its row tells.
    """

    trace: Trace
    first: int
    last: int
    clock: int = 0
    told: bool = False

    def place(self, step: int) -> int:
        """The first row that is not before that recorded step."""
        return self.first + int(self.trace.steps[self.first : self.last].searchsorted(step))

    def boundary_of(self, row: int) -> int:
        return self.place(int(self.trace.steps[row]))

    def rows_to_see(self, stage: str) -> list[int]:
        """The rows that tell more than a score of that stage in its present visit."""
        trace, rows = self.trace, slice(self.first, self.last)
        seen = {row for row in trace.advances if self.first <= row < self.last}
        if self.told:
            codes = np.full(self.last - self.first, -1) if trace.stage_codes is None else trace.stage_codes[rows]
            own = trace.stage_names.index(stage) if stage in trace.stage_names else -1
            other = (codes >= 0) & (codes != own)
            if trace.visits is not None:
                other |= trace.visits[rows] >= 0
            seen.update((self.first + np.flatnonzero(other & ~np.isnan(trace.scores[rows]))).tolist())
        return sorted(seen)


def boundaries(
    curriculum: StagedProgressiveCurriculum,
    part: Part,
    story: Story,
    budget: int | None = None,
    see: int | None = None,
) -> Iterator[tuple[int, Sequence[Row]]]:
    """Recorded step and rows of each boundary that the curriculum must see, before which it is moved over the others.

    Each is played on the curriculum before the next is asked for. The last up to `see` total steps is among them.
    """
    row, turn = part.first, 1
    kept: dict[int, list[int] | None] = {}
    while row < part.last:
        stage = curriculum.current_stage
        if stage not in kept:
            kept[stage] = None if why_not(curriculum) else part.rows_to_see(curriculum.stage.name)
        to_see = kept[stage]
        turn = CORE_ROWS if to_see is None else turn
        if to_see is not None:
            begun, row = row, _pass_over(curriculum, part, row, to_see, story, budget, see)
            turn = 1 if row - begun >= WORTHWHILE else min(2 * turn, WORTHWHILE)
        last = part.boundary_of(row + turn) if row + turn < part.last else part.last
        if last <= row < part.last:
            last = part.place(int(part.trace.steps[row]) + 1)
        for step, rows in part.trace.boundaries(row, last):
            yield step, rows
            row += len(rows)
            if curriculum.current_stage != stage:
                break


def _pass_over(
    curriculum: StagedProgressiveCurriculum,
    part: Part,
    row: int,
    to_see: list[int],
    story: Story,
    budget: int | None,
    see: int | None,
) -> int:
    """Move the curriculum over the rows at whose boundaries nothing is decided; the row at which it then stands."""
    if row >= part.last or curriculum.awaits_boundary or part.trace.steps[row] + part.clock <= curriculum.total_steps:
        return row
    last = _last(curriculum, part, row, to_see, budget, see)
    smoothed = curriculum.smoothed
    size = FIRST_ROWS
    begun, hit = row, False
    while row < last and not hit:
        until = last if row + size >= last else part.boundary_of(row + size)
        until = until if until > row else part.place(int(part.trace.steps[row]) + 1)
        found = boundaries_of(part.trace, row, until)
        if found.largest > LARGEST_SCORE:  # the core says what is wrong with it
            break
        through = _walk(curriculum, part, found, smoothed, story)
        hit = through < len(found)
        row = found.first_row(through) if hit else until
        size = min(16 * size, MOST_ROWS)
    if row > begun:
        curriculum.pass_over(int(part.trace.steps[row - 1]) + part.clock, smoothed)
    return row


def _last(
    curriculum: StagedProgressiveCurriculum,
    part: Part,
    row: int,
    to_see: list[int],
    budget: int | None,
    see: int | None,
) -> int:
    """The first row, from `row` on, of a boundary at which something happens by its steps, or by what it tells."""
    stage = curriculum.stage
    entered = curriculum.total_steps - curriculum.progress().steps
    marks = [] if budget is None else [budget]
    if stage.max_steps is not None:
        marks.append(entered + stage.max_steps)
    if _waits_for_time(curriculum):
        marks.append(entered + stage.time_threshold_steps)
    lasts = [part.place(mark - part.clock) for mark in marks]
    at = bisect_left(to_see, row)
    if at < len(to_see):
        lasts.append(part.boundary_of(to_see[at]))
    if see is not None and (after := part.place(see - part.clock + 1)) > row:
        lasts.append(part.boundary_of(after - 1))
    return max(min(lasts, default=part.last), row)


def _waits_for_time(curriculum: StagedProgressiveCurriculum) -> bool:
    timed = curriculum.stage.transition_criteria in ("time", "both", "either")
    return timed and curriculum.progress().steps < curriculum.stage.time_threshold_steps


def _walk(curriculum: StagedProgressiveCurriculum, part: Part, found: Boundaries, smoothed: Ema, story: Story) -> int:
    """Take in the boundaries before the first at which the performance ends the stage; how many those are."""
    stage = curriculum.stage
    by_performance = stage.transition_criteria in ("performance", "either")
    by_performance |= stage.transition_criteria == "both" and not _waits_for_time(curriculum)
    at = 0
    while at < len(found):
        early = found.before(at, stage.min_episodes - smoothed.count)
        some = averages(smoothed, *found.values(at, at + early if early else len(found)))
        hit = some.first_at_least(curriculum.performance_threshold) if by_performance and not early else None
        upto = len(some) if hit is None else hit
        if upto:
            mean, weight = some.state(upto)
            count = smoothed.count + found.episodes(at, at + upto)
            smoothed.load_state_dict({"mean": mean, "weight": weight, "count": count})
            story.pass_over(some, upto, partial(_total_steps, part, found, at), mature=not early)
        at += upto
        if hit is not None:
            break
    return at


def _total_steps(part: Part, found: Boundaries, at: int, places: Places) -> Whole:
    """The total steps of the boundaries that are so many after `at`."""
    return found.steps(places + at) + part.clock
