"""What a user does to a run: leave it, come back, stop it, kill it, look at its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pexpect
import pytest

from stagectl.runs import is_same_process
from tests.e2e.conftest import COMMAND, RECIPES, Stagectl, eventually

ENDLESS = RECIPES / "endless.yaml"


def trainer_pid(stagectl: Stagectl, run_id: str) -> int:
    return int(json.loads((stagectl.folder(run_id) / "run.json").read_text())["trainer"]["pid"])


def kill_job(stagectl: Stagectl, run_id: str) -> None:
    job = json.loads((stagectl.folder(run_id) / "run.json").read_text())["job"]["pid"]
    os.kill(job, signal.SIGKILL)
    eventually(lambda: stagectl.json("status", run_id)["detail"])


def wait_for_step(stagectl: Stagectl, run_id: str, step: int) -> None:
    """Until it has trained so far, and its process is known."""
    eventually(lambda: any(event["step"] >= step for event in stagectl.events(run_id)))
    eventually(lambda: "trainer" in json.loads((stagectl.folder(run_id) / "run.json").read_text()))


def test_detach_prints_the_run_id_alone(stagectl: Stagectl) -> None:
    done = stagectl("run", ENDLESS, "--detach")
    assert done.stdout == f"{stagectl.json('list')['runs'][0]['run']}\n"
    assert done.stdout.startswith("endless-")


def test_stop_lets_the_trainer_save_a_checkpoint_and_says_so(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 20)
    done = stagectl("stop", run_id)
    assert done.returncode == 0
    assert "stopped at step" in done.stderr
    assert stagectl.json("status", run_id)["state"] == "stopped"
    checkpoint = stagectl.folder(run_id) / stagectl.json("status", run_id)["checkpoint"]
    assert (checkpoint / "policy.txt").read_text() == "weights"


def test_a_trainer_that_does_not_listen_is_killed_after_the_grace_time_and_that_is_said(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS, "trainer.command=[python, endless.py, deaf]")
    wait_for_step(stagectl, run_id, 20)
    pid = trainer_pid(stagectl, run_id)
    done = stagectl("stop", run_id, "--grace", "0.5")
    assert "killed: it did not stop" in done.stderr
    assert stagectl.json("status", run_id)["state"] == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_stop_that_leaves_less_time_is_heard(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS, "trainer.command=[python, endless.py, deaf]")
    wait_for_step(stagectl, run_id, 20)
    patient = subprocess.Popen(
        [str(COMMAND), "stop", run_id, "--grace", "600"], env=stagectl.env, stderr=subprocess.PIPE, text=True
    )
    eventually((stagectl.folder(run_id) / "requests" / "stop.json").exists)
    assert "killed: it did not stop within 0 s" in stagectl("stop", run_id, "--grace", "0").stderr
    assert "killed: it did not stop within 0 s" in patient.communicate(timeout=60)[1]


def test_a_run_whose_job_was_killed_is_stopped_all_the_same(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 20)
    kill_job(stagectl, run_id)
    done = stagectl("stop", run_id)
    assert done.returncode == 0
    assert "stopped at step" in done.stderr
    assert "checkpoints/step-" in done.stderr
    status = stagectl.json("status", run_id)
    assert (status["state"], status["detail"]) == ("stopped", "as requested; its job process was gone")
    assert "resumes stage" in stagectl("run", "--resume", run_id, "--detach").stderr
    stagectl("stop", run_id)
    assert stagectl("rm", run_id).returncode == 0


def test_a_deaf_trainer_whose_job_was_killed_is_killed_after_the_grace_time(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS, "trainer.command=[python, endless.py, deaf]")
    wait_for_step(stagectl, run_id, 20)
    kill_job(stagectl, run_id)
    done = stagectl("stop", run_id, "--grace", "0")
    assert "killed: it did not stop within 0 s of being asked; its job process was gone" in done.stderr
    assert stagectl.json("status", run_id)["state"] == "stopped"
    trainer = json.loads((stagectl.folder(run_id) / "run.json").read_text())["trainer"]
    assert not is_same_process(trainer)


def test_a_trainer_that_ends_at_once_is_told_by_how_it_ended(stagectl: Stagectl) -> None:
    for run_id, command, state in (("silent", "exit 0", "failed"), ("bad", "exit 1", "failed")):
        stagectl("run", ENDLESS, "--detach", f"run={run_id}", f"trainer.command=[sh, -c, {command}]")
        eventually(lambda run_id=run_id: stagectl.json("status", run_id)["state"] != "starting")
        assert stagectl.json("status", run_id)["state"] == state
    assert "does it call stagectl.attach()?" in stagectl.json("status", "silent")["detail"]


def test_a_home_that_is_named_relatively_holds_runs_all_the_same(stagectl: Stagectl, tmp_path: Path) -> None:
    stagectl.env["STAGECTL_HOME"] = "here"
    assert stagectl("run", ENDLESS, "run=short", "trainer.command=[sh, -c, exit 0]", cwd=tmp_path).returncode == 1
    assert (tmp_path / "here" / "runs" / "short" / "events.jsonl").exists()
    stagectl.env["STAGECTL_HOME"] = str(stagectl.home)


def test_a_trainer_that_is_killed_again_and_again_is_told_as_failed_and_its_log_is_kept(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS, "trainer.command=[python, endless.py, dies=20]")
    assert stagectl("status", run_id, "--watch").returncode == 1
    assert "SIGKILL" in stagectl.json("status", run_id)["detail"]
    assert "step 10" in stagectl("logs", run_id).stdout


def test_a_killed_job_leaves_a_run_that_goes_on_and_says_so_and_a_killed_trainer_then_reads_crashed(
    stagectl: Stagectl,
) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 20)
    kill_job(stagectl, run_id)
    status = stagectl.json("status", run_id)
    assert (status["state"], status["detail"]) == ("running", "the job process is gone, training goes on by itself")
    os.killpg(trainer_pid(stagectl, run_id), signal.SIGKILL)
    eventually(lambda: stagectl.json("status", run_id)["state"] == "crashed")


def test_a_suspended_trainer_reads_stalled_and_goes_on_when_it_is_let(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 20)
    os.kill(trainer_pid(stagectl, run_id), signal.SIGSTOP)
    eventually(lambda: stagectl.json("status", run_id)["state"] == "stalled")
    os.kill(trainer_pid(stagectl, run_id), signal.SIGCONT)
    eventually(lambda: stagectl.json("status", run_id)["state"] == "running")


def test_a_trainer_that_dies_before_its_first_rollout_fails_with_the_end_of_its_log_at_hand(
    stagectl: Stagectl,
) -> None:
    done = stagectl("run", ENDLESS, "run=broken", "trainer.command=[python, broken.py]")
    assert done.returncode == 1
    status = stagectl.json("status", "broken")
    assert status["state"] == "failed"
    assert "before its first rollout" in status["detail"]
    assert "no data set in /data" in stagectl("status", "broken").stdout
    assert "no data set in /data" in stagectl("logs", "broken", "-n", "1").stdout


def test_a_command_that_cannot_be_started_is_told_by_name(stagectl: Stagectl) -> None:
    done = stagectl("run", ENDLESS, "run=typo", "trainer.command=[pyton, endless.py]")
    assert done.returncode == 1
    assert "cannot start pyton" in stagectl.json("status", "typo")["detail"]


def hear_interrupts() -> None:
    """As a terminal's shell starts its commands; where a shell started us in the background we ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_the_view_and_the_run_goes_on(stagectl: Stagectl) -> None:
    env = {key: value for key, value in stagectl.env.items() if key != "NO_COLOR"}
    child = pexpect.spawn(
        str(COMMAND),
        ["run", str(ENDLESS), "run=left"],
        env={**env, "TERM": "xterm"},
        dimensions=(30, 100),
        timeout=60,
        preexec_fn=hear_interrupts,
    )
    child.expect("first")
    wait_for_step(stagectl, "left", 50)
    child.sendintr()
    child.expect("stagectl status left --watch")
    child.expect("stagectl stop left")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    before = stagectl.json("status", "left")["step"]
    eventually(lambda: stagectl.json("status", "left")["step"] > before)


