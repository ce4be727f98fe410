"""Conditions, semaphores, events and queues under control: what their methods do in a worker.

Each function here takes the place of the method of its name in the standard library's class. On a
thread that is no worker, and inside of calls that are passed through, the original is called. What
an object waits for is the model's affair; its real state is changed along, without waiting, and
has to agree.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, made_at
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.locks import RAW_LOCK, RAW_RLOCK, Lock
from tracelock.instrument.worker import Through, Worker, shown
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    GET,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    WAIT,
    WRITE,
    ObjectSpec,
    Op,
)

#: The originals, before anything is patched.
CONDITION: Final = threading.Condition
SEMAPHORE: Final = threading.Semaphore
BOUNDED: Final = threading.BoundedSemaphore
EVENT: Final = threading.Event
QUEUE: Final = queue.Queue
SIMPLE: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {
    (cls, name): cls.__dict__[name]
    for cls, names in (
        (CONDITION, ("__init__", "__enter__", "__exit__", "wait", "notify", "notify_all")),
        (SEMAPHORE, ("__init__", "acquire", "__enter__", "release")),
        (BOUNDED, ("release",)),
        (EVENT, ("__init__", "is_set", "set", "clear", "wait")),
        (QUEUE, ("__init__", "put", "get", "qsize", "empty", "full", "task_done", "join")),
        (SIMPLE, ("put", "get", "qsize", "empty")),
    )
    for name in names
}


def here() -> Worker | None:
    """The worker on this thread, if what it does is to be controlled."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.through or worker.hub.phase is Phase.UNWIND:
        return None
    return worker


def named(obj: Any, kind: str, worker: Worker) -> str:
    """The name of an object in this schedule: given when it was made, or after its first use."""
    hub = worker.hub
    held = obj.__dict__
    schedule, name = held.get("_tracelock_bound", (0, ""))
    if schedule != hub.schedule:
        name = held.get("_tracelock_name")
        if name is None:
            name = f"{kind}@{caller(worker, 3)}"
            hub.mark(obj, name)
        name = hub.bind(obj, name)
        obj._tracelock_bound = (hub.schedule, name)
    return str(name)


def numbered(obj: Any, worker: Worker, kind: str, spec: Callable[[str], ObjectSpec]) -> int:
    """The number of an object in this schedule. ``spec`` gives its state before its first use."""
    known: tuple[int, int] = obj.__dict__.get("_tracelock_number", (0, 0))
    if known[0] != worker.hub.schedule:
        number = worker.hub.thing(spec(named(obj, kind, worker)))
        known = obj._tracelock_number = (worker.hub.schedule, number)
    return known[1]


def name_it(obj: Any, kind: str) -> None:
    """An object is being made: it is called after the place."""
    worker = here()
    if worker is not None:
        obj._tracelock_name = made_at(kind, worker)


# --- conditions ------------------------------------------------------------------------------
def condition_init(self: Any, lock: Any = None) -> None:
    ORIGINAL[CONDITION, "__init__"](self, lock)
    name_it(self, "condition")


def lock_of(self: Any, worker: Worker) -> Any:
    """The lock of a condition, under control."""
    lock = self._lock
    if isinstance(lock, (RAW_LOCK, RAW_RLOCK)):
        return worker.hub.stand_ins.of(lock, f"{named(self, 'condition', worker)}.lock")
    return lock


def condition_enter(self: Any) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[CONDITION, "__enter__"](self)
    return lock_of(self, worker).__enter__()


def condition_exit(self: Any, *exc: object) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[CONDITION, "__exit__"](self, *exc)
    return lock_of(self, worker).__exit__(*exc)


def condition_number(self: Any, worker: Worker) -> int:
    """The number of a condition, whose lock has one too."""
    lock = lock_of(self, worker).known(worker)
    return numbered(
        self, worker, "condition", lambda name: ObjectSpec(name, "condition", lock=lock)
    )


def condition_wait(self: Any, timeout: float | None = None) -> bool:
    worker = here()
    if worker is None or not isinstance(lock_of(self, worker), Lock):
        return bool(ORIGINAL[CONDITION, "wait"](self, timeout))
    lock = lock_of(self, worker)
    saved: list[Any] = []

    def parked() -> None:
        raw = lock.raw
        saved.append(raw._release_save() if hasattr(raw, "_release_save") else raw.release())

    op = Op(WAIT, condition_number(self, worker), caller(worker), None, timeout)
    try:
        result = worker.step(op, parked)
    except BaseException:
        if saved:
            _take_back(lock, saved[0], True)
        raise
    if result.__class__ is not bool:
        raise RuntimeError("cannot wait on un-acquired lock")
    _take_back(lock, saved[0], False)
    return bool(result)


