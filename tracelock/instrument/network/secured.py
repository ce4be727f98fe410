"""TLS over sockets in memory, of threads. Loops have TLS of their own, over their transports.

``ssl.SSLSocket`` stays as it is. What it asks for TLS, an object in C that reads and writes the
descriptor itself, is one here that works on memory (``ssl.MemoryBIO``), and sends and receives by
the operations of the socket. As without read-ahead, what the library does not take of what was
received stays in the connection, so that ``select`` tells of it.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tracelock.errors import LimitReached
from tracelock.instrument.network import operations
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.sockets import end_of
from tracelock.instrument.network.steps import timed_out
from tracelock.instrument.network.table import Network
from tracelock.instrument.patching import SEEN, replace
from tracelock.instrument.worker import Worker, here

try:
    import ssl
except ImportError:  # a Python without it: there is nothing to be patched
    ssl = None  # type: ignore[assignment]

_SOCKET: Final[Any] = socket.socket
#: So much is received at once, in bytes: more than a connection holds.
_ALL: Final = 1 << 20
#: A header of a record, in bytes (RFC 8446, 5.1).
_HEADER: Final = 5
#: Stands for what cannot go on before something is received.
_WANTS: Final = object()


class _Failed(NamedTuple):
    """An attempt that has ended by an error."""

    error: Exception


class TlsObject:
    """What a socket of ``ssl`` has of the library, over a socket in memory.

    ``tls``: of the library, on ``incoming`` and ``outgoing``, which are in memory; ``unsent``: what
    a socket that does not wait had no room for, and ``accepted``: how many bytes of the program's
    that is, which asks for it again; ``outside``: the other end is outside of the run; ``head`` and
    ``left``: of a record that comes by a real socket.
    """

    def __init__(self, sock: Any, tls: Any, incoming: Any, outgoing: Any) -> None:
        self._socket = weakref.ref(sock)
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._unsent = b""
        self._accepted = 0
        self._head, self._left = b"", 0
        self._outside = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)

    @property
    def context(self) -> Any:
        return self._tls.context

    @context.setter
    def context(self, context: Any) -> None:
        self._tls.context = context

    @property
    def session(self) -> Any:
        return self._tls.session

    @session.setter
    def session(self, session: Any) -> None:
        self._tls.session = session

    # --- what it does ------------------------------------------------------------------------
    def do_handshake(self) -> None:
        sock = self._sock()
        worker, end = _where(sock)
        if worker is None or end is None or end.link is None:
            self._run("handshake", self._tls.do_handshake)
        elif not self._outside:
            wait, hostname = sock.gettimeout(), self._tls.server_hostname
            self._tls = beyond().shake_hands(worker, end, self._tls.context, hostname, wait)
            self._outside = True

    def _linked(self, sock: Any) -> tuple[Any, Any, float | None]:
        """By what an operation is recorded, where the other end is outside of the run."""
        worker, end = _where(sock)
        if worker is None or end is None:
            raise ValueError("a connection with the outside that a schedule made, which is over")
        return worker, end, sock.gettimeout()

    def read(self, size: int = 1024, *buffer: Any) -> Any:
        if self._outside:
            with _wanting("read"):
                return beyond().read(*self._linked(self._sock()), size, *buffer)
        return self._run("read", lambda: self._tls.read(size, *buffer))

    def write(self, data: Any) -> int:
        if self._outside:
            with _wanting("write"):
                return int(beyond().write(*self._linked(self._sock()), data))
        waits = self._sock().gettimeout() != 0.0
        if self._unsent:
            self._flush("write", None)
            if self._accepted:  # it is asked for again, as the library wants it
                accepted, self._accepted = self._accepted, 0
                return accepted
        written = int(self._run("write", lambda: self._tls.write(data), flush=waits))
        if not waits:
            self._accepted = written
            self._flush("write", None)
            self._accepted = 0
        return written

    def shutdown(self) -> Any:
        if self._outside:
            beyond().refuse_unwrapping(*self._linked(self._sock())[:2])
        self._run("shutdown", self._tls.shutdown)
        return self._sock()

    def _sock(self) -> Any:
        sock = self._socket()
        if sock is None:
            raise ssl.SSLError("Underlying socket connection gone")
        return sock

    def _run(self, what: str, call: Callable[[], Any], flush: bool = True) -> Any:
        """Do what ``call`` does, with all that has to be sent and received for it. Raises what that
        raises; ``SSLWantReadError`` where it would have to wait, and the socket does not."""
        sock = self._sock()
        wait = sock.gettimeout()
        until = _now() + wait if wait else None
        outcome: Any = None

        def attempt() -> None:
            nonlocal outcome
            try:
                outcome = call()
            except ssl.SSLWantReadError:
                outcome = _WANTS
            except Exception as error:  # what was received and not taken in is put back first
                outcome = _Failed(error)

        attempt()
        while outcome is _WANTS:
            self._flush(what, until)
            self._receive(sock, what, until, attempt)
        if isinstance(outcome, _Failed):
            with contextlib.suppress(OSError):  # the other end is told why
                self._flush(what, until)
            raise outcome.error
        if flush:
            self._flush(what, until)
        return outcome

    # --- there and back ----------------------------------------------------------------------
    def _flush(self, what: str, until: float | None) -> None:
        """Send what the library wants to be sent."""
        sock = self._sock()
        left = memoryview(self._unsent + self._outgoing.read())
        self._unsent = b""
        waits = sock.gettimeout() != 0.0
        while len(left):
            try:
                left = left[self._send(sock, left, what, until) :]
            except BlockingIOError:
                self._unsent = bytes(left)
                if waits:
                    raise
                raise ssl.SSLWantWriteError(
                    ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)"
                ) from None

    def _send(self, sock: Any, data: memoryview, what: str, until: float | None) -> int:
        worker, end = _where(sock)
        if end is None or worker is None:
            return int(_SOCKET.send(sock, data))
        with _told(what):
            return operations.send(worker, end, data, _left(sock, until))

    def _receive(
        self, sock: Any, what: str, until: float | None, attempt: Callable[[], None]
    ) -> None:
        """Receive something, and try again with that."""
        worker, end = _where(sock)
        try:
            if end is None or worker is None:
                self._take(self._from_real(sock), attempt)
                return
            with _told(what):
                operations.receive(
                    worker, end, _ALL, _left(sock, until),
                    feed=lambda data: self._take(data, attempt),
                )  # fmt: skip
        except BlockingIOError:
            raise ssl.SSLWantReadError(
                ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)"
            ) from None

    def _take(self, data: bytes, attempt: Callable[[], None]) -> int:
        """Try again, with these bytes, or the end: how many of them are left."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        attempt()
        return len(self._incoming.read())

    def _from_real(self, sock: Any) -> bytes:
        """What belongs to the next record, and no more, of a socket that is not in memory."""
        data = bytes(_SOCKET.recv(sock, self._left or _HEADER - len(self._head)))
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            if len(self._head) == _HEADER:
                self._left, self._head = int.from_bytes(self._head[3:], "big"), b""
        return data


