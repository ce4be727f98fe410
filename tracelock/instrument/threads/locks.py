"""Locks under control: what ``threading.Lock()`` and ``RLock()`` give to a worker.

They wrap a real lock. The model says when an acquire can be had; then the real one is taken without
waiting, and must be free: the model is checked against reality at every step.
"""

from __future__ import annotations

import _thread
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, made_at
from tracelock.instrument.hub import Hub, Phase, contexts, get_ident
from tracelock.instrument.patching import CONTROLLED, replace
from tracelock.instrument.worker import Worker
from tracelock.ops import ACQUIRE, READ, RELEASE, ObjectSpec, Op

RAW_LOCK: Final[Any] = _thread.LockType
RAW_RLOCK: Final[Any] = _thread.RLock
new_lock: Final = _thread.allocate_lock
new_rlock: Final = _thread.RLock


class Lock:
    """A lock under control. Outside a schedule, and on other threads, it is the real lock."""

    __slots__ = ("__weakref__", "born", "hub", "name", "number", "raw", "schedule")
    type = "lock"

    def __init__(self, hub: Hub, raw: Any, name: str, born: int = 0) -> None:
        self.hub = hub
        self.raw = raw
        self.name = name
        self.born = born
        self.number = -1
        self.schedule = 0

    def known(self, worker: Worker) -> int:
        """Its number in the current schedule."""
        hub = self.hub
        if self.schedule != hub.schedule:
            self.schedule = hub.schedule
            self.number = hub.thing(ObjectSpec(hub.bind(self, self.name, self.born), self.type))
            if self._held():
                hub.controller.models[self.number].take_back(hub.outside, 1)  # type: ignore
        return self.number

    def _held(self) -> bool:
        return bool(self.raw.locked())

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.through:
            return bool(self.raw.acquire(blocking, timeout))
        if timeout is not None and timeout != -1 and (not blocking or timeout < 0):
            return bool(self.raw.acquire(blocking, timeout))  # raises
        wait = timeout if timeout is not None and timeout > 0 else None
        blocking = bool(blocking) and timeout != 0
        op = Op(ACQUIRE, self.known(worker), caller(worker), None, wait, blocking)
        got = bool(worker.do(op))
        if got and not self.raw.acquire(False):
            raise ModelMismatch(f"{self.name} is free, but the real lock cannot be had")
        return got

    __enter__ = acquire

    def release(self) -> None:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.through or worker.hub.phase is Phase.UNWIND:
            self.raw.release()
            return
        op = Op(RELEASE, self.known(worker), caller(worker))
        result = worker.step(op)
        if result is not None:
            self.raw.release()  # raises as the real one does
            raise ModelMismatch(f"{self.name}: {result.message}, but the real lock was released")
        self.raw.release()

    def __exit__(self, *exc: object) -> None:
        self.release()

    def locked(self) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is not None and not worker.through and worker.hub.phase is not Phase.UNWIND:
            worker.step(Op(READ, self.known(worker), caller(worker)))
            worker.record(self.raw.locked())
        return bool(self.raw.locked())

    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def _at_fork_reinit(self) -> None:
        self.raw._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<{self.name} of {self.raw!r}>"


class RLock(Lock):
    """A reentrant lock under control."""

    __slots__ = ()
    type = "rlock"

    def _held(self) -> bool:
        return repr(self.raw).startswith("<locked")

    def locked(self) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is not None and not worker.through and worker.hub.phase is not Phase.UNWIND:
            worker.step(Op(READ, self.known(worker), caller(worker)))
        return self._held()

    # what threading.Condition looks for
    def _is_owned(self) -> bool:
        return bool(self.raw._is_owned())

    def _release_save(self) -> Any:
        return self.raw._release_save()

    def _acquire_restore(self, saved: Any) -> None:
        self.raw._acquire_restore(saved)


def make_lock() -> Any:
    """``threading.Lock()``: under control where a worker makes it."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.through or worker.hub.phase is Phase.UNWIND:
        return new_lock()
    return Lock(worker.hub, new_lock(), made_at("lock", worker), worker.hub.schedule)


def make_rlock() -> Any:
    """``threading.RLock()``: under control where a worker makes it."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.through or worker.hub.phase is Phase.UNWIND:
        return new_rlock()
    return RLock(worker.hub, new_rlock(), made_at("rlock", worker), worker.hub.schedule)


for _name, _make, _owner in (
    ("threading.Lock", make_lock, None),
    ("_thread.allocate_lock", make_lock, _thread),
    ("threading.RLock", make_rlock, None),
    ("_thread.RLock", make_rlock, _thread),
):
    replace(_name, _make, CONTROLLED, _owner)


def wrap(hub: Hub, raw: Any, name: str) -> Any:
    """A stand-in for a real lock; anything else as it is."""
    if isinstance(raw, RAW_LOCK):
        return Lock(hub, raw, name or f"lock@{caller()}")
    if isinstance(raw, RAW_RLOCK):
        return RLock(hub, raw, name or f"rlock@{caller()}")
    return raw


def stand_in(hub: Hub, raw: object) -> object:
    """What stands in for a lock that was made before there was any control."""
    return hub.stand_ins.of(raw)
