"""A run that is interrupted and goes on from its checkpoints is, folded, the run that never was.

Over random recipes with every feature of the language and the graph, and streams of everything that a script may do,
cut off wherever it may be: the real job goes from attempt to attempt, the real session trains in this process.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from stagectl.errors import DamagedRunError, StorageError, UsageError
from stagectl.job import __main__ as job
from stagectl.launch.local import request_advance
from stagectl.ranks import Alone, Follower, News, Told
from stagectl.recipe import Recipe, fingerprint, load_recipe, write_resolved
from stagectl.runs import (
    Beginning,
    Ending,
    Event,
    EventLog,
    EventReader,
    Liveness,
    RunPaths,
    StatusReader,
    create_run,
    find_beginning,
    find_untold,
    lost_orders,
    read_events,
    read_manifest,
    read_status,
    sifted,
    status_data,
    superseded,
    superseded_in,
)
from stagectl.session import Session, attach
from stagectl.view.report.story import story_of
from tests.curriculum.random_recipes import recipes, streams
from tests.folding import folded
from tests.simulate.test_equality import act, made, replayed, told

OF_ATTEMPTS = ("attempt_started", "ready", "training_ended", "attempt_ended", "run_ended")
KILLED = Ending(-9)
PLAYED: list[tuple[str, Any]] = [("play", 1.0), ("steps", 10)] * 40


def new_run(recipe: Recipe) -> RunPaths:
    return create_run(f"t-{uuid.uuid4().hex[:30]}", write_resolved(recipe), recipe.folder, recipe.facts())


class Script:
    """A training script over a stream of operations, which saves checkpoints and goes on from them.

    It is killed before each of the operations `cuts`, an attempt each; what it held then is gone.
    """

    def __init__(
        self,
        recipe: Recipe,
        stream: Sequence[Any],
        saves: set[int],
        cuts: Sequence[int] = (),
        earlier: Script | None = None,
    ) -> None:
        self.paths = earlier.paths if earlier else new_run(recipe)
        self.recipe = recipe
        self._accepted = [fingerprint(earlier.recipe)] if earlier else []
        self._stream = stream
        self._saves = saves
        self._cuts = list(cuts)
        self._answered: set[int] = set()  # the places of orders that no person need give again
        self.finished = False

    def run(self) -> list[Event]:
        """The run's events after the job came to its end."""
        with (
            mock.patch.object(job, "run_attempt", self._attempt),
            mock.patch.object(job, "end_processes"),
            mock.patch("os.fsync"),
        ):
            job._write_end(self.paths, job._Run(self.paths, self.recipe, self._accepted).train())
        return read_events(self.paths.events)

    def _attempt(self, paths: RunPaths, recipe: Recipe, number: int, start: Beginning) -> Ending:
        cut = self._cuts.pop(0) if self._cuts else len(self._stream)
        log = EventLog(paths.events, attempt=number, clock=lambda: 0.0)
        folder = start.checkpoint and start.checkpoint.folder
        session = Session(paths, recipe, log, resumed_from=folder, clock=lambda: 0.0)
        saved = {"tasks": [], "next": 0}
        if session.resumed_from is not None:
            saved = json.loads((session.resumed_from / "script.json").read_text())
        tasks, asked = saved["tasks"], set()
        for at in range(saved["next"], cut):
            kind, value = self._stream[at]
            if kind == "steps":
                session.update_step_count(session.step + value)
                if not paths.advance_request.exists():
                    self._answered |= asked
            elif kind != "manual" or at not in self._answered:
                act(session, tasks, kind, value)
                asked |= {at} if kind == "manual" else set()
            told = session.curriculum.applied_stage in (None, session._applied)  # no task is on that would be gone
            if at in self._saves and told:
                with session.checkpoint() as folder:
                    (folder / "script.json").write_text(json.dumps({"tasks": tasks, "next": at + 1}))
        if cut < len(self._stream):
            paths.advance_request.unlink(missing_ok=True)  # it would be taken earlier than in the run that never was
            log.close()
            return KILLED
        session.close()
        self.finished = True
        return Ending(0)


