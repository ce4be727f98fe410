"""Models of the objects of ``anyio`` as they are on trio: first in line, first served.

Written after the sources of anyio 4 and trio 0.35. Trio takes a cancelled task out of the line at
once, and cannot cancel a wait any more that has been woken. Where an operation did not have to
wait, trio lets others run after it (a *checkpoint*): ``paused`` says so.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.objects.base import PARKED, Model
from tracelock.objects.lines import tries
from tracelock.objects.locks import given_back
from tracelock.ops import ACQUIRE, NOTIFY, SET, Op, Raised, Value

_BROKEN: Final = Raised("BrokenResourceError", "the lock's owner ended without releasing it")


class LotModel(Model):
    """One with a parking lot: a worker let out of it can go on, and cannot be cancelled then."""

    __slots__ = ("lot", "paused")
    lot: list[int]

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return worker in self.lot

    def strike(self, op: Op, worker: int) -> bool:
        if worker not in self.lot:
            return False
        self.lot.remove(worker)
        return True

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.lot)


class AnyioLockModel(LotModel):
    """``anyio.Lock``: it has an owner, and breaks if that ends without releasing it."""

    __slots__ = ("broken", "handed", "owner")
    initial = (-1, False, (), ())
    broken: bool
    owner: int

    def apply(self, op: Op, worker: int) -> Value:
        self.paused = False
        if op.kind != ACQUIRE:
            if self.owner != worker:
                return Raised("RuntimeError", "release of a lock that this worker does not hold")
            self.give_up()
            return None
        if self.owner == worker:
            return Raised("RuntimeError", "a worker cannot take its own lock again")
        trying = tries(op)
        if self.owner < 0:
            self.owner = worker
            self.paused = not trying
            return True
        if trying:
            return False
        if self.broken:
            return _BROKEN
        self.lot.append(worker)
        return PARKED

    def give_up(self) -> None:
        """Release it: the first in line has it from now on."""
        if self.lot:
            self.owner = self.lot.pop(0)
            self.handed[self.owner] = True
        else:
            self.owner = -1

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.handed

    def finish(self, op: Op, worker: int) -> Value:
        self.paused = False
        return True if self.handed.pop(worker) else _BROKEN

    def leave(self, worker: int) -> None:
        if self.owner == worker and not self.broken:
            self.broken = True
            self.handed.update(dict.fromkeys(self.lot, False))
            self.lot.clear()

    def holders(self) -> tuple[int, ...]:
        return (self.owner,) if self.owner >= 0 else ()

    def snapshot(self) -> Any:
        return (self.owner, self.broken, tuple(self.lot), tuple(self.handed.items()))

    def restore(self, state: Any) -> None:
        self.owner, self.broken, lot, handed = state
        self.lot = list(lot)
        self.handed: dict[int, bool] = dict(handed)  # woken, not gone on: has it the lock now?


class AnyioSemaphoreModel(LotModel):
    """``anyio.Semaphore``; ``bound`` is its ``max_value``, -1 for none."""

    __slots__ = ("bound", "handed", "initial", "taken", "value")
    value: int

    def __init__(self, value: int, bounded: bool) -> None:
        self.initial = (value, (), ())
        self.bound = value if bounded else -1
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        self.paused = False
        if op.kind == ACQUIRE:
            trying = tries(op)
            if self.value > 0:
                self.value -= 1
                self.taken.append(worker)
                self.paused = not trying
                return True
            if trying:
                return False
            self.lot.append(worker)
            return PARKED
        n = 1 if op.value is None else op.value
        if n.__class__ is not int or n < 1:
            return Raised("ValueError", "n must be one or more")
        for _ in range(n):
            if self.lot:
                self.handed.add(self.lot.pop(0))
            elif self.value == self.bound:
                return Raised("ValueError", "bounded semaphore released too many times")
            else:
                self.value += 1
            given_back(self.taken, worker)
        return None

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.handed

    def finish(self, op: Op, worker: int) -> Value:
        self.paused = False
        self.handed.discard(worker)
        self.taken.append(worker)
        return True

    def holders(self) -> tuple[int, ...]:
        return tuple(self.taken)

    def snapshot(self) -> Any:
        # who took it is for reports only: it decides nothing
        return (self.value, tuple(self.lot), frozenset(self.handed))

    def restore(self, state: Any) -> None:
        self.value, lot, handed = state
        self.lot = list(lot)
        self.handed: set[int] = set(handed)
        self.taken: list[int] = []


class AnyioConditionModel(Model):
    """``anyio.Condition`` on ``lock``.

    Taking the lock back cannot be cancelled. A waiter that was cancelled, and then notified
    before it ran, notifies the next.
    """

    __slots__ = ("line", "lock", "paused", "relocking", "struck", "woken")

    initial = ((), (), (), ())

    def __init__(self, lock: AnyioLockModel) -> None:
        self.lock = lock
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        self.paused = False
        if self.lock.owner != worker:
            verb = "notify" if op.kind == NOTIFY else "wait"
            return Raised("RuntimeError", f"{verb} without holding the condition's lock")
        if op.kind == NOTIFY:
            n = len(self.line) if op.value == -1 else max(0, op.value)
            return self._notify(n)
        self.line.append(worker)
        self.lock.give_up()
        return PARKED

    def _notify(self, n: int) -> list[int]:
        notified = self.line[:n]
        del self.line[:n]
        self.woken.update(worker for worker in notified if worker not in self.struck)
        return notified

    def ready(self, op: Op, worker: int) -> bool:
        has = self.relocking.get(worker)
        if has is None:
            return worker in self.woken
        return has or self.lock.ready(op, worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.paused = False
        has = self.relocking.pop(worker, None)
        if has is not None:
            return True if has else self.lock.finish(op, worker)
        self.woken.discard(worker)
        if self.lock.owner < 0:
            self.lock.owner = worker
            self.paused = True
            return True
        return self._relock(worker)

    def _relock(self, worker: int) -> Value:
        if self.lock.broken:
            return _BROKEN
        has = self.lock.owner < 0
        if has:
            self.lock.owner = worker
        else:
            self.lock.lot.append(worker)
        self.relocking[worker] = has
        return PARKED

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return parked and worker not in self.woken and worker not in self.relocking

    def strike(self, op: Op, worker: int) -> bool:
        if worker in self.woken or worker in self.relocking:
            return False
        self.struck.add(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.struck.discard(worker)
        if worker in self.line:
            self.line.remove(worker)
        else:
            self._notify(1)
        return self._relock(worker)

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line)

    def snapshot(self) -> Any:
        return (
            tuple(self.line), frozenset(self.struck), frozenset(self.woken),
            tuple(self.relocking.items()),
        )  # fmt: skip

    def restore(self, state: Any) -> None:
        line, struck, woken, relocking = state
        self.line: list[int] = list(line)
        self.struck: set[int] = set(struck)
        self.woken: set[int] = set(woken)  # notified, not gone on
        self.relocking: dict[int, bool] = dict(relocking)  # true: has the lock, still paused


class AnyioEventModel(Model):
    """``anyio.Event``: once set, always set. Waiting for a set one is a checkpoint."""

    __slots__ = ("flag", "line", "passing", "woken")
    initial = (False, (), (), ())
    flag: bool

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == SET:
            self.flag = True
            self.woken.update(self.line)
            self.line.clear()
            return None
        if tries(op):
            return self.flag
        if self.flag:
            self.passing.add(worker)
        else:
            self.line.append(worker)
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.woken or worker in self.passing

    def finish(self, op: Op, worker: int) -> Value:
        self.woken.discard(worker)
        self.passing.discard(worker)
        return True

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return worker in self.line or worker in self.passing

    def strike(self, op: Op, worker: int) -> bool:
        if worker in self.woken:
            return False
        if worker in self.line:
            self.line.remove(worker)
        self.passing.discard(worker)
        return True

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line)

    def snapshot(self) -> Any:
        return (self.flag, tuple(self.line), frozenset(self.woken), frozenset(self.passing))

    def restore(self, state: Any) -> None:
        self.flag, line, woken, passing = state
        self.line: list[int] = list(line)
        self.woken: set[int] = set(woken)
        self.passing: set[int] = set(passing)  # at the checkpoint
