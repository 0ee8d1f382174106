"""The rules that naive curricula get wrong (DESIGN.md, the stage machine)."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stagectl.curriculum import (
    CurriculumEnd,
    Finished,
    Score,
    Stage,
    StagedProgressiveCurriculum,
    StageTransition,
    merge,
)
from stagectl.errors import CurriculumError, ScoreError

TWO = ["first", "second"]


def fed(curriculum: StagedProgressiveCurriculum, id: str, score: float, times: int) -> list[Any]:
    return [curriculum.complete_task(id, score) for _ in range(times)]


# ── 1: an episode counts for the stage in which it began ────────────────────────────────────────────────────


def test_a_late_score_goes_into_its_own_stage_and_does_not_move_the_current_one() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], min_episodes=2)
    late = [curriculum.get_task() for _ in range(20)]
    fed(curriculum, curriculum.get_task().id, 1.0, 2)
    assert curriculum.current_stage == 1
    assert [task.complete(1.0) for task in late] == [None] * 20
    assert curriculum.episodes() == [22, 0, 0]
    assert curriculum.performance() == [1.0, None, None]


def test_a_score_for_a_later_stage_waits_there() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], min_episodes=1)
    assert curriculum.complete_task("b", 1.0) is None
    assert curriculum.current_stage == 0
    assert curriculum.episodes() == [0, 1, 0]


def test_a_score_may_be_told_by_its_stages_name() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.complete_task("second", 0.5)
    assert curriculum.episodes() == [0, 1]


def test_a_score_may_be_told_by_its_stages_name_even_where_that_has_a_number_sign() -> None:
    curriculum = StagedProgressiveCurriculum(["a", {"curriculum": "b", "name": "level #2"}])
    curriculum.complete_task("level #2", 0.5)
    assert curriculum.episodes() == [0, 1]


def test_a_tasks_id_is_never_taken_for_another_stages_name() -> None:
    curriculum = StagedProgressiveCurriculum(["a", {"curriculum": "b", "name": "a#1"}])
    curriculum.get_task().complete(0.5)
    assert curriculum.episodes() == [1, 0]


@pytest.mark.parametrize("others", ["a@1", "a@1#1", "a@1#2", "a@2#1", "a#1", "#", "a@"])
def test_stages_with_names_like_ids_are_told_apart_by_name_by_task_and_by_visit(others: str) -> None:
    curriculum = StagedProgressiveCurriculum(["a", {"curriculum": "b", "name": others}])
    curriculum.decide_between_steps()
    first = [curriculum.get_task() for _ in range(3)]
    curriculum.request_stage(others)
    curriculum.update_step_count(1)
    second = [curriculum.get_task() for _ in range(3)]
    curriculum.request_stage("a")
    curriculum.update_step_count(2)
    for task in (*first, *second):
        task.complete(0.5)
    curriculum.complete_task(others, 0.25)
    assert list(curriculum.finished) == [Finished(0, 0.5, 1)] * 3 + [Finished(1, 0.5)] * 3 + [Finished(1, 0.25)]
    assert len({task.id for task in (*first, *second)} | {others, "a"}) == 8


def test_an_episode_may_be_told_by_its_stages_name_and_visit() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "a@1"])
    curriculum.decide_between_steps()
    curriculum.request_stage("a")
    curriculum.update_step_count(1)
    for visit in (None, 1, 2):
        curriculum.complete_in("a", 0.5, visit)
    curriculum.complete_in("a@1", 1.0)
    assert list(curriculum.finished) == [
        Finished(0, 0.5),
        Finished(0, 0.5, 1),
        Finished(0, 0.5),
        Finished(1, 1.0),
    ]
    with pytest.raises(CurriculumError, match="no stage that is played is named 'b'; known: a, a@1"):
        curriculum.complete_in("b", 0.5)


def test_a_task_counts_once() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    task = curriculum.get_task()
    with pytest.raises(ScoreError):
        task.complete(math.nan)
    task.complete(0.5)
    with pytest.warns(RuntimeWarning, match="task first@1#1 was completed before and counts once"):
        assert task.complete(0.5) is None
    assert curriculum.episodes() == [1, 0]


def test_a_score_with_an_id_of_nobody_counts_for_the_current_stage() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    for nobody in ("17", "", "#", "nobody#3"):
        curriculum.complete_task(nobody, 0.5)
    assert curriculum.episodes() == [4, 0]


# ── 2: an honest mean, and enough episodes ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("smoothing", "episodes"), [(0.1, 10), (0.3, 3), (0.5, 2), (0.75, 1), (1.0, 1), (0.01, 100)])
def test_a_stage_needs_one_over_its_smoothing_episodes(smoothing: float, episodes: int) -> None:
    curriculum = StagedProgressiveCurriculum(TWO, transition_smoothing=smoothing)
    *before, last = fed(curriculum, "first", 1.0, episodes)
    assert before == [None] * (episodes - 1)
    assert isinstance(last, StageTransition)


def test_min_episodes_says_otherwise() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=3)
    assert [bool(d) for d in fed(curriculum, "first", 1.0, 3)] == [False, False, True]


def test_performance_that_equals_the_threshold_has_reached_it() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    assert isinstance(fed(curriculum, "first", 0.8, 10)[-1], StageTransition)


# ── 3: no data holds the stage; bad scores are refused ──────────────────────────────────────────────────────


def test_a_criterion_over_nothing_is_false() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, performance_threshold=-5, score="return", min_episodes=1)
    assert curriculum.update_step_count(10**9) is None


@pytest.mark.parametrize(
    "score",
    [math.nan, math.inf, -math.inf, None, "high", "0.8", "", [], {}, pytest.param(10**400, id="1e400")],
)
def test_a_score_that_is_no_finite_number_is_refused_with_stage_and_step_and_nothing_is_counted(score: Any) -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=1)
    curriculum.complete_task("first", 0.25)
    curriculum.update_step_count(1234)
    before = curriculum.state_dict()
    with pytest.raises(ScoreError, match=r"score .*stage 'first' at step 1234"):
        curriculum.complete_task("first", score)
    assert curriculum.state_dict() == before


def test_a_late_bad_score_names_the_stage_that_it_belongs_to() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=1)
    task = curriculum.get_task()
    curriculum.complete_task("first", 1.0)
    with pytest.raises(ScoreError, match="stage 'first'"):
        task.complete(math.nan)


def test_under_a_session_a_refused_score_is_handed_over_instead_of_raised() -> None:
    refused: list[ScoreError] = []
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.decide_between_steps(refused=refused.append)
    assert curriculum.complete_task("first", math.nan) is None
    assert [str(error) for error in refused] == [
        "the score of an episode in stage 'first' at step 0 is nan, not a finite number"
    ]
    assert (curriculum.episodes(), list(curriculum.finished)) == ([0, 0], [])


def test_the_step_count_may_stay_but_not_go_back() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.update_step_count(100)
    curriculum.update_step_count(100)
    with pytest.raises(CurriculumError, match="went back from 100 to 99"):
        curriculum.update_step_count(99)
    assert curriculum.total_steps == 100


@pytest.mark.parametrize("steps", [math.nan, math.inf, None, "100", 10.5])
def test_a_step_count_that_is_no_whole_number_is_refused(steps: Any) -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.update_step_count(5)
    with pytest.raises(CurriculumError, match="step count"):
        curriculum.update_step_count(steps)
    assert curriculum.total_steps == 5


class Counter:
    """A whole number that is no int, as numpy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    __int__ = __index__

    def __lt__(self, other: int) -> bool:
        return self.value < other

    def __sub__(self, other: int) -> int:
        return self.value - other


