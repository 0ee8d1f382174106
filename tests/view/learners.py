"""Timelines of made-up learners, decided by the real curriculum; each seed learns at a pace of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from stagectl.curriculum import CurriculumEnd, Decision, StagedProgressiveCurriculum, StageTransition
from stagectl.simulate import Curve, Simulation, StageSpan, Timeline
from stagectl.simulate.summary import simulation_of

ROLLOUT = 2_048
STAGES = ("empty", "doorkey_6", "doorkey_8", "doorkey_16")


def timeline(seed: int, rollouts: int = 80, stages: Sequence[str] = STAGES, **settings: Any) -> Timeline:
    """What such a learner's run would have come to; short of rollouts, its last stage is censored."""
    told = {"performance_threshold": 0.8, "transition_smoothing": 0.03, "min_episodes": 50, **settings}
    configured = [{"name": name, "curriculum": name} for name in stages]
    curriculum = StagedProgressiveCurriculum(
        [*configured[:-1], {**configured[-1], "performance_threshold": 0.8}], **told
    )
    curriculum.decide_between_steps()
    chance = random.Random(seed)
    pace = chance.uniform(6, 14)
    decisions: list[Decision] = []
    points: dict[tuple[int, int], list[tuple[int, float]]] = {}
    entered, left, step, start, visit = {0: 0}, {}, 0, 0, 0
    for _ in range(rollouts):
        stage, inside = curriculum.current_stage, (step - start) / ROLLOUT
        skill = 1 / (1 + math.exp(-(inside - pace) / (pace / 3)))
        for _ in range(9):
            curriculum.get_task().complete(float(chance.random() < skill))
        step += ROLLOUT
        decision = curriculum.update_step_count(step)
        value = curriculum.performance()[stage]
        if value is not None:
            points.setdefault((visit, stage), []).append((step, value))
        if decision is None:
            continue
        decisions.append(decision)
        left[stage] = start = step
        if isinstance(decision, StageTransition):
            entered[decision.to_stage], visit = step, visit + 1
        if isinstance(decision, CurriculumEnd):
            break
    counts, performance = curriculum.episodes(), curriculum.performance()
    spans = tuple(
        StageSpan(
            index,
            name,
            entered.get(index),
            left.get(index),
            left.get(index, step) - entered[index] if index in entered else 0,
            counts[index],
            performance[index],
            censored=index in entered and index not in left,
        )
        for index, name in enumerate(stages)
    )
    curves = tuple(
        Curve(stage, tuple(s for s, _ in told), tuple(p for _, p in told), (0.8,) * len(told))
        for (_, stage), told in points.items()
    )
    return Timeline(
        spans,
        tuple(decisions),
        step,
        sum(counts),
        trace=f"runs/doorkey-seed-{seed}",
        aligned=True,
        curves=curves,
        finished=isinstance(decisions[-1] if decisions else None, CurriculumEnd),
    )


def simulation(seeds: int = 5, recipe: str = "recipes/doorkey.yaml", rollouts: int = 80, **settings: Any) -> Simulation:
    """One recipe on that many seeds."""
    made = [timeline(seed, rollouts, **settings) for seed in range(seeds)]
    return simulation_of(recipe, made, ("an earlier exit changes where the next stage starts from",))
