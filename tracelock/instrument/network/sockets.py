"""``socket.socket`` under control: its methods, and the functions that make sockets.

The methods of the class are replaced, not the class, so that what others have derived from it, or
have taken by name, works as ever. Each socket keeps a real descriptor, which is what it is called
by; nothing is ever done to that for real. What a worker connects with is in memory where a worker
listens there; else it goes the old way, outside of control, and nothing is claimed.
"""

from __future__ import annotations

import _socket
import errno
import socket
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final

from tracelock.instrument.network import connections, links, operations
from tracelock.instrument.network.ends import End, fail
from tracelock.instrument.network.steps import timed_out
from tracelock.instrument.network.table import (
    FAMILIES,
    KINDS,
    Network,
    network_of,
    refuse_elsewhere,
    used_outside,
)
from tracelock.instrument.outside.calls import asks, refuse
from tracelock.instrument.outside.kinds import WAY_OUT
from tracelock.instrument.patching import CONTROLLED, SEEN, patch, replace
from tracelock.instrument.worker import Uncontrolled, Worker, here

#: The class that is written in C, whose methods the other one has.
_REAL: Final[Any] = _socket.socket
_SOCKET: Final[Any] = socket.socket
_PEEK: Final = int(socket.MSG_PEEK)
_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))
_WAITALL: Final = int(getattr(socket, "MSG_WAITALL", 0))
#: Who makes pairs of sockets whose descriptors it hands to C.
_BY_DESCRIPTOR: Final = frozenset({
    "asyncio.selector_events", "asyncio.proactor_events", "multiprocessing.connection",
    "multiprocessing.reduction", "trio._core._wakeup_socketpair", "subprocess",
})  # fmt: skip
#: What nothing comes of that a program sees: it is done to sockets of others too, when the last who
#: had one has gone.
_NO_USE: Final = frozenset({"_real_close"})
_fileno: Final = _REAL.fileno
_gettimeout: Final = _REAL.gettimeout


def end_of(worker: Worker, sock: Any) -> End | None:
    """The end of a socket that is in memory, None for any other."""
    network = worker.hub.known(Network)
    return None if network is None else network.ends.get(_fileno(sock))


def _method(name: str, how: str = CONTROLLED) -> Callable[[Callable[..., Any]], Any]:
    """Declare what takes the place of a method, of sockets that are in memory. It is called with
    the worker, the end, the socket and what the method is called with."""

    def declare(body: Callable[..., Any]) -> Any:
        real = getattr(_SOCKET, name)

        def by(self: Any, *args: Any, **kwargs: Any) -> Any:
            worker = here()
            end = None if worker is None else end_of(worker, self)
            if end is None or worker is None or worker.elsewhere:
                if worker is not None:
                    if name not in _NO_USE:
                        used_outside(worker, "socket", _asks())
                    if worker.elsewhere:
                        refuse_elsewhere(worker, _fileno(self), args if "conn" in name else ())
                return real(self, *args, **kwargs)
            return body(worker, end, self, *args, **kwargs)

        update_wrapper(by, real, ("__name__", "__qualname__", "__doc__"), ())
        replace(f"socket.socket.{name}", by, how, _SOCKET, name, __name__)
        return by

    return declare


