"""What a training script holds: events in their order, and a replay that equals the run."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.errors import CurriculumError, RecipeError, RunExistsError, StagectlError, StorageError, UsageError
from stagectl.recipe import load_recipe, write_resolved
from stagectl.runs import (
    EventLog,
    RunPaths,
    create_run,
    is_locked,
    list_runs,
    read_events,
    read_json,
    read_status,
    verify_checkpoint,
    write_json,
)
from stagectl.session import Session, attach

RECIPE = """\
run: mine
trainer: {command: [python, train.py], total_timesteps: 1000}
curriculum:
  stages: [env/a, env/b, env/c]
  min_episodes: 2
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str = RECIPE, old: str = "", new: str = "") -> Path:
        file = tmp_path / "recipe.yaml"
        file.write_text(text.replace(old, new) if old else text)
        return file

    return to_file


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def joined(recipe_file: Path, clock: Clock) -> Session:
    """A session as a job's trainer has it, on a clock of our own."""
    recipe = load_recipe(recipe_file)
    paths = create_run(str(recipe.run), write_resolved(recipe), recipe.folder, recipe.facts())
    return Session(paths, recipe, EventLog(paths.events, attempt=1, clock=clock), clock=clock)


def play(session: Session, *scores: float) -> None:
    for score in scores:
        session.curriculum.get_task().complete(score)


def progress(session: Session) -> list[int]:
    return [event["step"] for event in read_events(session.paths.events) if event["event"] == "progress"]


def told(session: Session, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(event.get(key) for key in ("event", *keys)) for event in read_events(session.paths.events)]


# ── the order of events ─────────────────────────────────────────────────────────────────────────────────────


def test_a_training_loop_tells_its_events_in_order(write: Write) -> None:
    with attach(write()) as session:
        play(session, 1.0)
        session.update_step_count(10)
        play(session, 0.9)
        session.update_step_count(20)  # two episodes: on to b
        play(session, 0.0)
        session.update_step_count(30)
        session.log({"loss": 0.5}, step=30)
        with session.checkpoint() as folder:
            (folder / "model").touch()
    assert told(session, "step") == [
        ("run_created", 0),
        ("attempt_started", 0),
        ("ready", 0),
        ("stage_started", 0),
        ("episodes", 10),
        ("episodes", 20),
        ("stage_transition", 20),
        ("stage_started", 20),
        ("episodes", 30),
        ("metrics", 30),
        ("checkpoint", 30),
        ("attempt_ended", 30),
        ("run_ended", 30),
    ]


def test_the_episodes_of_one_step_are_one_event_in_their_order(write: Write) -> None:
    with attach(write()) as session:
        late = session.curriculum.get_task()
        play(session, 1.0, 0.8)
        session.update_step_count(10)
        play(session, 0.25)
        late.complete(0.5)
        play(session, 0.75)
        session.update_step_count(20)
    episodes = [event for event in read_events(session.paths.events) if event["event"] == "episodes"]
    assert [event["scores"] for event in episodes] == [[[0, 1.0], [0, 0.8]], [[1, 0.25], [0, 0.5], [1, 0.75]]]
    assert [event["episodes"] for event in episodes] == [[2, 0, 0], [3, 2, 0]]
    assert episodes[1]["performance"][2] is None


def test_the_stage_that_is_told_is_the_one_that_training_applied(write: Write) -> None:
    with attach(write()) as session:
        play(session, 1.0, 1.0)
        session.update_step_count(10)
        assert read_status(session.paths).current == 1
        assert not read_status(session.paths).stages[1].applied
        session.curriculum.get_task()
        session.update_step_count(11)
        assert read_status(session.paths).stages[1].applied
    assert [e for e in told(session, "stage", "name") if e[0] == "stage_started"] == [
        ("stage_started", 0, "a"),
        ("stage_started", 1, "b"),
    ]


def test_each_event_of_the_loop_stands_at_a_step_no_smaller_than_the_one_before(write: Write) -> None:
    with attach(write()) as session:
        for step in range(100, 600, 100):
            play(session, 1.0)
            session.update_step_count(step)
    steps = [event["step"] for event in read_events(session.paths.events)]
    assert steps == sorted(steps)


def test_a_quiet_training_says_once_a_second_that_it_moves(write: Write) -> None:
    clock = Clock()
    with joined(write(), clock) as session:
        for tick in range(41):
            clock.now = 1000.0 + tick / 10
            session.update_step_count(tick)
    assert progress(session) == [10, 20, 30, 40]