def training(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What training told, without what every attempt says anew."""
    common = ("seq", "attempt", "time", "path", "run")
    kept = [event for event in folded(events) if event["event"] not in OF_ATTEMPTS]
    return [{key: value for key, value in event.items() if key not in common} for event in kept]


@settings(max_examples=25, phases=(Phase.generate,))  # each example writes files: to shrink one takes minutes
@given(curriculum=recipes(), stream=streams, places=st.randoms(use_true_random=False))
def test_a_run_cut_off_anywhere_is_folded_the_run_that_never_was(
    curriculum: dict[str, Any], stream: list[Any], places: random.Random
) -> None:
    recipe = made(json.loads(json.dumps(curriculum)))
    saves = set(places.sample(range(len(stream)), len(stream) // 4))
    cuts = [places.randrange(len(stream)) for _ in range(2)] if stream else []
    whole = Script(recipe, stream, saves)
    uninterrupted = whole.run()
    script = Script(recipe, stream, saves, cuts)
    events = script.run()
    assume(script.finished)  # a death before the first rollout ends a run
    assert training(events) == training(uninterrupted)
    ours, theirs = (status_data(read_status(each.paths), Liveness(False, False, False)) for each in (script, whole))
    for key in ("stages", "transitions", "end", "step", "waiting_for", "refused_scores"):
        assert ours[key] == theirs[key]
    assert_read_alike_from_a_snapshot(script.paths, places)


def assert_read_alike_from_a_snapshot(paths: RunPaths, places: random.Random) -> None:
    """Wherever in the log a snapshot was kept, the status is that of the whole log."""
    paths.snapshot.unlink(missing_ok=True)
    expected, log = read_status(paths), paths.events.read_bytes()
    lines = log.splitlines(keepends=True)
    seq = places.randint(1, len(lines))
    paths.events.write_bytes(b"".join(lines[:seq]))
    StatusReader(paths).keep(len(log), after=1)
    paths.events.write_bytes(log)
    assert paths.snapshot.exists()
    assert astuple(read_status(paths)) == astuple(expected)  # whose own comparison, from Python 3.13 on, knows no NaN


# ── what a script sees ──────────────────────────────────────────────────────────────────────────────────────

RECIPE = """\
run: mine
trainer: {command: [python, train.py], total_timesteps: 1000, checkpoint_every: 100}
curriculum:
  stages: [env/a, env/b, env/c]
  min_episodes: 2
"""


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A run whose first attempt came to stage b at step 20, saved at step 30, and died at step 50."""
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE)
    recipe = load_recipe(file)
    paths = create_run("mine", write_resolved(recipe), recipe.folder, recipe.facts())
    log = EventLog(paths.events, attempt=1)
    log.append("attempt_started", command=["python", "train.py"])
    session = Session(paths, recipe, log)
    for step in (10, 20, 30):
        play(session, step)
    with session.checkpoint() as folder:
        (folder / "model").write_text("weights")
    for step in (40, 50):
        play(session, step)
    log.close()
    monkeypatch.setenv("STAGECTL_RUN", str(paths.folder))
    monkeypatch.setenv("STAGECTL_ATTEMPT", "2")
    monkeypatch.setenv("STAGECTL_CHECKPOINT", str(begin(paths).folder))
    return paths


def begin(paths: RunPaths) -> Any:
    """Begin the second attempt as the job does; the checkpoint that it goes on from."""
    start = find_beginning(paths, [job.fingerprint(stored(paths))])
    assert start.checkpoint is not None
    with EventLog(paths.events, attempt=2) as log:
        log.append("attempt_started", start.step, reason="killed", stage=1, **start.facts(paths))
    return start.checkpoint


def stored(paths: RunPaths) -> Recipe:
    return job.stored_recipe(paths)


def play(session: Session | Follower, step: int, score: float = 1.0) -> None:
    session.curriculum.get_task().complete(score)
    session.update_step_count(step)


def test_a_script_finds_its_model_its_step_and_its_stage(paths: RunPaths) -> None:
    with attach() as session:
        assert session.resumed_from == paths.checkpoints / "step-000000000030"
        assert (session.resumed_from / "model").read_text() == "weights"
        assert (session.step, session.curriculum.stage.name, session.curriculum.episodes()) == (30, "b", [2, 1, 0])


def test_a_script_that_does_not_count_on_is_told_how_to(paths: RunPaths) -> None:
    with (
        pytest.raises(UsageError, match="goes on from step 30, but the script counts from 10") as raised,
        attach() as session,
    ):
        play(session, 10)
    assert raised.value.hint == "load what was saved in session.resumed_from, and count the steps on from session.step"
    assert not read_status(paths).ready, "the job does not try that again"


