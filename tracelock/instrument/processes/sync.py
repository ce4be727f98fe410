"""The synchronisation objects of ``multiprocessing``.

All of them consist of one kind of semaphore, which gets a stand-in here; locks and semaphores are
no more than that. A condition and an event are ops of their own: their inner semaphores stay as
they are. A barrier is the standard library's code on such a condition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing import queues, sharedctypes, synchronize
from typing import Any, Final

from tracelock.instrument.callers import creation_name
from tracelock.instrument.hub import Hub, contexts, get_ident
from tracelock.instrument.patching import patch
from tracelock.instrument.primitives import ConditionMethods, EventMethods, LockStandIn, Primitive
from tracelock.instrument.worker import Worker
from tracelock.ops import ObjectSpec

_SEMLOCK: Final = synchronize.SemLock
#: What an object that consists of one semaphore is to the models.
_TYPES: Final = {
    synchronize.Lock: "lock", synchronize.RLock: "rlock", synchronize.Semaphore: "semaphore",
    synchronize.BoundedSemaphore: "bounded_semaphore",
}  # fmt: skip


def _limit(timeout: Any) -> float | None:
    """A time limit as the semaphores of C take it: any number, and none below zero."""
    limit: Any = None if timeout is None else max(0.0, timeout)
    return limit if limit is None or type(limit) is int else float(limit)


class ControlledSemLock(LockStandIn):
    """A semaphore of the system under control, as the objects of ``multiprocessing`` use it."""

    __slots__ = ("permits", "type")

    def __init__(self, semlock: Any, name: str) -> None:
        super().__init__(semlock._semlock, name)
        types = (_TYPES[cls] for cls in type(semlock).__mro__ if cls in _TYPES)
        self.type = next(types, "semaphore")
        self.permits = None if self._is_lock() else 1

    def _is_lock(self) -> bool:
        return self.type in ("lock", "rlock")

    def _spec(self, hub: Hub, name: str) -> ObjectSpec:
        hub.interprocess.add(name)
        if self._is_lock():
            return ObjectSpec(name, self.type)
        most = self.raw.maxvalue if self.type == "bounded_semaphore" else 0
        return ObjectSpec(name, self.type, value=self.raw._get_value(), maxsize=most)

    def _held(self) -> bool:
        return self._is_lock() and not self.raw._get_value()

    def free(self) -> None:
        if self._held():
            with contextlib.suppress(AssertionError, ValueError):
                self.raw.release()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.uncontrolled:
            return bool(self.raw.acquire(block, timeout))
        limit = _limit(timeout) if block else None
        return self._acquire(worker, limit, bool(block))

    def __enter__(self) -> bool:
        return self.acquire()

    def _get_value(self) -> int:
        return int(self._read(self.raw._get_value))

    def _is_zero(self) -> bool:
        return bool(self._read(self.raw._is_zero))

    def _owned(self) -> bool:
        return bool(self.raw._is_mine())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)  # handle, kind, maxvalue, name, _count, _is_mine


def _control(semlock: Any, stand_in: Any) -> None:
    semlock._semlock = stand_in
    semlock._make_methods()


@patch("multiprocessing.SemLock.__init__", of=_SEMLOCK)
def _semlock_init(worker: Worker, real: Any, semlock: Any, *args: Any, **kwargs: Any) -> None:
    real(semlock, *args, **kwargs)
    if worker.importing:
        return
    stand_in = ControlledSemLock(semlock, "")
    stand_in.name = creation_name(stand_in.type, worker)
    _control(semlock, stand_in)
    stand_in.known(worker)  # so that a process that is forked knows it by the same number


class Interprocess(Primitive):
    """What the objects of ``multiprocessing`` have in common: forked processes share them."""

    def name(self, obj: Any, name: str, worker: Worker) -> None:
        obj._tracelock_name = name
        self.number(obj, worker)  # so that a process that is forked knows it by the same number

    def bound_name(self, obj: Any, worker: Worker) -> str:
        name = super().bound_name(obj, worker)
        worker.hub.interprocess.add(name)
        return name

    def timeout(self, timeout: float | None) -> float | None:
        return _limit(timeout)

    def limits(self, block: Any, timeout: float | None) -> tuple[float | None, bool]:
        return self.timeout(timeout) if block else None, bool(block)


class ProcessConditions(Interprocess, ConditionMethods):
    def init(
        self, worker: Worker, real: Any, condition: Any, lock: Any = None, *, ctx: Any
    ) -> None:
        super().init(worker, real, condition, lock or ctx.RLock(), ctx=ctx)

    def number(self, obj: Any, worker: Worker) -> int:
        return 0 if self.lock(obj, worker) is None else super().number(obj, worker)

    def lock(self, condition: Any, worker: Worker) -> LockStandIn | None:
        lock = condition._lock._semlock
        return lock if isinstance(lock, ControlledSemLock) else None

    def must_own(self, lock: LockStandIn, message: str) -> None:
        assert lock._owned(), message


class ProcessEvents(Interprocess, EventMethods):
    def flag(self, event: Any) -> bool:
        return bool(event._flag._semlock._get_value())


ProcessConditions().declare(  # it is entered by way of its lock
    "multiprocessing.Condition", synchronize.Condition, __name__,
    "__init__", "wait", "notify", "notify_all",
)  # fmt: skip
ProcessEvents().declare(
    "multiprocessing.Event", synchronize.Event, __name__,
    "__init__", "is_set", "set", "clear", "wait",
)  # fmt: skip


def adopt(value: Any, hub: Hub, name: str) -> Callable[[], None] | None:
    """Put an object that a module has had before under control; how that is undone, or None."""
    cls = type(value)
    if issubclass(cls, _SEMLOCK):
        before = value._semlock
        if type(before) is ControlledSemLock:
            return None
        _control(value, ControlledSemLock(value, name))
        return lambda: _control(value, before)
    if issubclass(cls, synchronize.Barrier):
        return adopt(value._cond, hub, f"{name}.condition")
    if issubclass(cls, (synchronize.Condition, synchronize.Event, *_QUEUES)):
        hub.mark(value, name)
    if not issubclass(cls, (synchronize.Condition, sharedctypes.SynchronizedBase)):
        return None
    undo_lock = adopt(value._lock, hub, f"{name}.lock")
    if undo_lock is None:
        return None

    def rebind() -> None:  # it has the methods of its lock
        value.acquire, value.release = value._lock.acquire, value._lock.release

    def undo() -> None:
        undo_lock()
        rebind()

    rebind()
    return undo


_QUEUES: Final = (queues.Queue, queues.SimpleQueue)
