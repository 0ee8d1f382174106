from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from stagectl.runs import EventLog, FileLock, is_locked


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_releasing_what_is_not_held_is_nothing(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.release()
    with lock:
        assert lock.acquire()
    assert not is_locked(tmp_path / "lock")


def test_a_lock_that_is_given_up_is_free_though_a_process_that_is_being_started_has_its_descriptor(
    tmp_path: Path,
) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    started = os.dup(first.fd)
    first.give_up()
    assert second.acquire()
    second.release()
    os.close(started)


def test_an_event_log_that_is_closed_can_be_opened_while_processes_are_being_started(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", attempt=1)
    started = os.dup(log._lock.fd)
    log.close()
    EventLog(tmp_path / "events.jsonl", attempt=1).close()
    os.close(started)


def test_a_file_that_is_not_there_is_not_locked_and_looking_makes_none(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_who_looks_never_locks_a_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_locked(path)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(1500):
            lock = FileLock(path)
            assert lock.acquire()
            lock.release()
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_looking_and_locking_by_turns_both_are_right_each_time(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    for _ in range(100):
        assert lock.acquire()
        assert is_locked(lock.path)
        lock.release()
        assert not is_locked(lock.path)


def test_a_descriptor_that_somebody_else_closes_does_not_drop_the_lock(tmp_path: Path) -> None:
    """What POSIX record locks get wrong: any close of the file by the process drops them."""
    with FileLock(tmp_path / "lock") as lock:
        assert lock.acquire()
        os.close(os.open(lock.path, os.O_RDWR))
        lock.path.read_bytes()
        assert is_locked(lock.path)


def test_a_child_that_outlives_who_forked_it_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path)
    assert lock.acquire()
    ready, go_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(go_on[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert is_locked(path), "its parent still has it"
    lock.release()
    try:
        assert not is_locked(path)
    finally:
        os.write(go_on[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *go_on):
            os.close(end)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_locks_file_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with FileLock(tmp_path / "lock") as lock:
            lock.acquire()
    finally:
        os.umask(before)
    assert lock.path.stat().st_mode & 0o777 == 0o600
