"""The conditions, semaphores and events of ``threading``."""

from __future__ import annotations

import threading
from typing import Any

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.primitives import (
    BODY,
    ConditionMethods,
    EventMethods,
    LockStandIn,
    Primitive,
    refuse,
    time_limit,
    too_long,
)
from tracelock.instrument.threads.locks import RAW_LOCK, RAW_RLOCK, ControlledLock, new_lock
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import ACQUIRE, RELEASE, ObjectSpec, Op


class ThreadConditions(ConditionMethods):
    def init(self, worker: Worker, real: Any, condition: Any, lock: Any = None) -> None:
        if worker.importing:
            real(condition, lock)
            return
        name = creation_name(self.kind, worker)
        real(condition, new_lock(worker, "rlock", f"{name}.lock") if lock is None else lock)
        self.name(condition, name, worker)

    def lock(self, condition: Any, worker: Worker) -> LockStandIn | None:
        lock = condition._lock
        if isinstance(lock, (RAW_LOCK, RAW_RLOCK)):
            lock = worker.hub.stand_in(lock, f"{self.bound_name(condition, worker)}.lock")
        return lock if isinstance(lock, ControlledLock) else None

    def wait(self, worker: Worker, real: Any, condition: Any, timeout: float | None = None) -> bool:
        timeout = time_limit(timeout, 0.0)
        if too_long(timeout):
            refuse()
        return super().wait(worker, real, condition, timeout)

    def enter(self, worker: Worker, real: Any, condition: Any) -> Any:
        lock: Any = self.lock(condition, worker)
        return real(condition) if lock is None else lock.__enter__()

    def exit(self, worker: Worker, real: Any, condition: Any, *exc: object) -> Any:
        lock = self.lock(condition, worker)
        return real(condition, *exc) if lock is None else lock.__exit__(*exc)


class ThreadSemaphores(Primitive):
    kind = "semaphore"

    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        if isinstance(obj, threading.BoundedSemaphore):
            most = obj._initial_value  # type: ignore[attr-defined]
            return ObjectSpec(name, "bounded_semaphore", value=obj._value, maxsize=most)
        return ObjectSpec(name, "semaphore", value=obj._value)

    def acquire(self, worker: Worker, real: Any, semaphore: Any, blocking: bool = True,
                timeout: float | None = None) -> bool:  # fmt: skip
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        limit, blocking = self.limits(blocking, time_limit(timeout))
        endless = too_long(limit)
        if endless:
            limit, blocking = None, False
        number = self.number(semaphore, worker)
        got = bool(worker.do(Op(ACQUIRE, number, caller(worker, BODY), None, limit, blocking)))
        if endless and not got:
            refuse()
        if got:
            with Uncontrolled(worker):
                if not real(semaphore, False):
                    name = self.bound_name(semaphore, worker)
                    raise ModelMismatch(f"{name} has no permit left")
        return got

    enter = acquire

    def release(self, worker: Worker, real: Any, semaphore: Any, n: int = 1) -> None:
        number = self.number(semaphore, worker)
        result: Any = worker.step(Op(RELEASE, number, caller(worker, BODY), n))
        with Uncontrolled(worker):
            real(semaphore, n)  # raises as it always does
        if result is not None:
            raise ModelMismatch(f"{self.bound_name(semaphore, worker)}: {result.message}")


class ThreadEvents(EventMethods):
    def flag(self, event: Any) -> bool:
        return bool(event._flag)

    def wait(self, worker: Worker, real: Any, event: Any, timeout: float | None = None) -> bool:
        timeout = time_limit(timeout, 0.0)
        if timeout is not None and timeout <= 0:
            return self.is_set(worker, real, event)
        if too_long(timeout):
            return self.is_set(worker, real, event) or refuse()
        return super().wait(worker, real, event, timeout)


conditions = ThreadConditions()
conditions.declare(
    "threading.Condition", threading.Condition, __name__,
    "__init__", "__enter__", "__exit__", "wait", "notify", "notify_all",
)  # fmt: skip
_semaphores = ThreadSemaphores()
_semaphores.declare(
    "threading.Semaphore", threading.Semaphore, __name__,
    "__init__", "acquire", "__enter__", "release",
)  # fmt: skip
_semaphores.declare("threading.BoundedSemaphore", threading.BoundedSemaphore, __name__, "release")
ThreadEvents().declare(
    "threading.Event", threading.Event, __name__, "__init__", "is_set", "set", "clear", "wait"
)
