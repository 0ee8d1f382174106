"""One recipe on all traces: where it begins, what it refuses, what it says of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import TraceError
from stagectl.recipe import Recipe
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import default_recipe, simulate
from stagectl.traces import Row, Trace, trace_of, trace_of_rows


def recipe(**curriculum: Any) -> Recipe:
    block = {"stages": ["a", "b", "c"], "min_episodes": 1, "transition_smoothing": 1.0, **curriculum}
    return recipe_from_data({"curriculum": block}, name="r", folder=Path("/"))


def begun_in_b() -> Trace:
    rows = [Row(100, 1.0, "b"), Row(100, stage="c"), Row(200, 0.0, "c")]
    return trace_of_rows("t", rows, start="b")


def test_a_recording_that_began_in_a_later_stage_is_played_from_there() -> None:
    (timeline,) = simulate([begun_in_b()], recipe()).timelines
    assert [(t.from_name, t.step) for t in timeline.transitions] == [("b", 100)]


def test_but_where_the_recipe_names_its_start_it_begins_there() -> None:
    (timeline,) = simulate([begun_in_b()], recipe(start="a")).timelines
    assert timeline.notes == (
        "stage 'a' is entered at step 0, of which nothing was recorded: how long it takes is not in the data",
    )


def test_a_trace_without_a_score_is_refused_where_performance_decides() -> None:
    nothing = trace_of("t", [1, 2], [None, None])
    with pytest.raises(TraceError, match="t: has no score, and stage 'a' is left by its performance"):
        simulate([nothing], recipe())
    timed = simulate([nothing], recipe(transition_criteria="time", time_threshold_steps=2))
    assert [t.step for t in timed.timelines[0].transitions] == [2]


def test_that_scores_drive_whatever_stage_is_on_is_said_once_for_all_traces() -> None:
    traces = [trace_of(f"seed {seed}", [1, 2], [0.0, 0.0]) for seed in range(3)]
    assert [note for note in simulate(traces, recipe()).notes if note.startswith("as recorded")] != []
    assert not any(note.startswith("as recorded") for note in simulate([begun_in_b()], recipe()).notes)


def test_what_a_reader_left_out_is_said_with_the_trace_it_left_it_out_of() -> None:
    noted = [trace_of_rows(name, [Row(1, 0.0)], notes=["3 rows were left out"]) for name in "xyz"]
    assert simulate(noted, recipe()).notes[0] == "x and 2 more: 3 rows were left out"
    assert simulate(noted[:2], recipe()).notes[0] == "x, y: 3 rows were left out"
    assert simulate(noted[:1], recipe()).notes[0] == "3 rows were left out"


def test_returns_where_successes_are_expected_are_said() -> None:
    traces = [trace_of("x", [1, 2, 3], [0.5, None, 12.5]), trace_of("y", [1], [-2.0])]
    (note,) = (note for note in simulate(traces, recipe()).notes if note.startswith("scores"))
    assert note.startswith("scores go from -2 to 12.5, where the recipe takes them to be from 0 to 1: ")
    for fine in (simulate(traces, recipe(score="return")), simulate([trace_of("z", [1, 2], [0.0, 1.0])], recipe())):
        assert not any(note.startswith("scores") for note in fine.notes)


def test_returns_of_one_stage_and_successes_of_another_are_told_apart() -> None:
    stages = [{"name": "a", "curriculum": "a"}, {"name": "b", "curriculum": "b", "score": "return"}]
    mixed = recipe(stages=stages)
    fine = trace_of_rows("x", [Row(1, 1.0, "a"), Row(2, 12.5, "b")])
    wrong = trace_of_rows("x", [Row(1, 12.5, "a"), Row(2, 30.0, "b")])
    assert not any(note.startswith("scores") for note in simulate([fine], mixed).notes)
    assert any(note.startswith("scores go from 12.5 to 12.5,") for note in simulate([wrong], mixed).notes)


def test_without_a_recipe_the_stages_are_all_that_the_traces_tell() -> None:
    other = trace_of("u", [1], [1.0], ["d"])
    assert [stage.name for stage in default_recipe([begun_in_b(), other]).stages] == ["b", "c", "d"]


def test_the_stage_in_which_a_recording_began_counts_where_nothing_was_scored_in_it() -> None:
    scores = [Row(step, 1.0, "b") for step in range(60, 300, 10)]
    trace = trace_of_rows("t", [Row(50), Row(50, stage="b"), *scores], start="warmup")
    assert [stage.name for stage in default_recipe([trace]).stages] == ["warmup", "b"]
    with pytest.raises(TraceError, match="recorded in a stage that the recipe does not have: warmup"):
        simulate([trace], recipe(stages=["b", "c"]))
