"""A run on a cluster, judged from what SkyPilot said last and from its own events; and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import DamagedRunError, RunExistsError
from stagectl.runs import (
    Away,
    EventLog,
    FileLock,
    Liveness,
    RunPaths,
    RunStatus,
    create_run,
    judge,
    read_away,
    read_json,
    read_liveness,
    read_status,
    remove_run,
    spending,
    status_data,
    write_json,
)
from tests.runs.test_run_status import FACTS, Script

NODE = {"infra": "aws/us-east-1", "cluster": "r-1", "region": "us-east-1", "hourly": 3.6, "since": 0.0}


def record(state: str = "", seen: float = 0.0, **more: Any) -> dict[str, Any]:
    """What a run's identity has under `sky`."""
    known: dict[str, Any] = {"seen": {"state": state, "time": seen}} if state else {}
    return {"place": {"name": "r", "cluster": "r-1"}, "time": 10.0, "request": "q", "job": 1, **known, **more}


def away(state: str = "", seen: float = 0.0, **more: Any) -> Away:
    told = read_away({"sky": record(state, seen, **more)})
    assert told is not None
    return told


def followed(state: str = "", seen: float = 0.0, **more: Any) -> Liveness:
    return Liveness(job=True, trainer=True, suspended=False, away=away(state, seen, **more))


def unfollowed(state: str = "", seen: float = 0.0, **more: Any) -> Liveness:
    return Liveness(job=False, trainer=False, suspended=False, away=away(state, seen, **more))


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────

NOT_THERE_YET = {"place": {"name": "r", "cluster": "r-1"}, "time": 10.0, "seen": {"state": "GONE", "time": 40.0}}
OWN = {"name": "r", "cluster": "r-1", "own": True}
NO_JOB = Liveness(job=True, trainer=True, suspended=False, away=read_away({"sky": NOT_THERE_YET}))
MADE = Script().status  # its last event is at 10 s
STARTED = Script().add("attempt_started", 0).status
READY = Script().started().status  # its last event is at 40 s
ENDED = Script().started().add("run_ended", 9, outcome="stopped", message="as requested").status  # its seq is 5
HOUR = 3600.0

VERDICTS = [
    # before its job is there
    (MADE, followed(), 50.0, "starting", "submitted 40 s ago"),
    (MADE, unfollowed(), 30.0, "starting", "submitted 20 s ago"),
    (MADE, followed("PENDING", 40.0), 50.0, "starting", "SkyPilot said PENDING 10 s ago"),
    (MADE, NO_JOB, 50.0, "starting", "submitted 40 s ago"),
    (MADE, followed("SETTING_UP", 5 * HOUR), 5 * HOUR, "starting", "SkyPilot said SETTING_UP 0 s ago"),
    (STARTED, followed("RUNNING", 40.0), 50.0, "starting", ""),
    # nobody follows it here
    (MADE, unfollowed(), 50.0, "unfollowed", "submitted 40 s ago; `stagectl status r` catches up"),
    (READY, unfollowed("RUNNING", 50.0), 50.0 + 5 * HOUR, "unfollowed", "SkyPilot said RUNNING 5 h ago"),
    (READY, unfollowed("FAILED", 50.0), 60.0, "unfollowed", "SkyPilot said FAILED 10 s ago"),
    # it trains
    (READY, followed("RUNNING", 50.0), 60.0, "running", ""),
    (READY, followed(), 60.0, "running", ""),
    (READY, followed("HIBERNATING", 50.0), 60.0, "running", "SkyPilot said unknown (HIBERNATING) 10 s ago"),
    (READY, followed("RECOVERING", 50.0), 60.0, "recovering", "SkyPilot said RECOVERING 10 s ago; it brings the job"),
    # nobody answers whoever follows it
    (MADE, followed(unreachable=20.0), 60.0, "starting", "SkyPilot's API server has not answered for 40 s"),
    (READY, followed("RUNNING", 40.0, unreachable=50.0), 170.0, "running", "has not answered for 2 min"),
    (READY, followed("RUNNING", 50.0, unreachable=None), 60.0, "running", ""),
    (READY, unfollowed("RUNNING", 50.0, unreachable=50.0), 60.0, "unfollowed", "SkyPilot said RUNNING 10 s ago; `st"),
    # two truths that differ
    (READY, followed("RUNNING", 1000.0), 1010.0, "stalled", "no event for 16 min; SkyPilot said RUNNING 10 s ago"),
    (READY, followed("FAILED", 50.0), 60.0, "stalled", "SkyPilot said FAILED 10 s ago; the run's own end has not come"),
    # whoever begins to follow, and a machine that is new, have still to tell
    (READY, followed("RUNNING", 50.0, followed=HOUR), HOUR + 9, "running", "catching up; SkyPilot said RUNNING 59 min"),
    (READY, followed("RUNNING", HOUR, machines=[{**NODE, "since": HOUR}]), HOUR + 9, "running", ""),
    # its end
    (ENDED, unfollowed("RUNNING", 50.0), 99 * HOUR, "stopped", "as requested"),
    (ENDED, unfollowed(place=OWN), 99 * HOUR, "stopped", "as requested; its cluster r-1 is not given back yet"),
    (ENDED, unfollowed(place=OWN, over=60.0), 99 * HOUR, "stopped", "as requested"),
    (ENDED, followed("SUCCEEDED", 50.0), 99 * HOUR, "stopped", "as requested"),
    (ENDED, followed("PENDING", 90.0, after=5), 100.0, "starting", "SkyPilot said PENDING 10 s ago"),
    (ENDED, followed(after=5), 100.0, "starting", "submitted 1 min ago"),
    # a cluster's clock that is an hour ahead
    (READY, followed("RUNNING", 50.0), 50.0 - HOUR, "running", ""),
    (READY, unfollowed("RUNNING", 150.0), 100.0, "unfollowed", "SkyPilot said RUNNING 0 s ago"),
]


