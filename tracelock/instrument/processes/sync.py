"""The synchronisation objects of ``multiprocessing`` under control.

All of them are made of one kind of semaphore, which is wrapped here; locks and semaphores are
no more than that. A condition and an event are ops of their own: what they wait for is the model's
affair, and their inner semaphores stay as they are. A barrier is the standard library's code on
such a condition.
"""

from __future__ import annotations

from multiprocessing import queues, sharedctypes, synchronize
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.hub import Hub
from tracelock.instrument.patching import replace_methods
from tracelock.instrument.threads.sync import numbered
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
    Raised,
)

SEMLOCK: Final = synchronize.SemLock
CONDITION: Final = synchronize.Condition
EVENT: Final = synchronize.Event
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {
    (cls, name): cls.__dict__[name]
    for cls, names in (
        (SEMLOCK, ("__init__",)),
        (CONDITION, ("__init__", "wait", "notify", "notify_all")),
        (EVENT, ("__init__", "is_set", "set", "clear", "wait")),
    )
    for name in names
}


class Semaphore:
    """A semaphore of the system under control, as the objects of ``multiprocessing`` use it."""

    __slots__ = ("__weakref__", "bound", "hub", "name", "number", "raw", "schedule", "type")

    def __init__(self, hub: Hub, raw: Any, type_: str, name: str) -> None:
        self.hub = hub
        self.raw = raw
        self.type = type_
        self.name = name
        self.number = -1
        self.schedule = 0
        self.bound = ""

    def known(self, worker: Worker) -> int:
        """Its number in the current schedule."""
        hub = self.hub
        if self.schedule != hub.schedule:
            self.schedule = hub.schedule
            self.bound = hub.bind(self, self.name)
            hub.interprocess.add(self.bound)
            left = self.raw._get_value()
            if self.type in ("lock", "rlock"):
                self.number = hub.number_for(ObjectSpec(self.bound, self.type))
                if not left:
                    model: Any = hub.controller.models[self.number]
                    model.take_back(hub.outside, 1)
            else:
                most = self.raw.maxvalue if self.type == "bounded_semaphore" else 0
                spec = ObjectSpec(self.bound, self.type, value=left, maxsize=most)
                self.number = hub.number_for(spec)
        return self.number

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        worker = here()
        if worker is None:
            return bool(self.raw.acquire(block, timeout))
        wait = None if timeout is None or not block else max(0.0, timeout)
        op = Op(ACQUIRE, self.known(worker), caller(worker), None, wait, bool(block))
        got = bool(worker.do(op))
        if got and not self.raw.acquire(False):
            raise ModelMismatch(f"{self.name} is free, but the real one cannot be had")
        return got

    def release(self) -> None:
        worker = here()
        if worker is None:
            self.raw.release()
            return
        number = self.known(worker)
        value = None if self.type in ("lock", "rlock") else 1
        result = worker.step(Op(RELEASE, number, caller(worker), value))
        self.raw.release()  # raises as it does
        if result.__class__ is Raised:
            raise ModelMismatch(f"{self.name}: {result.message}, but the real one was released")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _looked(self, result: Any) -> Any:
        worker = here()
        if worker is not None:
            worker.step(Op(READ, self.known(worker), caller(worker, 3)))
            worker.record(result())
        return result()

    def _get_value(self) -> int:
        return int(self._looked(self.raw._get_value))

    def _is_zero(self) -> bool:
        return bool(self._looked(self.raw._is_zero))

    def _count(self) -> int:
        return int(self.raw._count())

    def _is_mine(self) -> bool:
        return bool(self.raw._is_mine())

    def _after_fork(self) -> None:
        self.raw._after_fork()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)  # handle, kind, maxvalue, name


_TYPES: Final = {
    "Lock": "lock", "RLock": "rlock", "Semaphore": "semaphore",
    "BoundedSemaphore": "bounded_semaphore",
}  # fmt: skip


def type_of(semlock: Any) -> str:
    """What an object made of one semaphore is to the models."""
    for cls in type(semlock).__mro__:
        if cls.__name__ in _TYPES and cls.__module__ == synchronize.__name__:
            return _TYPES[cls.__name__]
    return "semaphore"


def control(semlock: Any, hub: Hub, name: str) -> Any:
    """Put an object made of one semaphore under control; what it had before."""
    before = semlock._semlock
    semlock._semlock = Semaphore(hub, before, type_of(semlock), name)
    semlock._make_methods()
    return before


def semlock_init(self: Any, kind: int, value: int, maxvalue: int, *, ctx: Any) -> None:
    worker = here()
    ORIGINAL[SEMLOCK, "__init__"](self, kind, value, maxvalue, ctx=ctx)
    if worker is not None:
        control(self, worker.hub, creation_name(type_of(self), worker))
        self._semlock.known(worker)  # so that whoever is forked knows it by the same number


def _named(obj: Any, kind: str, worker: Worker) -> None:
    obj._tracelock_name = creation_name(kind, worker)


