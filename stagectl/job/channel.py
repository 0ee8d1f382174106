"""What two nodes say to each other: JSON objects, one a line, over a TCP connection."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

PIECE, LONGEST = 1 << 16, 1 << 20  # bytes read at once; and of a line, which ours never have
SILENCE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # a machine that is gone sends no end: 30 s
UNSENT_MILLISECONDS = 30_000


class Channel:
    """One connection. Once it is lost it stays so: nothing more is heard, and what is told goes nowhere."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.lost = False
        self._held = b""
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in {**SILENCE, "TCP_USER_TIMEOUT": UNSENT_MILLISECONDS}.items():
            if hasattr(socket, name):  # not everywhere
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def tell(self, **message: Any) -> None:
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.lost = True

    def hear(self, seconds: float | None = None) -> Message | None:
        """The next message; None where the connection is lost, or none comes within so many seconds."""
        if not self._has_line(seconds):
            return None
        line, _, self._held = self._held.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):  # whoever that is, it is no node of ours
            self.close()
            return None
        return message

    def has_news(self) -> bool:
        """Whether there is a message to hear, or the connection is lost."""
        return self._has_line(0) or self.lost

    def close(self) -> None:
        self.lost = True
        self.socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_line(self, seconds: float | None) -> bool:
        left = _countdown(seconds)
        while b"\n" not in self._held and not self.lost:
            if len(self._held) > LONGEST:
                self.close()
                break
            if not select.select([self.socket], [], [], left())[0]:
                return False
            try:
                piece = self.socket.recv(PIECE)
            except OSError:
                piece = b""
            self.lost = not piece
            self._held += piece
        return b"\n" in self._held


def _countdown(seconds: float | None) -> Callable[[], float | None]:
    """What is left of so many seconds; None stays so."""
    if seconds is None:
        return lambda: None
    deadline = time.monotonic() + seconds
    return lambda: max(0.0, deadline - time.monotonic())
