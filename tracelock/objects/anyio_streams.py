"""The model of ``anyio``'s memory object streams on trio; see ``anyio_locks``."""

from __future__ import annotations

from collections import deque
from typing import Any

from tracelock.objects.base import PARKED, Model
from tracelock.objects.lines import tries
from tracelock.ops import EMPTY, PUT, Op, Value


class AnyioStreamModel(Model):
    """A memory object stream as a queue; unbounded if ``maxsize`` is 0.

    Items are handed over: the first who waits to receive has the item, the first who waits to
    send has given it, before either goes on. A sender that is cancelled in between is, though
    its item is delivered.
    """

    __slots__ = ("items", "maxsize", "receivers", "senders", "served", "struck")

    initial = ((), (), (), (), ())

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        super().__init__()

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == PUT:
            return self._send(op, worker)
        if self.senders:
            sender, item = next(iter(self.senders.items()))
            del self.senders[sender]
            self.items.append(item)
            if sender not in self.struck:
                self.served[sender] = True
        if self.items:
            return self.items.popleft()
        if tries(op):
            return EMPTY
        self.receivers.append(worker)
        return PARKED

    def _send(self, op: Op, worker: int) -> Value:
        while self.receivers:
            receiver = self.receivers.pop(0)
            if receiver not in self.struck:
                self.served[receiver] = op.value
                return True
        if not 0 < self.maxsize <= len(self.items):
            self.items.append(op.value)
            return True
        if tries(op):
            return False
        self.senders[worker] = op.value
        return PARKED

    def ready(self, op: Op, worker: int) -> bool:
        return worker in self.served

    def finish(self, op: Op, worker: int) -> Value:
        return self.served.pop(worker)

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        # before it is parked it is at the checkpoint that begins every send and receive
        return worker not in self.served and not tries(op)

    def strike(self, op: Op, worker: int) -> bool:
        if worker in self.served:
            return False
        self.struck.add(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.struck.discard(worker)
        if worker in self.receivers:
            self.receivers.remove(worker)
        self.senders.pop(worker, None)
        return None

    def waiters(self) -> tuple[int, ...]:
        return (*self.senders, *self.receivers)

    def snapshot(self) -> Any:
        return (
            tuple(self.items), tuple(self.receivers), tuple(self.senders.items()),
            tuple(self.served.items()), frozenset(self.struck),
        )  # fmt: skip

    def restore(self, state: Any) -> None:
        items, receivers, senders, served, struck = state
        self.items: deque[Value] = deque(items)
        self.receivers: list[int] = list(receivers)
        self.senders: dict[int, Value] = dict(senders)
        self.served: dict[int, Value] = dict(served)  # woken: the result of its op
        self.struck: set[int] = set(struck)
