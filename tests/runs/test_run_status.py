"""Where a run stands: its events folded, and two truths held apart."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from stagectl.curriculum import Term, read_stages
from stagectl.errors import DamagedRunError
from stagectl.runs import (
    EventLog,
    FileLock,
    Liveness,
    RunPaths,
    RunStatus,
    StatusReader,
    create_run,
    judge,
    process_identity,
    read_events,
    read_json,
    read_liveness,
    read_status,
    sifted,
    status_data,
    superseded,
    term_data,
    write_json,
)
from stagectl.view.facts import judged
from stagectl.view.report.story import story_of

STAGES = read_stages({"stages": ["navigation", "sequence", "simple"]})
FACTS: dict[str, Any] = {
    "recipe": "doorkey",
    "backend": "local",
    "target": None,
    "total_timesteps": 1000,
    "stages": [stage.to_dict() for stage in STAGES],
}


class Script:
    """Events as a run writes them, each ten seconds after the one before."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.add("run_created", 0, run="r", **FACTS)

    def add(self, event: str, step: int, **fields: Any) -> Script:
        seq = len(self.events) + 1
        self.events.append({"seq": seq, "attempt": 1, "step": step, "time": 10.0 * seq, "event": event, **fields})
        return self

    def started(self) -> Script:
        return self.add("attempt_started", 0).add("ready", 0).add("stage_started", 0, stage=0, name="navigation")

    def episodes(self, step: int, episodes: list[int], performance: list[float | None]) -> Script:
        return self.add("episodes", step, scores=[], episodes=episodes, performance=performance)

    def transition(self, step: int, index: int) -> Script:
        names = [stage.name for stage in STAGES]
        facts = {"from_stage": index, "to_stage": index + 1, "performance": 0.8, "reason": "performance"}
        facts |= {"threshold": 0.8}
        return self.add("stage_transition", step, **facts, from_name=names[index], to_name=names[index + 1])

    @property
    def status(self) -> RunStatus:
        status = RunStatus("r")
        for event in json.loads(json.dumps(self.events)):
            status.apply(event)
        return status


def test_a_run_that_was_only_made_stands_at_the_start_of_its_first_stage() -> None:
    status = Script().status
    assert (status.recipe, status.backend, status.total_timesteps) == ("doorkey", "local", 1000)
    assert [entry.stage for entry in status.stages] == list(STAGES)
    assert (status.current, status.step, status.started, status.ready) == (0, 0, None, False)
    assert [str(term) for term in status.waiting_for()] == ["performance no data of 0.8", "episodes 0 of 10"]


def test_episodes_fold_into_their_stages() -> None:
    status = (
        Script().started().episodes(50, [4, 0, 0], [0.5, None, None]).episodes(70, [6, 1, 0], [0.6, 1, None]).status
    )
    assert [(entry.episodes, entry.performance) for entry in status.stages] == [(6, 0.6), (1, 1), (0, None)]
    assert status.stages[0].history == [(50, 0.5), (70, 0.6)]
    assert (status.step, status.ready, status.stages[0].applied) == (70, True, True)


def test_what_a_stage_waits_for_is_what_the_training_process_told_last() -> None:
    terms = [Term("performance", 0.6, 0.8), Term("episodes", 16, 10, holds=True), Term("eval", math.nan, 1.0, "<")]
    told = Script().started().add("progress", 70, waiting_for=[term_data(term) for term in terms]).status
    assert [str(term) for term in told.waiting_for()] == [
        "performance 0.6 of 0.8",
        "episodes 16 of 10",
        "eval no data < 1",
    ]
    assert [str(term) for term in Script().status.waiting_for()] == ["performance no data of 0.8", "episodes 0 of 10"]


def test_a_transition_moves_the_current_stage_and_its_steps() -> None:
    status = Script().started().transition(100, 0).add("progress", 160).status
    assert status.current == 1
    assert [(entry.entered, entry.left) for entry in status.stages] == [(0, 100), (100, None), (None, None)]
    assert [status.steps_in(index) for index in range(3)] == [100, 60, 0]
    assert not status.stages[1].applied
    assert status.stage is not None
    assert status.stage.stage.name == "sequence"


