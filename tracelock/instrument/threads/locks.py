"""Locks under control: what ``threading.Lock()`` and ``RLock()`` give to a worker.

They wrap a real lock. The model says when an acquire can be had; then the real one is taken without
waiting, and must be free: the model is checked against reality at every step.
"""

from __future__ import annotations

import _thread
import threading
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.contexts import identity
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
            self.number = hub.number_for(
                ObjectSpec(hub.bind(self, self.name, self.born), self.type)
            )
            if self._held():
                hub.controller.models[self.number].take_back(hub.outside, 1)  # type: ignore
        return self.number

    def _held(self) -> bool:
        return bool(self.raw.locked())

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.uncontrolled:
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
        if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
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
        if worker is not None and not worker.uncontrolled and worker.hub.phase is not Phase.UNWIND:
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
        if worker is not None and not worker.uncontrolled and worker.hub.phase is not Phase.UNWIND:
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
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        return new_lock()
    return Lock(worker.hub, new_lock(), creation_name("lock", worker), worker.hub.schedule)


def make_rlock() -> Any:
    """``threading.RLock()``: under control where a worker makes it."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        return new_rlock()
    return RLock(worker.hub, new_rlock(), creation_name("rlock", worker), worker.hub.schedule)


replace("threading.Lock", make_lock, CONTROLLED, threading)
replace("_thread.allocate_lock", make_lock, CONTROLLED, _thread)
replace("threading.RLock", make_rlock, CONTROLLED, threading)
replace("_thread.RLock", make_rlock, CONTROLLED, _thread)


def wrap(hub: Hub, raw: Any, name: str) -> Any:
    """A stand-in for a real lock; anything else as it is."""
    if isinstance(raw, RAW_LOCK):
        return Lock(hub, raw, name or f"lock@{caller()}")
    if isinstance(raw, RAW_RLOCK):
        return RLock(hub, raw, name or f"rlock@{caller()}")
    return raw


class StandIns:
    """Controlled locks for those that were created before control began, one for each."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._known: dict[int, Any] = {}
        self._counts: dict[str, int] = {}
        self._raws: list[object] = []  # so that an address stays what it is

    def __call__(self, raw: object, name: str = "") -> Any:
        """The controlled lock for a real one; anything else as it is."""
        known = self._known.get(identity(raw))
        if known is None:
            known = wrap(self.hub, raw, name)
            if known is raw:
                return raw
            count = self._counts[known.name] = self._counts.get(known.name, 0) + 1
            if count > 1:
                known.name = f"{known.name}#{count}"
            self._known[identity(raw)] = known
            self._raws.append(raw)
        return known