def test_a_step_count_from_numpy_is_kept_as_plain_json() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.update_step_count(Counter(64))  # type: ignore[arg-type]
    assert json.loads(json.dumps(curriculum.state_dict()))["total_steps"] == 64


# ── 4: transitions between rollouts ─────────────────────────────────────────────────────────────────────────


def test_between_steps_scores_decide_nothing_and_the_step_count_decides_once() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"])
    curriculum.decide_between_steps()
    assert fed(curriculum, "a", 1.0, 50) + fed(curriculum, "b", 1.0, 50) == [None] * 100
    first = curriculum.update_step_count(10)
    assert isinstance(first, StageTransition)
    assert (first.from_stage, first.to_stage) == (0, 1)


def test_of_equal_steps_the_episodes_of_all_decide() -> None:
    """A good start does not count when the same step's later episodes are bad."""
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=5)
    curriculum.decide_between_steps()
    fed(curriculum, "a", 1.0, 5)
    fed(curriculum, "a", 0.0, 50)
    assert curriculum.update_step_count(10) is None


def test_the_finished_episodes_of_a_step_are_kept_in_order_until_the_next() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.decide_between_steps()
    for name, score in (("second", 0.1), ("first", 0.2), ("second", 0.3)):
        curriculum.complete_task(name, score)
    assert list(curriculum.finished) == [Finished(1, 0.1), Finished(0, 0.2), Finished(1, 0.3)]
    curriculum.update_step_count(1)
    assert list(curriculum.finished) == []


