"""What workers do to sockets in memory: each operation is a step at one object.

Sending is a ``put`` and receiving a ``get`` at a direction of a connection; connecting is a ``put``
and accepting a ``get`` at the address where somebody listens, so are a datagram's coming and going.
To listen is a ``set`` there, to end it a ``clear``; to end a direction, from either end, is a
``set``. So two operations depend on each other only at one address, or in one direction.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn

from tracelock.engine.controller import Controller
from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.network.ends import (
    DATAGRAMS,
    LONGEST,
    READABLE,
    WRITABLE,
    Direction,
    End,
    fail,
)
from tracelock.instrument.network.faults import fault
from tracelock.instrument.network.splitting import shortened
from tracelock.instrument.network.table import Network, Port, network_of
from tracelock.instrument.worker import Worker
from tracelock.ops import CLEAR, EMPTY, GET, PUT, READ, SET, Op, Value

#: What the names of the two directions of a connection end in, after that of who connected.
THERE: Final = ".sent"
BACK: Final = ".answered"


def _step(
    worker: Worker, kind: int, number: int, value: Any = None, wait: float | None = 0.0,
    at: str = "",
) -> Value:  # fmt: skip
    """The step itself. ``wait``: for how long, None for ever, 0 not at all."""
    op = Op(kind, number, at or caller(worker, 3), value, wait or None, wait is None or wait > 0)
    return worker.step(op)


def _late(worker: Worker) -> bool:
    """Whether the last step was that time ran out."""
    controller: Controller = worker.hub.controller
    return controller.fired


def _number(worker: Worker, way: Direction) -> int:
    if way.number < 0:
        way.number = network_of(worker.hub).number(way.name, "stream")
    return way.number


def _agree(worker: Worker, way: Direction) -> None:
    """The model of a direction says what there is, or it is wrong."""
    model: Any = worker.hub.controller.models[way.number]
    if not model.ended and model.held != len(way.buffer):
        raise ModelMismatch(f"{way.name}: {model.held} bytes, and there are {len(way.buffer)}")
    model.held = len(way.buffer)


def _tell(worker: Worker, *ends: End | None) -> None:
    """These may be ready for something else now."""
    for end in ends:
        if end is not None and end.watchers:
            end.version += 1
            for watcher in tuple(end.watchers):
                watcher.changed(worker, end)


def timed_out() -> TimeoutError:
    return TimeoutError("timed out")


# --- bytes -----------------------------------------------------------------------------------
def send(worker: Worker, end: End, data: Any, wait: float | None) -> int:
    """Send what fits of ``data``; how many bytes that was. Raises what a real send raises."""
    way = end.outgoing
    if way is None or not len(data):
        return end.put(data)
    if fault(worker, "reset"):
        _reset(worker, end)
    end.uses += 1
    try:
        _step(worker, PUT, _number(worker, way), len(data), wait)
        if _late(worker):
            raise timed_out()
        sent = end.put(data)
    finally:
        _used(worker, end)
    _agree(worker, way)
    _tell(worker, end, end.peer)
    return sent


def receive(
    worker: Worker, end: End, size: int, wait: float | None, peek: bool = False
) -> bytes:  # fmt: skip
    """Receive up to ``size`` bytes; none at the end. Raises what a real receive raises."""
    way = end.incoming
    if way is None or not size:
        return end.take(size)
    if fault(worker, "reset"):
        _reset(worker, end)
    number = _number(worker, way)
    at = caller(worker)
    end.uses += 1
    try:
        _step(worker, GET, number, size, wait, at)
        if _late(worker):
            raise timed_out()
        first = way.ends[0] if way.ends else 0
        data = end.take(size, peek)
        worker.record(len(data))
        if peek:
            worker.hub.controller.models[number].held = len(way.buffer)  # type: ignore[union-attr]
        _agree(worker, way)
        if len(data) > 1 and not peek:
            data = _shortened(worker, end, data, first, at)
    finally:
        _used(worker, end)
    _tell(worker, end, end.peer)
    return data


def _shortened(worker: Worker, end: End, data: bytes, first: int, at: str) -> bytes:
    """What a read gives of the bytes that it could have; the others stay. Meanwhile nobody else
    reads: what comes in then comes after them."""
    way, model = end.incoming, worker.hub.controller.models[end.incoming.number]  # type: ignore
    model.busy = True  # type: ignore[union-attr]
    size = shortened(worker, way, len(data), first, at)  # type: ignore[arg-type]
    way.put_back(data[size:])  # type: ignore[union-attr]
    model.held, model.busy = len(way.buffer), False  # type: ignore[union-attr]
    return data[:size]


def look(worker: Worker, end: End, wanted: int) -> int:
    """What ``end`` is ready for now, of the bits ``wanted``: a step for each thing looked at."""
    parts = []
    if end.port is not None and (end.listens or not end.stream):
        parts.append((end.port.number, READABLE | WRITABLE))
    for way, bit in ((end.incoming, READABLE), (end.outgoing, WRITABLE)):
        if way is not None and wanted & bit:
            parts.append((_number(worker, way), bit))
    if not parts:
        return end.ready() & wanted
    found = 0
    for number, bits in parts:
        worker.step(Op(READ, number, caller(worker)))
        seen = end.ready() & bits & wanted
        worker.record(bool(seen))
        found |= seen
    return found


def _reset(worker: Worker, end: End) -> NoReturn:
    """The connection is reset, and what is on its way is lost. Raises ConnectionResetError."""
    for way, one in ((end.outgoing, end.peer), (end.incoming, end)):
        assert way is not None and one is not None
        _step(worker, SET, _number(worker, way))
        way.remove(len(way.buffer))
        worker.hub.controller.models[way.number].held = 0  # type: ignore[union-attr]
        one.reset()
    end.error = 0
    _tell(worker, end, end.peer)
    fail(errno.ECONNRESET)


# --- connections -----------------------------------------------------------------------------
def bind(worker: Worker, end: End, address: Any) -> None:
    """Give ``end`` this address. Raises what a real socket raises."""
    network = network_of(worker.hub)
    if end.address is not None:
        fail(errno.EINVAL)
    if end.tcp:
        host, number = address[0], address[1]
        if not isinstance(number, int) or not 0 <= number <= 65_535:
            raise OverflowError("bind(): port must be 0-65535.")
        end.address = network.whole(end, host, number or network.free_port(end, worker))
    else:
        end.address = address
    port = network.port(end, end.address)
    try:
        _take(worker, end, port, None if end.stream else DATAGRAMS)
    except OSError:
        end.address = None
        raise


def _take(worker: Worker, end: End, port: Port, limit: int | None) -> None:
    """``end`` gets this port. ``limit``: so many may arrive there; None: it does not listen yet."""
    _step(worker, SET, port.number, limit)
    if port.end not in (None, end):
        fail(errno.EADDRINUSE)
    port.end = end
    end.port = port


def listen(worker: Worker, end: End, backlog: int) -> None:
    """``end`` listens from now on, for up to ``backlog`` connections and one."""
    network = network_of(worker.hub)
    network.own_address(end, worker)
    _take(worker, end, network.port(end, end.address), max(0, backlog) + 1)
    end.listens = True


def connect(
    worker: Worker, end: End, address: Any, wait: float | None, outside: Callable[[], None]
) -> None:
    """Connect ``end`` with who listens at ``address``; ``outside`` connects it for real, where no
    worker does. Raises what a real socket raises."""
    network = network_of(worker.hub)
    if end.outgoing is not None:
        fail(errno.EISCONN)
    if not end.stream:
        network.own_address(end, worker)
        end.other = network.whole(end, *address[:2]) if end.tcp else address
        return
    broken = fault(worker, "refused", "timed out")
    if broken:
        fail(errno.ECONNREFUSED if broken == "refused" else errno.ETIMEDOUT)
    port = network.port(end, address)
    # without waiting a connection counts as made although nobody has room for it yet
    arrived = _step(worker, PUT, port.number, wait=wait)
    if _late(worker):
        raise timed_out()
    listener = port.end
    if listener is None:
        outside()
        return
    if not arrived:
        fail(errno.EAGAIN if listener.listens else errno.ECONNREFUSED)
    network.own_address(end, worker)
    name = worker.hub.bind(end, end.name)
    other = End(end.family, socket.SOCK_STREAM, name)
    end.join(other, Direction(f"{name}{THERE}"), Direction(f"{name}{BACK}"))
    other.address = listener.address
    if end.tcp:
        other.address = network.whole(end, *address[:2])
    end.other, other.other = other.address, end.address
    listener.arrived.append(other)
    _tell(worker, listener, end)


def accept(worker: Worker, end: End, wait: float | None) -> End:
    """The end of the next connection. Raises what a real socket raises."""
    if not end.listens or end.port is None:
        fail(errno.EINVAL)
    end.uses += 1
    try:
        found = _step(worker, GET, end.port.number, wait=wait)
        if _late(worker):
            raise timed_out()
        if found is EMPTY:
            fail(errno.EAGAIN if end.listens else errno.EINVAL)
        worker.record(None)
        other: End = end.arrived.popleft()
    finally:
        _used(worker, end)
    _tell(worker, end)
    return other


def shut_down(worker: Worker, end: End, how: int) -> None:
    """``shutdown`` of a socket."""
    if end.listens:
        _deafen(worker, end)
        return
    if end.outgoing is None or end.incoming is None:
        fail(errno.ENOTCONN)
    if how in (socket.SHUT_WR, socket.SHUT_RDWR):
        _step(worker, SET, _number(worker, end.outgoing))
        end.end_sending()
    if how in (socket.SHUT_RD, socket.SHUT_RDWR):
        _step(worker, SET, _number(worker, end.incoming))
        end.end_reading()
    _tell(worker, end, end.peer)


def close(worker: Worker, end: End) -> None:
    """A descriptor of ``end`` is closed. As in reality this ends nothing as long as another one
    stands for it, or somebody waits at it."""
    end.refs -= 1
    if not end.refs and not end.uses:
        _leave(worker, end)


def _used(worker: Worker, end: End) -> None:
    end.uses -= 1
    if not end.refs and not end.uses and not end.closed and worker.running:
        _leave(worker, end)


def _leave(worker: Worker, end: End) -> None:
    if end.closed:
        return
    if end.port is not None and end.port.end is end:
        _deafen(worker, end)
        return
    if end.incoming is None or end.outgoing is None:
        end.closed = True
        return
    _step(worker, SET, _number(worker, end.incoming))
    resets = end.leave()
    peer = end.peer
    assert peer is not None
    if resets:
        peer.reset()
    _step(worker, SET, _number(worker, end.outgoing))
    end.end_sending()
    _tell(worker, peer)


def _deafen(worker: Worker, end: End) -> None:
    """Nobody listens here any more: connections that nobody has accepted are reset."""
    port = end.port
    _step(worker, CLEAR, port.number)
    end.listens = False
    if port.end is end:
        port.end = None
    left, end.arrived = list(end.arrived), type(end.arrived)()
    for other in left if end.stream else ():
        peer = other.peer
        _step(worker, SET, _number(worker, other.incoming))
        other.leave()
        if peer is not None and not peer.closed:
            peer.reset()
        _step(worker, SET, _number(worker, other.outgoing))
        other.end_sending()
        _tell(worker, peer)
    _tell(worker, end)


# --- datagrams -------------------------------------------------------------------------------
def send_to(
    worker: Worker, end: End, data: Any, address: Any, outside: Callable[[], int]
) -> int:  # fmt: skip
    """Send a datagram; ``outside`` does so for real, where no worker receives at ``address``."""
    network = network_of(worker.hub)
    if len(data) > LONGEST:
        fail(errno.EMSGSIZE)
    _receives(worker, end)
    port = network.port(end, address)
    broken = fault(worker, "lost", "doubled", "reordered")
    if broken == "lost":
        return len(data)
    arrived = _step(worker, PUT, port.number)
    receiver = port.end
    if receiver is None:
        return outside()
    if arrived:
        datagram = bytes(data), end.address
        if broken == "reordered":
            receiver.arrived.appendleft(datagram)
        else:
            receiver.arrived.extend([datagram] * (2 if broken == "doubled" else 1))
        worker.hub.controller.models[port.number].arrived = len(receiver.arrived)  # type: ignore
        _tell(worker, receiver)
    return len(data)


def receive_from(
    worker: Worker, end: End, size: int, wait: float | None, peek: bool = False
) -> tuple[bytes, Any]:  # fmt: skip
    """The next datagram, cut to ``size``, and who has sent it."""
    _receives(worker, end)
    end.uses += 1
    try:
        found = _step(worker, READ if peek else GET, end.port.number, wait=wait)
        if _late(worker):
            raise timed_out()
        if found is EMPTY or not end.arrived:
            fail(errno.EAGAIN)
        data, sender = end.arrived[0] if peek else end.arrived.popleft()
        worker.record(len(data))
    finally:
        _used(worker, end)
    _tell(worker, end)
    return data[:size], sender


def _receives(worker: Worker, end: End) -> None:
    """A socket of datagrams has an address from its first use on."""
    if end.port is None:
        network = network_of(worker.hub)
        network.own_address(end, worker)
        if end.tcp:
            _take(worker, end, network.port(end, end.address), DATAGRAMS)


# --- new ones --------------------------------------------------------------------------------
def new_end(worker: Worker, family: int, kind: int) -> End:
    """The end of a socket that a worker makes."""
    return End(family, kind, creation_name("connection", worker))


def pair_of(worker: Worker, family: int, kind: int) -> tuple[End, End]:
    """Two ends that are connected with each other."""
    one, other = new_end(worker, family, kind), End(family, kind)
    name = worker.hub.bind(one, one.name)
    one.join(other, Direction(f"{name}{THERE}"), Direction(f"{name}{BACK}"))
    one.address = other.address = one.other = other.other = ""
    return one, other


__all__ = ["Network", "accept", "bind", "close", "connect", "listen", "look", "new_end", "pair_of"]
