"""What is in a queue, and the model of ``queue.Queue``, its kin and ``multiprocessing.Queue``."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from tracelock.objects.base import Model
from tracelock.ops import EMPTY, GET, PUT, SET, ObjectSpec, Op, Raised, Value


class Items:
    """What is in a queue: first in first out, last in first out, or lowest first."""

    __slots__ = ("items", "order")

    def __init__(self, order: str) -> None:
        self.order = order
        self.items: Any = deque() if order == "fifo" else []

    def push(self, item: Value) -> Raised | None:
        """Put ``item`` in. A priority queue compares items and raises as Python does."""
        if self.order == "priority":
            try:
                heapq.heappush(self.items, item)
            except TypeError as error:
                return Raised("TypeError", str(error))
        else:
            self.items.append(item)
        return None

    def pop(self) -> Value:
        """Take the next item out."""
        if self.order == "fifo":
            return self.items.popleft()
        if self.order == "lifo":
            return self.items.pop()
        try:
            return heapq.heappop(self.items)
        except TypeError as error:
            return Raised("TypeError", str(error))


class QueueModel(Model):
    """``queue.Queue`` and its kin, ``multiprocessing.Queue``: bounded if ``maxsize`` > 0."""

    __slots__ = ("maxsize", "store")
    initial = ()

    def __init__(self, spec: ObjectSpec) -> None:
        self.maxsize = spec.maxsize
        self.store = Items(spec.order)

    def enabled(self, op: Op, worker: int) -> bool:
        return not op.blocking or self.possible(op.kind)

    def possible(self, kind: int) -> bool:
        """Whether a put or a get would succeed at once."""
        size = len(self.store.items)
        if kind == GET:
            return size > 0
        return not 0 < self.maxsize <= size

    def apply(self, op: Op, worker: int) -> Value:
        if not self.possible(op.kind):
            return EMPTY if op.kind == GET else False
        if op.kind == GET:
            return self.store.pop()
        return self.store.push(op.value) or True

    def snapshot(self) -> Any:
        return tuple(self.store.items)

    def restore(self, state: Any) -> None:
        self.store.items = deque(state) if self.store.order == "fifo" else list(state)


class RoomModel(Model):
    """A queue of which only the number of items is kept: its items are a real queue's own.

    ``set`` shuts it down (with the value True its items are thrown away): nobody waits then.
    ``real`` tells how many items the real queue has, where it can be asked: a program may change
    them behind its back.
    """

    __slots__ = ("initial", "maxsize", "real", "shut", "size")
    real: Callable[[], int] | None
    size: int
    shut: bool

    def __init__(self, spec: ObjectSpec) -> None:
        self.maxsize = spec.maxsize
        self.initial = (spec.value, False)
        self.real = None
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.real = None

    def enabled(self, op: Op, worker: int) -> bool:
        if op.kind not in (PUT, GET) or not op.blocking:
            return True
        return self.shut or self.possible(op.kind)

    def possible(self, kind: int) -> bool:
        """Whether a put or a get would succeed at once."""
        size = self.size if self.real is None else self.real()
        return size > 0 if kind == GET else not 0 < self.maxsize <= size

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == SET:
            self.shut = True
            if op.value:
                self.size = 0
            return None
        if op.kind not in (PUT, GET):
            return None
        if not self.possible(op.kind) or (self.shut and op.kind == PUT):
            return EMPTY if op.kind == GET else False
        if self.real is not None:
            self.size = self.real()
        self.size += -1 if op.kind == GET else 1
        return None if op.kind == GET else True

    def snapshot(self) -> Any:
        return self.size, self.shut

    def restore(self, state: Any) -> None:
        self.size, self.shut = state
