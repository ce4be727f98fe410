"""Models of the objects of ``asyncio``: first in line, first served, cancellation included.

Written after the sources of CPython 3.11 to 3.13 (``asyncio/locks.py``, ``asyncio/queues.py``).
There a waiting task is a future in a line. What decides is the state of that future: *pending*,
*woken* (it has its result, its task has not run yet) or *struck* (cancelled, its task has not run
yet). A task that was woken can still be cancelled; then it passes on what it was given. Here are
the locks; events, barriers and queues are in ``asyncio_waits``.
"""

from __future__ import annotations

from typing import Any

from tracelock.objects.base import PARKED, Rules
from tracelock.objects.lines import PENDING, STRUCK, WOKEN, LineModel, tries
from tracelock.objects.locks import given_back
from tracelock.ops import ACQUIRE, NOTIFY, Op, Raised, Value


class AsyncioLockModel(LineModel):
    """``asyncio.Lock``: a released lock belongs to the first in line as soon as it runs."""

    __slots__ = ("locked", "owner")
    initial = (False, -1, ())
    locked: bool
    owner: int

    def take(self, worker: int) -> bool:
        """Take it at once, or go to the end of the line."""
        states = self.line.states
        if self.locked or (states and any(state != STRUCK for state in states.values())):
            return False
        self.locked, self.owner = True, worker
        return True

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if self.take(worker):
                return True
            if tries(op):
                return False
            self.line.join(worker)
            return PARKED
        if not self.locked:
            return Raised("RuntimeError", "release of a lock that nobody holds")
        self.give_up()
        return None

    def give_up(self) -> None:
        """Release it."""
        self.locked, self.owner = False, -1
        self._wake_first()

    def _wake_first(self) -> None:
        states = self.line.states
        if states:
            first = next(iter(states))
            # a first in line whose future is done already is about to run
            if states[first] == PENDING:
                states[first] = WOKEN

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        self.locked, self.owner = True, worker
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        if not self.locked:
            self._wake_first()
        return None

    def holders(self) -> tuple[int, ...]:
        return (self.owner,) if self.owner >= 0 else ()

    def snapshot(self) -> Any:
        return (self.locked, self.owner, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.locked, self.owner, line = state
        self.line.thaw(line)


class AsyncioSemaphoreModel(LineModel):
    """``asyncio.Semaphore``; a release hands its permit to the first in line.

    ``bound``: upper limit of a bounded semaphore, -1 for none.
    """

    __slots__ = ("bound", "initial", "rules", "taken", "value")
    value: int

    def __init__(self, rules: Rules, value: int, bounded: bool) -> None:
        self.rules = rules
        self.initial = (value, ())
        self.bound = value if bounded else -1
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            if self.value > 0 and all(s == STRUCK for s in self.line.states.values()):
                self.value -= 1
                self.taken.append(worker)
                return True
            if tries(op):
                return False
            self.line.join(worker)
            return PARKED
        n = 1 if op.value is None else op.value
        if n.__class__ is not int or n < 1:
            return Raised("ValueError", "n must be one or more")
        for _ in range(n):
            if 0 <= self.bound <= self.value:
                return Raised("ValueError", "bounded semaphore released too many times")
            self.value += 1
            given_back(self.taken, worker)
            self._wake_next()
        return None

    def _wake_next(self) -> bool:
        if not self.line.wake(1):
            return False
        self.value -= 1  # the permit is the woken task's from now on
        return True

    def _wake_more(self) -> None:
        if self.rules.wakes_all:
            while self.value > 0 and self._wake_next():
                pass
        elif self.value > 0:
            self._wake_next()

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        self.taken.append(worker)
        self._wake_more()
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        if self.line.leave(worker) == WOKEN:
            self.value += 1
            self._wake_more()
        elif self.rules.wakes_all:
            self._wake_more()
        return None

    def holders(self) -> tuple[int, ...]:
        return tuple(self.taken)

    def snapshot(self) -> Any:
        # who took it is for reports only: it decides nothing
        return (self.value, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.value, line = state
        self.line.thaw(line)
        self.taken: list[int] = []


class AsyncioConditionModel(LineModel):
    """``asyncio.Condition`` on ``lock``. A waiter that was woken queues for the lock again.

    Only that the lock is held is asked of who waits or notifies, not by whom.
    """

    __slots__ = ("cut", "lock", "relocking", "rules")
    initial = ((), (), ())

    def __init__(self, rules: Rules, lock: AsyncioLockModel) -> None:
        self.rules = rules
        self.lock = lock
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        if not self.lock.locked:
            verb = "notify" if op.kind == NOTIFY else "wait"
            return Raised("RuntimeError", f"{verb} without holding the condition's lock")
        if op.kind == NOTIFY:
            n = len(self.line.states) if op.value == -1 else op.value
            return self.line.wake(max(0, n))
        self.lock.give_up()
        self.line.join(worker)
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        line = self.lock.line if worker in self.relocking else self.line
        return line.ready(worker)

    def finish(self, op: Op, worker: int) -> Value:
        if worker in self.relocking:
            self.relocking.discard(worker)
            self.lock.finish(op, worker)
            if worker in self.cut:
                self.cut.discard(worker)
                self._pass_on()
            return True
        self.line.leave(worker)
        return True if self._relock(worker) else PARKED

    def _relock(self, worker: int) -> bool:
        if self.lock.take(worker):
            return True
        self.lock.line.join(worker)
        self.relocking.add(worker)
        return False

    def _pass_on(self) -> None:
        if self.rules.passes_notify_on:
            self.line.wake(1)

    def strike(self, op: Op, worker: int) -> bool:
        line = self.lock.line if worker in self.relocking else self.line
        line.strike(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        if worker in self.relocking:
            # the lock is asked for again, however often that is cancelled
            self.relocking.discard(worker)
            self.lock.interrupt(op, worker, True)
        else:
            self.line.leave(worker)
        if not self._relock(worker):
            self.cut.add(worker)
            return PARKED
        self.cut.discard(worker)
        self._pass_on()
        return None

    def snapshot(self) -> Any:
        return (self.line.freeze(), frozenset(self.relocking), frozenset(self.cut))

    def restore(self, state: Any) -> None:
        self.line.thaw(state[0])
        self.relocking: set[int] = set(state[1])  # in line for the lock
        self.cut: set[int] = set(state[2])  # of those, the ones that a cancellation brought there
