"""Replay decides as training does: once after all rows of a step, each score for its own stage."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl import StagedProgressiveCurriculum, attach
from stagectl.errors import TraceError
from stagectl.runs import EventReader, transition_data
from stagectl.simulate import default_curriculum, replay
from stagectl.traces import Trace, read_csv, write_csv


def curriculum(**settings: object) -> StagedProgressiveCurriculum:
    return StagedProgressiveCurriculum(["nav", "seq", "simple"], **settings)


def test_without_stages_scores_drive_whatever_stage_is_on() -> None:
    timeline = replay(curriculum(), Trace("t", list(range(0, 4000, 100)), [1.0] * 40))
    assert [(t.from_name, t.step) for t in timeline.transitions] == [("nav", 900), ("seq", 1900)]
    assert [span.episodes for span in timeline.stages] == [10, 10, 20]
    assert [(span.entered, span.left) for span in timeline.stages] == [(0, 900), (900, 1900), (1900, None)]


def test_rows_of_equal_step_decide_once_after_the_last_of_them() -> None:
    timeline = replay(curriculum(), Trace("t", [500] * 30, [1.0] * 30))
    assert [(t.step, t.performance) for t in timeline.transitions] == [(500, 1.0)]
    assert timeline.stages[0].episodes == 30


def test_a_score_counts_for_the_stage_in_which_its_episode_began() -> None:
    steps = [100] * 10 + [200] * 10
    trace = Trace("t", steps, [1.0] * 10 + [0.0] * 10, ["nav"] * 20)
    timeline = replay(curriculum(), trace)
    assert [span.episodes for span in timeline.stages] == [20, 0, 0]
    assert timeline.stages[1].performance is None


def test_a_row_without_a_score_moves_the_steps_alone() -> None:
    timed = curriculum(transition_criteria="time", time_threshold_steps=1000)
    timeline = replay(timed, Trace("t", [10, 1000, 1500], [1.0, None, 1.0]))
    assert [(t.step, t.reason) for t in timeline.transitions] == [(1000, "time")]


def test_stages_that_are_none_of_the_recipes_are_passed_over_and_that_is_said() -> None:
    timeline = replay(curriculum(), Trace("t", list(range(20)), [1.0] * 20, ["other"] * 20))
    assert timeline.stages[0].episodes == 10
    assert "none of the trace's stages is the recipe's" in timeline.notes[0]


def test_a_stage_that_the_recipe_lacks_is_named() -> None:
    with pytest.raises(TraceError, match="a stage that the recipe does not have: sequence"):
        replay(curriculum(), Trace("t", [1, 2], [1.0, 1.0], ["nav", "sequence"]))


def test_without_a_recipe_the_stages_are_the_traces_else_as_many_as_are_asked_for() -> None:
    assert [s.name for s in default_curriculum(Trace("t", [1], [1.0], ["nav"])).stages] == ["nav"]
    assert len(default_curriculum(Trace("t", [1], [1.0]), 5).stages) == 5
    assert len(default_curriculum(Trace("t", [1], [1.0])).stages) == 3


def test_the_timeline_ends_where_the_curriculum_does() -> None:
    ending = StagedProgressiveCurriculum(["a", {"curriculum": "b", "performance_threshold": 0.5}])
    timeline = replay(ending, Trace("t", list(range(0, 9000, 100)), [1.0] * 90))
    assert timeline.end is not None
    assert (timeline.end.outcome, timeline.end.step, timeline.total_steps) == ("completed", 1900, 1900)


def test_the_transitions_have_the_documents_keys_and_the_reason() -> None:
    data = replay(curriculum(), Trace("t", list(range(20)), [1.0] * 20)).to_data()
    assert list(data["transitions"][0]) == [
        "from_stage",
        "to_stage",
        "from_name",
        "to_name",
        "step",
        "performance",
        "reason",
    ]


@given(
    seed=st.integers(0, 10**6),
    envs=st.integers(1, 6),
    criteria=st.sampled_from(["performance", "time"]),
    ema=st.sampled_from(["corrected", "zero_start"]),
    max_steps=st.sampled_from(["null", "700"]),
)
def test_a_runs_own_trace_simulated_with_its_own_recipe_is_the_run_event_for_event(
    tmp_path_factory: pytest.TempPathFactory, seed: int, envs: int, criteria: str, ema: str, max_steps: str
) -> None:
    """Episodes of many environments, late ones among them, and boundaries without any."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"trainer: {{command: [none], total_timesteps: 4000}}\n"
        f"curriculum:\n  stages: [a, b, {{curriculum: c, performance_threshold: 0.7}}]\n"
        f"  transition_criteria: {criteria}\n  time_threshold_steps: 500\n  performance_threshold: 0.6\n"
        f"  ema: {ema}\n  max_steps: {max_steps}\n  on_timeout: advance\n"
        if criteria == "performance"
        else f"trainer: {{command: [none], total_timesteps: 4000}}\n"
        f"curriculum: {{stages: [a, b, c], transition_criteria: time, time_threshold_steps: 500, ema: {ema}}}\n"
    )
    paths = train(recipe, random.Random(seed), envs)
    recorded = list(EventReader(paths.events).read())
    out = io.StringIO()
    if write_csv(recorded, out) == 0:
        return
    (folder / "trace.csv").write_text(out.getvalue())
    from stagectl.recipe import build_curriculum, load_recipe

    try:
        trace = read_csv(folder / "trace.csv")
    except TraceError as error:
        assert "no row with a score" in str(error)  # noqa: PT017  nothing but transitions was recorded
        return
    timeline = replay(build_curriculum(load_recipe(recipe)), trace)
    assert [t.to_dict() for t in timeline.transitions] == [
        transition_data(event) for event in recorded if event["event"] == "stage_transition"
    ]
    ended = [event for event in recorded if event["event"] == "curriculum_ended"]
    assert (
        [timeline.end.to_dict()]
        if timeline.end
        else [
            {key: event[key] for key in ("outcome", "stage", "name", "step", "performance", "reason")}
            for event in ended
        ]
        == []
    )


def train(recipe: Path, chance: random.Random, envs: int):  # type: ignore[no-untyped-def]
    with attach(recipe) as session:
        tasks = [session.curriculum.get_task() for _ in range(envs)]
        step = 0
        while not session.should_stop:
            step += chance.choice([1, 30, 100])
            for index in range(envs):
                if chance.random() < 0.3:
                    tasks[index].complete(chance.choice([0.0, 1.0, chance.random()]))
                    tasks[index] = session.curriculum.get_task()
            session.update_step_count(step)
        return session.paths
