"""What the parent and its workers send each other: words and messages.

The parent sends one-byte *words*, some followed by a payload; in a controlled run a worker answers
each grant with one *message*: what the real object did, and the op that its machine comes to next.
That is two context switches an event; on one core a round trip costs about 6 microseconds.
"""

from __future__ import annotations

import marshal
import os
import struct
from collections.abc import Callable
from typing import Any, Final

from tracelock.engine.effects import wrap
from tracelock.engine.recording import plain
from tracelock.errors import InternalError, LimitReached, StepFailure
from tracelock.ops import ATOMIC, AtomicBody, Op, Value

#: Has a worker rehearse and run its atomic step: the rehearsal's reads and writes.
Ask = Callable[[frozenset[int]], tuple[dict[int, Value], dict[int, Value]]]

# Words from the parent.
GRANT: Final = b"g"  # do the op for real: the model says that it is possible now
EXPIRED: Final = b"f"  # the op's timer has fired: the real object must refuse too
SKIPPED: Final = b"F"  # the op's timer has fired although the real object is free: leave it
ATOMICALLY: Final = b"a"  # payload: the model's values; do an atomic step
FAILS: Final = b"r"  # payload: the text with which the op's exception enters the machine
NOTIFIED: Final = b"n"  # the sleeper has been chosen: take the real semaphore, then wait
TIMED_OUT: Final = b"t"  # the sleeper's timer has fired: stop sleeping, then wait
WASTED: Final = b"w"  # it has, and the notifier counts on the sleeper all the same
ABANDON: Final = b"x"  # the schedule is over: unwind, hold nothing
RUN: Final = b"R"  # payload: settings; a free run begins
QUIT: Final = b"q"

#: A message without content: the worker is waiting inside its real object, or has unwound.
NOTHING: Final = b"\0\0\0\0"
_LENGTH: Final = struct.Struct("<I")
_BIG: Final = 1 << 16
#: From here on a payload tells why there is no next op.
FAILED: Final = "failed"  # the machine ended with a StepFailure
LIMIT: Final = "limit"  # the machine ended with LimitReached
FULL: Final = "full"  # the op did not get done: its queue's pipe is full
RAISED: Final = "raised"  # the object raised: the text of the failure is still to come
ERROR: Final = "error"  # tracelock's own failure in the worker, with its traceback


# --- encoding --------------------------------------------------------------------------------
def pack(payload: Any) -> bytes:
    """A payload with its length before it."""
    data = marshal.dumps(payload, 2)
    return _LENGTH.pack(len(data)) + data


def message(result: Value, follows: tuple[Any, ...] | None) -> bytes:
    """A worker's answer: the result of its op, and what follows (None: the machine has ended)."""
    try:
        return pack((wrap(result), follows))
    except ValueError:  # what a call gave is not JSON
        return pack((plain(result), follows))


def op_fields(op: Op) -> tuple[Any, ...]:
    """An op as marshal can carry it; of an atomic step's body only the footprint."""
    kind, body = op.kind, op.body
    if kind == ATOMIC:
        body = tuple(sorted(body.touches))
    return (
        kind, op.target, op.at, op.value, op.timeout, op.blocking, op.expect, body, op.soft,
    )  # fmt: skip


def op_of(fields: tuple[Any, ...], ask: Ask | None = None) -> Op:
    """The inverse of ``op_fields``; ``ask``: see ``RemoteBody``."""
    kind, target, at, value, timeout, blocking, expect, body, soft = fields
    if kind == ATOMIC:
        body = RemoteBody(frozenset(body), ask)
    return Op(kind, target, at, value, timeout, blocking, expect, body, soft)


def failure_fields(error: StepFailure | LimitReached) -> tuple[Any, ...]:
    """The exception with which a machine ended, as marshal can carry it."""
    if isinstance(error, StepFailure):
        return (FAILED, error.failure, error.message, error.at)
    return (LIMIT, str(error))


def failure_of(fields: tuple[Any, ...]) -> StepFailure | LimitReached:
    """The inverse of ``failure_fields``. Raises InternalError for tracelock's own failure."""
    if fields[0] == ERROR:
        raise InternalError(f"in the process of a worker:\n{fields[1]}")
    if fields[0] == FAILED:
        return StepFailure(*fields[1:])
    return LimitReached(fields[1])


class RemoteBody(AtomicBody):
    """An atomic step of a worker in another process, which is also where it is rehearsed.

    ``ask(touches)`` sends the model's values of what the block may touch, has the worker first
    rehearse the block on them and then run it for real, and returns what the rehearsal read
    and wrote.
    """

    __slots__ = ("ask", "touches")

    def __init__(self, touches: frozenset[int], ask: Ask | None = None) -> None:
        self.touches = touches
        self.ask = ask

    def rehearse(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        """Have the worker do it, and report its reads and writes to the model."""
        assert self.ask is not None
        reads, writes = self.ask(self.touches)
        for number in reads:
            read(number)
        for number, value in writes.items():
            write(number, value)


# --- pipes -----------------------------------------------------------------------------------
def receive(fd: int) -> bytes:
    """One whole message; empty when the other end is gone."""
    data = os.read(fd, _BIG)
    if len(data) >= _BIG or (len(data) >= 4 and len(data) < 4 + _LENGTH.unpack_from(data)[0]):
        while len(data) < 4 + _LENGTH.unpack_from(data)[0]:
            part = os.read(fd, _BIG)
            if not part:
                return b""
            data += part
    return data


def receive_message(data: bytes) -> tuple[Any, Any]:
    """The result and what follows, of a whole message."""
    result, follows = marshal.loads(memoryview(data)[4:])
    return result, follows


def receive_payload(fd: int) -> Any:
    """The payload of a word. Raises EOFError when the other end is gone."""
    head = exactly(fd, 4)
    return marshal.loads(exactly(fd, _LENGTH.unpack(head)[0]))


def exactly(fd: int, count: int) -> bytes:
    """So many bytes. Raises EOFError when the other end is gone."""
    data = b""
    while len(data) < count:
        part = os.read(fd, count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def send(fd: int, data: bytes) -> None:
    """Write all of it: a pipe takes a long message in parts."""
    while data:
        data = data[os.write(fd, data) :]
