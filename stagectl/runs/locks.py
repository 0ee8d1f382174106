"""Locks that die with their process. A reader can look without taking one, so it never locks a writer out.

Linux's open file description locks (fcntl(2), F_OFD_SETLK): the kernel drops them when the last descriptor is
closed. Elsewhere flock(2), where looking means taking a shared lock for an instant. A forked child has descriptors of
its own: it closes them at once, so that it holds nothing when its parent has ended.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
from pathlib import Path
from types import TracebackType

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid
_OFD = hasattr(fcntl, "F_OFD_SETLK")
_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file, which may also be written under it.

    `fd`: the descriptor of one that is held already, as a parent process hands it on.
    """

    def __init__(self, path: Path, fd: int = -1) -> None:
        self.path = path
        self.fd = fd
        _locks.add(self)

    def acquire(self) -> bool:
        """Take the lock if nobody holds it; whether it was taken.

        Raises:
            OSError: The file cannot be opened.
        """
        if self.fd >= 0:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _OFD:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self.fd = fd
        return True

    def release(self) -> None:
        """Close it; a process that the descriptor was handed on to goes on holding the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def give_up(self) -> None:
        """Release it for everybody: a process that is just being started has all descriptors for an instant."""
        if self.fd >= 0 and _OFD:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _request(fcntl.F_UNLCK))
        elif self.fd >= 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        self.release()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def _let_go() -> None:
    for lock in list(_locks):
        lock.release()


os.register_at_fork(after_in_child=_let_go)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on that file."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        if _OFD:
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK))
            return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _request(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