def _take_back(lock: Lock, saved: Any, unwinding: bool) -> None:
    raw = lock.raw
    if hasattr(raw, "_acquire_restore"):
        if unwinding and not raw.acquire(False):
            return
        if unwinding:
            raw.release()
        raw._acquire_restore(saved)
    elif not raw.acquire(False) and not unwinding:
        raise ModelMismatch(f"{lock.name} is free, but the real lock cannot be had")


def condition_notify(self: Any, n: int = 1) -> None:
    worker = here()
    if worker is None or not isinstance(lock_of(self, worker), Lock):
        ORIGINAL[CONDITION, "notify"](self, n)
        return
    result = worker.step(Op(NOTIFY, condition_number(self, worker), caller(worker), n))
    if result.__class__ is not list:
        raise RuntimeError("cannot notify on un-acquired lock")


def condition_notify_all(self: Any) -> None:
    worker = here()
    if worker is None or not isinstance(lock_of(self, worker), Lock):
        ORIGINAL[CONDITION, "notify_all"](self)
        return
    result = worker.step(Op(NOTIFY, condition_number(self, worker), caller(worker), -1))
    if result.__class__ is not list:
        raise RuntimeError("cannot notify on un-acquired lock")


# --- semaphores ------------------------------------------------------------------------------
def semaphore_init(self: Any, value: int = 1) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[SEMAPHORE, "__init__"](self, value)
        return
    with Through(worker):
        ORIGINAL[SEMAPHORE, "__init__"](self, value)
    name_it(self, "semaphore")


def semaphore_number(self: Any, worker: Worker) -> int:
    """The number of a semaphore."""
    bounded = isinstance(self, BOUNDED)
    return numbered(
        self, worker, "semaphore",
        lambda name: ObjectSpec(
            name, "bounded_semaphore" if bounded else "semaphore", value=self._value,
            maxsize=self._initial_value if bounded else 0,
        ),
    )  # fmt: skip


def semaphore_acquire(self: Any, blocking: bool = True, timeout: float | None = None) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[SEMAPHORE, "acquire"](self, blocking, timeout))
    if not blocking and timeout is not None:
        raise ValueError("can't specify timeout for non-blocking acquire")
    op = Op(ACQUIRE, semaphore_number(self, worker), caller(worker), None, timeout, bool(blocking))
    got = bool(worker.do(op))
    if got:
        with Through(worker):
            if not ORIGINAL[SEMAPHORE, "acquire"](self, False):
                raise ModelMismatch(f"{named(self, 'semaphore', worker)} has no permit left")
    return got


def semaphore_release(self: Any, n: int = 1) -> None:
    worker = here()
    original = ORIGINAL[BOUNDED if isinstance(self, BOUNDED) else SEMAPHORE, "release"]
    if worker is None:
        original(self, n)
        return
    worker.do(Op(RELEASE, semaphore_number(self, worker), caller(worker), n))
    with Through(worker):
        original(self, n)


# --- events ----------------------------------------------------------------------------------
def event_init(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "__init__"](self)
        return
    with Through(worker):
        ORIGINAL[EVENT, "__init__"](self)
    name_it(self, "event")


def event_number(self: Any, worker: Worker) -> int:
    """The number of an event; it may have been set before there was control."""
    return numbered(
        self, worker, "event", lambda name: ObjectSpec(name, "flag", value=int(self._flag))
    )


def event_is_set(self: Any) -> bool:
    worker = here()
    if worker is not None:
        worker.step(Op(READ, event_number(self, worker), caller(worker)))
        worker.record(self._flag)
    return bool(self._flag)


def event_set(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "set"](self)
        return
    worker.step(Op(SET, event_number(self, worker), caller(worker)))
    with Through(worker):
        ORIGINAL[EVENT, "set"](self)


def event_clear(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "clear"](self)
        return
    worker.step(Op(CLEAR, event_number(self, worker), caller(worker)))
    with Through(worker):
        ORIGINAL[EVENT, "clear"](self)


