"""The real objects of ``threading`` and ``queue``, and doing one op on them without blocking.

In a controlled run the model has said that the op can happen, so the real call is a try that
must succeed. The exceptions are the waits of conditions, events and barriers: they release a
lock in the middle. They run the standard library's own code over a :class:`Turnstile`, a lock
that passes the baton on where ``Condition.wait`` has released it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    EMPTY,
    GET,
    NOTIFY,
    PUT,
    SET,
    Layout,
    ObjectSpec,
    Op,
    Value,
)


class Turnstile:
    """A real lock as ``threading.Condition`` wants one, that lets others go on during a wait.

    ``leave`` is called when a wait has released the lock and returns when the controller lets
    the waiter go on; ``enter`` before the lock is taken back. (``Condition`` looks for these
    three underscored methods on its lock: it is how RLock tells it to release all levels.)
    """

    def __init__(self, real: Any, leave: Callable[[], None], enter: Callable[[], None]) -> None:
        self.real = real
        self._leave = leave
        self._enter = enter
        self._whole = hasattr(real, "_release_save")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return bool(self.real.acquire(blocking, timeout))

    def release(self) -> None:
        self.real.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.real.release()

    def _release_save(self) -> Any:
        saved = self.real._release_save() if self._whole else self.real.release()
        try:
            self._leave()
        except BaseException:
            # abandoned: the ``with`` around an event's or a barrier's wait will release it
            self.real.acquire(False)
            raise
        return saved

    def _acquire_restore(self, saved: Any) -> None:
        self._enter()
        if self._whole:
            self.real._acquire_restore(saved)
        else:
            self.real.acquire()

    def _is_owned(self) -> bool:
        if self._whole:
            return bool(self.real._is_owned())
        if self.real.acquire(False):
            self.real.release()
            return False
        return True


class NotingCondition(threading.Condition):
    """A condition that notes in ``noted``, by thread, when a wait on it really began (ns)."""

    def __init__(self, noted: dict[int, int]) -> None:
        super().__init__(threading.Lock())
        self.noted = noted

    def wait(self, timeout: float | None = None) -> bool:
        self.noted[threading.get_ident()] = time.monotonic_ns()
        return super().wait(timeout)


class NotingBarrier(threading.Barrier):
    """A barrier that notes in ``noted``, by thread, when one has arrived and is not the last."""

    def __init__(self, parties: int, noted: dict[int, int]) -> None:
        super().__init__(parties)
        self.noted = noted

    def _wait(self, timeout: float | None) -> None:
        self.noted[threading.get_ident()] = time.monotonic_ns()
        super()._wait(timeout)  # type: ignore[misc]


QUEUES = {"fifo": queue.Queue, "lifo": queue.LifoQueue, "priority": queue.PriorityQueue}


def make_real(
    layout: Layout,
    wrap: Callable[[Any], Any] | None = None,
    noted: dict[int, int] | None = None,
) -> list[Any]:
    """Fresh real objects by number (None for variables).

    ``wrap`` puts a turnstile on a lock; ``noted`` is where waits at events and barriers are
    noted, see ``NotingCondition``.
    """
    real: list[Any] = [None] * len(layout.names)
    late: list[tuple[int, ObjectSpec]] = []
    for number, spec in enumerate(layout.objects, layout.variables):
        kind = spec.type
        if kind == "condition":
            late.append((number, spec))
            continue
        made: Any
        if kind == "lock":
            made = threading.Lock()
        elif kind in ("rlock", "condition_lock"):
            made = threading.RLock()
        elif kind == "semaphore":
            made = threading.Semaphore(spec.value)
        elif kind == "bounded_semaphore":
            made = threading.BoundedSemaphore(spec.value)
        elif kind == "event":
            made = threading.Event()
        elif kind == "barrier":
            made = (
                threading.Barrier(spec.parties)
                if noted is None
                else NotingBarrier(spec.parties, noted)
            )
        else:
            made = QUEUES[spec.order](spec.maxsize)
        if wrap is not None and kind in ("event", "barrier"):
            # their waits go through a condition of their own
            made._cond = threading.Condition(wrap(threading.Lock()))
        elif noted is not None and kind == "event":
            made._cond = NotingCondition(noted)
        real[number] = made
    for number, spec in late:
        lock = real[spec.lock]
        real[number] = threading.Condition(wrap(lock) if wrap is not None else lock)
    return real


def perform(real: Any, op: Op, kind: int, timeout: float | None) -> Value:
    """Do an object's op on the real object, as a try; exceptions of the object come through.

    ``timeout`` is given to waits: 0 under control (the turnstile does the waiting).
    """
    if kind == ACQUIRE:
        return real.acquire(False)
    if kind == NOTIFY:
        return real.notify_all() if op.value == -1 else real.notify(op.value)
    if kind == SET:
        return real.set()
    if kind == CLEAR:
        return real.clear()
    if kind == PUT:
        try:
            real.put(op.value, False)
        except queue.Full:
            return False
        return True
    if kind == GET:
        try:
            return real.get(False)
        except queue.Empty:
            return EMPTY
    return real.wait(timeout)


def release(real: Any, op: Op) -> None:
    """Release a lock, or ``n`` permits of a semaphore."""
    if op.value is None or op.value == 1:
        real.release()
    else:
        real.release(op.value)
