"""Replay decides as training does: once after all rows of a step, each score for its own stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stagectl import StagedProgressiveCurriculum, attach
from stagectl.curriculum import Task
from stagectl.errors import TraceError
from stagectl.recipe import build_curriculum, load_recipe
from stagectl.runs import EventReader, RunPaths
from stagectl.simulate import default_recipe, replay
from stagectl.traces import read_traces, trace_of, trace_of_events, write_trace


def curriculum(**settings: object) -> StagedProgressiveCurriculum:
    return StagedProgressiveCurriculum(["nav", "seq", "simple"], **settings)


def test_without_stages_scores_drive_whatever_stage_is_on() -> None:
    timeline = replay(curriculum(), trace_of("t", list(range(0, 4000, 100)), [1.0] * 40))
    assert [(t.from_name, t.step) for t in timeline.transitions] == [("nav", 900), ("seq", 1900)]
    assert [span.episodes for span in timeline.stages] == [10, 10, 20]
    assert [(span.entered, span.left) for span in timeline.stages] == [(0, 900), (900, 1900), (1900, None)]


def test_rows_of_equal_step_decide_once_after_the_last_of_them() -> None:
    timeline = replay(curriculum(), trace_of("t", [500] * 30, [1.0] * 30))
    assert [(t.step, t.performance) for t in timeline.transitions] == [(500, 1.0)]
    assert timeline.stages[0].episodes == 30


def test_a_row_without_a_score_moves_the_steps_alone() -> None:
    timed = curriculum(transition_criteria="time", time_threshold_steps=1000)
    timeline = replay(timed, trace_of("t", [10, 1000, 1500], [1.0, None, 1.0]))
    assert [(t.step, t.reason) for t in timeline.transitions] == [(1000, "time")]


def test_stages_that_are_none_of_the_recipes_are_passed_over_and_that_is_said() -> None:
    timeline = replay(curriculum(), trace_of("t", list(range(20)), [1.0] * 20, ["other"] * 20))
    assert timeline.stages[0].episodes == 10
    assert "none of the trace's stages is the recipe's" in timeline.notes[0]


def test_a_stage_that_the_recipe_lacks_is_named() -> None:
    with pytest.raises(TraceError, match="a stage that the recipe does not have: sequence"):
        replay(curriculum(), trace_of("t", [1, 2], [1.0, 1.0], ["nav", "sequence"]))


def test_without_a_recipe_the_stages_are_the_traces_else_as_many_as_are_asked_for() -> None:
    assert [s.name for s in default_recipe([trace_of("t", [1], [1.0], ["nav"])]).stages] == ["nav"]
    assert len(default_recipe([trace_of("t", [1], [1.0])], 5).stages) == 5
    assert len(default_recipe([trace_of("t", [1], [1.0])]).stages) == 3


def test_the_timeline_ends_where_the_curriculum_does() -> None:
    ending = StagedProgressiveCurriculum(["a", {"curriculum": "b", "performance_threshold": 0.5}])
    timeline = replay(ending, trace_of("t", list(range(0, 9000, 100)), [1.0] * 90))
    assert timeline.end is not None
    assert (timeline.end.outcome, timeline.end.step, timeline.total_steps) == ("completed", 1900, 1900)


def test_the_transitions_have_the_documents_keys_and_the_reason() -> None:
    data = replay(curriculum(), trace_of("t", list(range(20)), [1.0] * 20)).to_data()
    assert list(data["transitions"][0]) == [
        "from_stage",
        "to_stage",
        "from_name",
        "to_name",
        "step",
        "performance",
        "reason",
        "threshold",
    ]


Rollout = tuple[int, list[tuple[int, float]]]

ages = st.sampled_from([0, 0, 0, 1, 3])
scores = st.sampled_from([1.0, 1.0, 0.5, 0.0]) | st.floats(0, 1)
episodes = st.lists(st.tuples(ages, scores), max_size=4)
rollouts = st.lists(st.tuples(st.sampled_from([0, 0, 1, 30, 100]), episodes), min_size=5, max_size=40)

CURRICULA = {
    "performance": "{stages: [a, b, {curriculum: c, performance_threshold: 0.7}], performance_threshold: 0.5}",
    "time": "{stages: [a, b, c], transition_criteria: time, time_threshold_steps: 130}",
    "zero start": "{stages: [a, b, c], ema: zero_start, transition_smoothing: 0.5, performance_threshold: 0.4}",
    "timeouts": "{stages: [a, b, c], max_steps: 150, on_timeout: advance}",
    "a stop": "{stages: [a, {curriculum: b, max_steps: 150, on_timeout: stop}], performance_threshold: 0.5}",
    "a number sign": "{stages: [{name: a, curriculum: a}, {name: 'a#1', curriculum: b}, c]}",
}


@given(rollouts=rollouts, unfinished=episodes, described=st.sampled_from(list(CURRICULA)))
@example([(100, [(0, 1.0)] * 2), (0, [(0, 1.0)] * 2), (0, []), (100, [])], [], "performance")
@example([(100, [(0, 1.0)])], [(0, 1.0)], "performance")
def test_a_runs_own_trace_simulated_with_its_own_recipe_is_the_run_event_for_event(
    tmp_path_factory: pytest.TempPathFactory,
    rollouts: list[Rollout],
    unfinished: list[tuple[int, float]],
    described: str,
) -> None:
    """Late episodes, calls without any, steps told again, and episodes that finish after the last call."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "recipe.yaml"
    curriculum = CURRICULA[described].replace("{stages", "{min_episodes: 2, stages", 1)
    recipe.write_text(f"trainer: {{command: [none], total_timesteps: 2000}}\ncurriculum: {curriculum}\n")
    recorded = list(EventReader(train(recipe, rollouts, unfinished).events).read())
    with (folder / "trace.csv").open("wb") as file:
        write_trace(trace_of_events("", recorded), file)
    try:
        (trace,) = read_traces([str(folder / "trace.csv")])
    except TraceError:
        assert not any(event["event"] == "episodes" for event in recorded)
        return
    timeline = replay(build_curriculum(load_recipe(recipe)), trace)
    assert [decision.to_dict() for decision in timeline.decisions] == [
        {key: value for key, value in event.items() if key not in ("seq", "attempt", "time", "event")}
        for event in recorded
        if event["event"] in ("stage_transition", "curriculum_ended")
    ]


def train(recipe: Path, rollouts: list[Rollout], unfinished: list[tuple[int, float]]) -> RunPaths:
    """A script in which up to three episodes that began before are still to finish."""
    tasks: list[Task] = []

    def play(curriculum: StagedProgressiveCurriculum, episodes: list[tuple[int, float]]) -> None:
        for age, score in episodes:
            tasks.append(curriculum.get_task())
            tasks.pop(-1 - min(age, len(tasks) - 1)).complete(score)

    step = 0
    with attach(recipe) as session:
        for growth, episodes in rollouts:
            play(session.curriculum, episodes)
            step += growth
            session.update_step_count(step)
            if session.should_stop:
                break
        play(session.curriculum, unfinished)
        return session.paths