def test_a_stage_in_which_a_curriculum_was_over_goes_on_under_an_accepted_recipe() -> None:
    script = Script().started().transition(100, 0)
    script.add("curriculum_ended", 300, outcome="stopped", stage=1, name="sequence", performance=None, reason="timeout")
    assert script.status.stages[1].left == 300
    facts = {"reason": "", "path": "checkpoints/a", "rejected": [], "after": script.events[-1]["seq"], "stage": 1}
    status = script.add("attempt_started", 300, **facts, **FACTS, start=0).add("progress", 400).status
    assert (status.end, status.stages[0].left, status.stages[1].left, status.steps_in(1)) == (None, 100, None, 300)


def test_an_event_of_a_later_version_only_moves_step_and_time() -> None:
    status = Script().started().add("something_new", 40, whatever=1).status
    assert (status.step, status.last_time) == (40, 50.0)


def test_checkpoints_refusals_and_requests_are_kept() -> None:
    script = Script().started()
    script.add("checkpoint", 2, path="checkpoints/a", stage="navigation").add("score_refused", 2, message="nan")
    status = script.add("request_answered", 2, request="stop").status
    assert [event["path"] for event in status.checkpoints] == ["checkpoints/a"]
    assert status.refused_scores == 1
    assert status.stop_requested


def test_of_the_scores_that_are_no_successes_the_first_of_each_stage_is_told() -> None:
    script = Script().started()
    for scores in ([[0, 1.0], [0, 0.0]], [[0, 12.5], [1, -3.0]], [[0, 99.0]]):
        script.add("episodes", 10, scores=scores, episodes=[1, 0, 0], performance=[0.5, None, None])
    assert script.status.scores_outside == {"navigation": 12.5, "sequence": -3.0}
    assert status_data(script.status, ALIVE)["scores_outside"] == {"navigation": 12.5, "sequence": -3.0}


def test_a_metric_that_a_criterion_names_and_nobody_logs_is_told_of_once_others_were_logged_often() -> None:
    named = 'metric("los") <= 1 and metric("lr") <= 1 and metric("eval/b/return") >= 1'
    stages = read_stages({"stages": ["a", {"name": "b", "curriculum": "b", "advance_when": named}, "c"]})
    script = Script().started()
    changed = {**FACTS, "stages": [stage.to_dict() for stage in stages]}
    script.add(
        "attempt_started", 0, reason="", path=None, rejected=[], after=script.events[-1]["seq"], stage=0, **changed
    )
    for step in range(19):
        script.add("metrics", step, metrics={"loss": 0.5, "lr": 0.1})
    assert script.status.missing_metrics() == []
    assert script.add("metrics", 20, metrics={"loss": 0.5}).status.missing_metrics() == ["los"]
    assert status_data(script.status, ALIVE)["missing_metrics"] == ["los"]
    assert script.add("metrics", 30, metrics={"los": 0.5}).status.missing_metrics() == []


def test_of_metrics_whose_names_are_new_each_time_a_thousand_are_kept_and_none_is_missed() -> None:
    script = Script().started()
    for step in range(1100):
        script.add("metrics", step, metrics={f"loss/{step}": 0.5})
    status = script.add("metrics", 1100, metrics={"eval/a/return": 2.0}).status
    assert (len(status.metrics), status.evaluations) == (1001, {"eval/a/return": (1100, 2.0)})
    assert status.missing_metrics() == []


def test_who_says_that_scores_are_returns_is_told_of_them_no_more() -> None:
    script = Script().started()
    script.add("episodes", 10, scores=[[0, 12.5], [1, 7.0]], episodes=[1, 0, 0], performance=[0.5, None, None])
    kinds = {"navigation": "return", "sequence": "success", "simple": "success"}
    stages = read_stages({"stages": [{"name": n, "curriculum": n, "score": kind} for n, kind in kinds.items()]})
    facts = {"reason": "", "path": "checkpoints/a", "rejected": [], "after": script.events[-1]["seq"], "stage": 0}
    changed = {**FACTS, "stages": [stage.to_dict() for stage in stages]}
    assert script.add("attempt_started", 10, **facts, **changed).status.scores_outside == {"sequence": 7.0}


