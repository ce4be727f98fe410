"""What tasks do to sockets in memory in a schedule of which no record is kept.

Within a step of a task nobody else does anything, and a loop of asyncio never waits at a socket: so
an operation comes at once to what it comes to, and its steps are no choices. The one choice that is
left is how much a read gives (see ``splitting``). What is not known here, as a wait or a fault, is
*beyond* this, and left to a schedule with its record.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.network.ends import Direction, End
from tracelock.instrument.network.splitting import shortened
from tracelock.instrument.network.steps import note_user, number_of, tell
from tracelock.objects.streams import AddressModel, StreamModel
from tracelock.ops import CHOOSE, CLEAR, GET, PUT, SET, Op, Value
from tracelock.trace.network import BYTES_READ

#: What a step comes to of which nothing is known here.
BEYOND: Final = object()
_MODELS: Final = frozenset({StreamModel, AddressModel})
_ALWAYS: Final = frozenset({SET, CLEAR})
RUN: Final = Phase.RUN


def known(hub: Hub) -> bool:
    """Whether what workers do to sockets now is of such a schedule, and known here."""
    tasks = hub.unrecorded
    return tasks is not None and tasks.sockets and hub.phase is RUN


def at_once(worker: Any, op: Op) -> Value | object:
    """What ``op`` of a task, or of a callback, comes to; ``BEYOND`` where that is not known."""
    hub, kind = worker.hub, op.kind
    controller = hub.controller
    if kind == CHOOSE:
        if op.body.name != BYTES_READ:
            return BEYOND
        result: Value = hub.unrecorded.choose(worker, op)
    elif kind in _ALWAYS or (kind in (PUT, GET) and not op.blocking):
        model = controller.models[op.target]
        if type(model) not in _MODELS:
            return BEYOND
        result = model.apply(op, worker.number)
    else:
        return BEYOND
    controller.op, controller.fired = op, False
    return result


def send(worker: Any, end: End, way: Direction, data: Any) -> int:
    """What ``operations.send`` comes to, on a socket that does not wait."""
    if way.gone:
        worker.give_up()
    note_user(worker, end)
    sent = end.put(data)
    _agree(worker, way)
    tell(worker, end, end.peer)
    return sent


def receive(worker: Any, end: End, way: Direction, size: int, peek: bool) -> bytes:
    """What ``operations.receive`` comes to, on a socket that does not wait."""
    note_user(worker, end)
    first = way.ends[0] if way.ends else 0
    data = end.take(size, peek)
    if len(data) > 1 and not peek and way.records is None:
        given = shortened(worker, way, len(data), first, "")
        if given < len(data):
            way.put_back(data[given:])
            data = data[:given]
    _agree(worker, way)
    tell(worker, end, end.peer)
    return data


def _agree(worker: Any, way: Direction) -> None:
    """The model counts what there is: after the schedule it is asked again."""
    model = worker.hub.controller.models[number_of(worker, way)]
    model.held, model.hidden = way.held, way.unseen
    if way.mixed:
        model.capacity = way.capacity
