"""What the objects of threads and processes do, by the documentation of ``threading``, ``queue``
and ``multiprocessing``; and the form that all objects here have.

Written apart from ``tracelock.objects``, which it is there to check. An object is asked ``can``
(could this step happen now?), then told to ``do`` it. A step that begins to wait is PARKED, and
over when it is ``woken`` and has come ``back``. ``late`` and ``cut`` end it early: its time is
over, or a cancellation reaches it, which ``struck`` has announced.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

from tests.oracles.language import EMPTY, Ask, frozen

PARKED = ("parked",)
WRONG = ("raises",)  # result of a step that raises an error


class Thing:
    """One object; ``who`` is always the number of a worker."""

    __slots__ = ()
    paused = False  # whether others may go on at the end of the last step, though it is over

    def can(self, ask: Ask, who: int) -> bool:
        return True

    def do(self, ask: Ask, who: int) -> Any:
        raise NotImplementedError

    def woken(self, who: int) -> bool:
        return False

    def back(self, ask: Ask, who: int) -> Any:
        raise NotImplementedError

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return True

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        return False

    def struck(self, ask: Ask, who: int) -> bool:
        """A cancellation is asked for; whether it will reach the step, or comes too late."""
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        return None

    def ended(self, who: int) -> None:
        """A worker has ended, whatever it holds."""

    def copy(self) -> Any:
        new = object.__new__(self.__class__)
        for name in slots(self.__class__):
            value = getattr(self, name)
            if isinstance(value, list | dict | set):
                value = value.copy()
            setattr(new, name, value)
        return new

    def key(self) -> Hashable:
        found: list[Hashable] = []
        for name in slots(self.__class__):
            value = getattr(self, name)
            if isinstance(value, set):
                found.append(frozenset(value))
            elif isinstance(value, dict):
                found.append(tuple((one, frozen(each)) for one, each in value.items()))
            elif name not in ("paused", "lock"):
                found.append(frozen(value))
        return tuple(found)


@cache
def slots(kind: type) -> tuple[str, ...]:
    return tuple(name for one in kind.__mro__ for name in one.__dict__.get("__slots__", ()))


# --- threads and processes -------------------------------------------------------------------
class Mutex(Thing):
    """A lock: held, or free for whoever comes. ``depths``: as ``multiprocessing`` counts."""

    __slots__ = ("counts", "held", "processes")

    def __init__(self, processes: bool) -> None:
        self.held = False
        self.processes = processes
        self.counts: list[int] = [0] * 64 if processes else []

    def can(self, ask: Ask, who: int) -> bool:
        return not self.held or ask.kind != "acquire" or not ask.blocking

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "acquire":
            if self.held:
                return False
            self.take(who)
            return True
        return None if self.put_back(who) else WRONG

    def take(self, who: int, depth: int = 1) -> None:
        self.held = True
        if self.processes:
            self.counts[who] += 1

    def put_back(self, who: int) -> bool:
        if not self.held:
            return False
        self.held = False
        if self.processes:
            self.counts[who] -= 1
        return True

    def has(self, who: int) -> bool:
        """Whether a condition takes it for held by ``who``: a thread's lock has no owner."""
        return self.counts[who] > 0 if self.processes else self.held

    def free(self, who: int) -> bool:
        return not self.held

    def let_go(self, who: int) -> int:
        """For a wait: how often it was held; 0 where it was not."""
        if not self.processes:
            self.held = False
            return 1
        depth = self.counts[who]
        return depth if all(self.put_back(who) for _ in range(depth)) else 0


class Reentrant(Thing):
    __slots__ = ("depth", "owner")

    def __init__(self) -> None:
        self.owner, self.depth = -1, 0

    def can(self, ask: Ask, who: int) -> bool:
        return self.free(who) or ask.kind != "acquire" or not ask.blocking

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "acquire":
            if not self.free(who):
                return False
            self.owner, self.depth = who, self.depth + 1
            return True
        if self.owner != who:
            return WRONG
        self.depth -= 1
        self.owner = who if self.depth else -1
        return None

    def take(self, who: int, depth: int = 1) -> None:
        self.owner, self.depth = who, depth

    def has(self, who: int) -> bool:
        return self.owner == who

    def free(self, who: int) -> bool:
        return self.owner in (-1, who)

    def let_go(self, who: int) -> int:
        depth, self.depth, self.owner = self.depth, 0, -1
        return depth


class Semaphore(Thing):
    __slots__ = ("most", "value")

    def __init__(self, value: int, bounded: bool) -> None:
        self.value = value
        self.most = value if bounded else None

    def can(self, ask: Ask, who: int) -> bool:
        return self.value > 0 or ask.kind != "acquire" or not ask.blocking

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "acquire":
            if not self.value:
                return False
            self.value -= 1
            return True
        if ask.value < 1 or (self.most is not None and self.value + ask.value > self.most):
            return WRONG
        self.value += ask.value
        return None