def test_a_second_telling_of_the_same_step_decides_nothing_and_keeps_what_finished_for_the_next() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=1)
    curriculum.decide_between_steps()
    assert curriculum.update_step_count(10) is None
    curriculum.complete_task("first", 1.0)
    assert curriculum.update_step_count(10) is None
    assert (list(curriculum.finished), curriculum.episodes()) == ([Finished(0, 1.0)], [0, 0])
    assert isinstance(curriculum.update_step_count(11), StageTransition)


def test_an_episode_of_an_earlier_visit_says_which() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    curriculum.decide_between_steps()
    old, late = curriculum.get_task(), curriculum.get_task()
    curriculum.request_stage("first")
    curriculum.update_step_count(1)
    old.complete(0.5)
    curriculum.get_task().complete(0.25)
    assert list(curriculum.finished) == [Finished(0, 0.5, 1), Finished(0, 0.25, None)]
    curriculum.update_step_count(2)
    assert (curriculum.episodes(), curriculum.performance()) == ([1, 0], [0.25, None])
    late.complete(0.5)
    assert list(curriculum.finished) == [Finished(0, 0.5, 1)]


def test_a_call_makes_at_most_one_transition() -> None:
    """Stages that may be left as soon as they are entered are left at one boundary each."""
    curriculum = StagedProgressiveCurriculum(["a", "b", "c", "d"], advance_when="total_steps >= 5")
    stages = []
    for steps in (5, 6, 7, 8):
        curriculum.update_step_count(steps)
        stages.append(curriculum.stage.name)
    assert stages == ["b", "c", "d", "d"]


def test_scores_told_for_a_stage_before_it_was_entered_do_not_count_when_it_is() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], min_episodes=1)
    curriculum.complete_task("b", 1.0)
    assert curriculum.performance() == [None, 1.0, None]
    curriculum.complete_task("a", 1.0)
    assert (curriculum.stage.name, curriculum.episodes(), curriculum.performance()) == ("b", [1, 0, 0], [1, None, None])
    assert curriculum.update_step_count(1) is None


def test_a_leap_over_many_time_thresholds_is_one_transition() -> None:
    curriculum = StagedProgressiveCurriculum(["a", "b", "c"], transition_criteria="time", time_threshold_steps=10)
    assert [bool(curriculum.update_step_count(steps)) for steps in (1000, 1000, 1009, 1010)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_stage_is_applied_once_a_task_of_it_was_handed_out_and_not_when_it_was_decided() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=1)
    assert curriculum.applied_stage is None
    curriculum.get_task()
    curriculum.complete_task("first", 1.0)
    assert (curriculum.current_stage, curriculum.applied_stage) == (1, None)
    curriculum.get_task()
    assert curriculum.applied_stage == 1


# ── 5 and 6: the end, and the way out ───────────────────────────────────────────────────────────────────────


def test_the_last_stage_without_a_criterion_of_its_own_never_ends_by_itself() -> None:
    curriculum = StagedProgressiveCurriculum(["only"])
    assert fed(curriculum, "only", 1.0, 100) == [None] * 100
    assert curriculum.update_step_count(10**9) is None
    assert curriculum.waiting_for() == ()


@pytest.mark.parametrize("own", [{"performance_threshold": 0.5}, {"transition_criteria": "performance"}])
def test_the_last_stage_ends_by_its_own_criterion(own: dict[str, Any]) -> None:
    curriculum = StagedProgressiveCurriculum([{"curriculum": "only", **own}], min_episodes=2)
    threshold = own.get("performance_threshold", 0.8)
    curriculum.update_step_count(77)
    assert fed(curriculum, "only", 1.0, 2)[-1] == CurriculumEnd(
        "completed", 0, "only", 77, 1.0, "performance", threshold
    )