# --- conditions ----------------------------------------------------------------------------
def condition_init(self: Any, lock: Any = None, *, ctx: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[CONDITION, "__init__"](self, lock, ctx=ctx)
        return
    lock = lock or ctx.RLock()
    with Uncontrolled(worker):
        ORIGINAL[CONDITION, "__init__"](self, lock, ctx=ctx)
    _named(self, "condition", worker)
    if isinstance(lock._semlock, Semaphore):
        condition_number(self, worker)


def condition_number(self: Any, worker: Worker) -> int:
    """The number of a condition, whose lock has one too."""
    lock = self._lock._semlock.known(worker)
    number = numbered(
        self, worker, "condition", lambda name: ObjectSpec(name, "condition", lock=lock)
    )
    worker.hub.interprocess.add(self._tracelock_bound[1])
    return number


def _controlled(self: Any, worker: Worker | None) -> bool:
    return worker is not None and isinstance(self._lock._semlock, Semaphore)


def condition_wait(self: Any, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None or not _controlled(self, worker):
        return ORIGINAL[CONDITION, "wait"](self, timeout)
    assert self._lock._semlock._is_mine(), "must acquire() condition before using wait()"
    raw = self._lock._semlock.raw
    depth = 0

    def parked() -> None:
        nonlocal depth
        while raw._is_mine():
            raw.release()
            depth += 1

    wait = None if timeout is None else max(0.0, timeout)
    op = Op(WAIT, condition_number(self, worker), caller(worker), None, wait)
    try:
        result = worker.do(op, parked)
    except BaseException:
        for _ in range(depth):  # whoever unwinds releases it as often
            raw.acquire(False)
        raise
    for _ in range(depth):
        if not raw.acquire(False):
            raise ModelMismatch(f"{self._lock._semlock.name} is free, but cannot be had")
    return bool(result)


def condition_notify(self: Any, n: int = 1) -> None:
    worker = here()
    if worker is None or not _controlled(self, worker):
        ORIGINAL[CONDITION, "notify"](self, n)
        return
    assert self._lock._semlock._is_mine(), "lock is not owned"
    worker.do(Op(NOTIFY, condition_number(self, worker), caller(worker), n))


def condition_notify_all(self: Any) -> None:
    worker = here()
    if worker is None or not _controlled(self, worker):
        ORIGINAL[CONDITION, "notify_all"](self)
        return
    assert self._lock._semlock._is_mine(), "lock is not owned"
    worker.do(Op(NOTIFY, condition_number(self, worker), caller(worker), -1))


# --- events --------------------------------------------------------------------------------
def event_init(self: Any, *, ctx: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "__init__"](self, ctx=ctx)
        return
    with Uncontrolled(worker):
        ORIGINAL[EVENT, "__init__"](self, ctx=ctx)
    _named(self, "event", worker)
    event_number(self, worker)


def _flag(self: Any) -> bool:
    return bool(self._flag._semlock._get_value())


def event_number(self: Any, worker: Worker) -> int:
    """The number of an event; it may have been set before there was control."""
    number = numbered(
        self, worker, "event", lambda name: ObjectSpec(name, "flag", value=int(_flag(self)))
    )
    worker.hub.interprocess.add(self._tracelock_bound[1])
    return number


def event_is_set(self: Any) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[EVENT, "is_set"](self))
    worker.step(Op(READ, event_number(self, worker), caller(worker)))
    worker.record(_flag(self))
    return _flag(self)


def event_set(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "set"](self)
        return
    worker.step(Op(SET, event_number(self, worker), caller(worker)))
    if not _flag(self):
        self._flag._semlock.release()


def event_clear(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[EVENT, "clear"](self)
        return
    worker.step(Op(CLEAR, event_number(self, worker), caller(worker)))
    self._flag._semlock.acquire(False)


def event_wait(self: Any, timeout: float | None = None) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[EVENT, "wait"](self, timeout))
    wait = None if timeout is None else max(0.0, timeout)
    return bool(worker.do(Op(WAIT, event_number(self, worker), caller(worker), None, wait)))


replace_methods("multiprocessing", {
    SEMLOCK: {"__init__": semlock_init},
    CONDITION: {
        "__init__": condition_init, "wait": condition_wait, "notify": condition_notify,
        "notify_all": condition_notify_all,
    },
    EVENT: {
        "__init__": event_init, "is_set": event_is_set, "set": event_set, "clear": event_clear,
        "wait": event_wait,
    },
})  # fmt: skip


def adopt(value: Any, hub: Hub, name: str) -> Any:
    """Put an object that a module has had before under control; how that is undone, or None."""
    kind = type(value)
    if issubclass(kind, SEMLOCK):
        if type(value._semlock) is Semaphore:
            return None
        before = control(value, hub, name)

        def undo() -> None:
            value._semlock = before
            value._make_methods()

        return undo
    if issubclass(kind, (CONDITION, EVENT, *_QUEUES)):
        hub.mark(value, name)
    inner = None
    if issubclass(kind, CONDITION):
        inner = adopt(value._lock, hub, f"{name}.lock")
        again = value._make_methods
    elif issubclass(kind, synchronize.Barrier):
        return adopt(value._cond, hub, f"{name}.condition")
    elif issubclass(kind, sharedctypes.SynchronizedBase):
        inner = adopt(value._lock, hub, f"{name}.lock")

        def again() -> None:
            value.acquire, value.release = value._lock.acquire, value._lock.release

    if inner is None:
        return None
    again()

    def undo_both() -> None:
        inner()
        again()

    return undo_both


_QUEUES: Final = (queues.Queue, queues.SimpleQueue)
