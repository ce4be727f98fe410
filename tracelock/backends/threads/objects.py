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
from typing import Any, Final

from tracelock.backends.real import SIGNALS, Attempts, Makers, unless, wait
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, WAIT, ObjectSpec, Op


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

    def locked(self) -> bool:  # asked for from 3.15 on
        return bool(self.real.locked())

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
    """A condition that notes in ``noted``, by thread, when a wait on it began (ns)."""

    def __init__(self, noted: dict[int, int]) -> None:
        super().__init__(threading.Lock())
        self.noted = noted

    def wait(self, timeout: float | None = None) -> bool:
        self.noted[threading.get_ident()] = time.monotonic_ns()
        return super().wait(timeout)


class NotingBarrier(threading.Barrier):
    """A barrier that notes in ``noted``, by thread, when its wait for the others began (ns)."""

    def __init__(self, parties: int, noted: dict[int, int]) -> None:
        super().__init__(parties)
        self.noted = noted

    def _wait(self, timeout: float | None) -> None:
        self.noted[threading.get_ident()] = time.monotonic_ns()
        super()._wait(timeout)  # type: ignore[misc]


QUEUES: Final = {"fifo": queue.Queue, "lifo": queue.LifoQueue, "priority": queue.PriorityQueue}
MAKERS: Final[Makers] = {
    "lock": lambda spec: threading.Lock(),
    "rlock": lambda spec: threading.RLock(),
    "condition_lock": lambda spec: threading.RLock(),
    "semaphore": lambda spec: threading.Semaphore(spec.value),
    "bounded_semaphore": lambda spec: threading.BoundedSemaphore(spec.value),
    "event": lambda spec: threading.Event(),
    "barrier": lambda spec: threading.Barrier(spec.parties),
    "queue": lambda spec: QUEUES[spec.order](spec.maxsize),
}


def turnstile_makers(wrap: Callable[[Any], Any]) -> Makers:
    """The table for controlled runs; ``wrap`` puts a turnstile on a lock."""

    def event(_: ObjectSpec) -> Any:
        return over_condition(threading.Event())

    def barrier(spec: ObjectSpec) -> Any:
        return over_condition(threading.Barrier(spec.parties))

    def over_condition(real: Any) -> Any:  # the waits go through a condition of its own
        real._cond = threading.Condition(wrap(threading.Lock()))
        return real

    return {**MAKERS, "event": event, "barrier": barrier}


def noting_makers(noted: dict[int, int]) -> Makers:
    """The table for free runs; ``noted`` is where waits at events and barriers are noted."""

    def event(_: ObjectSpec) -> Any:
        real: Any = threading.Event()
        real._cond = NotingCondition(noted)
        return real

    return {**MAKERS, "event": event, "barrier": lambda spec: NotingBarrier(spec.parties, noted)}


def acquire(real: Any, op: Op, seconds: float | None = None) -> bool:
    """Take a lock or a permit; False where there is none within ``seconds`` (None: at once)."""
    return bool(real.acquire(False) if seconds is None else real.acquire(True, seconds))


#: Each kind of op as a try; those that may wait also take the seconds for which they do. The
#: wait of a controlled run takes no time of its own: the turnstile does the waiting.
ATTEMPTS: Final[Attempts] = {
    **SIGNALS,
    ACQUIRE: acquire,
    PUT: unless(
        queue.Full, False,
        lambda real, op, seconds=None: real.put(op.value, seconds is not None, seconds) or True,
    ),
    GET: unless(
        queue.Empty, EMPTY, lambda real, op, seconds=None: real.get(seconds is not None, seconds)
    ),
    WAIT: lambda real, op: wait(real, op, 0),
}  # fmt: skip
