"""A replay ends where training would, says where it leaves the recording, and names who is at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl import StagedProgressiveCurriculum, attach
from stagectl.errors import RecipeError, ScoreError
from stagectl.recipe import build_curriculum, load_recipe
from stagectl.runs import Event, EventReader, transition_data
from stagectl.simulate import Timeline, replay
from stagectl.simulate.simulation import notes_of
from stagectl.traces import read_traces, trace_of, trace_of_events, write_trace


def curriculum(*stages: str, **settings: object) -> StagedProgressiveCurriculum:
    return StagedProgressiveCurriculum(stages or ("nav", "seq"), min_episodes=2, **settings)


@pytest.mark.parametrize("rows", [4, 4000])  # one boundary at a time, and many at once
def test_a_stage_that_no_threshold_ends_is_shown_without_one(rows: int) -> None:
    easy, last = replay(curriculum(), trace_of("t", range(1, rows + 1), [1.0] * rows)).curves
    assert set(easy.threshold) == {0.8}
    assert set(last.threshold) == {None}


def recorded(folder: Path, budget: str, rollout: int) -> tuple[list[Event], Timeline]:
    """A run's events, and the replay of its exported trace with its own recipe."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"trainer: {{command: [none], total_timesteps: {budget}}}\n"
        "curriculum: {stages: [a, b, c], transition_criteria: time, time_threshold_steps: 1k}\n"
    )
    with attach(recipe) as session:
        step = 0
        while not session.should_stop:
            session.curriculum.get_task().complete(1.0)
            step += rollout
            session.update_step_count(step)
    events = list(EventReader(session.paths.events).read())
    with (folder / "trace.csv").open("wb") as file:
        write_trace(trace_of_events("", events), file)
    (trace,) = read_traces([str(folder / "trace.csv")])
    loaded = load_recipe(recipe)
    timeline = replay(build_curriculum(loaded), trace, loaded.trainer.total_timesteps)
    return events, timeline


def test_the_step_that_reaches_the_budget_is_decided_and_is_the_last() -> None:
    trace = trace_of("t", list(range(100, 2001, 100)), [1.0] * 20)
    timeline = replay(curriculum(), trace, 150)
    assert [t.step for t in timeline.transitions] == [200]
    assert (timeline.total_steps, timeline.total_episodes, timeline.budget_spent) == (200, 2, True)


def test_a_trace_that_ends_before_the_budget_does_not_spend_it() -> None:
    assert not replay(curriculum(), trace_of("t", [100], [1.0]), 150).budget_spent


@pytest.mark.parametrize(("budget", "rollout"), [("3k", 500), ("1900", 500), ("2k", 999), ("2k", 7000)])
def test_a_runs_own_trace_gives_its_own_transitions_though_the_last_rollout_overshoots_the_budget(
    tmp_path: Path, budget: str, rollout: int
) -> None:
    events, timeline = recorded(tmp_path, budget, rollout)
    moved = [transition_data(event) for event in events if event["event"] == "stage_transition"]
    assert moved != []
    assert [t.to_dict() for t in timeline.transitions] == moved
    assert timeline.notes == ()


def test_a_trace_without_any_stages_name_is_compared_with_nothing() -> None:
    assert (
        replay(curriculum(transition_smoothing=0.9), trace_of("t", [1, 2, 3], [0.0, 0.0, 1.0], [None] * 3)).notes == ()
    )


def test_a_criterion_that_holds_from_the_entry_on_is_told() -> None:
    (note,) = replay(curriculum(), trace_of("t", [1, 2, 3], [1.0] * 3)).notes
    assert note == (
        "stage 'nav' is left as soon as it has the 2 episodes that it must have (step 2): on these data its criterion "
        "holds from its entry on"
    )


def test_a_stage_that_its_time_ended_under_either_is_not_told_as_one_whose_criterion_held() -> None:
    either = curriculum(transition_criteria="either", time_threshold_steps=2)
    timeline = replay(either, trace_of("t", [1, 2], [0.0, 0.0]))
    assert [t.step for t in timeline.transitions] == [2]
    assert timeline.notes == ()


def test_a_threshold_that_is_never_reached_is_told_with_how_near_it_was() -> None:
    (note,) = replay(curriculum(), trace_of("t", [10, 20, 30, 40], [0.0, 1.0, 1.0, 0.0])).notes
    assert note == "the best performance of stage 'nav' on these data is 0.701, at step 30, and its threshold is 0.8"


def test_a_stage_whose_name_looks_like_a_task_gets_its_own_scores() -> None:
    trace = trace_of("t", [1, 2, 3, 4], [1.0, 1.0, 0.0, 0.0], ["a", "a", "a#1", "a#1"])
    assert [span.episodes for span in replay(curriculum("a", "a#1"), trace).stages] == [2, 2]


@pytest.mark.parametrize("score", [1e308, -1e101])
def test_a_score_that_would_overflow_the_average_is_refused_with_stage_and_step(score: float) -> None:
    with pytest.raises(ScoreError, match=r"stage 'nav' at step 7 is .*, too large to average"):
        replay(curriculum(), trace_of("t", [7, 8], [1.0, score]))


class Broken(StagedProgressiveCurriculum):
    def _should_transition_to_next_stage(self) -> bool:
        return bool([][self._total_steps])


def test_what_a_users_class_raises_is_told_with_the_class_and_the_step() -> None:
    with pytest.raises(RecipeError, match="Broken failed at step 2,000: IndexError: list index out of range"):
        replay(Broken(["a", "b"], min_episodes=1), trace_of("t", [2000], [1.0]))


def test_a_recording_that_begins_late_is_told() -> None:
    late = trace_of("t", range(50_000, 100_000, 1000), [1.0] * 50)
    assert "the recording begins at step 50,000; the steps before it count for the first stage" in notes_of([late])
    assert notes_of([trace_of("t", range(1000, 100_000, 1000), [1.0] * 99)]) == []


def test_a_row_in_which_nothing_was_measured_is_no_entry_into_its_stage() -> None:
    steps, stages = list(range(10, 130, 10)), ["nav"] * 6 + ["seq"] * 6
    for hole in range(12):
        scores = [None if row == hole else 1.0 for row in range(12)]
        (moved,) = replay(curriculum(), trace_of("t", steps, scores, stages)).transitions
        assert (moved.to_name, moved.step) == ("seq", 30 if hole in (0, 1) else 20)
