"""What a killed worker was in the middle of: did it still happen?

Its last record is *pending*: others may have seen the effect. The accounts of the object say
whether they could: what all records together put in and took out, against what is there now.
"""

from __future__ import annotations

import fcntl
import io
import os
import pickle
import struct
import termios
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tracelock.engine.linearise.history import Log
from tracelock.objects import frozen
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    EMPTY,
    GET,
    NOTIFY,
    PUT,
    RELEASE,
    SET,
    SPAWN,
    WAIT,
    WAKE,
    Layout,
    ObjectSpec,
    Raised,
    Value,
)

_NEVER = object()


def settle(layout: Layout, logs: list[Log], pending: list[int], objects: list[Any]) -> None:
    """Complete or strike out the pending record at the end of each worker in ``pending``."""
    for worker in pending:
        log = logs[worker]
        kind, op, _, _, t0 = log[-1]
        log.cut(len(log) - 1)
        if kind == SPAWN:
            result = None if logs[op.target] else _NEVER
        else:
            accounts = _Accounts(logs, op.target, objects[op.target], layout.spec(op.target))
            result = _OUTCOMES[kind](accounts)
        if result is not _NEVER:
            last = max((log[-1][3] for log in logs if log), default=t0)
            log.add(kind, op, result, max(t0, last), t0)


class _Items(pickle.Unpickler):
    """Reads what ``multiprocessing.Queue`` pickled: values of a scenario, which need no class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a queue of plain values")


@dataclass(slots=True)
class _Accounts:
    """All records, and the object ``real``, number ``target``, that a pending op is at.

    A method for each kind of op: the result of a pending one that happened, else ``_NEVER``.
    """

    logs: list[Log]
    target: int
    real: Any
    spec: ObjectSpec

    def put(self) -> Value:
        """As long as no worker got the item, none can tell."""
        return True if len(self.items(GET)) > len(self.items(PUT)) else _NEVER

    def get(self) -> Value:
        """The item that is neither in the pipe of a queue nor in any record."""
        fd = self.real._reader.fileno()
        (size,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
        stream = io.BytesIO(os.read(fd, size) if size else b"")
        left: Counter[Any] = Counter(frozen(item) for item in self.items(PUT))
        left.subtract(frozen(item) for item in self.items(GET))
        if stream.getvalue()[:1] == b"\x80":  # killed after the item's length, before the item
            return _Items(stream).load()
        while header := stream.read(4):
            body = stream.read(struct.unpack("!i", header)[0])
            left[frozen(_Items(io.BytesIO(body)).load())] -= 1
        missing = [item for item, count in left.items() if count > 0]
        for item in self.items(PUT):
            if missing and frozen(item) == missing[0]:
                return item
        return _NEVER

    def set(self) -> Value:
        return None if self.real._flag._semlock._get_value() else _NEVER

    def acquire(self) -> Value:
        return True if self.real._semlock._get_value() < self.permits() else _NEVER

    def release(self) -> Value:
        return None if self.real._semlock._get_value() > self.permits() else _NEVER

    def wait(self) -> Value:
        """Whether another worker got on at a barrier because the dead one had come."""
        _, last, woke = self.arrivals()
        expected = last * (self.spec.parties - 1)
        return True if self.spec.type == "barrier" and woke > expected else _NEVER

    def wake(self) -> Value:
        """Whether another worker got on at a barrier because the dead one had left it."""
        came, last, _ = self.arrivals()
        expected = last * self.spec.parties
        return True if self.spec.type == "barrier" and came > expected else _NEVER

    def never(self) -> Value:
        """The dead worker holds the object's lock: no other could see an effect."""
        return _NEVER

    # --- what the records say ----------------------------------------------------------------
    def permits(self) -> int:
        """How many permits of a lock or semaphore are left."""
        left = self.spec.value if self.spec.type.endswith("semaphore") else 1
        for log in self.logs:
            own = 0
            for kind, op, result, _, _ in log:
                if op.target == self.target:
                    own += kind == ACQUIRE and result is True
                    own -= kind == RELEASE and result is None
            left -= min(own, 1) if self.spec.type == "rlock" else own  # an rlock counts one
        return left

    def items(self, wanted: int) -> list[Value]:
        """What was put into a queue, or got from it."""
        return [
            op.value if wanted == PUT else result
            for log in self.logs
            for kind, op, result, _, _ in log
            if kind == wanted and op.target == self.target
            if result is not False and result is not EMPTY
        ]

    def arrivals(self) -> tuple[int, int, int]:
        """At a barrier: how many came, were the last to come, went on after a wait."""
        came = last = woke = 0
        for log in self.logs:
            for done, op, result, _, _ in log:
                if (
                    op.target == self.target
                    and result is not False
                    and result.__class__ is not Raised
                ):
                    came += done == WAIT
                    last += done == WAIT and result is True
                    woke += done == WAKE
        return came, last, woke


_OUTCOMES: Final[dict[int, Callable[[_Accounts], Value]]] = {
    PUT: _Accounts.put, GET: _Accounts.get, SET: _Accounts.set, CLEAR: _Accounts.never,
    NOTIFY: _Accounts.never, WAIT: _Accounts.wait, WAKE: _Accounts.wake,
    ACQUIRE: _Accounts.acquire, RELEASE: _Accounts.release,
}  # fmt: skip