def test_a_script_that_begins_sees_nothing_to_go_on_from(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with attach(tmp_path / "recipe.yaml") as session:
        assert (session.resumed_from, session.step) == (None, 0)


def test_an_order_that_was_lost_with_its_attempt_is_carried_out_again_at_its_step(tmp_path: Path) -> None:
    ordered = [*PLAYED[:20], ("manual", "c"), *PLAYED[:20]]
    recipe = made({"stages": ["a", "b", "c"], "min_episodes": 1000})
    once = [Script(recipe, ordered, saves={9}, cuts=cuts) for cuts in ([], [30], [30, 15, 35], [30, 28])]
    runs = [training(script.run()) for script in once]
    assert [event["step"] for event in runs[0] if event["event"] == "stage_transition"] == [110]
    assert all(run == runs[0] for run in runs[1:])


def test_an_order_stays_until_the_log_has_it(paths: RunPaths) -> None:
    request_advance(paths, "c")
    with attach() as session:
        with (
            mock.patch.object(session._log, "append", side_effect=StorageError("the disk is full")),
            pytest.raises(StorageError),
        ):
            session._take_advance_request(40)
        assert paths.advance_request.exists()
        session._take_advance_request(40)
        assert not paths.advance_request.exists()


def test_of_several_lost_attempts_an_order_that_was_given_again_is_there_once(paths: RunPaths) -> None:
    def orders() -> list[tuple[int, str]]:
        return [(event["at"], event["to"]) for event in lost_orders(paths.events)]

    seq, attempts = read_seq(paths, 30), iter(range(3, 9))

    def lose(*given: tuple[int, str | None]) -> None:
        with EventLog(paths.events, attempt=next(attempts)) as log:
            for at, to in given:
                log.append("request_answered", at - 1, request="advance", at=at, to=to)
            log.append("metrics", metrics={"request_answered": 1.0})
            log.append("attempt_started", 30, after=seq, path=None, reason="", rejected=[], stage=1)

    assert orders() == []
    lose((50, "c"), (60, "a"), (70, None))
    assert orders() == [(50, "c"), (60, "a")]
    lose((40, "b"), (52, "c"))  # a new one, and the first again; it died before the second
    assert orders() == [(40, "b"), (52, "c"), (60, "a")]
    lose()
    assert orders() == [(40, "b"), (52, "c"), (60, "a")]


def test_a_checkpoint_is_due_after_a_transition_and_after_its_steps(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    due = []
    with attach(tmp_path / "recipe.yaml") as session:
        for step in range(10, 250, 10):
            play(session, step, 1.0 if step <= 20 else 0.0)
            if session.checkpoint_due:
                due.append(step)
                with session.checkpoint():
                    pass
    assert due == [20, 120, 220]


def test_a_run_keeps_its_newest_checkpoints_and_the_first_of_each_stage(tmp_path: Path) -> None:
    few = RECIPE.replace("checkpoint_every: 100", "checkpoint_every: 10, keep_checkpoints: 2")
    (tmp_path / "recipe.yaml").write_text(few)
    with attach(tmp_path / "recipe.yaml") as session:
        for step in range(10, 110, 10):
            if step == 60:
                session.curriculum.request_stage()
            play(session, step, 0.0)
            with session.checkpoint() as folder:
                (folder / "model").write_text("weights")
    kept = sorted(folder.name for folder in session.paths.checkpoints.iterdir())
    stages = [read_manifest(session.paths.checkpoints / name)["stage"] for name in kept]
    assert [int(name.removeprefix("step-")) for name in kept] == [10, 60, 90, 100]
    assert stages == ["a", "b", "b", "b"]


def test_a_follower_stands_where_the_leader_does_and_tells_no_episode_twice(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Told] = []

    class Ranks(Alone):
        def gather(self, told_by: Told) -> list[Told]:
            told.append(told_by)
            return []

        def broadcast(self, news: News | None) -> News:
            return News(40, None, stop=False)

    monkeypatch.setattr("stagectl.session.find_ranks", lambda: (1, Ranks()))
    with attach() as follower:
        assert isinstance(follower, Follower)
        assert (follower.step, follower.curriculum.stage.name) == (30, "b")
        assert follower.resumed_from == paths.checkpoints / "step-000000000030"
        follower.curriculum.get_task().complete(float("nan"))
        play(follower, 40)
    assert [(len(each.finished), len(each.refused)) for each in told] == [(1, 1)]


def test_every_rank_knows_from_the_start_that_nothing_is_left_to_train(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.recipe.write_text(paths.recipe.read_text().replace("total_timesteps: 1000", "total_timesteps: 30"))
    stops = []
    for rank in (0, 1):
        monkeypatch.setattr("stagectl.session.find_ranks", lambda rank=rank: (rank, Alone()))
        with attach() as session:
            stops.append(session.should_stop)
    assert stops == [True, True]


def test_a_score_that_another_rank_refused_is_recorded(tmp_path: Path) -> None:
    class Ranks(Alone):
        def gather(self, told: Told) -> list[Told]:
            return [told, Told([], ["the score is nan"])]

    recipe = made({"stages": ["a", "b"]})
    paths = new_run(recipe)
    with Session(paths, recipe, EventLog(paths.events, attempt=1), ranks=Ranks()) as session:
        play(session, 10)
    assert read_status(paths).refused_scores == 1


# ── what a reader sees ──────────────────────────────────────────────────────────────────────────────────────


def test_who_watches_sees_the_run_go_back_as_who_comes_later_does(paths: RunPaths) -> None:
    whole = paths.events.read_text().splitlines(keepends=True)
    watching = StatusReader(paths)
    for lines in range(len(whole) + 1):
        paths.events.write_text("".join(whole[:lines]))
        status = watching.read()
        later = read_status(paths)
        alive = Liveness(True, True, False)
        assert status_data(status, alive, 0.0) == status_data(later, alive, 0.0)
    assert (status.step, status.attempt, status.stages[1].episodes) == (30, 2, 1)
    assert status_data(status, alive)["resumed"] == {
        "step": 30,
        "path": "checkpoints/step-000000000030",
        "reason": "killed",
        "rejected": [],
    }


def test_who_reads_a_run_whole_reads_it_as_it_was_when_what_is_superseded_was_looked_up(paths: RunPaths) -> None:
    before, gone = read_events(paths.events), superseded(paths.events)
    with EventLog(paths.events, attempt=3) as log:
        log.append("attempt_started", 30, after=read_seq(paths, 30), path="x", reason="", rejected=[], stage=1)
        log.append("ready", 30)
    told = sifted(EventReader(paths.events).read(), gone)
    assert [event for event, holds in told if holds] == folded(before)


def test_a_checkpoint_that_was_saved_and_not_told_is_told_by_the_job(paths: RunPaths) -> None:
    lines = paths.events.read_text().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if '"checkpoint"' in line)
    paths.events.write_text("".join(lines[:at]))
    with EventLog(paths.events, attempt=2) as log:
        job._tell_untold(paths, log)
        job._tell_untold(paths, log)
    assert [event["event"] for event in read_events(paths.events)[at:]] == ["checkpoint"]
    assert read_events(paths.events)[at]["path"] == "checkpoints/step-000000000030"


# ── which checkpoint ────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_beyond_the_one_that_was_gone_on_from_is_none_of_the_run(paths: RunPaths) -> None:
    with attach() as session:
        play(session, 35)
        with session.checkpoint():
            pass
    with EventLog(paths.events, attempt=3) as log:  # somebody went back to step 30
        log.append("attempt_started", 30, reason="", path=None, rejected=[], stage=1, after=read_seq(paths, 30))
    found = find_beginning(paths, [job.fingerprint(stored(paths))])
    assert (found.step, found.rejected) == (30, ())


def test_a_superseded_checkpoint_is_passed_over_without_its_files_being_read(paths: RunPaths) -> None:
    test_a_checkpoint_beyond_the_one_that_was_gone_on_from_is_none_of_the_run(paths)
    with mock.patch("stagectl.runs.checkpoints.verify_checkpoint") as verify:
        find_beginning(paths, [fingerprint(stored(paths))])
    assert [call.args for call in verify.call_args_list] == [(paths.checkpoints / "step-000000000030",)]


def test_an_untold_checkpoint_is_found_below_one_of_an_earlier_attempt(paths: RunPaths) -> None:
    test_a_checkpoint_beyond_the_one_that_was_gone_on_from_is_none_of_the_run(paths)
    found = find_untold(paths, read_seq(paths, 30))
    assert found is not None
    assert found.step == 30


def read_seq(paths: RunPaths, step: int) -> int:
    events = read_events(paths.events)
    return int(next(e["seq"] for e in events if (e["event"], e["step"]) == ("checkpoint", step)))


def test_a_checkpoint_of_another_recipe_is_passed_over_and_said(paths: RunPaths) -> None:
    with pytest.raises(DamagedRunError, match="step-000000000030 was saved under another recipe"):
        find_beginning(paths, ["another"])


def test_a_run_without_a_checkpoint_begins_at_its_beginning(tmp_path: Path) -> None:
    start = find_beginning(new_run(made({"stages": ["a"]})), [])
    assert (start.checkpoint, start.step, start.after) == (None, 0, 1)


def test_a_step_is_saved_once_more_where_what_was_saved_is_superseded(paths: RunPaths) -> None:
    with attach() as session:
        play(session, 40)
        (paths.checkpoints / "step-000000000040").mkdir()  # of the first attempt, and damaged
        with session.checkpoint():
            pass
    assert (paths.checkpoints / "step-000000000040-attempt-2" / "curriculum.json").exists()


# ── under a changed recipe ──────────────────────────────────────────────────────────────────────────────────


def test_under_an_accepted_recipe_stages_keep_what_was_seen_in_them(paths: RunPaths) -> None:
    changed = RECIPE.replace("[env/a, env/b, env/c]", "[env/new, env/b, env/a]").replace("1000", "2000")
    file = paths.folder.parent / "changed.yaml"
    file.write_text(changed)
    recipe = load_recipe(file)
    before = read_status(paths)
    event = {"seq": before.seq + 1, "attempt": 3, "step": 30, "time": 0.0, "event": "attempt_started"}
    event |= {"reason": "", "path": "checkpoints/step-000000000030", "rejected": [], "after": before.seq, "stage": 1}
    before.apply({**event, **recipe.facts()})
    assert [(entry.stage.name, entry.episodes) for entry in before.stages] == [("new", 0), ("b", 1), ("a", 2)]
    assert (before.name_of(before.current), before.total_timesteps) == ("b", 2000)


def limited(steps: int) -> Recipe:
    one = {"name": "one", "curriculum": "a", "max_steps": steps, "on_timeout": "stop", "min_episodes": 1000}
    return made({"stages": [one, "two"]})


def test_a_curriculum_that_goes_on_after_its_end_is_replayed_and_shown_to_its_new_end(tmp_path: Path) -> None:
    first = Script(limited(100), PLAYED[:20], saves={19})
    first.run()
    second = Script(limited(300), PLAYED, saves=set(), earlier=first)
    events = second.run()
    timeline = replayed(second.recipe, second.paths, tmp_path / "trace.csv")
    assert timeline is not None
    ends = [told(event) for event in events if event["event"] == "curriculum_ended"]
    assert [end["step"] for end in ends] == [100, 300]
    assert [told(decision.to_dict()) for decision in timeline.decisions] == ends[1:]
    (visit,) = story_of("r", sifted(events, superseded_in(events))).visits
    assert (visit.start, visit.end) == (0, 300)


@pytest.mark.parametrize(
    "curriculum",
    [
        {"stages": [{"name": "uno", "curriculum": "a", "min_episodes": 20}, "two"]},
        {"stages": ["one", "two"], "start": "two"},
        {"stages": ["new", {"name": "one", "curriculum": "a", "min_episodes": 20}], "start": "one"},
    ],
)
def test_without_a_checkpoint_a_run_begins_as_the_accepted_recipe_says(
    curriculum: dict[str, Any], tmp_path: Path
) -> None:
    first = Script(made({"stages": ["one", "two"]}), PLAYED[:30], saves=set())
    first.run()
    recipe = made(curriculum)
    second = Script(recipe, PLAYED, saves=set(), earlier=first)
    events = second.run()
    fresh = Script(recipe, PLAYED, saves=set())
    fresh.run()
    now, anew = (status_data(read_status(each.paths), Liveness(False, False, False)) for each in (second, fresh))
    for key in ("stages", "transitions", "current_stage", "waiting_for"):
        assert now[key] == anew[key]
    timeline = replayed(recipe, second.paths, tmp_path / "trace.csv")
    assert timeline is not None
    assert timeline.total_steps == 400
    moved = [told(event) for event in folded(events) if event["event"] == "stage_transition"]
    assert [told(decision.to_dict()) for decision in timeline.decisions] == moved
    assert [visit.top for visit in story_of("r", sifted(events, superseded_in(events))).visits] == [
        visit.top for visit in story_of("r", sifted(read_events(fresh.paths.events), [])).visits
    ]
