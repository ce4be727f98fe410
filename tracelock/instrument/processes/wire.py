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


@dataclass(slots=True, eq=False)
class Channel:
    """One end of a pair of sockets."""

    sock: socket.socket

    def send(self, *message: Any) -> None:
        """Send a message. Raises OSError where the other end is gone."""
        data = marshal.dumps(message, 2)
        self.sock.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Any:
        """The next message. Raises EOFError where the other end is gone, TimeoutError after the
        socket's time."""
        return marshal.loads(self._exactly(_LENGTH.unpack(self._exactly(4))[0]))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionError:
                part = b""
            if not part:
                raise EOFError
            data += part
        return data

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
