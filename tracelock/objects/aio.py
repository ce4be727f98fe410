"""Models of the objects of ``asyncio``: first in line, first served, cancellation included.

Written after the sources of CPython 3.11 to 3.13 (``asyncio/locks.py``, ``asyncio/queues.py``).
There a waiting task is a future in a line. What decides is the state of that future: *pending*,
*woken* (it has its result, its task has not run yet) or *struck* (cancelled, its task has not run
yet). A task that was woken can still be cancelled; then it passes on what it was given.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.objects.base import PARKED, Model, Rules
from tracelock.objects.queues import Store
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    EMPTY,
    GET,
    NOTIFY,
    SET,
    ObjectSpec,
    Op,
    Raised,
    Value,
)

PENDING: Final = 0
WOKEN: Final = 1
STRUCK: Final = 2


def tries(op: Op) -> bool:
    """Whether ``op`` does not wait: a try, or a wait that may take no time."""
    return not op.blocking or (op.timeout is not None and op.timeout <= 0)


class Line:
    """Tasks that wait, first in line first, each with the state of its future."""

    __slots__ = ("states",)

    def __init__(self) -> None:
        self.states: dict[int, int] = {}

    def join(self, worker: int) -> None:
        """Go to the end of the line."""
        self.states[worker] = PENDING

    def leave(self, worker: int) -> int:
        """Out of the line, wherever in it; returns the state."""
        return self.states.pop(worker)

    def strike(self, worker: int) -> None:
        """The future is cancelled, unless it has its result already."""
        if self.states.get(worker) == PENDING:
            self.states[worker] = STRUCK

    def ready(self, worker: int) -> bool:
        """Whether the task has been woken."""
        return self.states.get(worker) == WOKEN

    def wake(self, count: int) -> list[int]:
        """Give the first ``count`` pending futures their results; returns whose they were."""
        woken = [worker for worker, state in self.states.items() if state == PENDING][:count]
        for worker in woken:
            self.states[worker] = WOKEN
        return woken

    def freeze(self) -> tuple[tuple[int, int], ...]:
        """The line as a value that ``thaw`` takes back."""
        return tuple(self.states.items())

    def thaw(self, state: tuple[tuple[int, int], ...]) -> None:
        """Back to what ``freeze`` gave."""
        self.states = dict(state)


class TaskObject(Model):
    """What all of them have in common: an op can always begin, a try never parks."""

    __slots__ = ()

    def enabled(self, op: Op, worker: int) -> bool:
        return True

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        # the timer of an op runs from when its task comes to it, and that never suspends
        # before it parks; once parked, running out of time beats having been woken
        return parked


class Lock(TaskObject):
    """``asyncio.Lock``: a released lock belongs to the first in line as soon as it runs."""

    __slots__ = ("line", "locked", "owner")

    def __init__(self) -> None:
        self.locked = False
        self.owner = -1
        self.line = Line()

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

    def ready(self, op: Op, worker: int) -> bool:
        return self.line.ready(worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        self.locked, self.owner = True, worker
        return True

    def strike(self, op: Op, worker: int) -> bool:
        self.line.strike(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        if not self.locked:
            self._wake_first()
        return None

    def holders(self) -> tuple[int, ...]:
        return (self.owner,) if self.owner >= 0 else ()

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)

    def reset(self) -> None:
        self.locked, self.owner = False, -1
        self.line.states.clear()

    def snapshot(self) -> Any:
        return (self.locked, self.owner, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.locked, self.owner, line = state
        self.line.thaw(line)


class Semaphore(TaskObject):
    """``asyncio.Semaphore``; a release hands its permit to the first in line.

    ``bound``: upper limit of a bounded semaphore, -1 for none.
    """

    __slots__ = ("bound", "initial", "line", "rules", "taken", "value")

    def __init__(self, rules: Rules, value: int, bounded: bool) -> None:
        self.rules = rules
        self.initial = self.value = value
        self.bound = value if bounded else -1
        self.line = Line()
        self.taken: list[int] = []

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
            if worker in self.taken:
                self.taken.remove(worker)
            elif self.taken:
                self.taken.pop(0)
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

    def ready(self, op: Op, worker: int) -> bool:
        return self.line.ready(worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        self.taken.append(worker)
        self._wake_more()
        return True

    def strike(self, op: Op, worker: int) -> bool:
        self.line.strike(worker)
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

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)

    def reset(self) -> None:
        self.value = self.initial
        self.taken.clear()
        self.line.states.clear()

    def snapshot(self) -> Any:
        # who took it is for reports only: it decides nothing
        return (self.value, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.value, line = state
        self.line.thaw(line)
        self.taken = []


class Condition(TaskObject):
    """``asyncio.Condition`` on ``lock``. A waiter that was woken queues for the lock again.

    Only that the lock is held is asked of who waits or notifies, not by whom.
    """

    __slots__ = ("cut", "line", "lock", "relocking", "rules")

    def __init__(self, rules: Rules, lock: Lock) -> None:
        self.rules = rules
        self.lock = lock
        self.line = Line()
        self.relocking: set[int] = set()  # in line for the lock
        self.cut: set[int] = set()  # of those, the ones that a cancellation brought there

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

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)

    def reset(self) -> None:
        self.line.states.clear()
        self.relocking.clear()
        self.cut.clear()

    def snapshot(self) -> Any:
        return (self.line.freeze(), frozenset(self.relocking), frozenset(self.cut))

    def restore(self, state: Any) -> None:
        self.line.thaw(state[0])
        self.relocking = set(state[1])
        self.cut = set(state[2])


class Event(TaskObject):
    """``asyncio.Event``: who waits when it is set gets on, even if it is cleared before."""

    __slots__ = ("flag", "line")

    def __init__(self) -> None:
        self.flag = False
        self.line = Line()

    def apply(self, op: Op, worker: int) -> Value:
        kind = op.kind
        if kind == SET:
            if not self.flag:
                self.flag = True
                self.line.wake(len(self.line.states))
            return None
        if kind == CLEAR:
            self.flag = False
            return None
        if self.flag:
            return True
        if tries(op):
            return False
        self.line.join(worker)
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        return self.line.ready(worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        return True

    def strike(self, op: Op, worker: int) -> bool:
        self.line.strike(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        return None

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)

    def reset(self) -> None:
        self.flag = False
        self.line.states.clear()

    def snapshot(self) -> Any:
        return (self.flag, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.flag = state[0]
        self.line.thaw(state[1])


class Barrier(TaskObject):
    """``asyncio.Barrier``: fills and drains; a cancelled wait leaves it, and breaks nothing.

    Its inner condition's lock is never held across a suspension, so that nobody waits for it.
    """

    __slots__ = ("count", "draining", "entering", "line", "parties", "rules")

    def __init__(self, rules: Rules, parties: int) -> None:
        self.rules = rules
        self.parties = parties
        self.line = Line()
        self.count = 0  # inside: arrived and not gone yet
        self.draining = False
        self.entering: set[int] = set()  # came while it drained, not inside yet

    def apply(self, op: Op, worker: int) -> Value:
        if self.draining:
            self.entering.add(worker)
            self.line.join(worker)
            return PARKED
        return self._enter(worker)

    def _enter(self, worker: int) -> Value:
        self.count += 1
        if self.count < self.parties:
            self.line.join(worker)
            return PARKED
        self.draining = True
        self.line.wake(len(self.line.states))
        self._exit()
        return True

    def _exit(self) -> None:
        self.count -= 1
        if not self.count:
            self.draining = False
            self.line.wake(len(self.line.states))

    def ready(self, op: Op, worker: int) -> bool:
        return self.line.ready(worker)

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        if worker in self.entering:
            if not self.draining:
                self.entering.discard(worker)
                return self._enter(worker)
        elif self.draining:
            self._exit()
            return True
        self.line.join(worker)
        return PARKED

    def strike(self, op: Op, worker: int) -> bool:
        self.line.strike(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        if self.rules.passes_notify_on:
            self.line.wake(1)
        if worker in self.entering:
            self.entering.discard(worker)
        else:
            self._exit()
        return None

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)

    def reset(self) -> None:
        self.count = 0
        self.draining = False
        self.entering.clear()
        self.line.states.clear()

    def snapshot(self) -> Any:
        return (self.count, self.draining, frozenset(self.entering), self.line.freeze())

    def restore(self, state: Any) -> None:
        self.count, self.draining, entering, line = state
        self.entering = set(entering)
        self.line.thaw(line)


class Queue(TaskObject):
    """``asyncio.Queue``, ``LifoQueue`` and ``PriorityQueue``; bounded if ``maxsize`` > 0.

    An item is not handed over: who comes before a woken getter has run takes it, and the getter
    goes to the end of the line.
    """

    __slots__ = ("gone", "lines", "maxsize", "store")

    def __init__(self, spec: ObjectSpec) -> None:
        self.maxsize = spec.maxsize
        self.store = Store(spec.order)
        self.lines: tuple[Line, Line] = (Line(), Line())  # who puts, who gets
        # woken tasks are out of the line before they run
        self.gone: set[int] = set()

    def possible(self, kind: int) -> bool:
        """Whether a put or a get would succeed at once."""
        size = len(self.store.items)
        return size > 0 if kind == GET else not 0 < self.maxsize <= size

    def _wake_next(self, kind: int) -> None:
        """Wake one that waits to do ``kind``; the cancelled ones before it drop out."""
        line = self.lines[kind == GET]
        for worker, state in list(line.states.items()):
            del line.states[worker]
            if state == PENDING:
                self.gone.add(worker)
                return

    def apply(self, op: Op, worker: int) -> Value:
        if self.possible(op.kind):
            return self._do(op)
        if tries(op):
            return EMPTY if op.kind == GET else False
        self.lines[op.kind == GET].join(worker)
        return PARKED

    def _do(self, op: Op) -> Value:
        if op.kind == GET:
            item = self.store.pop()
            if item.__class__ is not Raised:
                self._wake_next(op.kind - 1)
            return item
        error = self.store.push(op.value)
        if error is not None:
            return error
        self._wake_next(GET)
        return True

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.gone

    def finish(self, op: Op, worker: int) -> Value:
        self.gone.discard(worker)
        if self.possible(op.kind):
            return self._do(op)
        self.lines[op.kind == GET].join(worker)
        return PARKED

    def strike(self, op: Op, worker: int) -> bool:
        self.lines[op.kind == GET].strike(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        if worker in self.gone:
            self.gone.discard(worker)
            if self.possible(op.kind):
                self._wake_next(op.kind)
        else:
            self.lines[op.kind == GET].states.pop(worker, None)
        return None

    def waiters(self) -> tuple[int, ...]:
        return (*self.lines[0].states, *self.lines[1].states)

    def reset(self) -> None:
        self.store.items.clear()
        self.lines[0].states.clear()
        self.lines[1].states.clear()
        self.gone.clear()

    def snapshot(self) -> Any:
        putters, getters = self.lines
        return (
            tuple(self.store.items), putters.freeze(), getters.freeze(), frozenset(self.gone)
        )  # fmt: skip

    def restore(self, state: Any) -> None:
        items, putters, getters, gone = state
        self.store.items.clear()
        self.store.items.extend(items)
        self.lines[0].thaw(putters)
        self.lines[1].thaw(getters)
        self.gone = set(gone)


def make(rules: Rules, spec: ObjectSpec, models: list[Model | None]) -> Model:
    """The model of the object that ``spec`` describes; a condition's lock is in ``models``."""
    kind = spec.type
    if kind in ("lock", "condition_lock"):
        return Lock()
    if kind in ("semaphore", "bounded_semaphore"):
        return Semaphore(rules, spec.value, kind == "bounded_semaphore")
    if kind == "condition":
        lock = models[spec.lock]
        assert isinstance(lock, Lock)
        return Condition(rules, lock)
    if kind == "event":
        return Event()
    if kind == "barrier":
        return Barrier(rules, spec.parties)
    return Queue(spec)
