"""Locks under control: what ``threading.Lock()`` and ``RLock()`` give to a worker."""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import (
    caller,
    creation_name,
    name_slots,
    place_in,
    place_of,
    same_ops,
    synchronising,
)
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import contexts, get_ident
from tracelock.instrument.patching import patch
from tracelock.instrument.primitives import LockStandIn, time_limit, too_long
from tracelock.instrument.worker import RUN, Worker, here
from tracelock.ops import ACQUIRE, RELEASE, Op

RAW_LOCK: Final[Any] = _thread.LockType
RAW_RLOCK: Final[Any] = _thread.RLock
#: The time limit of an acquire that waits for as long as it takes.
_NO_LIMIT: Final = -1


class ControlledLock(LockStandIn):
    """A lock of ``threading`` under control."""

    __slots__ = ()
    type = "lock"

    def _held(self) -> bool:
        return bool(self.raw.locked())

    def _owned(self) -> bool:
        return False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.uncontrolled:
            return bool(self.raw.acquire(blocking, timeout))
        if blocking is True and timeout is _NO_LIMIT:
            number = self.number if self.schedule == worker.hub.schedule else self.known(worker)
            frame = sys._getframe(1)
            same = same_ops.get((number, ACQUIRE, identity(frame.f_code), frame.f_lasti))
            got = worker.step(self._op(number, ACQUIRE, frame) if same is None else same[1])
            if got and not self.raw.acquire(False):
                raise ModelMismatch(f"{self.name} is free, but the real lock cannot be had")
            return bool(got)
        limit = time_limit(timeout)
        if limit is None or (timeout != -1 and (not blocking or limit < 0 or too_long(limit))):
            return bool(self.raw.acquire(blocking, timeout))  # raises
        return self._acquire(worker, limit if limit > 0 else None, bool(blocking) and limit != 0)

    __enter__ = acquire

    def _op(self, number: int, kind: int, frame: FrameType) -> Op:
        """What ``frame`` does with the lock of this number: acquire, for as long as it takes, or
        release. Of locks the same object each time; those of an rlock are made anew, since there
        may be two of them in a row at one place."""
        at = place_of(frame)
        if at is None or self.type != "lock":
            return Op(kind, number, at or place_in(frame))
        op = Op(kind, number, at)
        same_ops[number, kind, identity(frame.f_code), frame.f_lasti] = frame.f_code, op
        return op

    def __exit__(self, *exc: Any) -> None:
        worker: Worker | None = contexts.get(get_ident())
        if (
            worker is None or worker.uncontrolled or worker.hub.phase is not RUN
            or not exc or exc[0] is not None
        ):  # fmt: skip
            super().__exit__(*exc)
            return
        number = self.number if self.schedule == worker.hub.schedule else self.known(worker)
        frame = sys._getframe(1)
        same = same_ops.get((number, RELEASE, identity(frame.f_code), frame.f_lasti))
        op = self._op(number, RELEASE, frame) if same is None else same[1]
        result: Any = worker.step(op)
        self.raw.release()  # raises as the real one does
        if result is not None:
            raise ModelMismatch(f"{self.name}: {result.message}, but the real lock was released")

    def locked(self) -> bool:
        return bool(self._read(self._held))

    acquire_lock = acquire
    release_lock = LockStandIn.release
    locked_lock = locked

    def _at_fork_reinit(self) -> None:
        self.raw._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<{self.name} of {self.raw!r}>"


class ControlledRLock(ControlledLock):
    """A reentrant lock under control."""

    __slots__ = ()
    type = "rlock"

    def _held(self) -> bool:
        return repr(self.raw).startswith("<locked")

    def _owned(self) -> bool:
        return bool(self.raw._is_owned())

    def free(self) -> None:
        if self._held():
            self.raw._at_fork_reinit()  # whoever holds it

    # what ``threading.Condition`` looks for, and what classes like it use
    _is_owned = _owned

    def _recursion_count(self) -> int:
        return int(self.raw._recursion_count())

    def _release_save(self) -> Any:
        worker = here()
        if worker is None or not self._owned():
            return self.raw._release_save()  # raises where it is not held
        saved = self.raw._release_save()  # there is no other way to ask how often it is held
        self.raw._acquire_restore(saved)
        number, at = self.known(worker), caller(worker)
        for _ in range(saved[0]):
            worker.do(Op(RELEASE, number, at))
        return self.raw._release_save()

    def _acquire_restore(self, saved: Any) -> None:
        worker: Worker | None = contexts.get(get_ident())
        if worker is None or worker.uncontrolled:
            self.raw._acquire_restore(saved)
        elif worker.hub.unwinding:
            self.take_back(saved[0], True)
        else:
            number, at = self.known(worker), caller(worker)
            for _ in range(saved[0]):
                worker.do(Op(ACQUIRE, number, at))
            self.take_back(saved[0], False)


synchronising.update(map(identity, (ControlledLock, ControlledRLock)))
name_slots.append((LockStandIn, vars(LockStandIn)["name"].__get__))
# a trace shows a value by the name of its type
ControlledLock.__name__, ControlledRLock.__name__ = "Lock", "RLock"
#: The stand-in of each type of lock, and what gives a real one.
_TYPES: Final[dict[str, tuple[type[ControlledLock], Callable[[], Any]]]] = {
    "lock": (ControlledLock, _thread.allocate_lock), "rlock": (ControlledRLock, _thread.RLock),
}  # fmt: skip


def new_lock(worker: Worker, type_: str, name: str) -> ControlledLock:
    """A lock of this type that a worker creates."""
    stand_in, real = _TYPES[type_]
    return stand_in(real(), name, worker.hub.schedule)


def _control(type_: str, *names: str) -> None:
    def make(worker: Worker, real: Any) -> Any:
        if worker.importing:
            return real()  # it lives on with the module: see ``imports``
        return new_lock(worker, type_, creation_name(type_, worker))

    for name in names:
        patch(name)(make)


_control("lock", "threading.Lock", "_thread.allocate_lock")
_control("rlock", "threading.RLock", "_thread.RLock")


class StandIns:
    """Controlled locks for those that were created before control began, one for each."""

    def __init__(self) -> None:
        self._known: dict[int, ControlledLock] = {}
        self._counts: dict[str, int] = {}

    def forget(self) -> None:
        """Control is over."""
        self._known.clear()
        self._counts.clear()

    def __call__(self, raw: Any, name: str = "") -> Any:
        """The controlled lock for a real one; anything else as it is."""
        known = self._known.get(identity(raw))
        if known is None:
            type_ = "lock" if isinstance(raw, RAW_LOCK) else "rlock"
            if type_ == "rlock" and not isinstance(raw, RAW_RLOCK):
                return raw
            name = name or f"{type_}@{caller()}"
            count = self._counts[name] = self._counts.get(name, 0) + 1
            # it keeps the lock, whose address stays its own
            known = self._known[identity(raw)] = _TYPES[type_][0](
                raw, name if count == 1 else f"{name}#{count}"
            )
        return known