def event_wait(self: Any, timeout: float | None = None) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[EVENT, "wait"](self, timeout))
    return bool(worker.do(Op(WAIT, event_number(self, worker), caller(worker), None, timeout)))


# --- queues ----------------------------------------------------------------------------------
def queue_init(self: Any, maxsize: int = 0) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
        return
    with Through(worker):
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
    # task_done and join are the standard library's own code, on a condition under control
    ORIGINAL[CONDITION, "__init__"](self.all_tasks_done, self.mutex)
    name_it(self, "queue")


def queue_number(self: Any, worker: Worker) -> int:
    """The number of a queue, with the items that it had when it was first used."""

    def spec(name: str) -> ObjectSpec:
        count = len(self._queue) if isinstance(self, SIMPLE) else self._qsize()
        return ObjectSpec(name, "room", value=count, maxsize=getattr(self, "maxsize", 0))

    return numbered(self, worker, "queue", spec)


def queue_put(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "put"](self, item, block, timeout)
        return
    if timeout is not None and timeout < 0 and block and self.maxsize > 0:
        raise ValueError("'timeout' must be a non-negative number")
    _check_shut(self, put=True)
    wait = timeout if block else None
    op = Op(PUT, queue_number(self, worker), caller(worker), shown(item), wait, bool(block))
    if not worker.do(op):
        raise queue.Full
    _check_shut(self, put=True)
    with Through(worker):
        self._put(item)
        self.unfinished_tasks += 1


def queue_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[QUEUE, "get"](self, block, timeout)
    if timeout is not None and timeout < 0 and block:
        raise ValueError("'timeout' must be a non-negative number")
    if _check_shut(self, put=False) and not self._qsize():
        raise queue.ShutDown  # type: ignore[attr-defined]
    return _get(self, block, timeout, worker, self._get)


def _get(self: Any, block: bool, timeout: float | None, worker: Worker, take: Any) -> Any:
    wait = timeout if block else None
    op = Op(GET, queue_number(self, worker), caller(worker, 3), None, wait, bool(block))
    if worker.step(op) is not None:
        raise queue.Empty
    with Through(worker):
        item = take()
    worker.record(shown(item))
    return item


def _check_shut(self: Any, put: bool) -> bool:
    """Whether a queue was shut down (Python 3.13); to put something in is an error then."""
    shut = bool(getattr(self, "is_shutdown", False))
    if shut and put:
        raise queue.ShutDown  # type: ignore[attr-defined]
    return shut


def _looks(name: str, cls: Any) -> Any:
    def look(self: Any) -> Any:
        worker = here()
        if worker is None:
            return ORIGINAL[cls, name](self)
        worker.step(Op(READ, queue_number(self, worker), caller(worker)))
        with Through(worker):
            result = ORIGINAL[cls, name](self)
        worker.record(result)
        return result

    look.__name__ = name
    return look


queue_qsize, queue_empty, queue_full = (_looks(name, QUEUE) for name in ("qsize", "empty", "full"))
simple_qsize, simple_empty = (_looks(name, SIMPLE) for name in ("qsize", "empty"))


def queue_task_done(self: Any) -> None:
    worker = here()
    if worker is not None:
        worker.step(Op(WRITE, queue_number(self, worker), caller(worker)))
    ORIGINAL[QUEUE, "task_done"](self)


def queue_join(self: Any) -> None:
    worker = here()
    if worker is not None:
        worker.step(Op(READ, queue_number(self, worker), caller(worker)))
    ORIGINAL[QUEUE, "join"](self)


def simple_put(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[SIMPLE, "put"](self, item, block, timeout)
        return
    worker.do(Op(PUT, queue_number(self, worker), caller(worker), shown(item)))
    with Through(worker):
        self._queue.append(item)
        self._count.release()


def simple_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[SIMPLE, "get"](self, block, timeout)
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")

    def take() -> Any:
        self._count.acquire(False)
        return self._queue.popleft()

    return _get(self, block, timeout, worker, take)


def make_simple_queue() -> Any:
    """``queue.SimpleQueue()``: where a worker makes it, the one that is written in Python."""
    worker = here()
    if worker is None:
        return _C_SIMPLE()
    with Through(worker):
        made = SIMPLE()
    name_it(made, "queue")
    return made


_C_SIMPLE: Final[Any] = queue.SimpleQueue