@pytest.mark.parametrize(("status", "liveness", "now", "state", "said"), VERDICTS)
def test_a_run_on_a_cluster_is_never_told_falsely(
    status: RunStatus, liveness: Liveness, now: float, state: str, said: str
) -> None:
    judged, detail = judge(status, liveness, now)
    assert judged == state
    assert said in detail
    assert bool(said) == bool(detail)


def test_an_end_of_an_earlier_submission_is_over_once_the_next_one_has_ended() -> None:
    script = Script().started().add("run_ended", 9, outcome="stopped", message="")
    script.add("attempt_started", 0, after=4, path=None, reason="", rejected=[]).add("ready", 0)
    assert judge(script.status, followed("RUNNING", 65.0, after=5), 70.0)[0] == "running"
    script.add("run_ended", 9, outcome="completed", message="")
    assert judge(script.status, unfollowed("RUNNING", 65.0, after=5), 70.0)[0] == "completed"


def test_a_run_for_a_cluster_that_was_never_submitted_says_what_submits_it() -> None:
    script = Script()
    script.events[0]["backend"] = "sky"
    state, detail = judge(script.status, Liveness(job=False, trainer=False, suspended=False), 100.0)
    assert state == "crashed"
    assert "was not submitted to its cluster; `stagectl run --resume r`" in detail


# ── from disk ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def paths() -> RunPaths:
    return create_run("r", "text", Path("/"), {**FACTS, "backend": "sky"})


def submitted(paths: RunPaths, **more: Any) -> None:
    write_json(paths.identity, {**read_json(paths.identity), "sky": record(**more)})


def test_whoever_holds_a_runs_lock_follows_it(paths: RunPaths) -> None:
    submitted(paths, state="RUNNING", seen=50.0)
    assert judge(read_status(paths), read_liveness(paths))[0] == "unfollowed"
    with FileLock(paths.lock) as lock:
        assert lock.acquire()
        assert read_liveness(paths).away == away("RUNNING", 50.0)
        assert judge(read_status(paths), read_liveness(paths))[0] == "starting"


def test_a_run_that_is_being_submitted_is_starting_however_long_that_takes(paths: RunPaths) -> None:
    submitted(paths)
    assert judge(read_status(paths), read_liveness(paths))[0] == "unfollowed"
    with FileLock(paths.launch_lock) as lock:
        assert lock.acquire()
        assert judge(read_status(paths), read_liveness(paths))[0] == "starting"


def test_a_run_of_this_machine_is_on_no_cluster(paths: RunPaths) -> None:
    assert read_liveness(paths).away is None
    write_json(paths.identity, {**read_json(paths.identity), "sky": {}})  # a launch that was refused
    assert read_liveness(paths).away is None


@pytest.mark.parametrize("broken", ["x", {"place": {}}, {"place": None}, record(machines=[{"infra": "aws"}])])
def test_what_makes_no_sense_is_damage(broken: object) -> None:
    with pytest.raises(DamagedRunError, match=r"the run r: what its run\.json tells of its cluster makes no sense"):
        read_away({"run": "r", "sky": broken})


def test_a_run_that_is_not_known_to_be_over_on_its_cluster_stays(paths: RunPaths) -> None:
    submitted(paths, state="RUNNING", seen=50.0)
    with EventLog(paths.events, attempt=1) as log:
        log.append("run_ended", outcome="completed", message="")
    with pytest.raises(RunExistsError, match="was submitted to a cluster, and is not known to be over there"):
        remove_run(paths)
    assert paths.folder.exists()


def test_a_run_that_is_over_on_its_cluster_is_removed(paths: RunPaths) -> None:
    submitted(paths, state="SUCCEEDED", seen=50.0, over=60.0)
    remove_run(paths)
    assert not paths.folder.exists()