def test_a_hang_up_of_the_terminal_does_not_reach_the_run(stagectl: Stagectl) -> None:
    child = pexpect.spawn(
        str(COMMAND), ["run", str(ENDLESS), "run=hung"], env={**stagectl.env, "TERM": "xterm"}, timeout=60
    )
    eventually(lambda: (stagectl.folder("hung") / "events.jsonl").exists())
    wait_for_step(stagectl, "hung", 20)
    child.close(force=True)  # the pseudo-terminal is gone: SIGHUP
    before = stagectl.json("status", "hung")["step"]
    eventually(lambda: stagectl.json("status", "hung")["step"] > before)


def test_logs_follows_until_the_run_ends(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 20)
    follower = subprocess.Popen(
        [str(COMMAND), "logs", run_id, "-f"], env=stagectl.env, stdout=subprocess.PIPE, text=True
    )
    stagectl("stop", run_id)
    out, _ = follower.communicate(timeout=60)
    assert out.startswith("step 10\n")
    assert follower.returncode == 0


def test_a_live_run_is_not_removed_and_an_ended_one_is(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    refused = stagectl("rm", run_id)
    assert (refused.returncode, "live" in refused.stderr) == (6, True)
    stagectl("stop", run_id)
    assert stagectl("rm", run_id).returncode == 0
    assert not stagectl.folder(run_id).exists()


def test_a_folder_whose_id_is_taken_and_which_is_no_run_is_removed_as_run_hints(stagectl: Stagectl) -> None:
    stagectl.folder("half").mkdir(parents=True)
    (stagectl.folder("half") / "train.log").touch()
    taken = stagectl("run", ENDLESS, "run=half")
    assert (taken.returncode, "stagectl rm half" in taken.stderr) == (6, True)
    assert stagectl("rm", "half").returncode == 0
    assert not stagectl.folder("half").exists()


def test_the_beginning_of_an_id_is_enough_and_an_unknown_one_names_the_nearest(stagectl: Stagectl) -> None:
    stagectl.start(ENDLESS, "run=navigation")
    assert stagectl.json("status", "nav")["run"] == "navigation"
    assert stagectl.json("status", "latest")["run"] == "navigation"
    unknown = stagectl("status", "navigatoin")
    assert unknown.returncode == 4
    assert "did you mean 'navigation'?" in unknown.stderr


def test_watching_as_json_lines_ends_with_the_run(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    watcher = subprocess.Popen(
        [str(COMMAND), "status", run_id, "--watch", "-o", "jsonl"], env=stagectl.env, stdout=subprocess.PIPE, text=True
    )
    stagectl("stop", run_id)
    out, _ = watcher.communicate(timeout=60)
    states = [json.loads(line)["state"] for line in out.splitlines()]
    assert states[-1] == "stopped"
    assert watcher.returncode == 0


def test_the_list_has_every_run_in_full_in_a_pipe(stagectl: Stagectl) -> None:
    names = [f"a-run-with-a-long-name-for-the-table-{index}" for index in range(2)]
    for name in names:
        stagectl.start(ENDLESS, f"run={name}")
    listed = stagectl("list").stdout
    assert all(name in listed for name in names)


def test_an_empty_home_is_said_and_is_no_error(stagectl: Stagectl) -> None:
    done = stagectl("list")
    assert done.returncode == 0
    assert "no runs" in done.stdout + done.stderr
    assert not stagectl.home.exists()


def test_a_home_that_cannot_be_written_is_one_clear_line(stagectl: Stagectl, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    stagectl.env["STAGECTL_HOME"] = str(tmp_path / "file")
    done = stagectl("run", ENDLESS)
    stagectl.env["STAGECTL_HOME"] = str(tmp_path / "elsewhere")
    assert done.returncode == 8
    assert len(done.stderr.strip().splitlines()) <= 2
    assert str(tmp_path / "file") in done.stderr


def test_errors_are_json_where_json_was_asked_for(stagectl: Stagectl) -> None:
    done = stagectl("status", "nothing", "-o", "json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["kind"] == "not_found"
    assert done.stderr == ""


def test_advance_sends_a_run_on_by_hand_and_a_replay_of_its_trace_does_so_too(
    stagectl: Stagectl, tmp_path: Path
) -> None:
    run_id = stagectl.start(ENDLESS)
    wait_for_step(stagectl, run_id, 30)
    assert stagectl("advance", run_id).returncode == 0
    transition = eventually(lambda: stagectl.json("status", run_id)["transitions"])[0]
    assert (transition["to_name"], transition["reason"]) == ("second", "manual")
    assert stagectl("advance", run_id, "--to", "first").returncode == 0
    eventually(lambda: len(stagectl.json("status", run_id)["transitions"]) == 2)
    wait_for_step(stagectl, run_id, stagectl.json("status", run_id)["step"] + 30)
    stagectl("stop", run_id)
    trace = tmp_path / "trace.csv"
    assert stagectl("export", run_id, "--to", trace).returncode == 0
    simulated = stagectl.json("simulate", trace, "--recipe", ENDLESS)
    assert simulated["transitions"] == stagectl.json("status", run_id)["transitions"]


def test_advance_to_a_stage_that_does_not_exist_names_the_nearest(stagectl: Stagectl) -> None:
    run_id = stagectl.start(ENDLESS)
    refused = stagectl("advance", run_id, "--to", "secnd")
    assert (refused.returncode, "did you mean 'second'?" in refused.stderr) == (2, True)


def test_a_run_may_begin_in_a_later_stage_or_train_one_alone(stagectl: Stagectl) -> None:
    later = stagectl.start(ENDLESS, "--from", "second")
    alone = stagectl.start(ENDLESS, "--only", "first")
    wait_for_step(stagectl, later, 20)
    wait_for_step(stagectl, alone, 20)
    assert stagectl.json("status", later)["stage_name"] == "second"
    assert [stage["name"] for stage in stagectl.json("status", alone)["stages"]] == ["first"]
    assert stagectl.json("status", alone)["waiting_for"][0]["target"] == 0.8