def test_the_last_stage_ends_by_its_own_time() -> None:
    last = {"curriculum": "z", "transition_criteria": "time", "time_threshold_steps": 10}
    curriculum = StagedProgressiveCurriculum([last])
    assert curriculum.update_step_count(10) == CurriculumEnd("completed", 0, "z", 10, None, "time")


@pytest.mark.parametrize(("on_timeout", "outcome"), [("stop", "stopped"), ("fail", "failed"), (None, "failed")])
def test_a_stage_that_runs_out_of_steps_ends_the_curriculum(on_timeout: str | None, outcome: str) -> None:
    settings = {"on_timeout": on_timeout} if on_timeout else {}
    curriculum = StagedProgressiveCurriculum(TWO, max_steps=100, **settings)
    assert curriculum.update_step_count(99) is None
    assert curriculum.update_step_count(120) == CurriculumEnd(outcome, 0, "first", 120, None, "timeout", 0.8)


def test_a_stage_that_runs_out_of_steps_advances_where_the_recipe_says_so() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, max_steps=100, on_timeout="advance")
    assert curriculum.update_step_count(100) == StageTransition(0, 1, "first", "second", 100, None, "timeout", 0.8)
    assert curriculum.update_step_count(199) is None
    assert curriculum.update_step_count(200) == CurriculumEnd("completed", 1, "second", 200, None, "timeout")


def test_a_criterion_that_holds_goes_before_a_time_out() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, max_steps=100, min_episodes=1)
    curriculum.decide_between_steps()
    curriculum.complete_task("first", 1.0)
    decision = curriculum.update_step_count(100)
    assert isinstance(decision, StageTransition)
    assert decision.reason == "performance"


def test_after_its_end_a_curriculum_decides_nothing_more() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, max_steps=10, on_timeout="stop")
    end = curriculum.update_step_count(10)
    assert fed(curriculum, "first", 1.0, 50) == [None] * 50
    assert curriculum.update_step_count(1000) is None
    assert curriculum.end == end


# ── 7: saved and restored ───────────────────────────────────────────────────────────────────────────────────


def test_a_state_of_another_version_is_refused() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    with pytest.raises(CurriculumError, match="version 99"):
        curriculum.load_state_dict({**curriculum.state_dict(), "version": 99})


LAST = {"curriculum": "c", "transition_criteria": "performance"}
RECIPE = {"stages": [{"curriculum": "a", "rehearse": {"b": 0.1}}, "b", LAST], "env_overrides": {"x": (1, 2)}}
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    (RECIPE, []),
    ({**RECIPE, "min_episodes": 10, "performance_threshold": "0.80"}, []),  # the same, said otherwise
    (
        {**RECIPE, "stages": [*RECIPE["stages"][:2], "d"]},
        ["stages: stage 'c' is gone", "stages: stage 'd' is new"],
    ),
    (
        {**RECIPE, "stages": [RECIPE["stages"][0], "c", {**LAST, "curriculum": "b"}]},
        ["stages: were in the order a, b, c and are in the order a, c, b"],
    ),
    (
        {**RECIPE, "stages": [{"curriculum": "a", "rehearse": {"b": 0.2}}, "b", LAST]},
        ["stages.a.rehearse: stage 'a' had {'b': 0.1} and has {'b': 0.2}"],
    ),
    (
        {**RECIPE, "stages": [RECIPE["stages"][0], {"curriculum": "b", "max_steps": 9, "on_timeout": "stop"}, LAST]},
        [
            "stages.b.max_steps: stage 'b' had None and has 9",
            "stages.b.on_timeout: stage 'b' had 'fail' and has 'stop'",
        ],
    ),
]


@pytest.mark.parametrize(("changed", "said"), CHANGES, ids=[" ".join(said) or "nothing" for _, said in CHANGES])
def test_a_state_of_another_recipe_is_refused_with_what_changed_by_stage_and_key(
    changed: dict[str, Any], said: list[str]
) -> None:
    state = json.loads(json.dumps(StagedProgressiveCurriculum(**RECIPE).state_dict()))
    curriculum = StagedProgressiveCurriculum(**changed)
    before = curriculum.state_dict()
    found: list[str] = []
    try:
        curriculum.load_state_dict(state)
    except CurriculumError as error:
        found = [str(fault) for fault in error.faults]
    assert found == said
    assert not said or curriculum.state_dict() == before


