"""Models of what a network in memory is made of: a direction of a connection, and an address.

Both count only. The bytes, connections and datagrams themselves are kept by who asks.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.objects.base import Model
from tracelock.ops import CLEAR, EMPTY, GET, PUT, SET, Op, Value

#: So many bytes fit into one direction of a connection: who sends more waits for the reader.
CAPACITY: Final = 65_536


class StreamModel(Model):
    """One direction of a connection, as RFC 9293 has it, with a bounded buffer.

    ``put`` sends up to ``op.value`` bytes: it waits for room, takes what fits in and gives True.
    ``get`` reads up to ``op.value``: it waits for a first byte. ``set`` ends the direction, from
    either end: from then on nobody waits here; what was sent before can still be read, a ``get``
    beyond that gives ``EMPTY``, and so does False a ``put``. Who waits no longer than a time limit
    gets these too. ``held``: how many bytes there are; ``busy``: it is not known yet how many of
    them the last ``get`` has left, so that another one has to wait.
    """

    __slots__ = ("busy", "capacity", "ended", "held")
    initial = (0, False)
    busy: bool
    held: int
    ended: bool

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        super().__init__()

    def enabled(self, op: Op, worker: int) -> bool:
        if op.kind == GET and self.busy:
            return False
        if not op.blocking or self.ended:
            return True
        if op.kind == GET:
            return self.held > 0
        return op.kind != PUT or self.held < self.capacity

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == PUT:
            room = self.capacity - self.held
            if self.ended or room <= 0:
                return False
            self.held += min(op.value, room)
            return True
        if op.kind == GET:
            if not self.held:
                return EMPTY
            self.held -= min(op.value, self.held)
            return None
        if op.kind == SET:
            self.ended = True
        return None

    def snapshot(self) -> Any:
        return self.held, self.ended

    def restore(self, state: Any) -> None:
        self.held, self.ended = state
        self.busy = False


class AddressModel(Model):
    """An address at which connections, or datagrams, arrive while somebody listens there.

    ``set`` takes it, and begins to listen for up to ``op.value`` arrivals at a time, unless that is
    None; ``clear`` gives it up. ``put``
    arrives: False where nobody listens, or where it does not fit in (a connection waits for room,
    unless it is not ``blocking``). ``get`` takes the first arrival: it waits for one as long as
    somebody listens.
    """

    __slots__ = ("arrived", "limit")
    initial = (0, -1)
    arrived: int
    limit: int  # -1: nobody listens

    def enabled(self, op: Op, worker: int) -> bool:
        if not op.blocking or self.limit < 0:
            return True
        if op.kind == GET:
            return self.arrived > 0
        return op.kind != PUT or self.arrived < self.limit

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == PUT:
            if self.limit < 0 or self.arrived >= self.limit:
                return False
            self.arrived += 1
            return True
        if op.kind == GET:
            if not self.arrived:
                return EMPTY
            self.arrived -= 1
        elif op.kind == SET:
            if op.value is not None:
                self.limit = op.value
        elif op.kind == CLEAR:
            self.arrived, self.limit = 0, -1
        return None

    def snapshot(self) -> Any:
        return self.arrived, self.limit

    def restore(self, state: Any) -> None:
        self.arrived, self.limit = state
