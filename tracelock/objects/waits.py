"""Models of the events and barriers of ``threading`` and ``multiprocessing``."""

from __future__ import annotations

from typing import Any

from tracelock.objects.base import PARKED, Model, Rules
from tracelock.ops import ACQUIRE, CLEAR, RELEASE, SET, Op, Raised, Value


class EventModel(Model):
    """A flag. Those who wait when it is set get on even if it is cleared before they run, except
    where ``rules.event_rechecks``: a process looks at the flag once more."""

    __slots__ = ("flag", "initial", "rules", "waiting", "woken")
    flag: bool

    def __init__(self, rules: Rules, flag: bool = False) -> None:
        self.rules = rules
        self.initial = (flag, (), ())
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        kind = op.kind
        if kind == SET:
            self.flag = True
            self.woken.update(self.waiting)
            self.waiting.clear()
            return None
        if kind == CLEAR:
            self.flag = False
            return None
        if self.flag:
            return True
        if not op.blocking:
            return False
        self.waiting.append(worker)
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.woken

    def finish(self, op: Op, worker: int) -> Value:
        self.woken.remove(worker)
        return self.flag if self.rules.event_rechecks else True

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return worker in self.waiting

    def expire(self, op: Op, worker: int, parked: bool) -> Value:
        self.waiting.remove(worker)
        return self.flag

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.waiting)

    def snapshot(self) -> Any:
        return (self.flag, tuple(self.waiting), frozenset(self.woken))

    def restore(self, state: Any) -> None:
        self.flag, waiting, woken = state
        self.waiting: list[int] = list(waiting)
        self.woken: set[int] = set(woken)


class BarrierModel(Model):
    """``threading.Barrier``: fills, drains, and is broken for good by a timed-out wait."""

    __slots__ = ("broken", "inside", "parties", "waiting")
    initial = ((), (), False)
    broken: bool

    def __init__(self, parties: int) -> None:
        self.parties = parties
        super().__init__()

    def enabled(self, op: Op, worker: int) -> bool:
        return self.broken or not self.inside

    def apply(self, op: Op, worker: int) -> Value:
        if self.broken:
            return self._broken(op)
        if len(self.waiting) + 1 == self.parties:
            self.inside.update(self.waiting)
            self.waiting.clear()
            return True
        self.waiting.append(worker)
        return PARKED

    def _broken(self, op: Op) -> Value:
        return False if op.soft else Raised("BrokenBarrierError", "the barrier is broken")

    def ready(self, op: Op, worker: int) -> bool:
        return self.broken or worker in self.inside

    def finish(self, op: Op, worker: int) -> Value:
        if worker in self.inside:
            self.inside.remove(worker)
            return True
        self.waiting.remove(worker)
        return self._broken(op)

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        return worker in self.waiting and not self.broken

    def expire(self, op: Op, worker: int, parked: bool) -> Value:
        self.broken = True
        self.waiting.remove(worker)
        return self._broken(op)

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.waiting)

    def snapshot(self) -> Any:
        return (tuple(self.waiting), frozenset(self.inside), self.broken)

    def restore(self, state: Any) -> None:
        waiting, inside, self.broken = state
        self.waiting: list[int] = list(waiting)  # arrived, in order
        self.inside: set[int] = set(inside)  # let through, not yet gone


class AwaitedModel(Model):
    """Something that tasks of real code wait for: their loop knows when they can go on.

    Here it is only kept who has it, for the story of a deadlock.
    """

    __slots__ = ("held",)
    initial = ()
    held: tuple[int, ...]

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == ACQUIRE:
            self.held = (*self.held, worker)
            return True
        if op.kind == RELEASE and self.held:
            place = self.held.index(worker) if worker in self.held else 0
            self.held = (*self.held[:place], *self.held[place + 1 :])
        return None

    def holders(self) -> tuple[int, ...]:
        return self.held

    def snapshot(self) -> Any:
        return self.held

    def restore(self, state: Any) -> None:
        self.held = state
