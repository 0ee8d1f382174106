from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagectl.runs import is_same_process, process_identity
from stagectl.runs.process import is_suspended


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_this_process_is_itself() -> None:
    identity = process_identity()
    assert identity["pid"] == os.getpid()
    assert is_same_process(identity)


def test_a_process_that_ended_is_gone_also_before_its_parent_looked(child: subprocess.Popen[bytes]) -> None:
    identity = process_identity(child.pid)
    assert is_same_process(identity)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not is_same_process(identity)
    child.wait()
    assert not is_same_process(identity)


def test_a_stranger_with_the_recorded_pid_is_a_stranger() -> None:
    identity = process_identity()
    assert not is_same_process({**identity, "start": str(int(identity["start"]) + 1)})


def test_a_process_of_an_earlier_boot_is_gone() -> None:
    assert not is_same_process({**process_identity(), "boot": "another"})


@pytest.mark.parametrize(
    "identity", [None, {}, {"pid": "x"}, {"start": "1"}, {"pid": None}, {"pid": -1}, {"pid": 2**40}]
)
def test_a_record_that_says_nothing_is_nobody(identity: dict[str, object] | None) -> None:
    assert not is_same_process(identity)


def test_the_identity_of_nobody_is_an_error() -> None:
    with pytest.raises(ProcessLookupError):
        process_identity(2**22 + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_with_any_name_is_recognised(tmp_path: Path) -> None:
    program = os.fsencode(tmp_path) + b"/) S 1 \xff"
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, program)
    with subprocess.Popen([program, b"60"]) as process:
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG)
            identity = process_identity(process.pid)
            assert is_same_process(identity)
            assert not is_suspended(process.pid)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_suspended_process_lives_and_is_said_to_be_suspended(child: subprocess.Popen[bytes]) -> None:
    identity = process_identity(child.pid)
    assert not is_suspended(child.pid)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert is_suspended(child.pid)
    assert is_same_process(identity)
    child.send_signal(signal.SIGCONT)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    assert not is_suspended(child.pid)


def test_nobody_is_not_suspended() -> None:
    assert not is_suspended(2**22 + 1)