def _asks() -> str:
    """The module whose code uses a socket, by way of the class's own."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") == "socket":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))


def _wait(sock: Any, flags: int = 0) -> float | None:
    """For how long an operation may wait: None for ever, 0 not at all."""
    wait: float | None = 0.0 if flags & _DONTWAIT else _gettimeout(sock)
    return wait


# --- making and closing ----------------------------------------------------------------------
_init: Final[Any] = _SOCKET.__init__


def _created(
    self: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
) -> None:  # fmt: skip
    _init(self, family, type, proto, fileno)
    worker = here()
    if worker is None or fileno is not None or worker.importing:
        return
    if worker.elsewhere:
        used_outside(worker, "socket", "")
        return
    kind = int(self.type)
    if int(self.family) in FAMILIES and kind in KINDS:
        network_of(worker.hub).ends[_fileno(self)] = connections.new_end(
            worker, int(self.family), kind
        )


update_wrapper(_created, _init, ("__name__", "__qualname__", "__doc__"), ())
replace("socket.socket.__init__", _created, SEEN, _SOCKET, "__init__", __name__)


def _adopt(worker: Worker, sock: Any, end: End, descriptor: int | None = None) -> Any:
    """A socket of the class of ``sock`` for an end that is new."""
    if descriptor is None:
        with Uncontrolled(worker):
            descriptor = _REAL(end.family, socket.SOCK_STREAM).detach()
    made = _SOCKET(sock.family, sock.type, sock.proto, fileno=descriptor)
    network_of(worker.hub).ends[descriptor] = end
    return made


@_method("_real_close")
def _real_close(worker: Worker, end: End, self: Any, *args: Any) -> None:
    ends = network_of(worker.hub).ends
    if ends.get(_fileno(self)) is end:
        del ends[_fileno(self)]
    try:
        connections.close(worker, end)
    finally:
        _REAL.close(self)


@_method("dup", SEEN)
def dup(worker: Worker, end: End, self: Any) -> Any:
    with Uncontrolled(worker):
        descriptor = _socket.dup(_fileno(self))
    end.refs += 1
    made = _adopt(worker, self, end, descriptor)
    made.settimeout(self.gettimeout())
    return made


@patch("socket.socketpair", SEEN)
def socketpair(
    worker: Worker, real: Any, family: int | None = None, type: int = socket.SOCK_STREAM,
    proto: int = 0,
) -> Any:  # fmt: skip
    asks = sys._getframe(2).f_globals.get("__name__", "")
    with Uncontrolled(worker):
        one, other = real(family, type, proto)
    kind = int(one.type)
    if worker.elsewhere and asks not in _BY_DESCRIPTOR:
        used_outside(worker, "socket", asks)
    if worker.elsewhere or asks in _BY_DESCRIPTOR or kind != int(socket.SOCK_STREAM):
        return one, other
    ends = connections.pair_of(worker, int(one.family), kind)
    for sock, end in zip((one, other), ends, strict=True):
        network_of(worker.hub).ends[_fileno(sock)] = end
    return one, other


# --- connections -----------------------------------------------------------------------------
@_method("bind")
def bind(worker: Worker, end: End, self: Any, address: Any) -> None:
    if not end.tcp:
        with Uncontrolled(worker):
            _REAL.bind(self, address)  # which makes the file
    elif not network_of(worker.hub).local(end, _host(address)):
        if network_of(worker.hub).served(end, _host(address)):
            fail(errno.EADDRNOTAVAIL)  # another host has it
        with Uncontrolled(worker):
            _REAL.bind(self, address)  # raises, as no interface has it; or is outside
        _leave(worker, self)
        return
    connections.bind(worker, end, address)


def _host(address: Any) -> str:
    if not isinstance(address, tuple):
        raise TypeError(f"AF_INET address must be tuple, not {type(address).__name__}")
    host = address[0]
    return host.decode() if isinstance(host, (bytes, bytearray)) else str(host)


def _leave(worker: Worker, sock: Any) -> None:
    """This socket is not in memory any more."""
    network_of(worker.hub).ends.pop(_fileno(sock), None)


@_method("listen")
def listen(worker: Worker, end: End, self: Any, backlog: int = 128) -> None:
    connections.listen(worker, end, backlog)


@_method("accept")
def accept(worker: Worker, end: End, self: Any) -> tuple[Any, Any]:
    other = connections.accept(worker, end, _wait(self))
    made = _adopt(worker, self, other)
    if socket.getdefaulttimeout() is None and self.gettimeout():
        made.setblocking(True)
    return made, other.other


def _outside(worker: Worker, self: Any, end: End, address: Any, connect: Any) -> Any:
    """Nobody in the run serves ``address``: it is refused, or done for real."""
    told = address if not end.tcp else f"{address[0]}:{address[1]}"
    if asks(worker):
        return links.connect(worker, end, address, _wait(self))
    if end.address is not None and end.tcp:
        with Uncontrolled(worker):
            _REAL.bind(self, end.address)
    if worker.running:
        worker.doubt(
            f"a connection to {told}, which no worker of the run serves",
            "what is there answers in its own time, and is not controlled: have a worker listen "
            "there, or put something else in its place",
        )
        local = not end.tcp or network_of(worker.hub).local(end, _host(address))
        if not local or links.answers(worker, end, address):
            refuse(worker, f"a connection to {told}, which no worker of the run serves: {WAY_OUT}")
    try:
        with Uncontrolled(worker):
            code = connect(self, address)
    except BlockingIOError:  # it is under way
        _leave(worker, self)
        raise
    if code in (None, 0, errno.EINPROGRESS):
        _leave(worker, self)
    return code


@_method("connect")
def connect(worker: Worker, end: End, self: Any, address: Any) -> None:
    _connect(worker, end, self, address, _REAL.connect)


@_method("connect_ex")
def connect_ex(worker: Worker, end: End, self: Any, address: Any) -> int:
    try:
        return int(_connect(worker, end, self, address, _REAL.connect_ex) or 0)
    except TimeoutError:
        return errno.EAGAIN
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno


def _connect(worker: Worker, end: End, self: Any, address: Any, real: Any) -> Any:
    if end.tcp and not network_of(worker.hub).served(end, _host(address)):
        return _outside(worker, self, end, address, real)
    found: list[Any] = [None]

    def outside() -> None:
        found[0] = _outside(worker, self, end, address, real)

    connections.connect(worker, end, address, _wait(self), outside)
    return found[0]


@_method("shutdown")
def shutdown(worker: Worker, end: End, self: Any, how: int) -> None:
    connections.shut_down(worker, end, how)


# --- receiving -------------------------------------------------------------------------------
def _receive(worker: Worker, end: End, sock: Any, size: int, flags: int) -> bytes:
    if size < 0:
        raise ValueError("negative buffersize in recv")
    wait = _wait(sock, flags)
    if not end.stream:
        return operations.receive_from(worker, end, size, wait, bool(flags & _PEEK))[0]
    data = operations.receive(worker, end, size, wait, bool(flags & _PEEK))
    while flags & _WAITALL and not flags & _PEEK and 0 < len(data) < size:
        more = operations.receive(worker, end, size - len(data), wait)
        if not more:
            break
        data += more
    return data


@_method("recv")
def recv(worker: Worker, end: End, self: Any, bufsize: int, flags: int = 0) -> bytes:
    return _receive(worker, end, self, bufsize, flags)


@_method("recv_into")
def recv_into(
    worker: Worker, end: End, self: Any, buffer: Any, nbytes: int = 0, flags: int = 0
) -> int:  # fmt: skip
    data = _receive(worker, end, self, _size(buffer, nbytes), flags)
    return _fill(buffer, data)


def _size(buffer: Any, size: int) -> int:
    if size < 0:
        raise ValueError("negative buffersize in recv_into")
    whole = memoryview(buffer).nbytes
    if size > whole:
        raise ValueError("buffer too small for requested bytes")
    return size or whole


def _fill(buffer: Any, data: bytes) -> int:
    memoryview(buffer).cast("B")[: len(data)] = data
    return len(data)


@_method("recvfrom")
def recvfrom(
    worker: Worker, end: End, self: Any, bufsize: int, flags: int = 0
) -> tuple[bytes, Any]:  # fmt: skip
    if end.stream:
        return _receive(worker, end, self, bufsize, flags), None
    return operations.receive_from(worker, end, bufsize, _wait(self, flags), bool(flags & _PEEK))


@_method("recvfrom_into")
def recvfrom_into(
    worker: Worker, end: End, self: Any, buffer: Any, nbytes: int = 0, flags: int = 0
) -> tuple[int, Any]:  # fmt: skip
    data, sender = self.recvfrom(_size(buffer, nbytes), flags)
    return _fill(buffer, data), sender


@_method("recvmsg")
def recvmsg(
    worker: Worker, end: End, self: Any, bufsize: int, ancbufsize: int = 0, flags: int = 0
) -> tuple[bytes, list[Any], int, Any]:  # fmt: skip
    data, sender = self.recvfrom(bufsize, flags)
    return data, [], 0, sender


# --- sending ---------------------------------------------------------------------------------
def _bytes(data: Any) -> memoryview:
    return memoryview(data).cast("B")


@_method("send")
def send(worker: Worker, end: End, self: Any, data: Any, flags: int = 0) -> int:
    if not end.stream:
        if end.other is None:
            fail(errno.EDESTADDRREQ)
        return _send_to(worker, end, self, data, end.other)
    return operations.send(worker, end, _bytes(data), _wait(self, flags))


@_method("sendall")
def sendall(worker: Worker, end: End, self: Any, data: Any, flags: int = 0) -> None:
    if not end.stream:
        self.send(data, flags)
        return
    controller, left, wait = worker.hub.controller, _bytes(data), _wait(self, flags)
    until = None if wait is None else controller.now + wait
    while True:
        left = left[operations.send(worker, end, left, wait) :]
        if not len(left):
            return
        if until is not None and wait:
            wait = until - controller.now
            if wait <= 0:
                raise timed_out()


@_method("sendto")
def sendto(worker: Worker, end: End, self: Any, data: Any, *args: Any) -> int:
    if end.stream:
        return operations.send(worker, end, _bytes(data), _wait(self))
    return _send_to(worker, end, self, data, args[-1])


def _send_to(worker: Worker, end: End, sock: Any, data: Any, address: Any) -> int:
    def outside() -> int:
        """A datagram to where nobody receives is lost, which who sends it does not learn."""
        told = address if not end.tcp else f"{address[0]}:{address[1]}"
        worker.doubt(
            f"a datagram to {told}, where no worker of the run receives",
            "it is lost: nothing was sent outside",
        )
        return len(data)

    if end.tcp and not network_of(worker.hub).served(end, _host(address)):
        return outside()
    return operations.send_to(worker, end, _bytes(data), address, outside)


@_method("sendmsg")
def sendmsg(worker: Worker, end: End, self: Any, buffers: Any, *args: Any) -> int:
    data = b"".join(bytes(one) for one in buffers)
    if len(args) > 2:
        return int(self.sendto(data, args[2]))
    return int(self.send(data))


@_method("sendfile")
def sendfile(
    worker: Worker, end: End, self: Any, file: Any, offset: int = 0, count: int | None = None
) -> int:  # fmt: skip
    return int(self._sendfile_use_send(file, offset, count))


# --- what it tells of itself -----------------------------------------------------------------
@_method("getsockname", SEEN)
def getsockname(worker: Worker, end: End, self: Any) -> Any:
    if end.address is not None:
        return end.address
    return _REAL.getsockname(self)


@_method("getpeername", SEEN)
def getpeername(worker: Worker, end: End, self: Any) -> Any:
    if end.other is None:
        fail(errno.ENOTCONN)
    return end.other


@_method("getsockopt", SEEN)
def getsockopt(worker: Worker, end: End, self: Any, level: int, option: int, *size: Any) -> Any:
    if level == socket.SOL_SOCKET and not size:
        if option == socket.SO_ERROR:
            code, end.error = end.error, 0
            return code
        if option == getattr(socket, "SO_ACCEPTCONN", -1):
            return int(end.listens)
    return _REAL.getsockopt(self, level, option, *size)