def test_a_state_is_of_version_three() -> None:
    assert StagedProgressiveCurriculum(TWO).state_dict()["version"] == 3


def test_a_state_survives_json_that_sorts_its_keys() -> None:
    curriculum = StagedProgressiveCurriculum(["z", "a"])
    curriculum.complete_task("z", 0.5)
    restored = StagedProgressiveCurriculum(["z", "a"])
    restored.load_state_dict(json.loads(json.dumps(curriculum.state_dict(), sort_keys=True)))
    assert restored.episodes() == [1, 0]


def test_an_average_goes_on_after_a_resume_and_does_not_start_from_zero() -> None:
    before, after = StagedProgressiveCurriculum(TWO), StagedProgressiveCurriculum(TWO)
    fed(before, "first", 0.6, 9)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.performance() == before.performance()
    assert after._stage_performance[0] == before._stage_performance[0]


# ── 8: why it has not moved on ──────────────────────────────────────────────────────────────────────────────


def test_it_says_each_term_with_its_value_its_target_and_what_blocks() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    fed(curriculum, "first", 0.74, 312)
    performance, episodes = curriculum.waiting_for()
    assert (str(performance), performance.holds) == ("performance 0.74 of 0.8", False)
    assert (str(episodes), episodes.holds) == ("episodes 312 of 10", True)


def test_it_says_that_there_is_no_data() -> None:
    curriculum = StagedProgressiveCurriculum(TWO)
    assert [str(term) for term in curriculum.waiting_for()] == ["performance no data of 0.8", "episodes 0 of 10"]


def test_it_says_the_steps_that_are_missing() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, transition_criteria="time")
    curriculum.update_step_count(20_000)
    assert [str(term) for term in curriculum.waiting_for()] == ["steps 20,000 of 100,000"]


def test_what_blocks_by_a_hair_is_not_shown_as_reached() -> None:
    curriculum = StagedProgressiveCurriculum(TWO, min_episodes=1)
    curriculum.complete_task("first", 0.79996)
    assert str(curriculum.waiting_for()[0]) != "performance 0.8 of 0.8"


# ── scores from returns ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("score", "episode_return", "is_success", "expected"),
    [
        (Score(), 0.0, None, 0.0),
        (Score(), 0.3, None, 1.0),
        (Score(), -1.0, True, 1.0),
        (Score(), 5.0, False, 0.0),
        (Score("return"), -7.5, True, -7.5),
        (Score("return", -10, 10), 0.0, None, 0.5),
        (Score("return", -10, 10), 99.0, None, 1.0),
        (Score("return", -10, 10), -99.0, None, 0.0),
    ],
)
def test_a_score_is_made_as_the_recipe_says(
    score: Score, episode_return: float, is_success: bool | None, expected: float
) -> None:
    assert score.of(episode_return, is_success) == expected


@pytest.mark.parametrize("score", [Score(), Score("return"), Score("return", 0, 1)])
def test_a_return_that_is_no_number_stays_none_and_is_no_silent_failure(score: Score) -> None:
    assert math.isnan(score.of(math.nan))


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_reads_back_from_what_it_wrote_and_passes_over_later_keys() -> None:
    stages = [{"curriculum": "a", "score": {"return": [-1, 1]}, "env_overrides": {"x": {"y": [1, None]}}}, "b"]
    for stage in StagedProgressiveCurriculum(stages).stages:
        assert Stage.from_dict({**json.loads(json.dumps(stage.to_dict())), "later": 1}) == stage


def test_a_merge_changes_neither_side_and_shares_nothing_with_them() -> None:
    base = {"a": {"b": [1, {"c": 2}]}, "x": 1}
    over = {"a": {"d": [3]}, "x": {"y": 2}}
    merged = merge(base, over)
    assert merged == {"a": {"b": [1, {"c": 2}], "d": [3]}, "x": {"y": 2}}
    merged["a"]["b"][1]["c"] = 9
    merged["a"]["d"].append(9)
    assert base == {"a": {"b": [1, {"c": 2}]}, "x": 1}
    assert over == {"a": {"d": [3]}, "x": {"y": 2}}
