"""Models of the objects of ``threading``, ``queue`` and ``multiprocessing``.

The first to come takes what is free, a newcomer as well as one that has waited long, so that
asking for a lock has no effect that others could notice: a blocked acquire is simply an op that
is not enabled yet. Only arriving at a condition, an event or a barrier is visible by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracelock.objects.base import PARKED, Model, Rules
from tracelock.ops import (
    ACQUIRE,
    NOTIFY,
    Op,
    Raised,
    Value,
)


class LockModel(Model):
    """``threading.Lock``, ``multiprocessing.Lock``: held or free; anybody may release it."""

    __slots__ = ("owner", "rules")
    initial = -1
    owner: int

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        super().__init__()

    def enabled(self, op: Op, worker: int) -> bool:
        return self.owner < 0 or op.kind != ACQUIRE or not op.blocking

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if self.owner >= 0:
                return False
            self.owner = worker
            return True
        if self.owner < 0:
            return Raised(self.rules.over_release, "release of a lock that nobody holds")
        self.owner = -1
        return None

    def owned(self, worker: int) -> bool:
        """Whether a condition on this lock lets ``worker`` wait: a Lock only knows it is held."""
        return self.owner >= 0

    def free(self, worker: int) -> bool:
        """Whether ``worker`` could take it now."""
        return self.owner < 0

    def give_up(self, worker: int) -> int | Raised:
        """Release for a wait; returns how often it was held, or what the release raises."""
        self.owner = -1
        return 1

    def take_back(self, worker: int, depth: int) -> None:
        """Take it again after a wait, as often as before."""
        self.owner = worker

    def holders(self) -> tuple[int, ...]:
        return (self.owner,) if self.owner >= 0 else ()

    def snapshot(self) -> Any:
        return self.owner

    def restore(self, state: Any) -> None:
        self.owner = state


class ProcessLockModel(LockModel):
    """``multiprocessing.Lock``: like a lock, but a condition asks whether it is *mine*.

    Which each process answers from its own count of acquires less releases: where one releases
    what another has acquired, neither count is what is so any more.
    """

    __slots__ = ("counts",)
    initial: Any = (-1, ())
    counts: dict[int, int]

    def apply(self, op: Op, worker: int) -> Value:
        result = super().apply(op, worker)
        if result is True:
            self._count(worker, 1)
        elif result is None:
            self._count(worker, -1)
        return result

    def _count(self, worker: int, change: int) -> None:
        count = self.counts.get(worker, 0) + change
        if count:
            self.counts[worker] = count
        else:
            self.counts.pop(worker, None)

    def owned(self, worker: int) -> bool:
        return self.counts.get(worker, 0) > 0

    def give_up(self, worker: int) -> int | Raised:
        depth = self.counts[worker]
        for _ in range(depth):  # more than once only where another has released it for us
            if self.owner < 0:
                return Raised(self.rules.over_release, "release of a lock that nobody holds")
            self.owner = -1
            self._count(worker, -1)
        return depth

    def take_back(self, worker: int, depth: int) -> None:
        self.owner = worker
        self._count(worker, 1)

    def snapshot(self) -> Any:
        return (self.owner, tuple(sorted(self.counts.items())))

    def restore(self, state: Any) -> None:
        self.owner = state[0]
        self.counts = dict(state[1])


class RLockModel(LockModel):
    """``threading.RLock``, ``multiprocessing.RLock``: its owner may take it again."""

    __slots__ = ("depth",)
    initial: Any = (-1, 0)
    depth: int

    def enabled(self, op: Op, worker: int) -> bool:
        return self.owner < 0 or self.owner == worker or op.kind != ACQUIRE or not op.blocking

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if self.owner >= 0 and self.owner != worker:
                return False
            self.owner = worker
            self.depth += 1
            return True
        if self.owner != worker:
            return Raised(self.rules.not_owner, "release of an rlock that another holds, or nobody")
        self.depth -= 1
        if not self.depth:
            self.owner = -1
        return None

    def owned(self, worker: int) -> bool:
        return self.owner == worker

    def free(self, worker: int) -> bool:
        return self.owner < 0 or self.owner == worker

    def give_up(self, worker: int) -> int:
        depth, self.depth, self.owner = self.depth, 0, -1
        return depth

    def take_back(self, worker: int, depth: int) -> None:
        self.owner, self.depth = worker, depth

    def snapshot(self) -> Any:
        return (self.owner, self.depth)

    def restore(self, state: Any) -> None:
        self.owner, self.depth = state


class SemaphoreModel(Model):
    """A counter; ``bound`` is its upper limit for a bounded semaphore, -1 otherwise."""

    __slots__ = ("bound", "initial", "taken", "value")
    value: int

    def __init__(self, value: int, bounded: bool, bound: int = 0) -> None:
        self.initial = value
        self.bound = (bound or value) if bounded else -1
        super().__init__()

    def enabled(self, op: Op, worker: int) -> bool:
        return self.value > 0 or op.kind != ACQUIRE or not op.blocking

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if self.value == 0:
                return False
            self.value -= 1
            self.taken.append(worker)
            return True
        n = op.value
        if n.__class__ is not int or n < 1:
            return Raised("ValueError", "n must be one or more")
        if 0 <= self.bound < self.value + n:
            return Raised("ValueError", "bounded semaphore released too many times")
        self.value += n
        for _ in range(n):
            given_back(self.taken, worker)
        return None

    def holders(self) -> tuple[int, ...]:
        return tuple(self.taken)

    def snapshot(self) -> Any:
        # who took it is for reports only: it decides nothing
        return self.value

    def restore(self, state: Any) -> None:
        self.value = state
        self.taken: list[int] = []


def given_back(taken: list[int], worker: int) -> None:
    """A permit is released: of those who took one, ``worker`` if it did, else the first."""
    if worker in taken:
        taken.remove(worker)
    elif taken:
        taken.pop(0)


class ConditionModel(Model):
    """A condition variable on ``lock``; waiters wake in the order of their arrival.

    With ``rules.notify_any`` (processes) the scheduler says which of them wake.
    """

    __slots__ = ("chosen", "depths", "lock", "notified", "rules", "timed_out", "waiting")
    initial = ((), (), (), ())
    chosen: Sequence[int] | None

    def __init__(self, rules: Rules, lock: LockModel) -> None:
        self.rules = rules
        self.lock = lock
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        if not self.lock.owned(worker):
            verb = "notify" if op.kind == NOTIFY else "wait"
            return Raised(self.rules.not_owner, f"{verb} without holding the condition's lock")
        if op.kind == NOTIFY:
            if self.chosen is None:
                n = len(self.waiting) if op.value == -1 else op.value
                woken = self.waiting[:n] if n > 0 else []
            else:
                woken, self.chosen = list(self.chosen), None
            for waiter in woken:
                self.waiting.remove(waiter)
                if waiter not in self.timed_out:
                    self.notified.add(waiter)
            return woken
        depth = self.lock.give_up(worker)
        if isinstance(depth, Raised):
            return depth
        self.depths[worker] = depth
        self.waiting.append(worker)
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        return (worker in self.notified or worker in self.timed_out) and self.lock.free(worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.lock.take_back(worker, self.depths.pop(worker))
        if worker in self.notified:
            self.notified.remove(worker)
            return True
        self.timed_out.remove(worker)
        if worker in self.waiting:
            self.waiting.remove(worker)
        return False

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return worker in self.waiting and worker not in self.timed_out

    def expire(self, op: Op, worker: int, parked: bool) -> Value:
        # ``threading`` strikes a waiter whose time is up off its list only when it has the lock
        # back, so that a notify in between is wasted on it. ``multiprocessing`` counts it out
        # as soon as it runs again: a notify before that may be wasted on it, or may not.
        self.timed_out.add(worker)
        return PARKED

    def candidates(self, op: Op, worker: int) -> Sequence[int]:
        if not self.lock.owned(worker):
            return ()  # the notify raises
        if not self.rules.notify_any or op.value == -1 or not 0 < op.value < len(self.waiting):
            return ()
        return tuple(self.waiting)

    def choose(self, waiters: Sequence[int]) -> None:
        self.chosen = waiters

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.waiting)

    def snapshot(self) -> Any:
        return (
            tuple(self.waiting),
            frozenset(self.notified),
            frozenset(self.timed_out),
            tuple(sorted(self.depths.items())),
        )

    def restore(self, state: Any) -> None:
        self.waiting: list[int] = list(state[0])
        self.notified: set[int] = set(state[1])
        self.timed_out: set[int] = set(state[2])
        self.depths: dict[int, int] = dict(state[3])
        self.chosen = None