class Condition(Thing):
    """Waiters in the order in which they came. One whose time is over is off the list only
    when it has the lock back, so that a notify in between may be wasted on it."""

    __slots__ = ("depths", "late_ones", "lock", "told", "waiting")

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.waiting: list[int] = []
        self.told: set[int] = set()
        self.late_ones: set[int] = set()
        self.depths: list[int] = [0] * 64

    def do(self, ask: Ask, who: int, whom: Sequence[int] | None = None) -> Any:
        if not self.lock.has(who):
            return WRONG
        if ask.kind == "notify":
            if whom is None:
                whom = self.waiting[: len(self.waiting) if ask.value < 0 else ask.value]
            for one in list(whom):
                self.waiting.remove(one)
                if one not in self.late_ones:
                    self.told.add(one)
            return None
        depth = self.lock.let_go(who)
        if not depth:
            return WRONG
        self.depths[who] = depth
        self.waiting.append(who)
        return PARKED

    def whom(self, ask: Ask, who: int) -> list[int]:
        """Those among whom it is open who wakes; none where all do, or nobody."""
        some = self.lock.has(who) and 0 < ask.value < len(self.waiting)
        return list(self.waiting) if some else []

    def woken(self, who: int) -> bool:
        return (who in self.told or who in self.late_ones) and self.lock.free(who)

    def back(self, ask: Ask, who: int) -> Any:
        self.lock.take(who, self.depths[who])
        self.depths[who] = 0
        if who in self.told:
            self.told.remove(who)
            return True
        self.late_ones.remove(who)
        if who in self.waiting:
            self.waiting.remove(who)
        return False

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.waiting and who not in self.late_ones

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        self.late_ones.add(who)
        return PARKED


class Event(Thing):
    """Who waits when it is set gets on. A process looks once more when it does (``again``)."""

    __slots__ = ("again", "flag", "gone", "waiting")

    def __init__(self, again: bool) -> None:
        self.again = again
        self.flag = False
        self.waiting: set[int] = set()
        self.gone: set[int] = set()

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind in ("set", "clear"):
            self.flag = ask.kind == "set"
            if self.flag:
                self.gone |= self.waiting
                self.waiting = set()
            return None
        if self.flag or not ask.blocking:
            return self.flag
        self.waiting.add(who)
        return PARKED

    def woken(self, who: int) -> bool:
        return who in self.gone

    def back(self, ask: Ask, who: int) -> Any:
        self.gone.remove(who)
        return self.flag or not self.again

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.waiting

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        self.waiting.remove(who)
        return self.flag


class Barrier(Thing):
    """Fills, lets all go, and is broken for good once a wait has run out of time."""

    __slots__ = ("broken", "going", "parties", "waiting")

    def __init__(self, parties: int) -> None:
        self.parties = parties
        self.waiting: set[int] = set()
        self.going: set[int] = set()
        self.broken = False

    def can(self, ask: Ask, who: int) -> bool:
        return self.broken or not self.going

    def do(self, ask: Ask, who: int) -> Any:
        if self.broken:
            return self._broken(ask)
        if len(self.waiting) == self.parties - 1:
            self.going, self.waiting = self.waiting, set()
            return True
        self.waiting.add(who)
        return PARKED

    def _broken(self, ask: Ask) -> Any:
        return False if ask.soft else WRONG

    def woken(self, who: int) -> bool:
        return self.broken or who in self.going

    def back(self, ask: Ask, who: int) -> Any:
        if who in self.going:
            self.going.remove(who)
            return True
        self.waiting.remove(who)
        return self._broken(ask)

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.waiting and not self.broken

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        self.broken = True
        self.waiting.remove(who)
        return self._broken(ask)


class Queue(Thing):
    __slots__ = ("items", "most", "order")

    def __init__(self, most: int, order: str) -> None:
        self.most = most
        self.order = order
        self.items: list[Any] = []

    def possible(self, kind: str) -> bool:
        if kind == "get":
            return bool(self.items)
        return self.most <= 0 or len(self.items) < self.most

    def can(self, ask: Ask, who: int) -> bool:
        return not ask.blocking or self.possible(ask.kind)

    def do(self, ask: Ask, who: int) -> Any:
        if not self.possible(ask.kind):
            return EMPTY if ask.kind == "get" else False
        return self.move(ask)

    def move(self, ask: Ask) -> Any:
        """Put the item in, or take one out."""
        try:
            if ask.kind == "get":
                if self.order == "priority":
                    return heapq.heappop(self.items)
                return self.items.pop(0 if self.order == "fifo" else -1)
            if self.order == "priority":
                heapq.heappush(self.items, ask.value)
            else:
                self.items.append(ask.value)
        except TypeError:
            return WRONG
        return True

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        return EMPTY if ask.kind == "get" else False


def make(backend: str, spec: dict[str, Any], made: dict[int, Thing]) -> Thing:
    """The object that ``spec`` declares; a condition's lock has been ``made``."""
    processes = backend == "multiprocessing"
    kind = spec["type"]
    if kind == "lock":
        return Mutex(processes)
    if kind in ("rlock", "condition_lock"):
        return Reentrant()
    if kind in ("semaphore", "bounded_semaphore"):
        return Semaphore(spec.get("value", 1), kind == "bounded_semaphore")
    if kind == "condition":
        return Condition(made[spec["lock"]])
    if kind == "event":
        return Event(processes)
    if kind == "barrier":
        return Barrier(spec["parties"])
    assert kind == "queue"
    return Queue(spec.get("maxsize", 0), spec.get("order", "fifo"))
