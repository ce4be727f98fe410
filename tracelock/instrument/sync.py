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
from tracelock.instrument.locks import RAW_LOCK, RAW_RLOCK, Lock, RLock, new_rlock
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
        (
            QUEUE,
            ("__init__", "put", "get", "qsize", "empty", "full", "task_done", "join", "shutdown"),
        ),
        (SIMPLE, ("put", "get", "qsize", "empty")),
    )
    for name in names
    if name in cls.__dict__  # ``shutdown`` came with Python 3.13
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
        name = hub.bind(obj, name, held.get("_tracelock_born", 0))
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
        call_it(obj, made_at(kind, worker), worker)


def call_it(obj: Any, name: str, worker: Worker) -> None:
    """An object that is made in this schedule gets its name."""
    obj._tracelock_name = name
    obj._tracelock_born = worker.hub.schedule


def patience(blocking: Any, timeout: float | None) -> tuple[float | None, bool]:
    """How long to wait (None: for ever), and whether to wait at all: not where it is no time."""
    if not blocking or (timeout is not None and timeout <= 0):
        return None, False
    return timeout, True


# --- conditions ------------------------------------------------------------------------------
def condition_init(self: Any, lock: Any = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[CONDITION, "__init__"](self, lock)
        return
    name = made_at("condition", worker)
    if lock is None:
        lock = RLock(worker.hub, new_rlock(), f"{name}.lock", worker.hub.schedule)
    ORIGINAL[CONDITION, "__init__"](self, lock)
    call_it(self, name, worker)


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
    wait, blocking = patience(blocking, timeout)
    op = Op(ACQUIRE, semaphore_number(self, worker), caller(worker), None, wait, blocking)
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
    result = worker.step(Op(RELEASE, semaphore_number(self, worker), caller(worker), n))
    with Through(worker):
        original(self, n)  # raises as it always does
    if result is not None:
        raise ModelMismatch(f"{named(self, 'semaphore', worker)}: {result.message}")


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
    if timeout is not None and timeout <= 0:
        return event_is_set(self)
    return bool(worker.do(Op(WAIT, event_number(self, worker), caller(worker), None, timeout)))


# --- queues ----------------------------------------------------------------------------------
def queue_init(self: Any, maxsize: int = 0) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
        return
    with Through(worker):
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
    name = made_at("queue", worker)
    call_it(self, name, worker)
    # Whoever uses them from outside, as in ``with q.mutex: q.queue.clear()``, is under control.
    self.mutex = Lock(worker.hub, self.mutex, f"{name}.mutex", worker.hub.schedule)
    for part in ("not_empty", "not_full", "all_tasks_done"):
        condition = getattr(self, part)
        ORIGINAL[CONDITION, "__init__"](condition, self.mutex)
        call_it(condition, f"{name}.{part}", worker)


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
    wait, block = patience(block, timeout)
    op = Op(PUT, queue_number(self, worker), caller(worker), shown(item), wait, block)
    if not worker.do(op):
        raise queue.ShutDown if _shut(self) else queue.Full  # type: ignore[attr-defined]
    with Through(worker):
        self._put(item)
        self.unfinished_tasks += 1


def queue_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[QUEUE, "get"](self, block, timeout)
    if timeout is not None and timeout < 0 and block:
        raise ValueError("'timeout' must be a non-negative number")
    return _get(self, block, timeout, worker, self._get)


def _get(self: Any, block: bool, timeout: float | None, worker: Worker, take: Any) -> Any:
    wait, block = patience(block, timeout)
    op = Op(GET, queue_number(self, worker), caller(worker, 3), None, wait, block)
    if worker.step(op) is not None:
        raise queue.ShutDown if _shut(self) else queue.Empty  # type: ignore[attr-defined]
    with Through(worker):
        item = take()
    worker.record(shown(item))
    return item


def _shut(self: Any) -> bool:
    """Whether a queue was shut down (Python 3.13)."""
    return bool(getattr(self, "is_shutdown", False))


def queue_shutdown(self: Any, immediate: bool = False) -> None:
    """Python 3.13: nobody waits from now on."""
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "shutdown"](self, immediate)
        return
    with self.all_tasks_done:
        worker.step(Op(SET, queue_number(self, worker), caller(worker), bool(immediate)))
        self.is_shutdown = True
        while immediate and self._qsize():
            self._get()
            if self.unfinished_tasks > 0:
                self.unfinished_tasks -= 1
        if immediate:
            self.all_tasks_done.notify_all()
        self.not_empty.notify_all()
        self.not_full.notify_all()


def _looks(name: str, cls: Any, answer: Callable[[Any, int], bool] | None = None) -> Any:
    def look(self: Any) -> Any:
        worker = here()
        if worker is None:
            return ORIGINAL[cls, name](self)
        worker.step(Op(READ, queue_number(self, worker), caller(worker)))
        size = len(self._queue) if cls is SIMPLE else self._qsize()
        result = size if answer is None else answer(self, size)
        worker.record(result)
        return result

    look.__name__ = name
    return look


def _is_empty(queue_: Any, size: int) -> bool:
    return not size


def _is_full(queue_: Any, size: int) -> bool:
    return bool(0 < queue_.maxsize <= size)


queue_qsize = _looks("qsize", QUEUE)
queue_empty = _looks("empty", QUEUE, _is_empty)
queue_full = _looks("full", QUEUE, _is_full)
simple_qsize = _looks("qsize", SIMPLE)
simple_empty = _looks("empty", SIMPLE, _is_empty)


def queue_task_done(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "task_done"](self)
        return
    with self.all_tasks_done:
        # A put does not take the mutex here, so that the count is looked at in one step.
        worker.step(Op(WRITE, queue_number(self, worker), caller(worker)))
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1
        if not self.unfinished_tasks:
            self.all_tasks_done.notify_all()


def queue_join(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "join"](self)
        return
    with self.all_tasks_done:
        while True:
            worker.step(Op(READ, queue_number(self, worker), caller(worker)))
            worker.record(self.unfinished_tasks)
            if not self.unfinished_tasks:
                return
            self.all_tasks_done.wait()


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
