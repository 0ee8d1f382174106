"""The central property on real runs: the trace of every shipped recipe's run, replayed, is that run."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stagectl.recipe import read_resolved
from stagectl.runs import Event, read_events
from stagectl.simulate import Timeline, simulate
from stagectl.traces import Columns, Trace, read_traces, write_trace

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "data" / "runs"
NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in RUNS.glob("*.jsonl.gz"))


def test_every_shipped_recipe_has_a_recorded_run_and_they_are_small() -> None:
    assert {path.stem for path in ROOT.glob("recipes/**/*.yaml")} == set(NAMES)
    assert sum(path.stat().st_size for path in RUNS.iterdir()) < 1_000_000


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def events_of(name: str, folder: Path) -> Path:
    path = folder / "events.jsonl"
    path.write_bytes(gzip.decompress((RUNS / f"{name}.jsonl.gz").read_bytes()))
    return path


def replayed(name: str, trace: Trace) -> Timeline:
    (timeline,) = simulate([trace], read_resolved(RUNS / f"{name}.yaml", folder=ROOT / "recipes")).timelines
    return timeline


def decided(events: list[Event]) -> list[dict[str, object]]:
    log = ("seq", "attempt", "time", "event")
    kinds = ("stage_transition", "curriculum_ended")
    return [{key: value for key, value in e.items() if key not in log} for e in events if e["event"] in kinds]


def test_a_recorded_run_replayed_by_its_recipe_is_that_run_event_for_event(name: str, tmp_path: Path) -> None:
    events = read_events(events_of(name, tmp_path))
    (trace,) = read_traces([str(tmp_path / "events.jsonl")])
    timeline = replayed(name, trace)
    assert [decision.to_dict() for decision in timeline.decisions] == decided(events)
    assert timeline.total_steps == max(event["step"] for event in events)
    assert timeline.differs_from is None


def test_so_is_its_exported_trace(name: str, tmp_path: Path) -> None:
    events_of(name, tmp_path)
    (trace,) = read_traces([str(tmp_path / "events.jsonl")])
    with (tmp_path / "trace.csv").open("wb") as file:
        write_trace(trace, file, ".csv")
    (again,) = read_traces([str(tmp_path / "trace.csv")], Columns(metrics=frozenset(trace.metrics)))
    assert replayed(name, again).decisions == replayed(name, trace).decisions