def test_the_last_steps_are_told_however_soon_after_the_others(write: Write) -> None:
    with joined(write(), Clock()) as session:
        play(session, 0.5)
        session.update_step_count(10)
        session.log({"loss": 0.5}, step=5000)
        session.update_step_count(17)
        assert progress(session) == []
    assert progress(session) == [17]
    assert read_status(session.paths).step == 17


def test_a_spent_budget_is_told_at_once_and_once(write: Write) -> None:
    with joined(write(), Clock()) as session:
        for step in (999, 1003, 1004):
            session.update_step_count(step)
        assert progress(session) == [1003]
    assert progress(session) == [1003, 1004]


def test_a_session_that_the_script_closes_itself_is_closed_once(write: Write) -> None:
    with joined(write(), Clock()) as session:
        session.update_step_count(10)
        session.close()
    assert progress(session) == [10]


def test_a_step_that_is_told_again_records_its_episodes_at_the_next(write: Write) -> None:
    with attach(write()) as session:
        for step, score in ((10, 0.25), (10, 0.5), (20, 0.75), (20, 1.0)):
            play(session, score)
            session.update_step_count(step)
    told_scores = [e for e in told(session, "step", "scores") if e[0] == "episodes"]
    assert told_scores == [("episodes", 10, [[0, 0.25]]), ("episodes", 20, [[0, 0.5], [0, 0.75]])]


def test_a_clock_that_is_set_back_silences_nobody_forever(write: Write) -> None:
    clock = Clock()
    with joined(write(), clock) as session:
        clock.now = 10.0
        for tick in range(30):
            clock.now = 10.0 + tick
            session.update_step_count(tick)
    assert any(event[0] == "progress" for event in told(session))


def test_the_transition_is_logged_in_the_documents_words(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with attach(write()) as session, caplog.at_level(logging.INFO, logger="stagectl"):
        play(session, 1.0, 1.0)
        session.update_step_count(150_000)
    assert "Transitioning from stage 0 (a) to stage 1 (b) at step 150000" in caplog.messages


def test_the_documents_metrics_are_there_to_be_logged_along(write: Write) -> None:
    with attach(write()) as session:
        play(session, 0.5)
        session.update_step_count(10)
        assert session.metrics() == {
            "curriculum/current_stage": 0,
            "curriculum/stage_name": "a",
            "curriculum/stage_probs": {"a": 1.0, "b": 0.0, "c": 0.0},
            "curriculum/stage_performance": {"a": 0.5},
        }


# ── a replay equals the run ─────────────────────────────────────────────────────────────────────────────────

streams = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.lists(
            st.tuples(st.integers(0, 3), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.8, 1.0]))), max_size=6
        ),
    ),
    min_size=1,
    max_size=30,
)

DECISIONS = ("stage_transition", "curriculum_ended")
VARIED = """\
run: {run}
trainer: {{command: [x]}}
curriculum:
  stages:
    - env/a
    - {{curriculum: env/b, transition_criteria: time, time_threshold_steps: 50}}
    - {{curriculum: env/c, ema: zero_start, transition_smoothing: 0.5, max_steps: 120, on_timeout: advance}}
    - {{curriculum: env/d, performance_threshold: 0.9}}
  performance_threshold: 0.55
  min_episodes: 3
"""


