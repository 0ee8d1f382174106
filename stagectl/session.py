"""What a training script holds: `with stagectl.attach() as session: …`

Needs the standard library and PyYAML, nothing else, so that it installs into any training environment.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from stagectl.curriculum import CurriculumEnd, Finished, StagedProgressiveCurriculum, StageTransition
from stagectl.curriculum.metrics import document_metrics
from stagectl.errors import CurriculumError, RunNotFoundError, ScoreError, UsageError
from stagectl.ranks import Alone, Follower, News, Ranks, Told, find_ranks, is_trained
from stagectl.recipe import Recipe, build_curriculum, fingerprint, load_recipe, read_resolved, write_resolved
from stagectl.runs import (
    ATTEMPT_VARIABLE,
    CHECKPOINT_VARIABLE,
    RUN_VARIABLE,
    Ending,
    EventLog,
    FileLock,
    RunPaths,
    StatusReader,
    commit_checkpoint,
    create_run,
    finite,
    lost_orders,
    make_folder,
    new_run_id,
    prune_checkpoints,
    read_json,
    read_manifest,
    read_status,
    superseded,
    term_data,
    write_end,
    write_json,
)

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0


def attach(recipe: str | os.PathLike[str] | None = None) -> Session | Follower:
    """Join the run that started this process; outside a run, begin one with the recipe.

    Under torchrun every rank attaches, and makes the same calls: rank 0 writes and decides, the others follow.

    Raises:
        UsageError: There is no run, and no recipe was given.
        RecipeError: The recipe is wrong, or its curriculum class cannot be imported.
        RunExistsError: Another process already trains for the run.
    """
    folder = os.environ.get(RUN_VARIABLE)
    rank, ranks = find_ranks()
    if folder:
        paths = RunPaths(Path(folder))
        return _join(paths, ranks) if rank == 0 else _follow(paths, ranks)
    if recipe is None:
        hint = "start the script with `stagectl run RECIPE`, or give the recipe: attach('recipe.yaml')"
        raise UsageError("attach() found no run", hint=hint)
    loaded = load_recipe(Path(recipe))
    return _begin(loaded, ranks) if rank == 0 else Follower(loaded, ranks)


class Session:
    """A training process's side of a run: the curriculum, and the events that tell what became of it.

    Made by `attach()`. Every method is cheap enough to be called between any two rollouts.

    Attributes:
        resumed_from: The checkpoint's folder from which this process goes on, with what the script saved there: load
            it, and count the steps on from `step`. None where training begins.
    """

    def __init__(
        self,
        paths: RunPaths,
        recipe: Recipe,
        log: EventLog,
        *,
        lock: FileLock | None = None,
        curriculum: StagedProgressiveCurriculum | None = None,
        ranks: Ranks | None = None,
        resumed_from: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.paths = paths
        self.recipe = recipe
        self.resumed_from = resumed_from
        self.curriculum: StagedProgressiveCurriculum = curriculum or build_curriculum(recipe)
        self.curriculum.decide_between_steps(refused=self._refuse_score)
        self._log = log
        self._snapshots = StatusReader(paths)
        self._lock = lock
        self._ranks = ranks or Alone()
        self._clock = clock
        self._budget = math.inf if recipe.trainer.total_timesteps is None else recipe.trainer.total_timesteps
        self._fingerprint = fingerprint(recipe)
        self._ready = False
        self._begun = False
        self._applied: int | None = None
        self._progress_time = clock()
        self._told_step = 0
        self._saved_step: int | None = None
        self._moved = False
        self._measured = False
        self._closed = False
        self._stop_answered = False
        self._lost_orders = lost_orders(paths.events) if log.attempt > 1 else []
        self._superseded = superseded(paths.events) if log.attempt > 1 else []
        if resumed_from is not None:
            self.restore()

    # ── what a script calls ─────────────────────────────────────────────────────────────────────────────────

    def update_step_count(self, step: int) -> None:
        """Tell the environment steps so far, summed over all environments; call it between rollouts.

        Here finished episodes are recorded, requests from outside are answered, and transitions happen. A step
        count that is told again decides nothing: episodes that finished since are recorded once the steps grow.

        Raises:
            CurriculumError: The step count goes back.
            UsageError: The run goes on from a checkpoint, and the script counts from before it.
            StorageError: The disk refused the event log.
        """
        curriculum = self.curriculum
        if self.resumed_from is not None and not self._ready and step < curriculum.total_steps:
            raise _not_restored(curriculum.total_steps, step)
        again = self._begun and step == curriculum.total_steps
        self._begun = True
        if not self._ready:
            self._log.append("ready", curriculum.total_steps)
            self._ready = True
        if curriculum.applied_stage not in (None, self._applied):
            self._applied = curriculum.applied_stage
            stage = curriculum.stages[self._applied]
            self._log.append("stage_started", curriculum.total_steps, stage=self._applied, name=stage.name)
        if not again:
            self._take_advance_request(step)
        for others in self._ranks.gather(Told(list(curriculum.finished)))[1:]:
            curriculum.take_in(others.finished)
            for message in others.refused:
                self._log.append("score_refused", curriculum.total_steps, message=message)
        finished = list(curriculum.finished)
        decision = curriculum.update_step_count(step)
        if not again:
            self._record_boundary(curriculum.total_steps, finished, decided=decision is not None)
        if isinstance(decision, StageTransition):
            self._applied = None
            self._moved = True
            self._log.append("stage_transition", **decision.to_dict())
        elif isinstance(decision, CurriculumEnd):
            self._log.append("curriculum_ended", **decision.to_dict())
        self._answer_stop_request()
        self._ranks.broadcast(News(curriculum.total_steps, decision, self.should_stop, self.checkpoint_due))
        self._snapshots.keep(self._log.size)

    @property
    def step(self) -> int:
        """Environment steps so far; after a resume a script counts on from here."""
        return self.curriculum.total_steps

    @property
    def checkpoint_due(self) -> bool:
        """Whether to save one now: since the last a stage was left or `checkpoint_every` steps passed, or all is over.

        Ask it once the policy was updated: what has not been learnt at a checkpoint is lost when the run goes on
        from there.
        """
        if self.should_stop:
            return self.step != self._saved_step
        return self._moved or self.step - (self._saved_step or 0) >= self.recipe.trainer.checkpoint_every

    @property
    def should_stop(self) -> bool:
        """Whether training should end now: the curriculum is over, the budget is spent, or somebody asked."""
        return self._stop_answered or is_trained(self.recipe, self.curriculum)

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics. Numbers that are not finite are counted and said, and left out."""
        good, bad = finite(metrics)
        if good.keys() & self.curriculum.metric_names:
            self._tell_last_step()  # what was decided there knew nothing of these
            self._measured = True
        self.curriculum.record_metrics(good)
        self._log.append("metrics", step, metrics=good, **({"not_finite": bad} if bad else {}))

    def metrics(self) -> dict[str, Any]:
        """The curriculum's keys, for a trainer that writes to W&B itself: `wandb.log(session.metrics())`."""
        curriculum = self.curriculum
        return document_metrics(curriculum.stages, curriculum.current_stage, curriculum.performance())

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """A folder to save the model into; it becomes a checkpoint, with the curriculum's state, when the block ends.

        Raises:
            StorageError: The disk refused; there is no checkpoint then.
        """
        step, attempt = self.step, self._log.attempt
        name = f"step-{step:012d}"
        final = self.paths.checkpoints / name
        if final.exists():  # of an attempt that another superseded; it stays
            final = final.with_name(f"{name}-attempt-{attempt}")
        beside = final.with_name(f".{final.name}.tmp")
        shutil.rmtree(beside, ignore_errors=True)
        make_folder(beside)
        try:
            yield beside
            if step != self._saved_step:
                self._commit(beside, final)
            self._saved_step, self._moved = step, False
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def restore(self) -> None:
        """Put the curriculum where the checkpoint in `resumed_from` has it. `attach()` did; tasks since are forgotten.

        Raises:
            CurriculumError: The recipe's stages have changed so much that the curriculum cannot go on.
        """
        assert self.resumed_from is not None, "there is nothing to restore from"
        manifest = _restore(self.curriculum, self.recipe, self.resumed_from)
        self._told_step = self._saved_step = self.step
        self._applied = self.curriculum.current_stage if manifest["applied"] else None
        self._measured = manifest["measured"]
        self._begun = manifest["begun"]

    def close(self) -> None:
        """Record the last steps, and let go of the run. Episodes that no step was told for count for nobody."""
        self._close(None)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._close(_ending(value))

    def _commit(self, folder: Path, final: Path) -> None:
        """Make a checkpoint of what was saved, and the event that tells it."""
        self._tell_last_step()  # so that the log is as far as the checkpoint
        write_json(folder / "curriculum.json", self.curriculum.state_dict())
        self._log.sync()
        stage = self.curriculum.stage.name
        facts = {
            "step": self.step,
            "stage": stage,
            "attempt": self._log.attempt,
            "recipe": self._fingerprint,
            "seq": self._log.seq + 1,
            "begun": self._begun,
            "applied": self._applied == self.curriculum.current_stage,
            "measured": self._measured,
        }
        commit_checkpoint(folder, final, facts)
        self._log.append("checkpoint", self.step, path=str(final.relative_to(self.paths.folder)), stage=stage)
        if self.recipe.trainer.keep_checkpoints is not None:
            prune_checkpoints(self.paths, self.recipe.trainer.keep_checkpoints, self._superseded)

    # ── what happens in update_step_count ───────────────────────────────────────────────────────────────────

    def _record_boundary(self, step: int, finished: list[Finished], *, decided: bool) -> None:
        now, curriculum = self._clock(), self.curriculum
        due = abs(now - self._progress_time) >= PROGRESS_SECONDS or self._told_step < self._budget <= step
        if not (finished or decided or due or self._measured or curriculum.remembers_steps):
            return
        self._progress_time = now
        self._told_step = step
        self._measured = False
        waiting = [term_data(term) for term in curriculum.waiting_for()]
        if not finished:
            self._log.append("progress", step, waiting_for=waiting)
            return
        self._log.append(
            "episodes",
            step,
            scores=[[e.stage, e.score] if e.visit is None else [e.stage, e.score, e.visit] for e in finished],
            episodes=curriculum.episodes(),
            performance=curriculum.performance(),
            waiting_for=waiting,
        )

    def _tell_last_step(self) -> None:
        step = self.curriculum.total_steps
        if step > self._told_step:
            self._told_step = step
            self._log.append("progress", step, waiting_for=[term_data(term) for term in self.curriculum.waiting_for()])

    def _refuse_score(self, error: ScoreError) -> None:
        self._log.append("score_refused", self.curriculum.total_steps, message=error.message)

    def _answer_stop_request(self) -> None:
        if not self._stop_answered and self.paths.stop_request.exists():
            self._stop_answered = True
            self._log.append("request_answered", self.curriculum.total_steps, request="stop")

    def _take_advance_request(self, step: int) -> None:
        """Have the curriculum go where it was asked to, at the decision that comes.

        What was asked of an attempt and is lost with it is done again at its step. A request is removed once the log
        has it, so that a death between the two loses nothing.
        """
        while self._lost_orders and self._lost_orders[0]["at"] <= step:
            self._advance(self._lost_orders.pop(0)["to"], step)
        if self.paths.advance_request.exists():
            self._advance(read_json(self.paths.advance_request).get("to"), step)
            self.paths.advance_request.unlink()

    def _advance(self, wanted: str | None, step: int) -> None:
        facts: dict[str, Any] = {"request": "advance", "at": step}
        try:
            facts["to"] = self.curriculum.request_stage(wanted)
        except CurriculumError as error:
            facts |= {"to": None, "refused": error.message}
        self._log.append("request_answered", self.curriculum.total_steps, **facts)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

    def _close(self, ending: Ending | None) -> None:
        if self._closed or not self._log.is_open:  # a forked child leaves the end to its parent
            return
        self._closed = True
        try:
            self._tell_last_step()
            if self._lock is None:  # who takes the run over from a job that died learns from it how this ended
                self._log.append("training_ended", self.step, exit_code=0 if ending is None else ending.exit_code)
            elif ending is not None:  # no job process will tell how it ended
                self._tell_end(ending, self.step)
        finally:
            self._log.close()
            if self._lock is not None:
                self._lock.release()

    def _tell_end(self, ending: Ending, step: int) -> None:
        self._log.append("attempt_ended", step, exit_code=ending.exit_code, killed=False)
        write_end(self._log, ending, read_status(self.paths))


