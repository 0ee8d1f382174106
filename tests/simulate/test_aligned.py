"""An aligned replay sees in each stage what was recorded in it, and says where the recording does not go."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from stagectl import StagedProgressiveCurriculum
from stagectl.errors import TraceError
from stagectl.simulate import replay
from stagectl.traces import Row, Trace, trace_of
from stagectl.traces.trace import trace_of_rows


def curriculum(*stages: Any, **settings: Any) -> StagedProgressiveCurriculum:
    plain = {"transition_smoothing": 1.0, "min_episodes": 1, **settings}
    return StagedProgressiveCurriculum(stages or ("nav", "seq", "free"), **plain)


def recorded() -> Trace:
    """nav to step 400, where its score has risen to 0.9, seq to 1,000, where it has risen to 0.9, then free."""
    rows = [Row(step, step / 1000 + 0.5, "nav") for step in (100, 200, 300, 400)]
    rows += [Row(400, stage="seq"), *(Row(step, step / 1000 - 0.1, "seq") for step in (600, 800, 1000))]
    rows += [Row(1000, stage="free"), Row(1200, 0.5, "free")]
    return trace_of_rows("t", rows, start="nav")


def test_the_recordings_own_criterion_gives_the_recording() -> None:
    timeline = replay(curriculum(performance_threshold=0.9), recorded())
    assert [(t.to_name, t.step) for t in timeline.transitions] == [("seq", 400), ("free", 1000)]
    assert (timeline.aligned, timeline.differs_from, timeline.notes, timeline.finished) == (True, None, (), True)


def test_a_stage_that_is_left_earlier_is_followed_by_what_was_recorded_in_the_next_one() -> None:
    timeline = replay(curriculum(performance_threshold=0.7), recorded())
    assert [(t.to_name, t.step, t.performance) for t in timeline.transitions] == [
        ("seq", 200, 0.7),
        ("free", 200 + 400, 0.7000000000000001),
    ]
    assert timeline.total_steps == 600 + 200
    assert [span.episodes for span in timeline.stages] == [2, 2, 1]


def test_what_an_earlier_exit_leaves_out_and_assumes_is_said() -> None:
    timeline = replay(curriculum(performance_threshold=0.7), recorded())
    assert timeline.notes == (
        "stage 'nav' is left 200 steps earlier than it was recorded (2 episodes are left out): what follows was "
        "recorded after that much more training, and is assumed to come the same",
        "stage 'seq' is left 200 steps earlier than it was recorded (1 episode is left out): what follows was "
        "recorded after that much more training, and is assumed to come the same",
    )
    assert timeline.differs_from == 200


def test_a_stage_that_needs_more_than_was_recorded_is_censored_and_nothing_follows() -> None:
    timeline = replay(curriculum(performance_threshold=0.95), recorded())
    nav, seq, _ = timeline.stages
    assert (nav.censored, nav.left, nav.steps, seq.entered) == (True, None, 400, None)
    assert (timeline.transitions, timeline.total_steps, timeline.finished) == ((), 400, False)
    assert timeline.notes == (
        "stage 'nav' takes 400 steps or more: its criterion does not hold by then, and no more of it was recorded",
        "the best performance of stage 'nav' on these data is 0.9, at step 400, and its threshold is 0.95",
    )


def test_a_stage_of_which_nothing_was_recorded_is_censored_at_its_entry() -> None:
    timeline = replay(
        curriculum("nav", "extra", "seq", performance_threshold=0.9),
        recorded().__class__("t", recorded().steps[:4], recorded().scores[:4], recorded().stage_codes[:4], ("nav",)),
    )
    assert [(s.entered, s.steps, s.censored) for s in timeline.stages] == [
        (0, 400, False),
        (400, 0, True),
        (None, 0, False),
    ]
    assert "'extra' is entered at step 400, of which nothing was recorded" in timeline.notes[0]


def test_the_last_stage_is_not_censored_since_nothing_but_the_budget_ends_it() -> None:
    timeline = replay(curriculum(performance_threshold=0.7), recorded())
    assert not timeline.is_censored
    assert not timeline.is_over


def test_a_criterion_of_steps_counts_from_the_simulated_entry() -> None:
    by_steps = curriculum(
        {"curriculum": "nav", "performance_threshold": 0.7},
        {"curriculum": "seq", "advance_when": "steps >= 200"},
        "free",
    )
    assert [t.step for t in replay(by_steps, recorded()).transitions] == [200, 400]


def test_each_visit_takes_the_recorded_visit_of_its_number() -> None:
    rows = [Row(100, 1.0, "nav"), Row(100, stage="seq"), Row(200, 0.1, "seq"), Row(300, 0.1, "seq")]
    rows += [Row(300, stage="nav"), Row(400, 0.2, "nav"), Row(500, 1.0, "nav")]
    rows += [Row(500, stage="seq"), Row(600, 1.0, "seq"), Row(600, stage="free")]
    nav = {"curriculum": "nav", "max_visits": 3}
    seq = {"curriculum": "seq", "demote": {"to": "nav", "below": 0.3, "patience": 100}, "max_visits": 3}
    for threshold, steps in ((0.8, [100, 300, 500, 600]), (0.2, [100, 300, 400, 500])):
        demoting = curriculum({**nav, "performance_threshold": threshold}, seq, "free")
        assert [t.step for t in replay(demoting, trace_of_rows("t", rows, start="nav")).transitions] == steps


def test_late_and_rehearsed_rows_go_along_with_the_visit_in_which_they_were_recorded() -> None:
    rows = [
        Row(100, 1.0, "nav"),
        Row(100, stage="seq"),
        Row(200, 0.0, "nav"),
        Row(300, 1.0, "seq"),
        Row(300, stage="free"),
    ]
    timeline = replay(curriculum(), trace_of_rows("t", rows, start="nav"))
    assert [t.step for t in timeline.transitions] == [100, 300]
    assert [span.episodes for span in timeline.stages] == [2, 1, 0]


def test_where_no_row_marks_an_entry_the_stages_first_row_does() -> None:
    trace = trace_of("t", [100, 200, 300, 400, 500], [1.0, 0.0, 0.2, 0.0, 1.0], ["nav", "seq", "nav", "seq", "seq"])
    timeline = replay(curriculum(), trace)
    assert [(t.to_name, t.step) for t in timeline.transitions] == [("seq", 100), ("free", 500)]
    assert timeline.stages[0].episodes == 2


def test_a_recording_that_began_in_another_stage_is_played_from_there() -> None:
    rows = [Row(100, 1.0, "seq"), Row(100, stage="free"), Row(200, 1.0, "free")]
    timeline = replay(curriculum(start="seq"), trace_of_rows("t", rows, start="seq"))
    assert [(t.from_name, t.step) for t in timeline.transitions] == [("seq", 100)]


def test_as_recorded_the_scores_drive_whatever_stage_is_on() -> None:
    timeline = replay(curriculum(performance_threshold=0.75), recorded(), as_recorded=True)
    assert [(t.to_name, t.step) for t in timeline.transitions] == [("seq", 300), ("free", 400)]
    assert (timeline.aligned, timeline.differs_from) == (False, None)


def test_a_score_that_is_the_mean_of_several_episodes_weighs_as_many() -> None:
    told = replay(
        curriculum(transition_smoothing=0.5, performance_threshold=0.7),
        trace_of_rows("t", [Row(10, 0.5), Row(20, 1.0, episodes=3)]),
    )
    apart = replay(
        curriculum(transition_smoothing=0.5, performance_threshold=0.7),
        trace_of("t", [10, 20, 20, 20], [0.5, 1.0, 1.0, 1.0]),
    )
    assert told.decisions == apart.decisions
    assert told.total_episodes == apart.total_episodes == 4


def test_without_told_members_a_group_gets_its_scores_as_it_hands_out_its_tasks() -> None:
    group = {"name": "rooms", "parallel": [{"curriculum": "a"}, {"curriculum": "b", "weight": 3}]}
    timeline = replay(StagedProgressiveCurriculum([group, "c"], min_episodes=99), trace_of("t", range(1, 9), [0.0] * 8))
    assert timeline.stages[0].episodes == 8


def test_a_stage_that_the_recipe_lacks_is_named_with_the_way_round() -> None:
    with pytest.raises(TraceError, match=r"a stage that the recipe does not have: free, seq \(.*--as-recorded plays"):
        replay(curriculum("nav", "other"), recorded())


def test_a_curve_has_each_performance_and_the_one_at_which_the_stage_was_left() -> None:
    nav, seq, free = replay(curriculum(performance_threshold=0.9), recorded()).curves
    assert (nav.stage, nav.steps, nav.performance) == (0, (100, 200, 300, 400), (0.6, 0.7, 0.8, 0.9))
    assert (seq.steps[-1], seq.performance[-1], seq.threshold[-1]) == (1000, 0.9, 0.9)
    assert free.steps == (1200,)


def test_a_long_curve_is_thinned_evenly_and_keeps_its_ends() -> None:
    (curve,) = replay(curriculum("nav"), trace_of("t", range(1, 10_001), [0.5] * 10_000)).curves
    assert 256 <= len(curve.steps) <= 512
    assert (curve.steps[0], curve.steps[-1]) == (1, 10_000)
    assert len({b - a for a, b in itertools.pairwise(curve.steps[:-1])}) == 1


def test_a_recording_of_nothing_but_its_start_is_censored_there() -> None:
    timeline = replay(curriculum(), trace_of_rows("t", [], start="nav"))
    assert (timeline.total_steps, timeline.decisions) == (0, ())


def test_a_recording_that_tells_its_start_never_left_it_where_no_row_marks_an_entry() -> None:
    rows = [Row(100, 0.1, "seq"), Row(200, 0.1, "nav"), Row(300, 1.0, "nav")]
    timeline = replay(curriculum(), trace_of_rows("t", rows, start="nav"))
    assert [(t.to_name, t.step) for t in timeline.transitions] == [("seq", 300)]
