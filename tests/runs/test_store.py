from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagectl.curriculum import Stage
from stagectl.errors import RunExistsError, RunNotFoundError, StorageError, UsageError
from stagectl.recipe.model import read_run_id
from stagectl.runs import (
    EventLog,
    FileLock,
    RunPaths,
    create_run,
    find_removable,
    find_run,
    list_runs,
    new_run_id,
    read_events,
    read_json,
    remove_run,
    write_json,
)

FACTS = {"recipe": "r", "backend": "local", "target": None, "total_timesteps": 1, "stages": [Stage("a", "a").to_dict()]}


def made(run_id: str, when: int = 0) -> RunPaths:
    paths = create_run(run_id, "recipe text", Path("/somewhere"), FACTS)
    os.utime(paths.recipe, ns=(when, when))
    return paths


# ── made ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_run_has_its_recipe_identity_first_event_and_folders(home: Path) -> None:
    paths = made("mine")
    assert paths.folder == home / ".stagectl" / "runs" / "mine"
    assert paths.recipe.read_text() == "recipe text"
    assert [(e["seq"], e["event"], e["attempt"], e["run"]) for e in read_events(paths.events)] == [
        (1, "run_created", 0, "mine")
    ]
    identity = read_json(paths.identity)
    assert (identity["run"], identity["folder"]) == ("mine", "/somewhere")
    assert paths.checkpoints.is_dir()
    assert paths.requests.is_dir()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_everything_of_a_run_is_its_owners_alone_whatever_the_umask(umask: int) -> None:
    before = os.umask(umask)
    try:
        paths = made("mine")
    finally:
        os.umask(before)
    for entry in [paths.folder.parent.parent, paths.folder.parent, paths.folder, *paths.folder.rglob("*")]:
        assert entry.stat().st_mode & 0o777 == (0o700 if entry.is_dir() else 0o600), entry


def test_an_id_is_given_once() -> None:
    made("mine")
    with pytest.raises(RunExistsError, match="'mine' exists already") as raised:
        made("mine")
    assert raised.value.exit_code == 6
    assert "stagectl rm mine" in str(raised.value)


def test_of_fifty_that_make_one_run_at_once_one_wins() -> None:
    barrier = threading.Barrier(50)
    outcomes: list[str] = []

    def make() -> None:
        barrier.wait()
        try:
            create_run("same", "text", Path("/"), FACTS)
            outcomes.append("won")
        except RunExistsError:
            outcomes.append("lost")

    threads = [threading.Thread(target=make) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 49 + ["won"]
    assert [run.run_id for run in list_runs()] == ["same"]
    assert len(read_events(find_run("same").events)) == 1


def test_a_run_that_could_not_be_made_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="No space left"):
            made("mine")
    assert list_runs() == []
    made("mine")


@pytest.mark.parametrize("step", ["make_folder", "write_whole", "write_json", "_take_name"])
def test_a_run_whose_making_was_killed_can_be_made_and_what_is_left_is_no_run(
    monkeypatch: pytest.MonkeyPatch, home: Path, step: str
) -> None:
    class KilledError(Exception):
        pass

    def kill(*arguments: Any) -> None:
        if step != "make_folder" or arguments[0].name == "requests":
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(f"stagectl.runs.store.{step}", kill)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        (home / ".stagectl" / "runs").mkdir(parents=True)
        with pytest.raises(KilledError):
            made("mine")
    assert list((home / ".stagectl" / "runs").iterdir())
    assert list_runs() == []
    made("mine")
    assert [run.run_id for run in list_runs()] == ["mine"]


def test_a_home_that_is_a_file_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STAGECTL_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="STAGECTL_HOME"):
        made("mine")


def test_without_stagectl_home_runs_are_in_the_users_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGECTL_HOME")
    assert made("mine").folder == home / ".stagectl" / "runs" / "mine"


@pytest.mark.parametrize("named", ["here", "./here", "~/here"])
def test_a_home_is_absolute_however_it_is_named(
    named: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGECTL_HOME", named)
    assert made("mine").folder == (home if "~" in named else tmp_path) / "here" / "runs" / "mine"


@pytest.mark.parametrize("recipe", ["doorkey", "a b/c:d", "é", "...", "", "x" * 100, "-rf", "latest"])
def test_a_new_id_is_short_and_safe_in_a_path_and_a_shell(recipe: str) -> None:
    run_id = new_run_id(recipe, now=0, chance=random.Random(1))
    assert read_run_id(run_id) == run_id
    assert len(run_id) <= 40


def test_new_ids_differ() -> None:
    assert len({new_run_id("doorkey") for _ in range(100)}) > 90


# ── found ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three() -> None:
    made("doorkey-20250101-aaaa", 3)
    made("doorkey-20250101-bbbb", 2)
    made("keycorridor", 1)


@pytest.mark.usefixtures("three")
def test_runs_are_listed_newest_first() -> None:
    assert [run.run_id for run in list_runs()] == ["doorkey-20250101-aaaa", "doorkey-20250101-bbbb", "keycorridor"]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("keycorridor", "keycorridor"),
        ("k", "keycorridor"),
        ("doorkey-20250101-b", "doorkey-20250101-bbbb"),
        ("latest", "doorkey-20250101-aaaa"),
    ],
)
def test_a_run_is_found_by_its_id_a_unique_prefix_or_as_the_latest(name: str, found: str) -> None:
    assert find_run(name).run_id == found


