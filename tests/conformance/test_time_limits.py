"""Time limits that are no plain numbers of seconds: each wait takes, or refuses, what the real one
does, and no trace or timer stops on it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest

import tracelock


class Few(IntEnum):
    """Seconds."""

    NONE = 0


class Brief(float):
    """A number of a library, as those of NumPy are."""


LIMITS: list[Any] = [
    True, Few.NONE, Brief(0.001), math.nan, -math.inf, -1, 0, 0.001, None, Fraction(1, 1000),
    Decimal("0.001"), "1",
]  # fmt: skip


def held_lock(limit: Any) -> object:
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire(timeout=limit)


def free_lock(limit: Any) -> object:
    return threading.Lock().acquire(timeout=limit)


def free_rlock(limit: Any) -> object:
    return threading.RLock().acquire(timeout=limit)


def semaphore(limit: Any) -> object:
    return threading.Semaphore(0).acquire(timeout=limit)


def event(limit: Any) -> object:
    return threading.Event().wait(limit)


def condition(limit: Any) -> object:
    made = threading.Condition()
    with made:
        return made.wait(limit)


def predicate(limit: Any) -> object:
    made = threading.Condition()
    with made:
        return made.wait_for(bool, limit)


def barrier(limit: Any) -> object:
    return threading.Barrier(2).wait(limit)


def get(limit: Any) -> object:
    return queue.Queue[int]().get(timeout=limit)


def put(limit: Any) -> object:
    full = queue.Queue[int](1)
    full.put(1)
    full.put(2, timeout=limit)
    return None


def simple(limit: Any) -> object:
    return queue.SimpleQueue[int]().get(timeout=limit)


def join(limit: Any) -> object:
    thread = threading.Thread(target=event, args=(0.0005,))
    thread.start()
    thread.join(limit)
    return None


def sleep(limit: Any) -> object:
    time.sleep(limit)
    return None


CALLS = [
    held_lock, free_lock, free_rlock, semaphore, event, condition, predicate, barrier, get, put,
    simple, join, sleep,
]  # fmt: skip
#: Calls that wait for ever without a limit; and those that go round for ever with a NaN.
ENDLESS = {semaphore, event, condition, predicate, barrier, get, put, simple}
ROUND = {semaphore, predicate, barrier, get, put}


def outcome(call: Callable[[Any], object], limit: Any) -> str:
    try:
        return repr(call(limit))
    except Exception as error:
        return type(error).__name__


PAIRS = [
    (call, limit) for call in CALLS for limit in LIMITS
    if not (limit is None and call in ENDLESS) and not (limit is LIMITS[3] and call in ROUND)
    and not (limit == -1 and call is held_lock)
]  # fmt: skip


@pytest.mark.parametrize(("call", "limit"), PAIRS)
def test_a_wait_takes_what_the_real_one_takes(call: Callable[[Any], object], limit: Any) -> None:
    wanted = outcome(call, limit)

    def work(_: object) -> None:
        raise AssertionError(outcome(call, limit))

    found = tracelock.explore(
        setup=object, workers=[work], schedules=2, strategy="random", shrink=False, confirm=0,
        instrument=[__name__],
    )  # fmt: skip
    assert found.trace is not None, found.summary
    message = found.trace.verdict.message.split("\n", 1)[0].removeprefix("AssertionError: ")
    # where a limit is below what can be counted, the real ones say that first
    assert message == wanted or (wanted, message) == ("OverflowError", "ValueError")
