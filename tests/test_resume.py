"""A run that is interrupted and goes on from its checkpoints is, folded, the run that never was.

Over random recipes with every feature of the language and the graph, and streams of everything that a script may do,
cut off wherever it may be: the real job goes from attempt to attempt, the real session trains in this process.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from typing import Any
from unittest import mock

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stagectl.job import __main__ as job
from stagectl.recipe import Recipe, write_resolved
from stagectl.runs import (
    Beginning,
    Ending,
    Event,
    EventLog,
    RunPaths,
    create_run,
    folded,
    read_events,
    read_status,
    status_data,
)
from stagectl.runs.status import Liveness
from stagectl.session import Session
from tests.curriculum.random_recipes import recipes, streams
from tests.simulate.test_equality import act, made

OF_ATTEMPTS = ("attempt_started", "ready", "training_ended", "attempt_ended", "run_ended")
KILLED = Ending(-9)


def new_run(recipe: Recipe) -> RunPaths:
    return create_run(f"t-{uuid.uuid4().hex[:30]}", write_resolved(recipe), recipe.folder, recipe.facts())


class Script:
    """A training script over a stream of operations, which saves checkpoints and goes on from them.

    It is killed before each of the operations `cuts`, an attempt each; what it held then is gone.
    """

    def __init__(self, recipe: Recipe, stream: Sequence[Any], saves: set[int], cuts: Sequence[int] = ()) -> None:
        self.paths = new_run(recipe)
        self.recipe = recipe
        self._stream = stream
        self._saves = saves
        self._cuts = list(cuts)

    def run(self) -> list[Event]:
        """The run's events after the job came to its end."""
        with (
            mock.patch.object(job, "run_attempt", self._attempt),
            mock.patch.object(job, "end_processes"),
            mock.patch("os.fsync"),
        ):
            job._write_end(self.paths, job._Run(self.paths, self.recipe, []).train())
        return read_events(self.paths.events)

    def _attempt(self, paths: RunPaths, recipe: Recipe, number: int, start: Beginning) -> Ending:
        cut = self._cuts.pop(0) if self._cuts else len(self._stream)
        log = EventLog(paths.events, attempt=number, clock=lambda: 0.0)
        folder = start.checkpoint and start.checkpoint.folder
        session = Session(paths, recipe, log, resumed_from=folder, clock=lambda: 0.0)
        saved = {"tasks": [], "next": 0}
        if session.resumed_from is not None:
            saved = json.loads((session.resumed_from / "script.json").read_text())
        tasks = saved["tasks"]
        for at in range(saved["next"], cut):
            kind, value = self._stream[at]
            if kind == "steps":
                session.update_step_count(session.step + value)
            elif kind != "manual":
                act(session, tasks, kind, value)
            if at in self._saves:
                with session.checkpoint() as folder:
                    (folder / "script.json").write_text(json.dumps({"tasks": tasks, "next": at + 1}))
        if cut < len(self._stream):
            log.close()
            return KILLED
        session.close()
        return Ending(0)


def training(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What training told, without what every attempt says anew."""
    common = ("seq", "attempt", "time", "path", "run")
    kept = [event for event in folded(events) if event["event"] not in OF_ATTEMPTS]
    return [{key: value for key, value in event.items() if key not in common} for event in kept]


@settings(max_examples=25)
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
    assume(not script._cuts)  # a death before the first rollout ends a run
    assume(events[-1]["outcome"] != "failed" or uninterrupted[-1]["outcome"] == "failed")
    assert training(events) == training(uninterrupted)
    ours, theirs = (status_data(read_status(each.paths), Liveness(False, False, False)) for each in (script, whole))
    for key in ("stages", "transitions", "end", "step", "waiting_for", "refused_scores"):
        assert ours[key] == theirs[key]
