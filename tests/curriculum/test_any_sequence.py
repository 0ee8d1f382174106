"""Whatever a script and a person do, in whatever order, the curriculum decides as the naive one does.

Hypothesis chooses what is done next, knowing which tasks are out: it finds what a stream drawn beforehand does not.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from naive_curriculum import Naive
from random_recipes import METRICS, Player, plain, recipes, scores

SEARCH = os.environ.get("HYPOTHESIS_PROFILE") == "search"


class AnySequence(RuleBasedStateMachine):
    tasks = Bundle("tasks")  # that are out: id, stage, visit

    @initialize(recipe=recipes(), between=st.booleans())
    def begin(self, recipe: dict[str, Any], between: bool) -> None:
        self.player = Player(recipe, between=between)
        self.naive = Naive(recipe, between)

    def decided(self, decision: Any, expected: Any) -> None:
        assume(self.naive.nearest_call > 1e-9)  # nearer than that rounding decides, and the two round differently
        near = tuple(pytest.approx(e, abs=1e-9) if isinstance(e, float) else e for e in expected) if expected else None
        assert plain(decision) == near

    @rule(target=tasks, times=st.integers(1, 4))
    def get_task(self, times: int) -> Any:
        return multiple(*(self.begun() for _ in range(times)))

    def begun(self) -> tuple[str, str, int]:
        task = self.player.curriculum.get_task()
        return task.id, task.stage.name, self.naive.visit_of(task.stage.name)

    @rule(task=consumes(tasks), score=scores)
    def complete(self, task: tuple[str, str, int], score: float) -> None:
        """However late, and in whatever stage and visit it began."""
        task_id, stage, visit = task
        self.decided(self.player.curriculum.complete_task(task_id, score), self.naive.complete(stage, visit, score))

    @rule(told=st.lists(scores, min_size=2, max_size=12))
    def play_several_at_once(self, told: list[float]) -> None:
        for task in [self.begun() for _ in told]:
            self.complete(task, told.pop())

    @rule(data=st.data(), score=scores)
    def complete_by_name(self, data: st.DataObject, score: float) -> None:
        stage = data.draw(st.sampled_from([part.name for part in self.naive.played]))
        visit = data.draw(st.sampled_from([None, *range(1, self.naive.visit_of(stage) + 1)]))
        decision = self.player.curriculum.complete_in(stage, score, visit)
        self.decided(decision, self.naive.complete(stage, visit, score))

    @rule(id=st.sampled_from(["", "17", "nobody@1#3"]), score=scores)
    def complete_what_is_nobodys(self, id: str, score: float) -> None:
        self.decided(self.player.curriculum.complete_task(id, score), self.naive.complete(None, None, score))

    @rule(by=st.integers(0, 120))
    def update_step_count(self, by: int) -> None:
        steps = self.naive.steps + by
        self.decided(self.player.curriculum.update_step_count(steps), self.naive.tell_steps(steps))

    @rule()
    def update_to_the_same_step_again(self) -> None:
        self.update_step_count(0)

    @rule(name=st.sampled_from([*METRICS, "unasked"]), value=scores)
    def record_a_metric(self, name: str, value: float) -> None:
        self.player.curriculum.record_metrics({name: value})
        self.naive.tell_metric(name, value)

    @rule(data=st.data())
    def request_a_stage(self, data: st.DataObject) -> None:
        if not self.naive.over:
            name = data.draw(st.sampled_from([None, *self.naive.names]))
            self.player.curriculum.request_stage(name)
            self.naive.request(name)

    @rule()
    def save_and_restore_into_another(self) -> None:
        before = self.player.curriculum.state_dict()
        self.player = self.player.restored()
        assert self.player.curriculum.state_dict() == before

    @invariant()
    def both_stand_alike(self) -> None:
        if not hasattr(self, "player"):
            return
        curriculum, naive = self.player.curriculum, self.naive
        assert (curriculum.current_stage, curriculum.end is not None) == (naive.current, naive.over)
        assert curriculum.episodes() == [naive.episodes(part) for part in naive.played]
        performance = [naive.performance(part) for part in naive.played]
        assert curriculum.performance() == [None if p is None else pytest.approx(p, abs=1e-9) for p in performance]
        assert sum(curriculum.stage_probs()) == pytest.approx(1)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=2000 if SEARCH else 80, stateful_step_count=40)
