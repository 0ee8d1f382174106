"""The central property: a run's own exported trace, replayed with its own recipe, is the run, event for event.

Over random recipes with every feature of the language and the graph, and streams of everything that a script and a
person may do: late episodes, repeated steps, steps without episodes, metrics, stages chosen by hand.
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import StagectlError
from stagectl.launch.local import request_advance
from stagectl.recipe import Recipe, build_curriculum, write_resolved
from stagectl.recipe.model import recipe_from_data
from stagectl.runs import EventLog, RunPaths, create_run, read_events
from stagectl.session import Session
from stagectl.simulate import Timeline, replay
from stagectl.traces import Columns, read_run, read_traces, write_trace
from tests.curriculum.random_recipes import recipes, streams

TOLD = ("from_stage", "to_stage", "outcome", "stage", "step", "performance", "threshold", "reason")


@given(curriculum=recipes(), stream=streams, seed=st.integers(0, 10**6))
def test_a_runs_own_trace_with_its_own_recipe_is_the_run(
    tmp_path_factory: pytest.TempPathFactory, curriculum: dict[str, Any], stream: list[Any], seed: int
) -> None:
    recipe = made(json.loads(json.dumps(curriculum)))
    paths = played(recipe, stream, random.Random(seed))
    timeline = replayed(recipe, paths, tmp_path_factory.mktemp("trace") / "trace.csv")
    if timeline is not None:
        assert [told(decision.to_dict()) for decision in timeline.decisions] == [
            told(event)
            for event in read_events(paths.events)
            if event["event"] in ("stage_transition", "curriculum_ended")
        ]


@pytest.mark.parametrize(
    ("settings", "logged"),
    [
        ({"advance_when": 'plateau(metric("m"), over=100, less_than=0.01)'}, {10: 0.5, 60: 0.5, 110: 0.5}),
        ({"advance_when": 'metric("m") >= 0.9'}, {10: 0.95, 20: 0.1}),
        ({"advance_when": 'sustained(metric("m") >= 0.9, for=50)'}, {10: 0.95, 30: 0.95}),
    ],
)
def test_a_metric_counts_at_the_same_step_in_the_run_and_in_its_replay(
    tmp_path: Path, settings: dict[str, str], logged: dict[int, float]
) -> None:
    recipe = made({"stages": [{"curriculum": "a", **settings}, "b"]})
    stream: list[Any] = [("play", 1.0)]
    for step in range(10, 310, 10):
        stream += [("metric", ("m", logged[step]))] if step in logged else []
        stream += [("steps", 10), ("steps", 0)]  # the second tells the same step again
    stream.append(("play", 1.0))
    stream.append(("steps", 10))
    paths = played(recipe, stream, random.Random(0), pauses=(0.0,))
    timeline = replayed(recipe, paths, tmp_path / "trace.csv")
    assert timeline is not None
    moved = [event["step"] for event in read_events(paths.events) if event["event"] == "stage_transition"]
    assert [transition.step for transition in timeline.transitions] == moved
    assert len(moved) == 1


def made(curriculum: dict[str, Any]) -> Recipe:
    data = {"curriculum": curriculum, "trainer": {"command": ["python", "train.py"]}}
    return recipe_from_data(data, name="t", folder=Path("/"))


def played(
    recipe: Recipe, stream: list[Any], chance: random.Random, pauses: tuple[float, ...] = (0.0, 0.0, 0.0, 0.4, 2.0)
) -> RunPaths:
    """A session that lives through the stream, at a clock of its own."""
    now = [0.0]
    paths = create_run(f"t-{uuid.uuid4().hex[:30]}", write_resolved(recipe), recipe.folder, recipe.facts())
    log = EventLog(paths.events, attempt=1)
    with Session(paths, recipe, log, clock=lambda: now[0]) as session:
        tasks: list[str] = []
        step = 0
        for kind, value in stream:
            now[0] += chance.choice(pauses)
            if kind == "steps":
                step += value
                session.update_step_count(step)
            else:
                act(session, tasks, kind, value)
    return paths


def act(session: Session, tasks: list[str], kind: str, value: Any) -> None:
    curriculum = session.curriculum
    if kind in ("begin", "play"):
        tasks.append(curriculum.get_task().id)
    if kind == "play":
        curriculum.complete_task(tasks[-1], value)
    elif kind == "late":
        curriculum.complete_task(tasks[value[0] % len(tasks)] if tasks else "", value[1])
    elif kind == "by name":
        curriculum.complete_task(*value)
    elif kind == "metric":
        session.log(dict([value]))
    elif kind == "manual" and value in (None, *(stage.name for stage in curriculum.stages)):
        request_advance(session.paths, value)


def replayed(recipe: Recipe, paths: RunPaths, trace: Path) -> Timeline | None:
    """None where the run has no episode to replay."""
    with trace.open("wb") as file:
        write_trace(read_run("", paths.events), file)
    curriculum = build_curriculum(recipe)
    try:
        (recorded,) = read_traces([str(trace)], Columns(metrics=curriculum.metric_names))
    except StagectlError:
        return None
    return replay(curriculum, recorded)


def told(event: dict[str, Any]) -> dict[str, Any]:
    return {key: event.get(key) for key in TOLD}