def test_returns_that_the_recipe_says_are_returns_are_not_told() -> None:
    stages = [stage.to_dict() for stage in read_stages({"stages": ["a"], "score": "return"})]
    status = Script().add("attempt_started", 0, **{**FACTS, "stages": stages}).status
    status.apply(
        {
            "seq": 3,
            "attempt": 1,
            "step": 1,
            "time": 30.0,
            "event": "episodes",
            "scores": [[0, 12.5]],
            "episodes": [1],
            "performance": [12.5],
        }
    )
    assert status.scores_outside == {}


def test_a_long_history_stays_small() -> None:
    script = Script().started()
    for step in range(3000):
        script.episodes(step, [step + 1, 0, 0], [0.5, None, None])
    history = script.status.stages[0].history
    assert len(history) <= 512
    assert history[-1] == (2999, 0.5)
    assert history == sorted(history)


def test_steps_a_second_are_those_of_late() -> None:
    script = Script().started()
    for step in (100, 200, 300, 1300):
        script.add("progress", step)
    assert script.status.rate == pytest.approx((1300 - 100) / 30)


def test_there_is_no_speed_before_two_moments_of_training_are_known() -> None:
    script = Script().add("attempt_started", 0).add("ready", 0)
    script.add("stage_started", 0, stage=0, name="navigation").episodes(2048, [9, 0, 0], [0.5, None, None])
    script.events[-1]["time"] = script.events[-2]["time"]  # ready is told when the first rollout is over
    assert script.status.rate is None
    assert script.episodes(4096, [18, 0, 0], [0.5, None, None]).status.rate == pytest.approx(2048 / 20)


FOREIGN: list[dict[str, Any]] = [
    {"event": "stage_started"},
    {"event": "stage_started", "stage": 9},
    {"event": "stage_transition", "from_stage": 0, "to_stage": 1},
    {"event": "episodes", "episodes": [1], "performance": [0.5]},
    {"event": "episodes", "episodes": [None, None, None], "performance": [0.5, 0.5, 0.5]},
    {"event": "run_ended"},
    {"event": "checkpoint", "step": "many", "path": "a", "stage": "navigation"},
    {"event": "progress", "time": None},
    {"event": "run_created", "stages": [{"surprise": 1}]},
]


@pytest.mark.parametrize("event", FOREIGN, ids=str)
def test_an_event_that_is_none_of_ours_is_damage_with_its_place(event: dict[str, Any]) -> None:
    script = Script().started().add("progress", 10)
    script.events[-1].update(event)
    with pytest.raises(DamagedRunError, match=f"the run r: event 5, {event['event']}, makes no sense"):
        _ = script.status


def test_a_clock_that_goes_back_makes_no_negative_rate_age_or_elapsed_time() -> None:
    script = Script().started().add("progress", 100).add("progress", 200)
    script.events[-1]["time"] = 3.0
    status = script.status
    assert status.rate is None or status.rate >= 0
    data = status_data(status, Liveness(job=True, trainer=True, suspended=False), now=1.0)
    assert data["elapsed_seconds"] >= 0
    assert data["last_event_age_seconds"] >= 0
    assert data["state"] == "running"