@given(streams)
def test_what_a_run_recorded_replays_to_its_own_transitions(
    tmp_path_factory: pytest.TempPathFactory, stream: list[tuple[int, list[tuple[int, float]]]]
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    file = folder / "recipe.yaml"
    file.write_text(VARIED.format(run=folder.name))
    tasks: list[Any] = []
    step = 0
    with attach(file) as session:
        for steps, scores in stream:
            for age, score in scores:  # an episode begun up to three episodes ago ends
                tasks.append(session.curriculum.get_task())
                tasks.pop(-1 - min(age, len(tasks) - 1)).complete(score)
            step += steps
            session.update_step_count(step)
    events = read_events(session.paths.events)

    fresh = StagedProgressiveCurriculum(**load_recipe(file).curriculum)
    fresh.decide_between_steps()
    replayed: list[Any] = []
    for before, event in pairwise(events):
        decided = event["event"] in DECISIONS
        if event["event"] == "episodes":
            for stage, score in event["scores"]:
                fresh.complete_task(fresh.stages[stage].name, score)
        elif not decided or (before["event"], before["step"]) == ("episodes", event["step"]):
            continue
        replayed.append(fresh.update_step_count(event["step"]))
        if event["event"] == "episodes":
            assert (fresh.performance(), fresh.episodes()) == (event["performance"], event["episodes"])
    common = {"seq", "attempt", "time", "event"}
    recorded = [{k: v for k, v in e.items() if k not in common} for e in events if e["event"] in DECISIONS]
    assert [decision.to_dict() for decision in replayed if decision is not None] == recorded


def test_a_decision_at_a_step_without_episodes_replays_from_the_steps_too(write: Write) -> None:
    with attach(write(RECIPE, "min_episodes: 2", "transition_criteria: time\n  time_threshold_steps: 10")) as session:
        for step in range(0, 40, 5):
            session.update_step_count(step)
    moves = [e for e in told(session, "from_stage", "to_stage", "step", "reason") if e[0] == "stage_transition"]
    assert moves == [("stage_transition", 0, 1, 10, "time"), ("stage_transition", 1, 2, 20, "time")]


# ── bad input from the script ───────────────────────────────────────────────────────────────────────────────


def test_a_score_that_is_no_number_is_counted_and_said_and_training_goes_on(write: Write) -> None:
    with attach(write()) as session:
        session.update_step_count(7)
        play(session, math.nan, 0.5, math.inf)
        session.update_step_count(8)
        assert session.curriculum.episodes() == [1, 0, 0]
    refused = [event for event in read_events(session.paths.events) if event["event"] == "score_refused"]
    assert [event["message"] for event in refused] == [
        "the score of an episode in stage 'a' at step 7 is nan, not a finite number",
        "the score of an episode in stage 'a' at step 7 is inf, not a finite number",
    ]
    assert read_status(session.paths).refused_scores == 2


def test_metrics_that_are_no_numbers_are_said_and_left_out(write: Write) -> None:
    with attach(write()) as session:
        session.log({"loss": math.nan, "lr": 1e-3, "name": "x"})
    assert [e for e in told(session, "metrics", "not_finite") if e[0] == "metrics"] == [
        ("metrics", {"lr": 1e-3}, ["loss", "name"])
    ]


def test_a_step_count_that_goes_back_is_refused_and_loses_no_episode(write: Write) -> None:
    with attach(write()) as session:
        session.update_step_count(100)
        play(session, 0.25)
        with pytest.raises(CurriculumError, match="went back from 100 to 50"):
            session.update_step_count(50)
        session.update_step_count(101)
    assert [e for e in told(session, "step", "scores") if e[0] == "episodes"] == [("episodes", 101, [[0, 0.25]])]


def test_a_metrics_step_of_its_own_moves_no_other_events_step(write: Write) -> None:
    """Trainers that log by gradient steps do not move the run."""
    with attach(write()) as session:
        session.update_step_count(100)
        session.log({"loss": 1.0}, step=5000)
        with session.checkpoint():
            pass
    steps = dict(told(session, "step"))
    assert steps["checkpoint"] == 100
    assert steps["run_ended"] == 100


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


def test_a_step_count_from_numpy_is_as_good_as_any(write: Write) -> None:
    with attach(write()) as session:
        play(session, 0.5)
        session.update_step_count(Counter(64))  # type: ignore[arg-type]
    assert ("episodes", 64) in told(session, "step")


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_training_should_stop_once_the_budget_is_spent(write: Write) -> None:
    with attach(write()) as session:
        session.update_step_count(999)
        assert not session.should_stop
        session.update_step_count(1000)
        assert session.should_stop


def test_training_should_stop_once_the_curriculum_is_over(write: Write) -> None:
    with attach(write(RECIPE, "min_episodes: 2", "max_steps: 10\n  on_timeout: stop")) as session:
        session.update_step_count(10)
        assert session.should_stop
    ended = [e for e in told(session, "outcome", "stage", "reason") if e[0] == "curriculum_ended"]
    assert ended == [("curriculum_ended", "stopped", 0, "timeout")]


def test_a_stop_request_is_answered_once_between_rollouts(write: Write) -> None:
    with attach(write()) as session:
        session.update_step_count(1)
        write_json(session.paths.stop_request, {"request": "stop"})
        assert not session.should_stop
        session.update_step_count(2)
        assert session.should_stop
        session.update_step_count(3)
    answers = [e for e in told(session, "request", "step") if e[0] == "request_answered"]
    assert answers == [("request_answered", "stop", 2)]


@pytest.mark.parametrize(("on_timeout", "outcome"), [("stop", "stopped"), ("fail", "failed")])
def test_a_run_whose_curriculum_ran_out_of_steps_is_not_told_as_completed(
    write: Write, on_timeout: str, outcome: str
) -> None:
    with attach(write(RECIPE, "min_episodes: 2", f"max_steps: 10\n  on_timeout: {on_timeout}")) as session:
        session.update_step_count(10)
    assert told(session, "outcome")[-1] == ("run_ended", outcome)


def test_a_run_that_was_stopped_is_not_told_as_completed(write: Write) -> None:
    with attach(write()) as session:
        write_json(session.paths.stop_request, {"request": "stop"})
        session.update_step_count(2)
    assert told(session, "outcome")[-1] == ("run_ended", "stopped")


BY_ITSELF = "the training process ended by itself at step 2, before its stages were over"


@pytest.mark.parametrize(
    ("error", "exit_code", "outcome", "message"),
    [
        (SystemExit(0), 0, "stopped", BY_ITSELF),
        (SystemExit(), 0, "stopped", BY_ITSELF),
        (SystemExit(3), 3, "failed", "the training process ended with exit code 3 at step 2"),
        (SystemExit("no data"), 1, "failed", "no data"),
        (KeyboardInterrupt(), -2, "stopped", "interrupted by SIGINT at step 2"),
    ],
)
def test_a_script_that_leaves_its_block_early_ends_its_run_as_its_process_ends(
    write: Write, error: BaseException, exit_code: int, outcome: str, message: str
) -> None:
    session = attach(write())
    session.update_step_count(2)
    with pytest.raises(type(error)), session:
        raise error
    assert told(session, "exit_code", "outcome", "message")[-2:] == [
        ("attempt_ended", exit_code, None, None),
        ("run_ended", None, outcome, message),
    ]


def test_a_budget_that_was_spent_before_the_last_stage_is_told_as_spent(write: Write) -> None:
    with attach(write()) as session:
        session.update_step_count(1000)
    message = "all 1,000 steps are spent in stage 1 of 3 (a); no episode was told: task.complete(score) tells one"
    assert told(session, "outcome", "message")[-1] == ("run_ended", "budget_spent", message)


def test_a_run_without_a_job_says_that_it_is_not_mirrored(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with attach(write(RECIPE + "wandb: {enabled: true}\n")):
        pass
    assert caplog.messages == ["The run mine is not mirrored to W&B: only `stagectl run` starts a mirror"]


def test_a_script_that_fails_ends_its_run_as_failed_with_the_reason(write: Write) -> None:
    session = attach(write())
    with pytest.raises(RuntimeError, match="boom"), session:
        raise RuntimeError("boom")
    assert told(session, "outcome", "exit_code", "message")[-2:] == [
        ("attempt_ended", None, 1, None),
        ("run_ended", "failed", None, "RuntimeError: boom"),
    ]
    assert not is_locked(session.paths.lock)
    assert not is_locked(session.paths.events)


def test_a_disk_that_refuses_the_last_event_still_lets_go_of_the_run(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    session = attach(write())
    with monkeypatch.context() as patch, pytest.raises(StorageError), session:
        patch.setattr("os.pwrite", refuse)
    assert not is_locked(session.paths.lock)
    assert not is_locked(session.paths.events)


# ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_holds_the_curriculums_state_and_what_the_script_saved(write: Write) -> None:
    with attach(write()) as session:
        play(session, 1.0, 0.9)
        session.update_step_count(20)
        play(session, 0.5)
        session.update_step_count(30)
        with session.checkpoint() as folder:
            (folder / "model").write_text("weights")
        state = session.curriculum.state_dict()
    final = session.paths.checkpoints / "step-000000000030"
    manifest = verify_checkpoint(final)
    assert (manifest["step"], manifest["stage"], manifest["attempt"]) == (30, "b", 1)
    assert sorted(manifest["files"]) == ["curriculum.json", "model"]
    assert read_json(final / "curriculum.json") == state
    restored = StagedProgressiveCurriculum(**load_recipe(write()).curriculum)
    restored.load_state_dict(read_json(final / "curriculum.json"))
    assert (restored.current_stage, restored.performance()) == (1, session.curriculum.performance())
    assert ("checkpoint", "checkpoints/step-000000000030", "b") in told(session, "path", "stage")


def test_a_save_that_fails_makes_no_checkpoint_and_leaves_nothing(write: Write) -> None:
    with attach(write()) as session:
        with pytest.raises(RuntimeError), session.checkpoint():
            raise RuntimeError("out of memory")
        assert list(session.paths.checkpoints.iterdir()) == []
    assert "checkpoint" not in [event for (event,) in told(session)]


def test_a_second_checkpoint_at_the_same_step_leaves_the_first_as_it_was(write: Write) -> None:
    with attach(write()) as session:
        for text in ("one", "two"):
            with session.checkpoint() as folder:
                (folder / "model").write_text(text)
    (final,) = session.paths.checkpoints.iterdir()
    assert (final / "model").read_text() == "one"
    verify_checkpoint(final)


def test_a_disk_that_refuses_a_checkpoint_says_so_as_ours(write: Write) -> None:
    with attach(write()) as session:
        session.paths.checkpoints.rmdir()
        session.paths.checkpoints.touch()
        with pytest.raises(StorageError), session.checkpoint():
            pass


# ── attaching ───────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_a_run_without_a_recipe_attach_says_what_to_do() -> None:
    with pytest.raises(UsageError) as raised:
        attach()
    assert str(raised.value) == (
        "attach() found no run (start the script with `stagectl run RECIPE`, or give the recipe: attach('recipe.yaml'))"
    )
    assert list_runs() == []


def test_a_recipe_that_is_wrong_makes_no_run(write: Write) -> None:
    with pytest.raises(RecipeError):
        attach(write(RECIPE, "min_episodes", "min_episode"))
    assert list_runs() == []


def test_a_class_that_cannot_be_imported_makes_no_run(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(RecipeError, match="cannot import no_such_module"):
        attach(write(RECIPE, "curriculum:\n", "curriculum:\n  _target_: no_such_module.Mine\n"))
    assert list_runs() == []


def test_a_run_name_is_given_once(write: Write) -> None:
    attach(write()).close()
    with pytest.raises(RunExistsError, match="'mine' exists already"):
        attach(write())


def test_a_recipe_without_a_run_name_gets_an_id_of_its_own(write: Write) -> None:
    file = write(RECIPE, "run: mine\n", "\n")
    with attach(file) as first, attach(file) as second:
        assert first.paths.run_id.startswith("recipe-")
        assert first.paths.run_id != second.paths.run_id


@pytest.fixture
def run(write: Write, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    recipe = load_recipe(write())
    paths = create_run("mine", write_resolved(recipe), recipe.folder, recipe.facts())
    monkeypatch.setenv("STAGECTL_RUN", str(paths.folder))
    monkeypatch.setenv("STAGECTL_ATTEMPT", "3")
    return paths


def test_inside_a_run_attach_joins_it_and_leaves_its_end_to_the_job(run: RunPaths) -> None:
    with attach() as session:
        assert session.paths == run
        assert [stage.name for stage in session.curriculum.stages] == ["a", "b", "c"]
        session.update_step_count(5)
    assert told(session, "attempt") == [("run_created", 0), ("ready", 3), ("progress", 3), ("training_ended", 3)]


def test_inside_a_run_the_runs_own_recipe_holds_and_not_the_scripts(run: RunPaths, write: Write) -> None:
    other = write(RECIPE, "[env/a, env/b, env/c]", "[env/x, env/y]")
    with attach(other) as session:
        assert [stage.name for stage in session.curriculum.stages] == ["a", "b", "c"]


def test_two_trainers_of_one_run_exclude_each_other(run: RunPaths) -> None:
    with attach(), pytest.raises(RunExistsError):
        attach()


def test_a_run_that_was_removed_is_told_in_our_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAGECTL_RUN", str(tmp_path / "gone"))
    with pytest.raises(StagectlError, match="gone"):
        attach()


def test_a_forked_child_that_leaves_the_block_too_writes_nothing(write: Write) -> None:
    session = joined(write(), Clock())
    play(session, 1.0)
    session.update_step_count(10)
    before = told(session)
    if (child := os.fork()) == 0:
        try:
            with pytest.raises(UsageError, match="not open for writing in this process"):
                session.log({"loss": 1.0})
            session.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert told(session) == before
    session.close()
    assert told(session)[-1] == ("training_ended",)


# ── light ───────────────────────────────────────────────────────────────────────────────────────────────────

PROBE = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
import stagectl.session
import stagectl
stagectl.attach
with stagectl.attach(sys.argv[1]) as session:
    session.curriculum.get_task().complete(1.0)
    session.update_step_count(1)
    with session.checkpoint():
        pass
after = {name.partition(".")[0] for name in sys.modules}
print(" ".join(sorted(after - before - set(sys.stdlib_module_names))))
"""


def test_a_training_script_needs_the_standard_library_and_yaml_alone(write: Write) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(write())], capture_output=True, text=True, check=True, timeout=60
    )
    found = {name for name in done.stdout.split() if "cython" not in name}  # PyYAML's own compiled half
    assert found - {"_yaml"} == {"stagectl", "yaml"}