def test_a_run_of_which_nothing_is_known_any_more_is_removed(paths: RunPaths) -> None:
    paths.identity.write_text("damaged")
    remove_run(paths)
    assert not paths.folder.exists()


# ── what it costs ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_machine_costs_from_when_it_was_seen_until_now() -> None:
    spent = spending(READY, away(machines=[{**NODE, "since": 20.0}]), "running", 60.0)
    assert spent is not None
    assert (spent.hourly, spent.total) == (3.6, pytest.approx(0.04))


def test_what_was_spent_is_told_by_stage_and_adds_up() -> None:
    script = Script().started().episodes(100, [9, 0, 0], [0.8, None, None]).transition(100, 0)  # at 60 s
    spent = spending(script.status, away(machines=[{**NODE, "since": 20.0}]), "running", 90.0)
    assert spent is not None
    assert spent.stages == pytest.approx((0.04, 0.03, 0.0))
    assert spent.total == pytest.approx(0.07)


def test_each_visit_to_a_stage_counts() -> None:
    script = Script().started().transition(100, 0)  # at 50 s
    back = {"performance": 0.1, "reason": "demotion", "threshold": 0.2}
    script.add("stage_transition", 200, from_stage=1, to_stage=0, from_name="sequence", to_name="navigation", **back)
    spent = spending(script.status, away(machines=[{**NODE, "since": 40.0}]), "running", 90.0)
    assert spent is not None
    assert spent.stages == pytest.approx((0.01 + 0.03, 0.01, 0.0))


def test_a_recovery_brings_another_price() -> None:
    machines = [NODE, {**NODE, "hourly": 7.2, "since": 1000.0}]
    spent = spending(READY, away(machines=machines), "running", 1500.0)
    assert spent is not None
    assert (spent.hourly, spent.total) == (7.2, pytest.approx(1.0 + 1.0))


def test_between_two_submissions_nothing_is_spent() -> None:
    script = Script().started().add("run_ended", 9, outcome="stopped", message="")  # at 50 s
    machines = [NODE, {**NODE, "since": 9 * HOUR}]
    spent = spending(script.status, away(machines=machines, after=5), "starting", 9 * HOUR + 10)
    assert spent is not None
    assert spent.total == pytest.approx(0.05 + 0.01)


def test_after_its_end_a_run_costs_nothing_more() -> None:
    spent = spending(ENDED, away(machines=[{**NODE, "since": 30.0}]), "stopped", 9 * HOUR)
    assert spent is not None
    assert spent.total == pytest.approx(0.02)


def test_what_a_run_spends_while_nobody_follows_it_is_not_guessed_at() -> None:
    spent = spending(READY, away("RUNNING", 100.0, machines=[NODE]), "unfollowed", 9 * HOUR)
    assert spent is not None
    assert spent.total == pytest.approx(0.1)


def test_where_clocks_differ_no_cost_is_negative() -> None:
    spent = spending(READY, away(machines=[{**NODE, "since": HOUR}]), "running", 60.0)
    assert spent is not None
    assert spent.total == 0
    assert min(spent.stages) == 0


def test_without_a_price_nothing_is_told() -> None:
    unpriced = {**NODE, "hourly": None}
    assert spending(READY, away(machines=[unpriced, NODE]), "running", 60.0) is None
    assert spending(READY, away(), "running", 60.0) is None
    assert spending(READY, None, "running", 60.0) is None


def test_the_json_tells_where_a_run_is_and_what_it_costs() -> None:
    liveness = followed("RUNNING", 55.0, machines=[{**NODE, "since": 20.0}])
    data = status_data(READY, liveness, now=60.0)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["cluster"] == {
        "infra": "aws/us-east-1",
        "cluster": "r-1",
        "region": "us-east-1",
        "job": 1,
        "state": "RUNNING",
        "state_age_seconds": 5.0,
        "unanswered_seconds": None,
        "hourly": 3.6,
        "spent": 0.04,
    }
    assert [stage["spent"] for stage in data["stages"]] == [0.04, 0.0, 0.0]


def test_the_json_tells_for_how_long_skypilot_has_not_answered_whoever_follows() -> None:
    silent = followed("RUNNING", 5.0, unreachable=20.0)
    assert status_data(READY, silent, now=60.0)["cluster"]["unanswered_seconds"] == 40.0
    nobody = unfollowed("RUNNING", 5.0, unreachable=20.0)
    assert status_data(READY, nobody, now=60.0)["cluster"]["unanswered_seconds"] is None


def test_the_json_has_null_for_what_is_not_known() -> None:
    data = status_data(MADE, followed(), now=60.0)
    told = {key for key, value in data["cluster"].items() if value is not None}
    assert told == {"cluster", "job"}
    assert status_data(MADE, Liveness(job=True, trainer=True, suspended=False), now=60.0)["cluster"] is None
