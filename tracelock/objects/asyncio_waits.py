"""Models of ``asyncio``'s events, barriers and queues; see ``asyncio_locks``."""

from __future__ import annotations

from typing import Any

from tracelock.objects.base import PARKED, Rules
from tracelock.objects.lines import PENDING, LineModel, TaskModel, WaiterLine, tries
from tracelock.objects.queues import Items
from tracelock.ops import CLEAR, EMPTY, GET, SET, ObjectSpec, Op, Raised, Value


class AsyncioEventModel(LineModel):
    """``asyncio.Event``: who waits when it is set gets on, even if it is cleared before."""

    __slots__ = ("flag",)
    initial = (False, ())
    flag: bool

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

    def snapshot(self) -> Any:
        return (self.flag, self.line.freeze())

    def restore(self, state: Any) -> None:
        self.flag, line = state
        self.line.thaw(line)


class AsyncioBarrierModel(LineModel):
    """``asyncio.Barrier``: fills and drains; a cancelled wait leaves it, and breaks nothing.

    Its inner condition's lock is never held across a suspension, so that nobody waits for it.
    """

    __slots__ = ("count", "draining", "entering", "parties", "rules")
    initial = (0, False, (), ())
    count: int  # inside: arrived and not gone yet
    draining: bool

    def __init__(self, rules: Rules, parties: int) -> None:
        self.rules = rules
        self.parties = parties
        super().__init__()

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

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        if self.rules.passes_notify_on:
            self.line.wake(1)
        if worker in self.entering:
            self.entering.discard(worker)
        else:
            self._exit()
        return None

    def snapshot(self) -> Any:
        return (self.count, self.draining, frozenset(self.entering), self.line.freeze())

    def restore(self, state: Any) -> None:
        self.count, self.draining, entering, line = state
        self.entering: set[int] = set(entering)  # came while it drained, not inside yet
        self.line.thaw(line)


class AsyncioQueueModel(TaskModel):
    """``asyncio.Queue``, ``LifoQueue`` and ``PriorityQueue``; bounded if ``maxsize`` > 0.

    An item is not handed over: who comes before a woken getter has run takes it, and the getter
    goes to the end of the line.
    """

    __slots__ = ("gone", "lines", "maxsize", "store")
    initial = ((), (), (), ())

    def __init__(self, spec: ObjectSpec) -> None:
        self.maxsize = spec.maxsize
        self.store = Items(spec.order)
        self.lines = (WaiterLine(), WaiterLine())  # who puts, who gets
        super().__init__()

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
        self.gone: set[int] = set(gone)  # woken tasks, out of the line before they run
