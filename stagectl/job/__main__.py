"""Owns one run: starts its training process, restarts it within its budget, stops it, and writes how the run ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from stagectl.errors import DamagedRunError, StagectlError
from stagectl.job.leader import Leader
from stagectl.job.requests import heed_sigterm, is_managed, is_taken_away
from stagectl.job.say import say
from stagectl.job.stored import stored_recipe, submission_ended
from stagectl.job.torchrun import find_nodes
from stagectl.job.training import PYTHON, adopt_attempt, end_processes, run_attempt, training_command
from stagectl.recipe import Recipe, fingerprint
from stagectl.runs import (
    Beginning,
    Ending,
    EventLog,
    EventReader,
    FileLock,
    RunPaths,
    RunStatus,
    StatusReader,
    find_beginning,
    find_untold,
    has_trained,
    may_restart,
    outcome_of,
    process_identity,
    read_json,
    read_liveness,
    read_status,
    write_end,
    write_json,
)

MIRROR_SECONDS = 30.0
TAKEN_SECONDS = 600  # a machine that was to be taken away and is still there after so long stays
TOLD_SECONDS = 2.0  # who ends the machine's processes tells them one after another
IDLE_ATTEMPTS = 3  # so many in a row that save no checkpoint beyond the one they began from end the run


def main(arguments: list[str]) -> int:
    """The exit code: 0 fine, 1 the training process failed, 6 another job has the run.

    Args:
        arguments: The run's folder; the descriptor of its lock, where whoever started this holds it already.
    """
    paths = RunPaths(Path(arguments[0]))
    held = int(arguments[1]) if len(arguments) > 1 else -1
    with FileLock(paths.lock, held) as lock:
        if not lock.acquire():
            say(f"another job process has the run {paths.run_id}")
            return 6
        try:
            outcome, mirror = _run(paths)
        except Exception as error:
            reason = error.message if isinstance(error, StagectlError) else f"{type(error).__name__}: {error}"
            with contextlib.suppress(StagectlError):  # the disk may refuse, or the trainer write on by itself
                _write_end(paths, Ending(None, failure=f"the job process failed: {reason}"))
            if not isinstance(error, StagectlError):
                raise
            say(str(error))
            return error.exit_code
    if mirror is not None:  # whoever goes on with the run need not wait for W&B
        _end_mirror(mirror)
    return int(outcome == "failed")


def _run(paths: RunPaths) -> tuple[str, subprocess.Popen[bytes] | None]:
    """Carry the run to its end; its outcome, empty where it had come to it before, and the mirror that still sends."""
    identity = {**read_json(paths.identity), "job": process_identity()}
    write_json(paths.identity, identity)
    recipe = stored_recipe(paths)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heed_sigterm(paths, recipe)
    nodes = find_nodes(recipe, os.environ)
    with contextlib.nullcontext() if nodes is None else Leader(nodes, paths.run_id) as leader:
        run = _Run(paths, recipe, identity.get("accepted_recipes", []), leader)
        if submission_ended(paths):  # SkyPilot, which may not have seen it, started the same job again
            return "", None
        return _write_end(paths, run.train()), run.mirror


class _Run:
    """A run's attempts, one after another, until one ends the run.

    An attempt that made progress, that is saved a checkpoint beyond the one it began from, is followed by another
    where its process died; a few in a row without progress are the last. One that stopped because its machine is being
    taken away is followed by another here only once the machine has stayed: until then the run waits for the next one.
    """

    def __init__(
        self,
        paths: RunPaths,
        recipe: Recipe,
        accepted: list[str],
        leader: Leader | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.mirror: subprocess.Popen[bytes] | None = None
        self._paths = paths
        self._recipe = recipe
        self._accepted = accepted  # fingerprints of the recipes that this one took over from
        self._leader = leader
        self._managed = is_managed(recipe)
        self._wait = wait

    def train(self) -> Ending:
        """How the last attempt ended, or why there is no other."""
        status = read_status(self._paths)
        number, begun, idle = status.attempt, status.resumed["step"] if status.resumed else 0, 0
        if status.ended is None and self._leader is None and read_liveness(self._paths).trainer:
            self._start_mirror()
            ending = self._ended(number, adopt_attempt(self._paths, self._recipe))
        elif status.ended is None and status.exit_code == 0 and (has_trained(status) or not self._managed):
            end = status.attempt_ended  # only the job was missing, to write the end
            ending = Ending(end["exit_code"]) if end else self._ended(number, Ending(0))
        else:
            end_processes(self._paths)  # a job that died may have left some that it had not recorded
            start = self._beginning()
            number, begun = number + 1, start.step
            ending = self._attempt(number, start, _why_resumed(status))
        while reason := self._why_again(ending):
            try:
                start = self._beginning()
            except DamagedRunError as error:
                return Ending(None, failure=f"{reason}; {error.message}")
            idle = 0 if start.step > begun else idle + 1
            if idle == IDLE_ATTEMPTS:
                where = f"{idle} attempts in a row saved no checkpoint beyond step {begun:,}"
                return Ending(None, failure=f"{reason}; {where}; its output: stagectl logs {self._paths.run_id}")
            number, begun = number + 1, start.step
            say(f"{reason}; attempt {number} goes on from step {begun:,}")
            ending = self._attempt(number, start, reason)
        return ending

    def _why_again(self, ending: Ending) -> str:
        """Why another attempt follows; empty where that was the last."""
        status = read_status(self._paths)
        over = status.exit_code == 0 and has_trained(status)
        if self._managed and not over and self._is_taken_away():
            say("this machine is being taken away; the run goes on on the next one")
            return self._await_end()
        if self._paths.stop_request.exists() or not may_restart(ending, status):
            return ""
        return outcome_of(ending, status)[1]

    def _is_taken_away(self) -> bool:
        """Whether the machine is; where it is, that may have ended the training before this process knows."""
        for _ in range(int(TOLD_SECONDS / 0.1)):
            if is_taken_away(self._paths):
                return True
            self._wait(0.1)
        return False

    def _await_end(self) -> str:
        """Wait to be killed, since for SkyPilot a job that ends by itself has failed; why there is another attempt."""
        for _ in range(TAKEN_SECONDS):
            self._wait(1.0)
        if not is_taken_away(self._paths):  # it was asked to stop since
            return ""
        self._paths.stop_request.unlink()
        return "its machine was to be taken away, and stayed"

    def _beginning(self) -> Beginning:
        return find_beginning(self._paths, [fingerprint(self._recipe), *self._accepted])

    def _attempt(self, number: int, start: Beginning, reason: str) -> Ending:
        """One attempt, from what tells its beginning to what tells its end."""
        facts = {} if number == 1 else {"reason": reason, "stage": self._stage_at(start), **start.facts(self._paths)}
        changed = self._recipe.facts() if self._accepted or not self._is_told() else {}
        with EventLog(self._paths.events, attempt=number) as log:
            _tell_untold(self._paths, log)
            command = list(training_command(self._recipe))
            log.append("attempt_started", start.step, command=command, **facts, **changed)
            StatusReader(self._paths).keep(log.size, after=1)  # what is superseded is sorted out once
        self._start_mirror()
        attempt = run_attempt if self._leader is None else self._leader.run_attempt
        return self._ended(number, attempt(self._paths, self._recipe, number, start))

    def _is_told(self) -> bool:
        """Whether the events tell this recipe; those of a run that goes on under another one do not yet."""
        told = deque((event for event in EventReader(self._paths.events).read() if "stages" in event), maxlen=1)
        facts = json.loads(json.dumps(self._recipe.facts()))
        return bool(told) and all(told[0].get(key) == value for key, value in facts.items())

    def _stage_at(self, start: Beginning) -> int:
        """The index of the curriculum's stage in which an attempt begins."""
        if start.checkpoint is None:
            return int(self._recipe.facts()["start"])
        return [stage.name for stage in self._recipe.stages].index(start.checkpoint.stage)

    def _ended(self, number: int, ending: Ending) -> Ending:
        status = read_status(self._paths)
        with EventLog(self._paths.events, attempt=number) as log:
            _tell_untold(self._paths, log)
            killed = ending.killed_after is not None
            log.append("attempt_ended", status.step, exit_code=ending.exit_code, killed=killed)
        return ending

    def _start_mirror(self) -> None:
        """Start the W&B mirror, once; after an event that tells it that the run goes on."""
        if self._recipe.wandb.enabled and self.mirror is None:
            self.mirror = _start_mirror(self._paths)


