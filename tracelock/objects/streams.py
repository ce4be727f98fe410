"""Models of what a network in memory is made of: a direction of a connection, and an address.

Both count only. The bytes, connections and datagrams themselves are kept by who asks.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.objects.base import Model
from tracelock.ops import CLEAR, EMPTY, GET, PUT, SET, Op, Value

#: So many bytes fit into one direction of a connection: who sends more waits for the reader.
CAPACITY: Final = 65_536
#: What a direction is set to, besides its end: nothing that is sent arrives; what was sent does.
CUT: Final = "cut"
HEALED: Final = "healed"
#: Its reader wants nothing more, and needs nobody to tell it so.
SHUT: Final = "shut"


class StreamModel(Model):
    """One direction of a connection, as RFC 9293 has it, with a bounded buffer.

    ``put`` sends up to ``op.value`` bytes: it waits for room, takes what fits in and gives True.
    ``get`` reads up to ``op.value``: it waits for a first byte. ``set`` ends the direction, from
    either end: from then on nobody waits here; what was sent before can still be read, a ``get``
    beyond that gives ``EMPTY``, and so does False a ``put``. Who waits no longer than a time limit
    gets these too. ``held``: how many bytes there are; ``busy``: it is not known yet how many of
    them the last ``get`` has left, so that another one has to wait.

    A ``set`` to ``CUT`` is the begin of a partition: from then on what is sent is ``hidden`` from
    the reader, and an end from the other side, until a ``set`` to ``HEALED``. Each is counted: it
    is ``cut`` while there were more of the one than of the other, whichever came first.
    """

    __slots__ = ("busy", "capacity", "cuts", "ended", "held", "hidden", "initial", "late")
    capacity: int
    initial: Any
    busy: bool
    held: int
    ended: bool
    cuts: int
    hidden: int
    late: bool  # it ends when it is healed

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.initial = (0, False, 0, 0, False, capacity)
        super().__init__()

    @property
    def cut(self) -> bool:
        return self.cuts > 0

    def enabled(self, op: Op, worker: int) -> bool:
        if op.kind == GET and self.busy:
            return False
        if not op.blocking or self.ended:
            return True
        if op.kind == GET:
            return self.held > self.hidden
        return op.kind != PUT or self.held < self.capacity

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == PUT:
            room = self.capacity - self.held
            if self.ended or room <= 0:
                return False
            self.held += min(op.value, room)
            if self.cut:
                self.hidden += min(op.value, room)
            return True
        if op.kind == GET:
            arrived = self.held - self.hidden
            if not arrived:
                return EMPTY
            self.held -= min(op.value, arrived)
            return None
        if op.kind == SET:
            self._set(op.value)
        return None

    def _set(self, value: Value) -> None:
        if value == CUT:
            self.cuts += 1
        elif value == HEALED:
            self.cuts -= 1
            if not self.cut:
                self.ended = self.ended or self.late
                self.hidden, self.late = 0, False
        elif self.cut and value != SHUT:
            self.late = True
        else:
            self.ended = True

    def snapshot(self) -> Any:
        return self.held, self.ended, self.cuts, self.hidden, self.late, self.capacity

    def restore(self, state: Any) -> None:
        self.held, self.ended, self.cuts, self.hidden, self.late, self.capacity = state
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
