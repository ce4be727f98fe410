"""Conditions, semaphores and events under control: what their methods do in a worker.

Each function here takes the place of the method of its name in the standard library's class. On a
thread that is no worker, and inside of calls that are passed through, the original is called. What
an object waits for is the model's affair; its real state is changed along, without waiting, and
has to agree.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.patching import replace_methods
from tracelock.instrument.threads.locks import RAW_LOCK, RAW_RLOCK, Lock, RLock, new_rlock
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    NOTIFY,
    READ,
    RELEASE,
    SET,
    WAIT,
    ObjectSpec,
    Op,
)

#: The originals, before anything is patched.
CONDITION: Final = threading.Condition
SEMAPHORE: Final = threading.Semaphore
BOUNDED: Final = threading.BoundedSemaphore
EVENT: Final = threading.Event
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {
    (cls, name): cls.__dict__[name]
    for cls, names in (
        (CONDITION, ("__init__", "__enter__", "__exit__", "wait", "notify", "notify_all")),
        (SEMAPHORE, ("__init__", "acquire", "__enter__", "release")),
        (BOUNDED, ("release",)),
        (EVENT, ("__init__", "is_set", "set", "clear", "wait")),
    )
    for name in names
}


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
        number = worker.hub.number_for(spec(named(obj, kind, worker)))
        known = obj._tracelock_number = (worker.hub.schedule, number)
    return known[1]


def name_it(obj: Any, kind: str) -> None:
    """An object is being made: it is called after the place."""
    worker = here()
    if worker is not None:
        call_it(obj, creation_name(kind, worker), worker)


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
    name = creation_name("condition", worker)
    if lock is None:
        lock = RLock(worker.hub, new_rlock(), f"{name}.lock", worker.hub.schedule)
    ORIGINAL[CONDITION, "__init__"](self, lock)
    call_it(self, name, worker)


def lock_of(self: Any, worker: Worker) -> Any:
    """The lock of a condition, under control."""
    lock = self._lock
    if isinstance(lock, (RAW_LOCK, RAW_RLOCK)):
        return worker.hub.stand_in(lock, f"{named(self, 'condition', worker)}.lock")
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
    with Uncontrolled(worker):
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
        with Uncontrolled(worker):
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
    with Uncontrolled(worker):
        original(self, n)  # raises as it always does
    if result is not None:
        raise ModelMismatch(f"{named(self, 'semaphore', worker)}: {result.message}")


# --- events ----------------------------------------------------------------------------------
def event_init(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "__init__"](self)
        return
    with Uncontrolled(worker):
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
    with Uncontrolled(worker):
        ORIGINAL[EVENT, "set"](self)


def event_clear(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "clear"](self)
        return
    worker.step(Op(CLEAR, event_number(self, worker), caller(worker)))
    with Uncontrolled(worker):
        ORIGINAL[EVENT, "clear"](self)


def event_wait(self: Any, timeout: float | None = None) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[EVENT, "wait"](self, timeout))
    if timeout is not None and timeout <= 0:
        return event_is_set(self)
    return bool(worker.do(Op(WAIT, event_number(self, worker), caller(worker), None, timeout)))


replace_methods("threading", {
    CONDITION: {
        "__init__": condition_init, "__enter__": condition_enter, "__exit__": condition_exit,
        "wait": condition_wait, "notify": condition_notify, "notify_all": condition_notify_all,
    },
    SEMAPHORE: {
        "__init__": semaphore_init, "acquire": semaphore_acquire, "__enter__": semaphore_acquire,
        "release": semaphore_release,
    },
    BOUNDED: {"release": semaphore_release},
    EVENT: {
        "__init__": event_init, "is_set": event_is_set, "set": event_set, "clear": event_clear,
        "wait": event_wait,
    },
})  # fmt: skip
