"""Who a process is: a pid alone lies after a reboot or when it is reused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any


def process_identity(pid: int | None = None) -> dict[str, Any]:
    """`pid`, its `start` (clock ticks since boot on Linux) and the `boot` it belongs to.

    Raises:
        ProcessLookupError: There is no such process.
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "start": _start(pid), "boot": _boot()}


def is_same_process(identity: dict[str, Any] | None) -> bool:
    """Whether the process that was recorded still lives, and is not a stranger with its pid."""
    if not identity:
        return False
    try:
        return process_identity(int(identity["pid"])) == identity
    except (ProcessLookupError, KeyError, TypeError, ValueError):
        return False


def is_suspended(pid: int) -> bool:
    """Whether a process was stopped by SIGSTOP or a terminal."""
    try:
        return _stat(pid)[0] in ("T", "t")
    except OSError:
        return False


def living(group: int, variable: str, value: str) -> list[int]:
    """The processes of a group, and those started with that environment variable, whatever group they went to.

    Elsewhere than on Linux only the group is looked for. Zombies hold nothing and do not count.
    """
    if not Path("/proc/self").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=False)
        rows = (line.split() for line in listed.stdout.splitlines())
        return [int(pid) for pid, of_group, state, *_ in rows if int(of_group) == group and state[0] != "Z"]
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    mark = f"{variable}={value}".encode()
    return [pid for pid in pids if pid != os.getpid() and _is_of(pid, group, mark)]


def _is_of(pid: int, group: int, mark: bytes) -> bool:
    try:
        state, _, of_group = _stat(pid)[:3]
        if state == "Z":
            return False
        return int(of_group) == group or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it is gone, or somebody else's
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on; the second may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()


def _start(pid: int) -> str:
    try:
        fields = _stat(pid)
    except OSError:
        if Path("/proc/self/stat").exists():
            raise ProcessLookupError(pid) from None
        listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not listed.stdout.strip():
            raise ProcessLookupError(pid) from None
        return listed.stdout.strip()
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return fields[19]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
