"""What the real objects of all backends share: how they are built, tried, waited at and released.

Each backend has a table from an object's type to how it is built, and one from an op's kind to
how it is tried without blocking. What a table does not list raises KeyError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracelock.engine.effects import raised
from tracelock.ops import CLEAR, NOTIFY, RELEASE, SET, Layout, ObjectSpec, Op, Value

#: What the standard library's objects raise when they are misused.
ERRORS: Final = (RuntimeError, ValueError, TypeError, AssertionError)

Makers = Mapping[str, Callable[[ObjectSpec], Any]]
Attempts = Mapping[int, Callable[..., Value]]


def build(layout: Layout, makers: Makers, condition: Callable[[Any], Any]) -> list[Any]:
    """Fresh real objects by number, None for variables; ``condition`` builds one on its lock."""
    real: list[Any] = [None] * len(layout.names)
    conditions: list[tuple[int, int]] = []
    for number, spec in enumerate(layout.objects, layout.variables):
        if spec.type == "condition":
            conditions.append((number, spec.lock))
        else:
            real[number] = makers[spec.type](spec)
    for number, lock in conditions:
        real[number] = condition(real[lock])
    return real


def unless(
    error: type[Exception], otherwise: Value, call: Callable[..., Value]
) -> Callable[..., Value]:
    """A try: does ``call``, and gives ``otherwise`` where that raises ``error``."""

    def attempt(*given: Any) -> Value:
        try:
            return call(*given)
        except error:
            return otherwise

    return attempt


def release(real: Any, op: Op) -> None:
    """Release a lock, or ``op.value`` permits of a semaphore that can release several at once."""
    if op.value is None or op.value == 1:
        real.release()
    else:
        real.release(op.value)


def release_one_by_one(real: Any, op: Op) -> None:
    """The same for an object that releases one permit at a time."""
    n = 1 if op.value is None else op.value
    if n.__class__ is not int or n < 1:
        raise ValueError("n must be one or more")
    for _ in range(n):
        real.release()


def notify(real: Any, op: Op) -> Any:
    """Notify ``op.value`` waiters of a condition, or all."""
    return real.notify_all() if op.value == -1 else real.notify(op.value)


#: The ops that every backend does with the same calls.
SIGNALS: Final[Attempts] = {
    NOTIFY: notify,
    SET: lambda real, op: real.set(),
    CLEAR: lambda real, op: real.clear(),
    RELEASE: release,
}


def wait(real: Any, op: Op, timeout: float | None) -> Value:
    """Wait at a condition, an event or a barrier of threads or processes.

    Returns the result in the model's terms, a ``Raised`` where the object raises.
    """
    try:
        result = real.wait(timeout)
    except threading.BrokenBarrierError as error:
        return False if op.soft else raised(error)
    except ERRORS as error:
        return raised(error)
    return True if result.__class__ is int else result  # a barrier's: the number of the arrival
