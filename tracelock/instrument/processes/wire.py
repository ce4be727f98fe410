"""The messages between a worker in another process and the process of the controller.

The worker sends a *message*: what it asks for, with *notes* of what it did since the last one.
It gets one answer to each, and does nothing in between, so that one message is under way at a
time. Each is a length and marshalled plain data, on a pair of sockets that no other process has:
when one process dies the other reads the end of the stream.
"""

from __future__ import annotations

import marshal
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any, Final

from tracelock.engine.effects import wrap
from tracelock.errors import InternalError, LimitReached, StepFailure, UsageError
from tracelock.ops import Value

# What a worker sends.
ASK: Final = "ask"  # an op, as its fields
WAITS: Final = "waits"  # the op that was begun waits now, what it gave up is given up
LAUNCH: Final = "launch"  # a thread or process comes into being: its name, whether a daemon
DIES: Final = "dies"  # its code is about to end the process
END: Final = "end"  # how it has ended: "", or the failure
STACK: Final = "looks"  # where it is, of one that gets stuck

# What it gets.
BEGIN: Final = "begin"
GRANT: Final = "grant"  # result, virtual time, and what else the op gives (an item of a queue)
PARKED: Final = "parked"  # the op has begun to wait
GO: Final = "go"
OVER: Final = "over"  # the schedule is over: unwind

_LENGTH: Final = struct.Struct("<I")
_PART: Final = 1 << 16  # bytes that are read at a time
#: Where the system itself ends a wait at a socket, so that no step asks it for two.
_TIMED: Final = sys.platform == "linux"
_TIME: Final = struct.Struct("@ll")


@dataclass(slots=True, eq=False)
class Channel:
    """One end of a pair of sockets. ``rest``: what has come of the next message."""

    sock: socket.socket
    rest: bytes = b""

    def bound(self, seconds: float) -> None:
        """Let no wait take longer."""
        if _TIMED:
            time = _TIME.pack(int(seconds), int(seconds % 1 * 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time)
        else:
            self.sock.settimeout(seconds)

    def send(self, *message: Any) -> None:
        """Send a message. Raises OSError where the other end is gone."""
        data = marshal.dumps(message, 2)
        self.sock.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Any:
        """The next message. Raises EOFError where the other end is gone, TimeoutError after the
        time that waits are bound to, and then goes on where it was."""
        data = self.rest
        while True:
            wanted = _PART
            if len(data) >= 4:
                size = 4 + _LENGTH.unpack_from(data)[0]
                wanted = size - len(data)
                if wanted <= 0:
                    self.rest = data[size:]
                    return marshal.loads(memoryview(data)[4:size])
            try:
                part = self.sock.recv(max(wanted, _PART))
            except (BlockingIOError, TimeoutError):
                self.rest = data
                raise TimeoutError from None
            except ConnectionError:
                part = b""
            if not part:
                raise EOFError
            data = data + part if data else part

    def close(self) -> None:
        """Close this end."""
        self.sock.close()


def wrapped(result: Value) -> Any:
    """A result as marshal can carry it; an atomic step's stays in its own process."""
    return wrap(result) if result.__class__ is not dict else None


_ENDINGS: Final[dict[str, type[Exception]]] = {
    "limit": LimitReached, "usage": UsageError, "failure": StepFailure, "error": InternalError,
}  # fmt: skip


def ending(error: BaseException) -> tuple[str, ...]:
    """What ended a worker, as plain data."""
    if isinstance(error, StepFailure):
        return ("failure", error.failure, error.message, error.at)
    for kind in ("limit", "usage"):
        if isinstance(error, _ENDINGS[kind]):
            return (kind, str(error))
    return ("error", f"in a worker's process: {type(error).__name__}: {error}")


def ended(fields: tuple[str, ...]) -> BaseException | None:
    """The exception that ended a worker, None for none."""
    return _ENDINGS[fields[0]](*fields[1:]) if fields else None
