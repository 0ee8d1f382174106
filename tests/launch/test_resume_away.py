"""Going on with a run on a cluster: by its job while it has not ended, by another one after that."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stagectl.errors import JobError, RecipeError, RunExistsError, UsageError
from stagectl.job.lines import Output, event_line, output_line
from stagectl.launch.cluster import CodeOptions, checked_code, start
from stagectl.launch.fake import FakeServer, FakeSky
from stagectl.launch.follow import follow
from stagectl.launch.git import Code
from stagectl.launch.resume_away import resume_away
from stagectl.launch.sky import Place, UnreachableError
from stagectl.launch.submit import end_of, submission
from stagectl.recipe import Recipe, load_recipe
from stagectl.runs import (
    FileLock,
    RunPaths,
    judge,
    read_events,
    read_liveness,
    read_status,
    remove_run,
    write_json,
    write_whole,
)
from tests.launch.test_submit_once import Fuse, Killed, MortalSky, between

CODE = CodeOptions(skip_git_check=True)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process follows, and nobody looks beside the reading."""
    for module in ("cluster", "resume_away"):
        monkeypatch.setattr(f"stagectl.launch.{module}.start_follower", lambda *_: None)
    monkeypatch.setattr("stagectl.launch.attend.STEP_SECONDS", 3600.0)


