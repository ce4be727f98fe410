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
from typing import Any

from tracelock.engine.linearise.history import Log
from tracelock.objects import frozen
from tracelock.ops import (
    ACQUIRE,
    EMPTY,
    GET,
    PUT,
    RELEASE,
    SET,
    SPAWN,
    WAIT,
    WAKE,
    Layout,
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
    target = op.target
    if kind == SPAWN:
        return None if logs[target] else _NEVER
    real, spec = objects[target], layout.spec(target)
    if kind == PUT:  # as long as nobody got the item, nobody can tell
        gone = len(_items(logs, target, GET)) - len(_items(logs, target, PUT))
        return True if gone > 0 else _NEVER
    if kind == GET:
        return _taken(logs, target, real)
    if kind == SET:
        return None if real._flag._semlock._get_value() else _NEVER
    if kind in (WAIT, WAKE):
        return _passed(logs, target, spec.parties, kind) if spec.type == "barrier" else _NEVER
    if kind in (ACQUIRE, RELEASE):
        start = spec.value if spec.type.endswith("semaphore") else 1
        recorded = start - _balance(logs, target, spec.type == "rlock")
        there = real._semlock._get_value()
        if kind == ACQUIRE:
            return True if there < recorded else _NEVER
        return None if there > recorded else _NEVER
    return _NEVER  # a notify: the dead hold its lock, so that nobody could wake


def _balance(logs: list[Log], target: int, once: bool) -> int:
    """How many permits are taken, by the records; ``once``: of an rlock, which counts one."""
    balance = 0
    for log in logs:
        own = 0
        for kind, op, result, _, _ in log:
            if op.target == target:
                if kind == ACQUIRE and result is True:
                    own += 1
                elif kind == RELEASE and result is None:
                    own -= 1
        balance += min(own, 1) if once else own
    return balance


def _items(logs: list[Log], target: int, wanted: int) -> list[Value]:
    """What was put into a queue, or got from it."""
    return [
        op.value if wanted == PUT else result
        for log in logs
        for kind, op, result, _, _ in log
        if kind == wanted and op.target == target and result is not False and result is not EMPTY
    ]


def _passed(logs: list[Log], target: int, parties: int, kind: int) -> Value:
    """Whether somebody got on at a barrier because the dead had come, or had gone."""
    came = last = woke = 0
    for log in logs:
        for done, op, result, _, _ in log:
            if op.target == target and result is not False and result.__class__ is not Raised:
                came += done == WAIT
                last += done == WAIT and result is True
                woke += done == WAKE
    if kind == WAIT:
        return True if woke > last * (parties - 1) else _NEVER
    return True if came > last * parties else _NEVER


def _taken(logs: list[Log], target: int, real: Any) -> Value:
    """The item that is neither in the pipe of a queue nor in anybody's record."""
    fd = real._reader.fileno()
    (size,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
    stream = io.BytesIO(os.read(fd, size) if size else b"")
    left: Counter[Any] = Counter(frozen(item) for item in _items(logs, target, PUT))
    left.subtract(frozen(item) for item in _items(logs, target, GET))
    if stream.getvalue()[:1] == b"\x80":  # killed after the item's length, before the item
        return pickle.load(stream)
    while header := stream.read(4):
        body = stream.read(struct.unpack("!i", header)[0])
        left[frozen(pickle.loads(body))] -= 1
    gone = [item for item, count in left.items() if count > 0]
    for item in _items(logs, target, PUT):
        if gone and frozen(item) == gone[0]:
            return item
    return _NEVER