def _ending(error: BaseException | None) -> Ending:
    """How a script's block ended, as the exit code of its process would tell."""
    if error is None:
        return Ending(0)
    if isinstance(error, KeyboardInterrupt):
        return Ending(-signal.SIGINT)
    if isinstance(error, SystemExit):
        return Ending(error.code or 0) if isinstance(error.code, int | None) else Ending(1, failure=str(error.code))
    return Ending(1, failure=f"{type(error).__name__}: {error}")


def _recipe_of(paths: RunPaths) -> Recipe:
    identity = read_json(paths.identity)
    if not identity:
        raise RunNotFoundError(f"{RUN_VARIABLE} names {paths.folder}, and there is no run")
    return read_resolved(paths.recipe, folder=Path(identity["folder"]))


def _join(paths: RunPaths, ranks: Ranks) -> Session:
    recipe = _recipe_of(paths)
    log = EventLog(paths.events, attempt=int(os.environ.get(ATTEMPT_VARIABLE, "1")))
    try:
        return Session(paths, recipe, log, ranks=ranks, resumed_from=_checkpoint())
    except BaseException:
        log.close()
        raise


def _follow(paths: RunPaths, ranks: Ranks) -> Follower:
    recipe, checkpoint = _recipe_of(paths), _checkpoint()
    follower = Follower(recipe, ranks, checkpoint)
    if checkpoint is not None:
        _restore(follower.curriculum, recipe, checkpoint)
        follower.curriculum.follow(follower.step, None)  # episodes that wait to be counted are rank 0's
    return follower


