"""A run goes on with a recipe that was changed meanwhile, where its owner accepts the changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.errors import CurriculumError

PAIR = {"name": "pair", "parallel": ["left", "right"]}


def saved(stages: list[Any], **settings: Any) -> dict[str, Any]:
    """The state in stage b at step 150, which was entered at 100 and has seen four episodes."""
    curriculum = StagedProgressiveCurriculum(stages, **settings)
    curriculum.decide_between_steps()
    curriculum.get_task().complete(1.0)
    curriculum.request_stage("b")
    curriculum.update_step_count(100)
    for _ in range(4):
        curriculum.get_task().complete(0.5)
    curriculum.update_step_count(150)
    state: dict[str, Any] = json.loads(json.dumps(curriculum.state_dict()))
    return state


def changed(state: dict[str, Any], stages: list[Any], **settings: Any) -> StagedProgressiveCurriculum:
    curriculum = StagedProgressiveCurriculum(stages, **settings)
    curriculum.decide_between_steps()
    with pytest.raises(CurriculumError):
        curriculum.load_state_dict(state)
    curriculum.load_state_dict(state, accept_changes=True)
    return curriculum


def test_stages_are_matched_by_name_and_keep_what_they_have_seen() -> None:
    curriculum = changed(saved(["a", "b", "c"]), ["first", "b", "new", "a"])
    assert (curriculum.stage.name, curriculum.current_stage) == ("b", 1)
    assert curriculum.performance() == [None, 0.5, None, 1.0]
    assert curriculum.episodes() == [0, 4, 0, 1]
    assert curriculum.progress().steps == 50
    assert (curriculum.total_steps, curriculum.total_episodes) == (150, 5)
    assert curriculum.state_dict()["visits"] == {"first": 0, "b": 1, "new": 0, "a": 1}


def test_a_lowered_threshold_is_met_by_what_was_seen_before() -> None:
    curriculum = changed(
        saved(["a", "b", "c"], min_episodes=2), ["a", "b", "c"], performance_threshold=0.4, min_episodes=2
    )
    decision = curriculum.update_step_count(160)
    assert decision is not None
    assert (decision.reason, decision.performance) == ("performance", 0.5)


def test_a_measure_goes_on_where_the_criterion_still_asks_for_it_and_a_new_one_begins_afresh() -> None:
    before = "mean(score, last=4) >= 0.9"
    after = f"{before} or mean(score, last=3) >= 0.9"
    state = saved(["a", {"curriculum": "b", "advance_when": before}, "c"])
    curriculum = changed(state, ["a", {"curriculum": "b", "advance_when": after}, "c"])
    old, new = curriculum.waiting_for()
    assert (str(old), str(new)) == (
        "mean(score, last=4) 0.5 of 0.9",
        "mean(score, last=3) no data of 0.9",
    )


def test_a_criterion_that_has_held_goes_on_holding_and_another_is_held_from_now_on() -> None:
    held = [f"sustained(episodes >= 4, for={steps})" for steps in (40, 41)]
    state = saved(["a", {"curriculum": "b", "advance_when": held[0]}, "c"])
    curriculum = changed(state, ["a", {"curriculum": "b", "advance_when": f"{held[0]} and {held[1]}"}, "c"])
    assert curriculum.update_step_count(160) is None
    assert curriculum.update_step_count(200) is None
    assert curriculum.update_step_count(201) is not None


def test_a_curriculum_that_was_over_goes_on_until_it_is_by_its_new_criteria() -> None:
    stages = ["a", {"curriculum": "b", "max_steps": 50, "on_timeout": "fail"}, "c"]
    longer = ["a", {"curriculum": "b", "max_steps": 80, "on_timeout": "fail"}, "c"]
    state = saved(stages)
    assert state["end"]["outcome"] == "failed"
    curriculum = changed(state, longer)
    assert curriculum.end is None
    assert curriculum.update_step_count(179) is None
    end = curriculum.update_step_count(180)
    assert end is not None
    assert end.to_dict()["outcome"] == "failed"


def test_nothing_changed_is_a_plain_resume() -> None:
    state = saved(["a", {"curriculum": "b", "rehearse": {"a": 0.3}}, "c"])
    curriculum = StagedProgressiveCurriculum(["a", {"curriculum": "b", "rehearse": {"a": 0.3}}, "c"])
    curriculum.load_state_dict(state, accept_changes=True)
    assert curriculum.state_dict() == StagedProgressiveCurriculum.state_dict(curriculum)
    assert json.loads(json.dumps(curriculum.state_dict())) == state


def test_a_member_of_a_group_stays_done_only_while_nothing_of_it_changed() -> None:
    def grouped(**settings: Any) -> StagedProgressiveCurriculum:
        curriculum = StagedProgressiveCurriculum([PAIR, "last"], min_episodes=1, **settings)
        curriculum.decide_between_steps()
        return curriculum

    one = grouped()
    one.complete_task("left", 1.0)
    one.update_step_count(10)
    state = one.state_dict()
    assert state["done"] == ["left"]
    higher = grouped(performance_threshold=0.9)
    higher.load_state_dict(state, accept_changes=True)
    assert higher.state_dict()["done"] == []
    more = StagedProgressiveCurriculum([{**PAIR, "parallel": ["left", "right", "middle"]}, "last"], min_episodes=1)
    more.load_state_dict(state, accept_changes=True)
    assert more.state_dict()["done"] == ["left"]


def test_what_waited_for_a_stage_that_is_gone_is_forgotten() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], advance_when='metric("x") > 1')
    curriculum.decide_between_steps()
    curriculum.complete_task("c", 1.0)
    curriculum.record_metrics({"x": 0.5})
    curriculum.request_stage("c")
    after = changed(curriculum.state_dict(), ["a", "b"])
    assert (list(after.finished), after.update_step_count(10)) == ([], None)


def test_a_state_that_stands_in_a_stage_which_is_gone_is_refused_and_changes_nothing() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "bee", "c"])
    before = curriculum.state_dict()
    with pytest.raises(CurriculumError, match="stands in stage 'b', which is gone; known: a, bee, c; keep"):
        curriculum.load_state_dict(saved(["a", "b", "c"]), accept_changes=True)
    assert curriculum.state_dict() == before