class Patience:
    """Waits so often and no more."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, seconds: float) -> None:
        self.left -= 1
        assert self.left, "the follower waits for ever"


class Laptop:
    """A run that was launched from here, and what SkyPilot makes of it."""

    def __init__(self, folder: Path, *, fails: str = "", **launch: Any) -> None:
        self.file = folder / "r.yaml"
        recipe = {
            "run": "r-1",
            "trainer": {"total_timesteps": 100},
            "curriculum": {"stages": ["a", "b"]},
            "launch": {"backend": "sky", "envs": {"STAGECTL_HOME": "/shared"}, **launch},
        }
        self.file.write_text(yaml.safe_dump(recipe))
        self.server = FakeServer(fails=fails)
        self.paths = start(self.recipe(), FakeSky(self.server), CODE)

    def recipe(self, *overrides: str) -> Recipe:
        return load_recipe(self.file, list(overrides))

    def follow(self, *lines: str, **server: Any) -> None:
        self.server.output = [[event_line(read_events(self.paths.events)[0]), *lines]]  # as every job tells it first
        self.server.gone.clear()
        for name, value in server.items():
            setattr(self.server, name, value)
        follow(self.paths, FakeSky(self.server), Patience(20))

    def resume(self, *overrides: str, **how: Any) -> None:
        resume_away(self.paths, self.recipe(*overrides), FakeSky(self.server), CODE, **how)


def event(seq: int, name: str, **fields: Any) -> str:
    return event_line({"seq": seq, "attempt": 1, "step": 10 * seq, "time": 5.0 + seq, "event": name, **fields})


def begun(seq: int) -> str:
    return event(seq, "attempt_started", command=[])


def end(seq: int, outcome: str) -> str:
    return event(seq, "run_ended", outcome=outcome, message="")


def seqs(paths: RunPaths) -> list[int]:
    return [told["seq"] for told in read_events(paths.events)]


def test_a_run_that_was_stopped_goes_on_by_another_job_under_the_same_id(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))
    write_json(laptop.paths.stop_request, {"by": "stop", "time": 1.0})
    laptop.resume()
    assert end_of(laptop.paths) is None
    laptop.follow(begun(2), end(3, "stopped"), begun(4), end(5, "completed"))
    assert seqs(laptop.paths) == [1, 2, 3, 4, 5]
    assert laptop.server.gone == ["r-1"]
    assert not laptop.paths.stop_request.exists()
    with pytest.raises(UsageError, match="is completed"):
        laptop.resume()


def test_each_submission_has_a_name_of_its_own(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    told = []
    for seq in (2, 4, 6):
        told += [begun(seq), end(seq + 1, "failed")]
        laptop.follow(*told)
        laptop.resume()
    names = [place.name for place in laptop.server.jobs]
    assert len(set(names)) == 4
    assert all(name.startswith("r-1.") for name in names)
    assert [task["name"] for task in laptop.server.tasks] == names
    assert [task["envs"]["STAGECTL_SUBMISSION"] for task in laptop.server.tasks] == names
    assert {place.cluster for place in laptop.server.jobs} == {"r-1"}


def test_an_end_that_was_only_written_here_gives_way_to_what_the_job_tells(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    said = output_line(Output(0, b"loss 1\n"))
    laptop.follow(begun(2), said, "no route to host\n", states={1: ["FAILED_DRIVER"]})
    assert read_events(laptop.paths.events)[-1]["event"] == "run_ended"
    assert "no route to host" in laptop.paths.log.read_text()
    laptop.resume()
    assert end_of(laptop.paths) is None
    laptop.follow(begun(2), said, begun(3), output_line(Output(7, b"loss 2\n")), end(4, "completed"))
    assert [told["event"] for told in read_events(laptop.paths.events)][2:] == ["attempt_started", "run_ended"]
    assert laptop.paths.log.read_bytes() == b"loss 1\nloss 2\n"


def test_a_run_whose_launch_failed_is_launched_again(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, envs={}, fails="no capacity")
    laptop.follow()
    laptop.server.fails = ""
    laptop.resume()
    laptop.follow(begun(2), end(3, "completed"))
    assert (end_of(laptop.paths) or {})["outcome"] == "completed"


def test_files_that_went_with_their_cluster_cannot_be_gone_on_from(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, envs={})
    laptop.follow(begun(2), end(3, "stopped"))
    with pytest.raises(UsageError, match=r"went with its cluster.*STAGECTL_HOME"):
        laptop.resume()
    assert len(laptop.server.tasks) == 1


def test_a_standing_cluster_has_the_files_and_another_one_has_not(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, envs={}, cluster="lab")
    laptop.follow(begun(2), end(3, "stopped"))
    with pytest.raises(UsageError, match="are on lab, where the recipe does not look"):
        laptop.resume("launch.cluster=other")
    laptop.resume()
    assert [place.cluster for place in laptop.server.jobs] == ["lab", "lab"]


def test_a_spent_budget_is_made_larger_by_a_recipe_that_is_accepted(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(*(begun(seq) for seq in range(2, 10)), end(10, "budget_spent"))
    with pytest.raises(UsageError, match="has spent all its 100 steps"):
        laptop.resume()
    with pytest.raises(RecipeError, match="total_timesteps"):
        laptop.resume("trainer.total_timesteps=200")
    laptop.resume("trainer.total_timesteps=200", accept_changes=True)
    assert "total_timesteps: 200" in (laptop.paths.folder / "luggage" / "recipe.yaml").read_text()
    assert "total_timesteps: 200" in laptop.paths.recipe.read_text()


def test_a_run_that_has_not_ended_goes_on_by_its_own_job_and_recipe(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.resume()
    assert len(laptop.server.jobs) == 1
    with pytest.raises(UsageError, match="is not over, and goes on under its own recipe"):
        laptop.resume("trainer.total_timesteps=200", accept_changes=True)


def test_a_refused_task_leaves_the_run_over_as_it_was(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))
    before, recipe = submission(laptop.paths), laptop.paths.recipe.read_text()
    laptop.server.refuses = "no such accelerator"
    with pytest.raises(JobError, match="no such accelerator"):
        laptop.resume("launch.accelerators=X9:1")
    assert submission(laptop.paths) == before
    assert laptop.paths.recipe.read_text() == recipe
    assert read_status(laptop.paths).ended is not None
    laptop.server.refuses = ""
    laptop.resume()
    assert len(laptop.server.jobs) == 2


def test_a_refused_task_leaves_an_end_that_was_only_written_here_too(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), states={1: ["FAILED"]})
    laptop.server.refuses = "no such accelerator"
    with pytest.raises(JobError):
        laptop.resume()
    told = judge(read_status(laptop.paths), read_liveness(laptop.paths))
    assert told == ("failed", "SkyPilot says FAILED, and the job told no end")
    laptop.server.refuses = ""
    laptop.resume()
    assert len(laptop.server.jobs) == 2


def test_a_client_that_dies_before_its_launch_goes_on_by_the_same_call(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))
    laptop.server.down = {"launch": 1}
    with pytest.raises(UnreachableError):
        laptop.resume("trainer.total_timesteps=200", accept_changes=True)
    laptop.resume("trainer.total_timesteps=200", accept_changes=True)
    assert len(laptop.server.tasks) == 2
    assert "total_timesteps: 200" in (laptop.paths.folder / "luggage" / "recipe.yaml").read_text()


STEPS = 10  # the recipe, the identity, the intent, the launch, its request: before and after each


@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_client_killed_at_a_step_of_going_on_leaves_a_run_that_goes_on(
    step: int, looked_at: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, told = Laptop(tmp_path), [begun(2), end(3, "stopped")]
    laptop.follow(*told)
    fuse = Fuse(step)
    with monkeypatch.context() as patch:
        patch.setattr("stagectl.launch.submit.write_json", between(write_json, fuse))
        for name, write in (("write_whole", write_whole), ("write_json", write_json)):
            patch.setattr(f"stagectl.job.stored.{name}", between(write, fuse))
        with pytest.raises(Killed):
            resume_away(laptop.paths, laptop.recipe("launch.cpus=3"), MortalSky(laptop.server, fuse), CODE)
    if looked_at:  # `stagectl status`
        over = [*told, begun(4), end(5, "stopped")] if len(laptop.server.jobs) == 2 else told
        laptop.follow(*over)
        assert end_of(laptop.paths) is not None
    else:
        laptop.resume("launch.cpus=3")
        assert len(laptop.server.jobs) == 2
        assert laptop.server.tasks[-1]["resources"]["cpus"] == 3
        laptop.follow(*told, begun(4), end(5, "stopped"))
    assert read_events(laptop.paths.events)[-1]["outcome"] in ("stopped", "failed")
    assert "over" in submission(laptop.paths)


@pytest.mark.parametrize("over", [False, True])
def test_of_two_who_go_on_with_a_run_at_once_one_does(over: bool, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))

    def first(folder: Path, options: CodeOptions) -> Code:
        """The other one comes between this one's look and its lock."""
        patch.undo()
        laptop.resume()
        if over:
            laptop.follow(begun(2), end(3, "stopped"), begun(4), end(5, "stopped"))
        else:
            assert follower.acquire()
        return checked_code(folder, options)

    follower, patch = FileLock(laptop.paths.lock), pytest.MonkeyPatch()
    patch.setattr("stagectl.launch.resume_away.checked_code", first)
    with follower, pytest.raises(RunExistsError, match="another process goes on with the run r-1"):
        laptop.resume()
    assert len(laptop.server.jobs) == 2


