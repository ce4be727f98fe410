"""The messages between a worker in another process and the process of the controller.

The worker sends a *message*: what it asks for, with *notes* of what it did since the last one.
It gets one answer to each, and does nothing in between, so that one message is under way at a
time. Each is marshalled plain data, in memory that the two share, where a semaphore says that it is
there (``Handover``); or, where there is none or it is too long, on a pair of sockets that no other
process has. When one process dies the other reads the end of that stream.
"""

from __future__ import annotations

import _socket
import marshal
import math
import mmap
import os
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
HOME: Final = "home"  # a method of a wing is called where the controller is: its names, arguments
STACK: Final = "looks"  # where it is, of one that gets stuck

# What it gets.
BEGIN: Final = "begin"
GRANT: Final = "grant"  # result, virtual time, and what else the op gives (an item of a queue)
PARKED: Final = "parked"  # the op has begun to wait
GO: Final = "go"
RETURN: Final = "return"  # what a method has given, or the fields of what it has raised
OVER: Final = "over"  # the schedule is over: unwind

_LENGTH: Final = struct.Struct("<I")
_PART: Final = 1 << 16  # bytes that are read at a time
#: Where the system itself ends a wait at a socket, so that no step asks it for two.
_TIMED: Final = sys.platform == "linux"
_TIME: Final = struct.Struct("@ll")


_HEAD: Final = struct.Struct("<II")  # the number of a message, and its length, or this:
_LONG: Final = 0xFFFFFFFF  # it is in the socket
#: Sockets that are written in C: the methods of the others are patched, and workers use these.
RawSocket = _socket.socket
raw_pair: Final = _socket.socketpair
_chance: Final = os.urandom
_HALF: Final = 1 << 15  # bytes for the messages of one direction
#: How long one waits at a semaphore before it is looked whether the other end is still there, in
#: seconds: where its end is expected, at first, and at most.
_SOON: Final = 0.001
_OFTEN: Final = 0.05


class Handover:
    """Memory that two processes share, with a semaphore for each direction.

    ``swap``: the same as the other process has it. Raises OSError where there is none.
    """

    __slots__ = ("into", "memory", "mine", "outof", "theirs")

    def __init__(self) -> None:
        from _multiprocessing import SemLock  # type: ignore[import-not-found]

        self.memory = mmap.mmap(-1, 2 * _HALF)
        names = (f"/tracelock-{_chance(10).hex()}" for _ in range(2))
        # its name is gone at once: it dies with the last process that has it
        self.mine, self.theirs = (SemLock(1, 0, SemLock.SEM_VALUE_MAX, n, True) for n in names)
        self.into, self.outof = 0, _HALF

    def swap(self) -> Handover:
        other = Handover.__new__(Handover)
        other.memory = self.memory
        other.mine, other.theirs = self.theirs, self.mine
        other.into, other.outof = self.outof, self.into
        return other


def handover() -> Handover | None:
    """One for two processes of which the one forks the other; None where the system has none."""
    if not _TIMED:
        return None
    try:
        return Handover()
    except (ImportError, OSError, AttributeError):
        return None


@dataclass(slots=True, eq=False)
class Channel:
    """One end of a pair of sockets, and of what is handed over beside it.

    ``rest``: what has come of the next message on the socket; ``sent``, ``got``: the numbers of the
    last messages; ``patience``: how long a wait may take, in seconds.
    """

    sock: RawSocket
    shared: Handover | None = None
    rest: bytes = b""
    sent: int = 0
    got: int = 0
    patience: float = math.inf
    soon: bool = False

    def bound(self, seconds: float) -> None:
        """Let no wait take longer."""
        if self.patience == seconds:
            return
        self.patience = seconds
        if _TIMED:
            time = _TIME.pack(int(seconds), int(seconds % 1 * 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time)
        else:
            self.sock.settimeout(seconds)

    def send(self, *message: Any) -> None:
        """Send a message. Raises OSError where it is seen that the other end is gone."""
        data = marshal.dumps(message, 2)
        shared = self.shared
        if shared is None:
            self.sock.sendall(_LENGTH.pack(len(data)) + data)
            return
        at, size = shared.into, len(data)
        if size > _HALF - _HEAD.size:
            self._tell(shared, _LONG)
            self.sock.sendall(_LENGTH.pack(size) + data)
            return
        start = at + _HEAD.size
        shared.memory[start : start + size] = data
        self._tell(shared, size)

    def _tell(self, shared: Handover, size: int) -> None:
        self.sent = self.sent + 1 & 0xFFFFFFFF
        _HEAD.pack_into(shared.memory, shared.into, self.sent, size)
        shared.theirs.release()

    def send_aside(self, *message: Any) -> None:
        """Send one to which there is no answer: another one may not have been read yet, or be sent
        before this one is."""
        data = marshal.dumps(message, 2)
        self.sock.sendall(_LENGTH.pack(len(data)) + data)
        if self.shared is not None:
            self.shared.theirs.release()  # where there is nothing new the socket is looked at

    def expect_end(self) -> None:
        """The other end will be gone soon."""
        self.soon = True

    def receive(self) -> Any:
        """The next message. Raises EOFError where the other end is gone, TimeoutError after the
        time that waits are bound to, and then goes on where it was."""
        shared = self.shared
        if shared is None or self.rest:
            return self._from_socket()
        mine, patience = shared.mine, self.patience
        waited, part = 0.0, _SOON if self.soon else min(_OFTEN, patience)
        gone = False
        while True:
            if mine.acquire(not gone, part):
                number, size = _HEAD.unpack_from(shared.memory, shared.outof)
                if number != self.got:  # else one has come aside
                    self.got = number
                    if size == _LONG:
                        return self._from_socket()
                    start = shared.outof + _HEAD.size
                    return marshal.loads(shared.memory[start : start + size])
            elif gone:
                raise EOFError
            else:
                waited += part
                part = min(2 * part, _OFTEN, patience)
            try:
                if self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    return self._from_socket()
                gone = True  # but what was sent before that may have come meanwhile
            except BlockingIOError:
                if waited >= patience:
                    raise TimeoutError from None
            except ConnectionError:
                gone = True

    def _from_socket(self) -> Any:
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
        self.shared = None


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