def test_the_time_in_which_a_run_was_down_is_none_of_its_elapsed_time(paths: RunPaths) -> None:
    now = [0.0]
    with EventLog(paths.events, attempt=1, clock=lambda: now[0]) as log:
        for seconds, event in (
            (100, "attempt_started"),
            (160, "checkpoint"),
            (180, "progress"),  # superseded, and yet it took its time
            (190, "attempt_ended"),
            (5000, "attempt_started"),
            (5030, "progress"),
            (5040, "training_ended"),
            (9000, "attempt_ended"),  # told by a job that came later
            (9000, "run_ended"),
        ):
            now[0] = seconds
            facts: dict[str, Any] = {"path": "a", "stage": 0, "outcome": "completed", "message": "", "exit_code": 0}
            facts |= {"after": 3, "reason": "", "rejected": []} if (seconds, event) == (5000, "attempt_started") else {}
            log.append(event, 60, **facts)
            watched = StatusReader(paths).read()
            if seconds == 180:
                assert status_data(watched, ALIVE, now=185.0)["elapsed_seconds"] == 85
            if event == "attempt_ended":
                assert status_data(watched, JOB_ALONE, now=seconds + 500.0)["elapsed_seconds"] in (90, 130)
    for gone in (ALIVE, GONE):
        assert status_data(watched, gone, now=99999.0)["elapsed_seconds"] == 130
        assert judged(watched, gone, 99999.0).elapsed == 130
    assert story_of("r", sifted(read_events(paths.events), superseded(paths.events))).status.elapsed(99999.0) == 130


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────

ALIVE = Liveness(job=True, trainer=True, suspended=False)
GONE = Liveness(job=False, trainer=False, suspended=False)
ORPHAN = Liveness(job=False, trainer=True, suspended=False)
JOB_ALONE = Liveness(job=True, trainer=False, suspended=False)
SUSPENDED = Liveness(job=True, trainer=True, suspended=True)

MADE = Script().status
STARTED = Script().add("attempt_started", 0).status
READY = Script().started().status  # its last event is at 40 s
ASKED = Script().started().add("request_answered", 9, request="stop").status
COMPLETED = Script().started().add("run_ended", 9, outcome="completed", message="all stages done").status
FAILED = Script().started().add("run_ended", 9, outcome="failed", message="exit code 1").status

VERDICTS = [
    (MADE, GONE, 11.0, "starting", ""),
    (MADE, JOB_ALONE, 11.0, "starting", ""),
    (MADE, GONE, 100.0, "crashed", "its processes are gone"),
    (STARTED, ALIVE, 21.0, "starting", ""),
    (STARTED, JOB_ALONE, 21.0, "starting", ""),
    (
        STARTED,
        ALIVE,
        51.0,
        "starting",
        "no step was told yet; a script of yours tells them by session.update_step_count",
    ),
    (STARTED, GONE, 21.0, "crashed", "its processes are gone"),
    (STARTED, ALIVE, 20.0 + 16 * 60, "stalled", "no event for 16 min"),
    (READY, ALIVE, 41.0, "running", ""),
    (READY, ALIVE, 40.0 + 14 * 60, "running", ""),
    (READY, ALIVE, 40.0 + 16 * 60, "stalled", "no event for 16 min"),
    (READY, ALIVE, 1.0, "running", ""),
    (READY, ORPHAN, 41.0, "running", "training goes on by itself"),
    (READY, SUSPENDED, 41.0, "stalled", "suspended"),
    (READY, GONE, 41.0, "crashed", "its processes are gone and it has no recorded end"),
    (ASKED, ORPHAN, 51.0, "running", "training goes on by itself"),
    (ASKED, GONE, 51.0, "stopped", "its job process was gone"),
    (COMPLETED, GONE, 999.0, "completed", "all stages done"),
    (COMPLETED, ALIVE, 999.0, "completed", "all stages done"),
    (COMPLETED, SUSPENDED, 999.0, "completed", "all stages done"),
    (FAILED, GONE, 999.0, "failed", "exit code 1"),
]


@pytest.mark.parametrize(("status", "liveness", "now", "state", "said"), VERDICTS)
def test_a_run_is_never_told_falsely(status: RunStatus, liveness: Liveness, now: float, state: str, said: str) -> None:
    judged, detail = judge(status, liveness, now)
    assert judged == state
    assert said in detail
    assert bool(said) == bool(detail)


