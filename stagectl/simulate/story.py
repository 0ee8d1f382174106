"""What happens in a replay, gathered while it goes: spans, curves, and what is odd about them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.simulate.averages import Averages, Places
from stagectl.simulate.curves import GrowingCurve, left_at, or_nan
from stagectl.simulate.timeline import Curve, StageSpan
from stagectl.traces.trace import Whole

BY_PERFORMANCE = ("performance", "both", "either")


class Story:
    """The decisions of a curriculum that is being played, and its performance on the way to them."""

    def __init__(self, curriculum: StagedProgressiveCurriculum) -> None:
        self.decisions: list[Decision] = []
        self._curriculum = curriculum
        self._start = curriculum.current_stage
        self._curves: list[Curve] = []
        self._notes: list[str] = []
        self._enter()

    def _enter(self) -> None:
        self._stage = self._curriculum.stage
        self._curve = GrowingCurve(self._curriculum.current_stage)
        self._best = (-math.inf, 0, math.nan)  # performance, its step, the threshold then
        self._waited = False

    def add(self, decision: Decision | None, *, has_scores: bool) -> None:
        """One step boundary."""
        if decision is not None:
            self._decided(decision)
        elif has_scores:
            now, threshold = self._curriculum.progress(), or_nan(self._curriculum.threshold_in_force)
            self._curve.add(self._curriculum.total_steps, now.performance, threshold)
            if now.episodes >= self._stage.min_episodes:
                self._waited = True
                self._best = max(self._best, (now.performance, self._curriculum.total_steps, threshold))

    def pass_over(self, averages: Averages, number: int, steps: Callable[[Places], Whole], *, mature: bool) -> None:
        """So many boundaries at once, with their scores' averages; `steps` gives the total steps of some of them.

        `mature`: all of them, else none, have the episodes that the stage must have.
        """
        threshold = or_nan(self._curriculum.threshold_in_force)
        self._curve.extend(number, lambda places: (steps(places).tolist(), averages.at(places).tolist()), threshold)
        if mature:
            self._waited = True
            best, place = averages.best(number)
            if best >= self._best[0]:
                self._best = (best, int(steps(np.array([place]))[0]), threshold)

    def _decided(self, decision: Decision) -> None:
        self.decisions.append(decision)
        step, performance, threshold = left_at(decision)
        self._curve.add(step, performance, threshold)
        if decision.reason in BY_PERFORMANCE and not self._waited and performance >= threshold:  # else its time did
            self._notes.append(
                f"stage '{self._stage.name}' is left as soon as it has the {self._stage.min_episodes:,} episodes that "
                f"it must have (step {decision.step:,}): on these data its criterion holds from its entry on"
            )
        if isinstance(decision, StageTransition):
            self._curves += [curve] if (curve := self._curve.curve()) else []
            self._enter()

    def curves(self) -> tuple[Curve, ...]:
        last = self._curve.curve()
        return (*self._curves, *([last] if last else []))

    def notes(self, *, censored: bool) -> list[str]:
        """Criteria that hold from the entry on, and one that was never near."""
        performance, step, threshold = self._best
        if not censored or self._stage.transition_criteria not in BY_PERFORMANCE or not performance < threshold:
            return self._notes
        best = f"{performance:.3g}, at step {step:,}, and its threshold is {threshold:g}"
        return [*self._notes, f"the best performance of stage '{self._stage.name}' on these data is {best}"]

    def spans(self, *, censored: bool) -> tuple[StageSpan, ...]:
        """Each stage, in its last visit. `censored`: what ends it is not in the data."""
        curriculum = self._curriculum
        entered: dict[int, int] = {self._start: 0}
        left: dict[int, int] = {}
        for decision in self.decisions:
            if isinstance(decision, StageTransition):
                left[decision.from_stage] = decision.step
                entered[decision.to_stage] = decision.step
                left.pop(decision.to_stage, None)  # it is on again
            elif isinstance(decision, CurriculumEnd):
                left[decision.stage] = decision.step
        names = [stage.name for stage in curriculum.played]
        counted = dict(zip(names, curriculum.episodes(), strict=True))
        measured = dict(zip(names, curriculum.performance(), strict=True))
        return tuple(
            StageSpan(
                index=index,
                name=stage.name,
                entered=entered.get(index),
                left=left.get(index),
                steps=left.get(index, curriculum.total_steps) - entered[index] if index in entered else 0,
                episodes=sum(counted[member.name] for member in stage.members),
                performance=None if stage.parallel else measured[stage.name],
                censored=censored and index == curriculum.current_stage,
            )
            for index, stage in enumerate(curriculum.stages)
        )