def _where(sock: Any) -> tuple[Worker | None, End | None]:
    worker = here()
    if worker is None or worker.elsewhere:
        return worker, None
    return worker, end_of(worker, sock)


def _now() -> float:
    worker = here()
    return 0.0 if worker is None else float(worker.hub.controller.now)


def _left(sock: Any, until: float | None) -> float | None:
    """For how long an operation may still wait. Raises TimeoutError where time is up."""
    if until is None:
        wait: float | None = sock.gettimeout()
        return wait
    left = until - _now()
    if left <= 0:
        raise timed_out()
    return left


@contextlib.contextmanager
def _told(what: str) -> Any:
    """A time-out says of which operation, as the library does."""
    try:
        yield
    except TimeoutError as error:
        if error.errno is None:
            raise TimeoutError(f"The {what} operation timed out") from None
        raise


@contextlib.contextmanager
def _wanting(what: str) -> Any:
    """A socket that does not wait says what it would have to wait for, as the library does."""
    try:
        with _told(what):
            yield
    except BlockingIOError:
        cls = ssl.SSLWantReadError if what == "read" else ssl.SSLWantWriteError
        number = ssl.SSL_ERROR_WANT_READ if what == "read" else ssl.SSL_ERROR_WANT_WRITE
        raise cls(number, f"The operation did not complete ({what})") from None


def beyond() -> Any:
    """What does TLS with the outside, which few programs do."""
    from tracelock.instrument.network import secured_outside

    return secured_outside


def _wrap_socket(
    self: Any, sock: Any, server_side: bool, server_hostname: Any = None, *, owner: Any = None,
    session: Any = None,
) -> Any:  # fmt: skip
    """What takes the place of the method of contexts that gives a socket its object."""
    worker = here()
    network = None if worker is None else worker.hub.known(Network)
    more = {"owner": owner, "session": session}
    if worker is None or network is None or not network.keeps(sock):
        return _real(self)(sock, server_side, server_hostname, **more)
    if worker.elsewhere:
        raise LimitReached("a socket between processes of one run is not under control")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = self._wrap_bio(incoming, outgoing, server_side, server_hostname, **more)
    return TlsObject(sock, tls, incoming, outgoing)


def _real(context: Any) -> Any:
    return super(ssl.SSLContext, context)._wrap_socket


if ssl is not None:
    replace(
        "ssl.SSLContext._wrap_socket", _wrap_socket, SEEN, ssl.SSLContext, "_wrap_socket",
        __name__,
    )  # fmt: skip