# ── proof of life ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def paths() -> RunPaths:
    return create_run("r", "text", Path("/"), FACTS)


def record_trainer(paths: RunPaths, identity: dict[str, Any]) -> None:
    write_json(paths.identity, {**read_json(paths.identity), "trainer": identity})


def test_a_run_that_nobody_holds_is_dead(paths: RunPaths) -> None:
    assert read_liveness(paths) == GONE


def test_locks_prove_life(paths: RunPaths) -> None:
    with FileLock(paths.lock) as lock:
        lock.acquire()
        assert read_liveness(paths) == JOB_ALONE
        with EventLog(paths.events, attempt=1):
            assert read_liveness(paths) == ALIVE


def test_a_trainer_lives_by_its_recorded_identity(paths: RunPaths) -> None:
    record_trainer(paths, process_identity())
    assert read_liveness(paths) == ORPHAN


def test_a_stranger_with_the_recorded_pid_is_not_taken_for_the_trainer(paths: RunPaths) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        record_trainer(paths, {**process_identity(stranger.pid), "start": "1"})
        assert read_liveness(paths) == GONE
        record_trainer(paths, {**process_identity(stranger.pid), "boot": "another"})
        assert read_liveness(paths) == GONE
        stranger.kill()


# ── from disk ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_is_folded_from_the_log(paths: RunPaths) -> None:
    with EventLog(paths.events, attempt=1) as log:
        log.append("attempt_started")
        log.append("ready", 5)
    status = read_status(paths)
    assert (status.run_id, status.step, status.attempt, status.ready) == ("r", 5, 1, True)


def test_a_status_is_taken_on_from_where_it_was_left(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StatusReader(paths)
    folded: list[int] = []
    apply = RunStatus.apply
    monkeypatch.setattr(RunStatus, "apply", lambda self, event: (folded.append(event["seq"]), apply(self, event))[1])
    assert not reader.read().ready
    with EventLog(paths.events, attempt=1) as log:
        log.append("ready", 5)
        log.append("progress", 9)
    assert [(event["event"], reader.status.step) for event in reader.events()] == [("ready", 5), ("progress", 9)]
    assert reader.read() is reader.status
    assert folded == [1, 2, 3]


def test_a_status_of_a_log_that_was_cut_is_that_of_the_log_as_it_is(paths: RunPaths) -> None:
    reader = StatusReader(paths)
    with EventLog(paths.events, attempt=1) as log:
        log.append("attempt_started", 0)
        log.append("progress", 9)
        log.append("run_ended", 9, outcome="completed", message="")
        assert reader.read().step == 9
        log.cut(3)
        log.append("ready", 5)
    assert astuple(reader.read()) == astuple(read_status(paths))  # NaN is not equal to itself
    assert reader.status.step == 5


def test_a_torn_last_line_does_not_hinder_a_status(paths: RunPaths) -> None:
    with paths.events.open("ab") as file:
        file.write(b'{"seq":2,"at')
    assert read_status(paths).recipe == "doorkey"


def test_a_damaged_log_is_told(paths: RunPaths) -> None:
    with paths.events.open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(DamagedRunError, match="this line is no event"):
        read_status(paths)


def test_a_status_is_plain_json_without_nan() -> None:
    for status in (MADE, READY, COMPLETED, Script().started().transition(100, 0).transition(200, 1).status):
        data = status_data(status, ALIVE, now=2000.0)
        assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_a_statuss_transitions_have_the_documents_keys_and_the_reason() -> None:
    data = status_data(Script().started().transition(100, 0).status, ALIVE, now=60.0)
    assert data["transitions"] == [
        {
            "from_stage": 0,
            "to_stage": 1,
            "from_name": "navigation",
            "to_name": "sequence",
            "step": 100,
            "performance": 0.8,
            "reason": "performance",
            "threshold": 0.8,
        }
    ]
    assert data["current_stage"] == 1
    term = {"term": "performance", "value": None, "operator": ">=", "target": 0.8, "holds": False}
    assert data["waiting_for"][0] == term
