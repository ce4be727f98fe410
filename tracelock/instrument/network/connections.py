"""Connections, from an address to the end: what workers do to those as a whole."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from tracelock.instrument.callers import creation_name
from tracelock.instrument.network.crashes import go_down_by_fault, who_may_crash
from tracelock.instrument.network.ends import DATAGRAMS, Direction, End, fail
from tracelock.instrument.network.faults import fault
from tracelock.instrument.network.membership import HOST
from tracelock.instrument.network.partitions import ASKS, gives_up, may_part, part
from tracelock.instrument.network.steps import (
    end_way,
    is_late,
    number_of,
    step,
    tell,
    timed_out,
)
from tracelock.instrument.network.table import Crossing, Port, loops_back, network_of
from tracelock.instrument.worker import Worker
from tracelock.objects.streams import SHUT
from tracelock.ops import CLEAR, EMPTY, GET, PUT, READ, SET
from tracelock.trace.network import ANSWERED, SENT


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
    step(worker, SET, port.number, limit)
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
    if end.connecting is not None:
        fail(errno.EALREADY)
    if not end.stream:
        network.own_address(end, worker)
        end.other = network.whole(end, *address[:2]) if end.tcp else address
        return
    there = network.target(end, address[0]) if end.tcp else end.host
    crashes = who_may_crash(worker, network, end.host, there)
    parts = may_part(network, end.host, there)
    broken = fault(
        worker, "refused", "timed out", *parts, *(("crash",) if crashes else ()), when=parts
    )  # fmt: skip
    if broken == "crash":
        go_down_by_fault(worker, network, crashes)
    elif broken == "partition":
        part(worker, network, end.host, str(there))
    elif broken:
        fail(errno.ECONNREFUSED if broken == "refused" else errno.ETIMEDOUT)
    if there != end.host:
        begun = worker.hub.controller.now
        if not _reaches(worker, end, address, str(there), wait):
            fail(errno.EINPROGRESS)
        if wait:
            wait = max(0.0, wait - (worker.hub.controller.now - begun))
    _arrive(worker, end, address, wait, outside)


def _reaches(worker: Worker, end: End, address: Any, there: str, wait: float | None) -> bool:
    """Whether what ``end`` sends comes to another host; not yet, where it does not wait for it.
    Raises TimeoutError where nobody answers for too long."""
    network = network_of(worker.hub)
    limit = ASKS if wait is None else min(wait, ASKS)
    step(worker, GET, network.hosts.link(end.host, there), wait=limit)
    if is_late(worker):
        if wait is None or wait > ASKS:
            fail(errno.ETIMEDOUT)
        raise timed_out()
    if not network.hosts.apart(end.host, there):
        network.crossing.append(Crossing(end, there, _ways(worker, end)))
        return True
    end.connecting = address, arrive_late
    network.waiting_for.append((end, there))
    gives_up(worker, end)
    return False


def _ways(worker: Worker, end: End) -> tuple[Direction, Direction]:
    """The two directions of the connection that ``end`` makes."""
    name = worker.hub.bind(end, end.name)
    return Direction(f"{name}{SENT}"), Direction(f"{name}{ANSWERED}")


def arrive_late(worker: Worker, end: End) -> None:
    """The partition is healed: ``end``, which does not wait for it, connects."""
    address = end.connecting[0]
    end.connecting = address, None  # it does so from here on, and is not ready before that
    network = network_of(worker.hub)
    there = network.port(end, address).host
    network.crossing.append(Crossing(end, there, _ways(worker, end)))
    try:
        _arrive(worker, end, address, 0.0, lambda: None)
    except OSError as error:
        step(worker, SET, network.port(end, address).number)  # who looks at it learns of it
        end.connecting = None
        end.error = error.errno or errno.ETIMEDOUT
        tell(worker, end)


def _refuses(end: End, port: Port) -> bool:
    """Whether nobody listens there for those on the host of ``end``."""
    listener = port.end
    if listener is None:
        return bool(end.host or port.host)
    return end.tcp and end.host != port.host and loops_back(listener.address[0])


def _arrive(
    worker: Worker, end: End, address: Any, wait: float | None, outside: Callable[[], None]
) -> None:  # fmt: skip
    """Connect ``end`` with who listens at ``address``, to where it comes."""
    network = network_of(worker.hub)
    port = network.port(end, address)
    if end.host != port.host:
        step(worker, READ, port.number)
        if _refuses(end, port):
            fail(errno.ECONNREFUSED)
    # without waiting a connection counts as made although nobody has room for it yet
    arrived = step(worker, PUT, port.number, wait=wait)
    if is_late(worker):
        raise timed_out()
    listener = port.end
    given_up = end.connecting is not None and end.closed
    if listener is None or given_up or _refuses(end, port):
        if listener is not None:
            worker.hub.controller.models[port.number].arrived = len(listener.arrived)  # type: ignore
        if given_up:
            return
        if listener is not None or end.host or port.host:
            fail(errno.ECONNREFUSED)
        outside()
        return
    if not arrived:
        fail(errno.EAGAIN if listener.listens else errno.ECONNREFUSED)
    network.own_address(end, worker, address[0] if end.tcp else "")
    ways = next((one.ways for one in network.crossing if one.end is end), None)
    other = End(end.family, socket.SOCK_STREAM, worker.hub.bind(end, end.name))
    end.join(other, *(ways or _ways(worker, end)))
    end.connecting = None
    other.address, other.host = listener.address, listener.host
    if end.tcp:
        other.address = network.whole(end, *address[:2])
    end.other, other.other = other.address, end.address
    listener.arrived.append(other)
    tell(worker, listener, end)


def accept(worker: Worker, end: End, wait: float | None) -> End:
    """The end of the next connection. Raises what a real socket raises."""
    if not end.listens or end.port is None:
        fail(errno.EINVAL)
    end.uses += 1
    try:
        found = step(worker, GET, end.port.number, wait=wait)
        if is_late(worker):
            raise timed_out()
        if found is EMPTY:
            fail(errno.EAGAIN if end.listens else errno.EINVAL)
        worker.record(None)
        other: End = end.arrived.popleft()
        if other.outgoing is not None:
            worker.hub.controller.op.remark = other.outgoing.name
    finally:
        used(worker, end)
    tell(worker, end)
    return other


def shut_down(worker: Worker, end: End, how: int) -> None:
    """``shutdown`` of a socket."""
    if end.listens:
        _deafen(worker, end)
        return
    if end.outgoing is None or end.incoming is None:
        fail(errno.ENOTCONN)
    if how in (socket.SHUT_WR, socket.SHUT_RDWR):
        step(worker, SET, number_of(worker, end.outgoing))
        end.end_sending()
    if how in (socket.SHUT_RD, socket.SHUT_RDWR):
        # who reads wants nothing more at once, whatever is cut
        step(worker, SET, number_of(worker, end.incoming), SHUT)
        end.end_reading()
    tell(worker, end, end.peer)


def close(worker: Worker, end: End) -> None:
    """A descriptor of ``end`` is closed. As in reality this ends nothing as long as another one
    stands for it, or somebody waits at it."""
    end.refs -= 1
    if not end.refs and not end.uses:
        _leave(worker, end)
    elif not end.refs and not end.closed:
        worker.doubt(
            f"{end.name} closed while another worker waits at it",
            "that it is closed before that one begins was not tried in every order",
        )


def drop(worker: Worker, end: End) -> None:
    """The last reference to a descriptor of ``end`` has died with ``worker``, which closes it.

    With which step that is depends on the version of Python, so that a replay goes by what its
    trace tells.
    """
    recorded = worker.hub.names.recorded_sets
    if recorded is not None and worker.running:
        of = end.port if end.outgoing is None else end.outgoing
        if of is None or (worker.label, of.name) not in recorded:
            return
    if worker.running:
        worker.doubt(
            f"{end.name} closed when its last reference died",
            "with whom that one dies was not tried in every order: close the socket by hand",
        )
    close(worker, end)


def used(worker: Worker, end: End) -> None:
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
        if end.connecting is not None:  # the network may be about to connect it
            step(worker, SET, network_of(worker.hub).port(end, end.connecting[0]).number)
        if end.incoming is None or end.outgoing is None:
            end.closed = True
            return
    end_way(worker, end.incoming, end.outgoing)
    resets = end.leave()
    peer = end.peer
    assert peer is not None
    if resets:
        end.tell(end.outgoing, peer.reset)
    end_way(worker, end.outgoing, end.incoming)
    end.end_sending()
    tell(worker, peer)


def _deafen(worker: Worker, end: End) -> None:
    """Nobody listens here any more: connections that nobody has accepted are reset."""
    port = end.port
    step(worker, CLEAR, port.number)
    end.listens = False
    if port.end is end:
        port.end = None
    left, end.arrived = list(end.arrived), type(end.arrived)()
    for other in left if end.stream else ():
        peer = other.peer
        end_way(worker, other.incoming, other.outgoing)
        other.leave()
        if peer is not None and not peer.closed:
            other.tell(other.outgoing, peer.reset)
        end_way(worker, other.outgoing, other.incoming)
        other.end_sending()
        tell(worker, peer)
    tell(worker, end)


def receives(worker: Worker, end: End) -> None:
    """A socket of datagrams has an address from its first use on."""
    if end.port is None:
        network = network_of(worker.hub)
        network.own_address(end, worker)
        if end.tcp:
            _take(worker, end, network.port(end, end.address), DATAGRAMS)


# --- new ones --------------------------------------------------------------------------------
def new_end(worker: Worker, family: int, kind: int) -> End:
    """The end of a socket that a worker makes."""
    end = End(family, kind, creation_name("connection", worker))
    end.host = HOST.get()
    if worker.own_thread:  # what of tasks has a loop keeps until it is closed by hand
        worker.hub.names.mortal = True
    return end


def pair_of(worker: Worker, family: int, kind: int) -> tuple[End, End]:
    """Two ends that are connected with each other."""
    one, other = new_end(worker, family, kind), End(family, kind)
    other.host = one.host
    name = worker.hub.bind(one, one.name)
    one.join(other, Direction(f"{name}{SENT}"), Direction(f"{name}{ANSWERED}"))
    one.address = other.address = one.other = other.other = ""
    return one, other