def test_an_id_that_begins_another_id_is_itself() -> None:
    made("run")
    made("run-2")
    assert find_run("run").run_id == "run"


@pytest.mark.usefixtures("three")
def test_a_prefix_of_several_runs_names_them() -> None:
    with pytest.raises(UsageError, match="'door' begins the ids of 2 runs: doorkey-20250101-aaaa, doorkey"):
        find_run("door")


@pytest.mark.usefixtures("three")
def test_an_unknown_run_names_the_nearest() -> None:
    with pytest.raises(RunNotFoundError, match="did you mean 'keycorridor'") as raised:
        find_run("keycoridor")
    assert raised.value.exit_code == 4


def test_an_unknown_run_among_many_is_told_in_a_short_line() -> None:
    for index in range(30):
        made(f"some-run-{index:04d}")
    with pytest.raises(RunNotFoundError) as raised:
        find_run("zzz")
    assert len(str(raised.value)) < 300


def test_where_there_are_no_runs_the_first_command_is_told() -> None:
    assert list_runs() == []
    with pytest.raises(RunNotFoundError, match="stagectl run"):
        find_run("latest")


def test_what_is_no_run_is_not_listed(home: Path) -> None:
    made("mine")
    (home / ".stagectl" / "runs" / "half-made").mkdir()
    (home / ".stagectl" / "runs" / "a-file").touch()
    assert [run.run_id for run in list_runs()] == ["mine"]


# ── removed ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_removed_whole() -> None:
    paths = made("mine")
    remove_run(paths)
    assert not paths.folder.exists()
    assert list_runs() == []


def hold_lock(paths: RunPaths) -> Callable[[], None]:
    lock = FileLock(paths.lock)
    assert lock.acquire()
    return lock.release


def write_events(paths: RunPaths) -> Callable[[], None]:
    return EventLog(paths.events, attempt=1).close


@pytest.mark.parametrize("hold", [hold_lock, write_events], ids=["its job lives", "its trainer lives"])
def test_a_live_run_is_not_removed(hold: Callable[[RunPaths], Callable[[], None]]) -> None:
    paths = made("mine")
    release = hold(paths)
    with pytest.raises(RunExistsError, match="stop it first: stagectl stop mine"):
        remove_run(paths)
    assert paths.events.exists()
    release()
    remove_run(paths)


def test_whoever_holds_a_run_that_has_ended_is_given_a_moment_to_let_go_of_it(monkeypatch: Any) -> None:
    paths = made("mine")
    with EventLog(paths.events, attempt=1) as log:
        log.append("run_ended", outcome="completed", message="")
    release = hold_lock(paths)
    monkeypatch.setattr("time.sleep", lambda _: release())
    remove_run(paths)
    assert not paths.folder.exists()


def test_an_ended_run_stays_while_its_mirror_sends_and_that_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr("stagectl.runs.store.LETTING_GO_SECONDS", 0.0)
    paths = made("mine")
    with EventLog(paths.events, attempt=1) as log:
        log.append("run_ended", outcome="completed", message="")
    with FileLock(paths.mirror_lock) as lock:
        lock.acquire()
        with pytest.raises(RunExistsError, match=r"its W&B mirror is still sending .*try again") as raised:
            remove_run(paths)
        assert "stop" not in str(raised.value)
    remove_run(paths)


def test_an_ended_run_stays_while_its_cluster_is_given_back_and_that_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr("stagectl.runs.store.LETTING_GO_SECONDS", 0.0)
    paths = made("mine")
    write_json(paths.identity, {**read_json(paths.identity), "sky": {"place": {"name": "mine", "cluster": "mine"}}})
    with EventLog(paths.events, attempt=1) as log:
        log.append("run_ended", outcome="completed", message="")
    with FileLock(paths.lock) as lock:
        lock.acquire()
        with pytest.raises(RunExistsError, match=r"its cluster is being given back .*try again"):
            remove_run(paths)


def test_a_folder_that_never_became_a_run_is_removed_by_its_exact_name(home: Path) -> None:
    made("half-way")
    half = home / ".stagectl" / "runs" / "half"
    half.mkdir()
    assert find_run("half").run_id == "half-way"
    remove_run(find_removable("half"))
    assert not half.exists()
    assert find_removable("half").run_id == "half-way"


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "/"])
def test_nothing_outside_the_runs_is_removable(name: str, home: Path) -> None:
    (home / ".stagectl" / "other").mkdir(parents=True)
    (home / ".stagectl" / "runs").mkdir()
    with pytest.raises(RunNotFoundError):
        find_removable(name)


def test_a_run_that_was_replaced_by_a_link_is_not_removed_through_it(tmp_path: Path) -> None:
    paths = made("mine")
    elsewhere = tmp_path / "elsewhere"
    paths.folder.rename(elsewhere)
    paths.folder.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        remove_run(paths)
    assert (elsewhere / "events.jsonl").exists()
