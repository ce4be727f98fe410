"""What a killed worker was in the middle of: did it still happen?

Its last record is *pending*: others could have seen the effect already. The accounts of the
object say whether they could: what all records together put in and took out, against what is
there now.
"""

from __future__ import annotations

from typing import Any

from tracelock.engine.history import Log
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, RELEASE, SET, SPAWN, Layout, Raised


def settle(
    layout: Layout, logs: list[Log], pending: list[int], objects: list[Any]
) -> None:
    """Complete or strike out the pending record at the end of each worker in ``pending``."""
    for worker in pending:
        log = logs[worker]
        kind, op, _, _, t0 = log[-1]
        log.cut(len(log) - 1)
        result: Any = None
        if kind == PUT:
            happened = _balance(logs, op.target, PUT, GET) + _items(objects[op.target]) > 0
            result = True
        elif kind == RELEASE:
            start = layout.spec(op.target).value
            there = objects[op.target]._semlock._get_value()
            happened = start + _balance(logs, op.target, ACQUIRE, RELEASE) < there
        elif kind == SPAWN:
            happened = bool(logs[op.target])
        elif kind == SET:
            flag = objects[op.target]._flag
            happened = bool(flag._semlock._get_value())
        else:  # a notify: the dead hold its lock, so that nobody could wake
            happened = False
        if happened:
            last = max((log[-1][3] for log in logs if log), default=t0)
            log.add(kind, op, result, max(t0, last), t0)


def _balance(logs: list[Log], target: int, gives: int, takes: int) -> int:
    """How much more was taken from an object than given to it, by the records."""
    balance = 0
    for log in logs:
        for kind, op, result, _, _ in log:
            if op.target == target and result.__class__ is not Raised:
                if kind == gives and (result is True or result is None):
                    balance -= 1
                elif kind == takes and result is not EMPTY and result is not False:
                    balance += 1
    return balance


def _items(real: Any) -> int:
    """How many items are left in a queue."""
    count = 0
    while real._poll():
        real._recv_bytes()
        count += 1
    return count