def test_jobs_of_a_run_that_had_the_id_before_are_not_its_own(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, envs={}, cluster="lab")
    laptop.follow(begun(2), end(3, "completed"))
    remove_run(laptop.paths)
    laptop.server.fails = "no capacity"
    laptop.paths = start(laptop.recipe(), FakeSky(laptop.server), CODE)
    laptop.follow()
    assert (end_of(laptop.paths) or {})["message"] == "the launch failed: SkyPilot says: no capacity"


def test_a_client_that_dies_between_the_launch_and_its_answer_finds_the_second_job_by_its_name(tmp_path: Path) -> None:
    class Mortal(FakeSky):
        def launch(self, task: Any, place: Place, lock: int) -> str:
            super().launch(task, place, lock)
            raise Killed

    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))
    with pytest.raises(Killed):
        resume_away(laptop.paths, laptop.recipe(), Mortal(laptop.server), CODE)
    laptop.resume()
    assert len(laptop.server.jobs) == 2
    assert submission(laptop.paths)["job"] == 2


def test_the_code_of_a_git_ref_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    for arguments in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "one"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)
    laptop = Laptop(tmp_path)
    laptop.follow(begun(2), end(3, "stopped"))
    resume_away(laptop.paths, laptop.recipe(), FakeSky(laptop.server), CodeOptions(ref="HEAD"))
    assert laptop.server.tasks[-1]["workdir"] == str(laptop.paths.folder / "code")
    laptop.follow(begun(2), end(3, "stopped"), begun(4), end(5, "stopped"))
    laptop.resume()
    assert laptop.server.tasks[-1]["workdir"] == str(laptop.paths.folder / "code")
    assert laptop.server.tasks[-1]["envs"]["STAGECTL_COMMIT"] == laptop.server.tasks[0]["envs"]["STAGECTL_COMMIT"]


def test_the_time_between_two_jobs_costs_nothing(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    machine = {"infra": "aws", "cluster": "r-1", "region": "us-east-1", "hourly": 0.5}
    laptop.follow(begun(2), machine=machine, states={1: ["FAILED"]})
    laptop.resume()
    assert [entry["hourly"] for entry in submission(laptop.paths)["machines"]] == [0.5, 0.0]
