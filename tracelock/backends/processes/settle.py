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
    Op,
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
        result = _outcome(layout, logs, kind, op, objects)
        if result is not _NEVER:
            last = max((log[-1][3] for log in logs if log), default=t0)
            log.add(kind, op, result, max(t0, last), t0)


def _outcome(layout: Layout, logs: list[Log], kind: int, op: Op, objects: list[Any]) -> Value:
    """The result of a pending op that happened, else ``_NEVER``."""
    if kind == SPAWN:
        return None if logs[op.target] else _NEVER
    return _OUTCOMES[kind](logs, op.target, objects[op.target], layout.spec(op.target))


# --- by kind of op: the records, the number of the object, the object itself, its specification ---
def _put(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    """As long as nobody got the item, nobody can tell."""
    gone = len(_items(logs, target, GET)) - len(_items(logs, target, PUT))
    return True if gone > 0 else _NEVER


def _get(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    """The item that is neither in the pipe of a queue nor in anybody's record."""
    fd = real._reader.fileno()
    (size,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
    stream = io.BytesIO(os.read(fd, size) if size else b"")
    left: Counter[Any] = Counter(frozen(item) for item in _items(logs, target, PUT))
    left.subtract(frozen(item) for item in _items(logs, target, GET))
    if stream.getvalue()[:1] == b"\x80":  # killed after the item's length, before the item
        return _Items(stream).load()
    while header := stream.read(4):
        body = stream.read(struct.unpack("!i", header)[0])
        left[frozen(_Items(io.BytesIO(body)).load())] -= 1
    gone = [item for item, count in left.items() if count > 0]
    for item in _items(logs, target, PUT):
        if gone and frozen(item) == gone[0]:
            return item
    return _NEVER


def _set(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    return None if real._flag._semlock._get_value() else _NEVER


def _acquire(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    return True if real._semlock._get_value() < _recorded(logs, target, spec) else _NEVER


def _release(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    return None if real._semlock._get_value() > _recorded(logs, target, spec) else _NEVER


def _wait(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    """Whether somebody got on at a barrier because the dead had come."""
    _, last, woke = _arrivals(logs, target)
    return True if spec.type == "barrier" and woke > last * (spec.parties - 1) else _NEVER


def _wake(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    """Whether somebody got on at a barrier because the dead had gone."""
    came, last, _ = _arrivals(logs, target)
    return True if spec.type == "barrier" and came > last * spec.parties else _NEVER


def _never(logs: list[Log], target: int, real: Any, spec: ObjectSpec) -> Value:
    """The dead hold the object's lock, so that nobody could see an effect."""
    return _NEVER


_OUTCOMES: Final[dict[int, Callable[[list[Log], int, Any, ObjectSpec], Value]]] = {
    PUT: _put, GET: _get, SET: _set, CLEAR: _never, NOTIFY: _never, WAIT: _wait, WAKE: _wake,
    ACQUIRE: _acquire, RELEASE: _release,
}  # fmt: skip


# --- what the records say --------------------------------------------------------------------
class _Items(pickle.Unpickler):
    """Reads what ``multiprocessing.Queue`` pickled: values of a scenario, which need no class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a queue of plain values")


def _recorded(logs: list[Log], target: int, spec: ObjectSpec) -> int:
    """How many permits of a lock or semaphore are left, by the records."""
    start = spec.value if spec.type.endswith("semaphore") else 1
    for log in logs:
        own = 0
        for kind, op, result, _, _ in log:
            if op.target == target:
                if kind == ACQUIRE and result is True:
                    own += 1
                elif kind == RELEASE and result is None:
                    own -= 1
        start -= min(own, 1) if spec.type == "rlock" else own  # an rlock counts one
    return start


def _items(logs: list[Log], target: int, wanted: int) -> list[Value]:
    """What was put into a queue, or got from it."""
    return [
        op.value if wanted == PUT else result
        for log in logs
        for kind, op, result, _, _ in log
        if kind == wanted and op.target == target and result is not False and result is not EMPTY
    ]


def _arrivals(logs: list[Log], target: int) -> tuple[int, int, int]:
    """At a barrier: how many came, were the last to come, went on after a wait."""
    came = last = woke = 0
    for log in logs:
        for done, op, result, _, _ in log:
            if op.target == target and result is not False and result.__class__ is not Raised:
                came += done == WAIT
                last += done == WAIT and result is True
                woke += done == WAKE
    return came, last, woke
