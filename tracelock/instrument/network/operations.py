"""What workers do to sockets in memory: each operation is a step at one object.

Sending is a ``put`` and receiving a ``get`` at a direction of a connection; connecting is a ``put``
and accepting a ``get`` at the address where somebody listens (``connections``), so are a datagram's
coming and going. To listen is a ``set`` there, to end it a ``clear``; to end a direction, from
either end, is a ``set``. So two operations depend on each other only at one address, or in one
direction.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final, NoReturn

from tracelock.instrument.callers import caller
from tracelock.instrument.network import unrecorded
from tracelock.instrument.network.connections import receives, used
from tracelock.instrument.network.crashes import go_down_by_fault, who_may_crash
from tracelock.instrument.network.ends import LONGEST, READABLE, WRITABLE, Direction, End, fail
from tracelock.instrument.network.faults import Condition, fault
from tracelock.instrument.network.partitions import may_part, part
from tracelock.instrument.network.records import RECORDS
from tracelock.instrument.network.slowness import (
    DELAY,
    HALF,
    SLOW,
    delay,
    end_early,
    may_be_slow,
    may_end,
    slow_down,
)
from tracelock.instrument.network.splitting import shortened
from tracelock.instrument.network.steps import (
    agree,
    end_way,
    is_late,
    not_sent,
    note_user,
    number_of,
    reset_by_unknown,
    step,
    tell,
    timed_out,
)
from tracelock.instrument.network.table import network_of
from tracelock.instrument.worker import Worker
from tracelock.objects.streams import SHUT
from tracelock.ops import EMPTY, GET, PUT, READ, Op

#: What comes of the faults of one direction.
_OF_ONE_DIRECTION: Final = {DELAY: delay, SLOW: slow_down, HALF: end_early}


# --- bytes -----------------------------------------------------------------------------------
def send(worker: Worker, end: End, data: Any, wait: float | None) -> int:
    """Send what fits of ``data``; how many bytes that was. Raises what a real send raises."""
    way = end.outgoing
    if way is None or not len(data):
        return end.put(data)
    if wait == 0.0 and unrecorded.known(worker.hub):
        return unrecorded.send(worker, end, way, data)
    _faults(worker, end, may_be_slow)
    if way.ended:
        wait = 0.0
    end.uses += 1
    try:
        step(worker, PUT, number_of(worker, way), way.size_of(data), wait)
        if is_late(worker):
            raise timed_out()
        note_user(worker, end)
        try:
            sent = end.put(data)
        except OSError:
            not_sent(worker, way)
            raise
    finally:
        used(worker, end)
    agree(worker, way)
    if way.gone and not way.told:
        reset_by_unknown(worker, end)
        return sent
    tell(worker, end, end.peer)
    return sent


def receive(
    worker: Worker, end: End, size: int, wait: float | None, peek: bool = False,
    feed: Callable[[bytes], int] | None = None,
) -> bytes:  # fmt: skip
    """Receive up to ``size`` bytes; none at the end. Raises what a real receive raises. ``feed``:
    is given what was received, and says how many bytes of that, the last ones, are left."""
    way = end.incoming
    if way is None or not size:
        return end.take(size)
    if wait == 0.0 and end.link is None and feed is None and unrecorded.known(worker.hub):
        return unrecorded.receive(worker, end, way, size, peek)
    if end.link is not None:
        end.link.fetch(worker, wait)
    _faults(worker, end, may_end)
    number = number_of(worker, way)
    at = caller(worker)
    end.uses += 1
    try:
        step(worker, GET, number, size if way.records is None else RECORDS, wait, at)
        if is_late(worker):
            raise timed_out()
        note_user(worker, end)
        first = way.ends[0] if way.ends else 0
        held = way.held
        data = end.take(size, peek)
        worker.record(len(data) if way.records is None else held - way.held)
        if peek:
            worker.hub.controller.models[number].held = way.held  # type: ignore[union-attr]
        agree(worker, way)
        if feed is not None:
            _feed(worker, way, data, feed)
        elif len(data) > 1 and not peek and way.records is None:
            data = _shortened(worker, end, data, first, at)
    finally:
        used(worker, end)
    tell(worker, end, end.peer)
    return data


def _feed(worker: Worker, way: Direction, data: bytes, feed: Callable[[bytes], int]) -> None:
    """Who receives takes a part of it. Meanwhile nobody else reads, as of ``_shortened``."""
    model: Any = worker.hub.controller.models[way.number]
    model.busy = True
    try:
        left = feed(data)
        way.put_back(data[len(data) - left :])
    finally:
        model.held, model.busy = way.held, False


def _shortened(worker: Worker, end: End, data: bytes, first: int, at: str) -> bytes:
    """What a read gives of the bytes that it could have; the others stay. Meanwhile nobody else
    reads: what comes in then comes after them."""
    way, model = end.incoming, worker.hub.controller.models[end.incoming.number]  # type: ignore
    model.busy = True  # type: ignore[union-attr]
    size = shortened(worker, way, len(data), first, at)  # type: ignore[arg-type]
    way.put_back(data[size:])  # type: ignore[union-attr]
    model.held, model.busy = way.held, False  # type: ignore[union-attr]
    return data[:size]


def look(worker: Worker, end: End, wanted: int) -> int:
    """What ``end`` is ready for now, of the bits ``wanted``: a step for each thing looked at."""
    parts = []
    if end.port is not None and (end.listens or not end.stream):
        parts.append((end.port.number, READABLE | WRITABLE))
    for way, bit in ((end.incoming, READABLE), (end.outgoing, WRITABLE)):
        if way is not None and wanted & bit:
            parts.append((number_of(worker, way), bit))
    if end.connecting is not None:  # it will be there
        port = network_of(worker.hub).port(end, end.connecting[0])
        parts.append((port.number, READABLE | WRITABLE))
    if not parts:
        return end.ready() & wanted
    found = 0
    for number, bits in parts:
        worker.step(Op(READ, number, caller(worker)))
        seen = end.ready() & bits & wanted
        worker.record(bool(seen))
        found |= seen
    return found


def _faults(
    worker: Worker, end: End, more: Callable[[Worker, End], dict[str, Condition]]
) -> None:  # fmt: skip
    """What may happen to a connection before something is done at ``end``; ``more``: of what it is
    to do."""
    program = worker.hub.program
    if program is None or not program.network.faults:
        return
    network, other = network_of(worker.hub), end.peer.host if end.peer is not None else None
    when = {"reset": _unless_cut(worker, end), **may_part(network, end.host, other)}
    late = more(worker, end)
    crashes = who_may_crash(worker, network, end.host, other)
    crash = ("crash",) if crashes else ()
    broken = fault(worker, *when, *crash, *late, when={**when, **late})
    if broken in _OF_ONE_DIRECTION:
        _OF_ONE_DIRECTION[broken](worker, end)
    elif broken == "crash":
        go_down_by_fault(worker, network, crashes)
    elif broken == "partition":
        part(worker, network, end.host, str(other))
    elif broken:
        _reset(worker, end)


def _unless_cut(worker: Worker, end: End) -> Condition:
    way = end.outgoing
    assert way is not None
    return Condition(lambda: (number_of(worker, way),), lambda: not way.cut)


def _reset(worker: Worker, end: End) -> NoReturn:
    """The connection is reset, and what is on its way is lost. Raises ConnectionResetError."""
    there, back = end.outgoing, end.incoming
    for way, other, one in ((there, back, end.peer), (back, there, end)):
        assert way is not None and one is not None
        end_way(worker, way, other, SHUT)
        way.remove(len(way.buffer))
        way.hidden = worker.hub.controller.models[way.number].hidden = 0  # type: ignore[union-attr]
        worker.hub.controller.models[way.number].held = 0  # type: ignore[union-attr]
        one.reset()
    end.error = 0
    tell(worker, end, end.peer)
    fail(errno.ECONNRESET)


# --- datagrams -------------------------------------------------------------------------------
def send_to(
    worker: Worker, end: End, data: Any, address: Any, outside: Callable[[], int]
) -> int:  # fmt: skip
    """Send a datagram; ``outside`` does so for real, where no worker receives at ``address``."""
    network = network_of(worker.hub)
    if len(data) > LONGEST:
        fail(errno.EMSGSIZE)
    receives(worker, end)
    there = network.target(end, address[0]) if end.tcp else end.host
    if there != end.host and there is not None:
        step(worker, READ, network.hosts.link(end.host, there))
        if network.hosts.apart(end.host, there):
            return len(data)  # it is lost
    port = network.port(end, address)
    broken = fault(worker, "lost", "doubled", "reordered")
    if broken == "lost":
        return len(data)
    arrived = step(worker, PUT, port.number)
    receiver = port.end
    if receiver is None and (end.host or port.host):
        return len(data)
    if receiver is None:
        return outside()
    if arrived:
        datagram = bytes(data), end.address
        if broken == "reordered":
            receiver.arrived.appendleft(datagram)
        else:
            receiver.arrived.extend([datagram] * (2 if broken == "doubled" else 1))
        worker.hub.controller.models[port.number].arrived = len(receiver.arrived)  # type: ignore
        tell(worker, receiver)
    return len(data)


def receive_from(
    worker: Worker, end: End, size: int, wait: float | None, peek: bool = False
) -> tuple[bytes, Any]:  # fmt: skip
    """The next datagram, cut to ``size``, and who has sent it."""
    receives(worker, end)
    end.uses += 1
    try:
        found = step(worker, READ if peek else GET, end.port.number, wait=wait)
        if is_late(worker):
            raise timed_out()
        if found is EMPTY or not end.arrived:
            fail(errno.EAGAIN)
        data, sender = end.arrived[0] if peek else end.arrived.popleft()
        worker.record(len(data))
    finally:
        used(worker, end)
    tell(worker, end)
    return data[:size], sender