def _checkpoint() -> Path | None:
    """The checkpoint that this process goes on from, as the job says."""
    folder = os.environ.get(CHECKPOINT_VARIABLE)
    return Path(folder) if folder else None


def _restore(curriculum: StagedProgressiveCurriculum, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Load the curriculum's state; the checkpoint's manifest. The job has chosen it: it fits, or may differ."""
    manifest = read_manifest(folder)
    changed = manifest["recipe"] != fingerprint(recipe)
    curriculum.load_state_dict(read_json(folder / "curriculum.json"), accept_changes=changed)
    return manifest


def _not_restored(saved: int, told: int) -> UsageError:
    hint = "load what was saved in session.resumed_from, and count the steps on from session.step"
    return UsageError(f"the run goes on from step {saved:,}, but the script counts from {told:,}", hint=hint)


def _begin(recipe: Recipe, ranks: Ranks) -> Session:
    curriculum = build_curriculum(recipe)  # before anything is made: it may be what is wrong
    paths = create_run(recipe.run or new_run_id(recipe.name), write_resolved(recipe), recipe.folder, recipe.facts())
    if recipe.wandb.enabled:
        logger.warning("The run %s is not mirrored to W&B: only `stagectl run` starts a mirror", paths.run_id)
    lock = FileLock(paths.lock)
    lock.acquire()
    log = EventLog(paths.events, attempt=1)
    log.append("attempt_started")
    return Session(paths, recipe, log, lock=lock, curriculum=curriculum, ranks=ranks)
