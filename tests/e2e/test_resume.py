"""A run that was interrupted: it goes on from its newest good checkpoint, by itself or when asked to."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COMMAND, RECIPES, Stagectl, eventually
from tests.e2e.test_commands import kill_job, trainer_pid, wait_for_step

SAVING = (RECIPES / "endless.yaml", "trainer.checkpoint_every=50")
DYING = "trainer.command=[python, endless.py, dies={}]"


@pytest.fixture
def stopped(stagectl: Stagectl) -> str:
    """A run that was stopped after some checkpoints."""
    run_id = stagectl.start(*SAVING, "trainer.total_timesteps=1M")
    wait_for_step(stagectl, run_id, 120)
    stagectl("stop", run_id)
    return run_id


def attempts(stagectl: Stagectl, run_id: str) -> list[dict[str, Any]]:
    return [event for event in stagectl.events(run_id) if event["event"] == "attempt_started"]


def newest_checkpoint(stagectl: Stagectl, run_id: str) -> Path:
    return stagectl.folder(run_id) / stagectl.json("status", run_id)["checkpoint"]


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


# ── by itself ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_dies_at_the_same_step_three_times_ends_and_says_where_its_output_is(stagectl: Stagectl) -> None:
    done = stagectl("run", *SAVING, DYING.format(70), "run=dies", "--progress", "plain")
    assert done.returncode == 1
    assert [(event["attempt"], event["step"]) for event in attempts(stagectl, "dies")] == [
        (1, 0),
        (2, 50),
        (3, 50),
        (4, 50),
    ]
    detail = stagectl.json("status", "dies")["detail"]
    assert "the training process was killed by SIGKILL at step 70" in detail
    assert "3 attempts in a row saved no checkpoint beyond step 50" in detail
    assert detail.endswith("its output: stagectl logs dies")
    assert "attempt 4 goes on from step 50: the training process was killed by SIGKILL at step 70" in done.stdout


def test_a_run_that_never_saves_begins_again_and_ends_after_three_attempts(stagectl: Stagectl) -> None:
    done = stagectl("run", RECIPES / "endless.yaml", DYING.format(30), "run=dies", "--progress", "plain")
    assert done.returncode == 1
    assert [event["step"] for event in attempts(stagectl, "dies")] == [0, 0, 0]
    assert "attempt 3 begins again at step 0" in done.stdout
    assert stagectl.json("status", "dies")["stages"][0]["episodes"] == 3


def test_a_run_that_fails_before_its_first_rollout_is_not_tried_again(stagectl: Stagectl) -> None:
    done = stagectl("run", RECIPES / "endless.yaml", "trainer.command=[python, broken.py]", "run=broken")
    assert done.returncode == 1
    assert len(attempts(stagectl, "broken")) == 1


# ── when asked to ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_run_goes_on_and_nothing_counts_twice(stagectl: Stagectl, stopped: str) -> None:
    before = stagectl.json("status", stopped)
    done = stagectl("run", "--resume", stopped, "--detach")
    assert done.returncode == 0, done.stderr
    assert f"{stopped} resumes stage 1 of 2 (first) at step {before['step']:,}, attempt 2" in done.stderr
    wait_for_step(stagectl, stopped, before["step"] + 50)
    stagectl("stop", stopped)
    after = stagectl.json("status", stopped)
    assert (after["state"], after["attempt"]) == ("stopped", 2)
    assert after["stages"][0]["episodes"] == after["step"] / 10
    assert after["resumed"]["reason"] == "resumed; it was stopped, as requested"


def test_a_run_whose_log_is_damaged_anywhere_is_not_gone_on_with(stagectl: Stagectl, stopped: str) -> None:
    log = stagectl.folder(stopped) / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"seq":3,', b'"sep":3,', 1))
    done = stagectl("run", "--resume", stopped, "trainer.total_timesteps=100000", "--accept-recipe-change")
    assert done.returncode == 7
    assert f"{log}, byte " in done.stderr


def test_a_run_that_its_budget_completed_goes_on_with_a_larger_one(stagectl: Stagectl) -> None:
    first = ("run=more", "trainer.total_timesteps=100", "curriculum.stages=[a]")
    assert stagectl("run", RECIPES / "endless.yaml", *first).returncode == 0
    assert stagectl.json("status", "more")["state"] == "completed"
    refused = stagectl("run", "--resume", "more")
    assert refused.returncode == 2
    assert "has spent all its 100 steps" in refused.stderr
    larger = ("trainer.total_timesteps=200", "--accept-recipe-change")
    assert stagectl("run", "--resume", "more", *larger).returncode == 0
    status = stagectl.json("status", "more")
    assert (status["state"], status["step"], status["attempt"]) == ("completed", 200, 2)


def test_a_damaged_checkpoint_is_passed_over_with_its_reason_and_stays(stagectl: Stagectl, stopped: str) -> None:
    newest = newest_checkpoint(stagectl, stopped)
    flip(newest / "policy.txt")
    saved = [event["step"] for event in stagectl.events(stopped) if event["event"] == "checkpoint"]
    done = stagectl("run", "--resume", stopped, "--detach")
    assert done.returncode == 0, done.stderr
    assert f"passed over a checkpoint: {newest}: policy.txt is not what was saved" in done.stderr
    assert attempts(stagectl, stopped)[-1]["step"] == saved[-2]
    assert newest.is_dir()


def test_without_any_good_checkpoint_a_run_is_left_as_it_is(stagectl: Stagectl, stopped: str) -> None:
    before = stagectl.events(stopped)
    for folder in (stagectl.folder(stopped) / "checkpoints").iterdir():
        (folder / "MANIFEST.json").write_text("{")
    done = stagectl("run", "--resume", stopped)
    assert done.returncode == 7
    assert "has no checkpoint to go on from" in done.stderr
    assert "MANIFEST.json is damaged" in done.stderr
    assert stagectl.events(stopped) == before


def test_a_changed_recipe_is_refused_with_what_differs_and_taken_where_that_is_accepted(
    stagectl: Stagectl, stopped: str
) -> None:
    change = ("curriculum.stages.first.performance_threshold=0.2", "trainer.seed=5")
    done = stagectl("run", "--resume", stopped, *change)
    assert done.returncode == 2
    assert "trainer.seed: was 0 and is 5" in done.stderr
    assert "curriculum.stages.first.performance_threshold: stage 'first' had 0.8 and has 0.2" in done.stderr
    assert "--accept-recipe-change" in done.stderr
    assert len(attempts(stagectl, stopped)) == 1
    assert stagectl("run", "--resume", stopped, *change, "--accept-recipe-change", "-d").returncode == 0
    eventually(lambda: stagectl.json("status", stopped)["transitions"])
    assert stagectl.json("status", stopped)["stages"][0]["performance_threshold"] == 0.2


def test_a_run_that_is_live_is_not_resumed_and_of_many_at_once_one_wins(stagectl: Stagectl, stopped: str) -> None:
    command = [str(COMMAND), "run", "--resume", stopped, "--detach"]
    many = [subprocess.Popen(command, env=stagectl.env, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    told = [(process.communicate()[1], process.returncode) for process in many]
    assert sorted(code for _, code in told) == [0, 6, 6, 6, 6, 6]
    assert all(f"the run {stopped} is live" in text for text, code in told if code)
    assert len(attempts(stagectl, stopped)) == 2


def test_a_training_process_whose_job_is_gone_is_taken_over_and_its_death_is_seen(stagectl: Stagectl) -> None:
    run_id = stagectl.start(*SAVING)
    wait_for_step(stagectl, run_id, 60)
    trainer = trainer_pid(stagectl, run_id)
    kill_job(stagectl, run_id)
    assert "goes on with the process that trains: attempt 1" in stagectl("run", "--resume", run_id, "--detach").stderr
    assert trainer_pid(stagectl, run_id) == trainer
    assert stagectl.json("status", run_id)["detail"] == ""
    assert len(attempts(stagectl, run_id)) == 1
    os.kill(trainer, signal.SIGKILL)
    eventually(lambda: len(attempts(stagectl, run_id)) == 2)
    assert stagectl("stop", run_id).returncode == 0
    assert stagectl.json("status", run_id)["state"] == "stopped"


def test_a_run_whose_processes_are_all_gone_goes_on(stagectl: Stagectl) -> None:
    run_id = stagectl.start(*SAVING)
    wait_for_step(stagectl, run_id, 60)
    kill_job(stagectl, run_id)
    os.kill(trainer_pid(stagectl, run_id), signal.SIGKILL)
    eventually(lambda: stagectl.json("status", run_id)["state"] == "crashed")
    assert stagectl("run", "--resume", run_id, "--detach").returncode == 0
    assert attempts(stagectl, run_id)[-1]["reason"] == "resumed; its processes had gone"


def test_a_budget_that_is_spent_is_refused_with_how_to_give_more(stagectl: Stagectl) -> None:
    assert stagectl("run", *SAVING, "trainer.total_timesteps=60", "run=spent").returncode == 0
    done = stagectl("run", "--resume", "spent")
    assert done.returncode == 2
    assert "has spent all its 60 steps" in done.stderr
    more = "trainer.total_timesteps=120"
    assert f"stagectl run --resume spent {more} --accept-recipe-change" in done.stderr
    done = stagectl("run", "--resume", "spent", more, "--accept-recipe-change")
    assert (done.returncode, stagectl.json("status", "spent")["step"]) == (0, 120)


def test_a_run_that_was_over_when_its_job_died_gets_its_end_written(stagectl: Stagectl) -> None:
    waiting = "trainer.command=[python, endless.py, waits=140]"  # so that the job is killed before it is over
    run_id = stagectl.start(*SAVING, "trainer.total_timesteps=150", waiting)
    wait_for_step(stagectl, run_id, 20)
    kill_job(stagectl, run_id)
    (stagectl.folder(run_id) / "go").touch()
    eventually(lambda: stagectl.json("status", run_id)["state"] == "crashed")
    done = stagectl("run", "--resume", run_id)
    assert "was over, and its end is written now: budget_spent" in done.stderr
    status = stagectl.json("status", run_id)
    assert (status["state"], status["step"], status["attempt"]) == ("budget_spent", 150, 1)