def _why_resumed(status: RunStatus) -> str:
    if status.ended is None:
        return "resumed; its processes had gone"
    message = f", {status.ended['message']}" if status.ended["message"] else ""
    return f"resumed; it was {status.ended['outcome'].replace('_', ' ')}{message}"


def _tell_untold(paths: RunPaths, log: EventLog) -> None:
    """Write the event of a checkpoint whose training process died between saving and telling it."""
    checkpoint = find_untold(paths, log.seq + 1)
    if checkpoint is not None:
        path = str(checkpoint.folder.relative_to(paths.folder))
        log.append("checkpoint", checkpoint.step, path=path, stage=checkpoint.stage)


def _write_end(paths: RunPaths, ending: Ending) -> str:
    """Write how the run ended, once; its outcome."""
    status = read_status(paths)
    with EventLog(paths.events, attempt=status.attempt) as log:
        if status.ended is not None:
            return str(status.ended["outcome"])
        return write_end(log, ending, status)


def _start_mirror(paths: RunPaths) -> subprocess.Popen[bytes]:
    command = [*PYTHON, "stagectl.job.mirror", str(paths.folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ)


def _end_mirror(mirror: subprocess.Popen[bytes]) -> None:
    try:
        mirror.wait(MIRROR_SECONDS + 5)
    except subprocess.TimeoutExpired:
        mirror.kill()
        say("the W&B mirror did not finish in time and was ended; what it has sent is in mirror.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
