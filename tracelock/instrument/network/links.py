"""Connections to what is outside of the run: an end in memory, whose peer is a real socket.

The worker's socket is one in memory as any other. What is sent is sent on for real in a step of its
own; where a worker would wait for bytes, it lets a moment of virtual time go by, in which all
others may go on, and then receives for real. Both are calls to the outside (``outside.calls``),
so that a replay needs no real socket at all.
"""

from __future__ import annotations

import _socket
import errno
import socket
import time
import zlib
from collections.abc import Sequence
from typing import Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import READABLE, Direction, End
from tracelock.instrument.network.steps import number_of, step, tell, timed_out
from tracelock.instrument.outside.calls import ask, outside_of, refuse
from tracelock.instrument.outside.descriptors import moved
from tracelock.instrument.outside.pausing import LATENCY, pauses
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import PUT, SET, SLEEP, Op
from tracelock.trace.network import ANSWERED, SENT

_REAL: Final[Any] = _socket.socket
_really_sleep: Final = time.sleep
#: So much is received at once, in bytes: what a direction has room for.
CHUNK: Final = 65_536
#: What a connection comes to where somebody is there, who may be slow.
_ANSWERED: Final = (0, errno.EAGAIN, errno.EINPROGRESS, errno.ETIMEDOUT)
#: For how long a refused connection takes at least: who tries again and again, and sleeps in
#: virtual time meanwhile, waits for something that takes real time to begin.
_REFUSED_FOR: Final = 0.05
#: The beginning of TLS: a record of a handshake, in which a client says hello.
_TLS: Final = (b"\x16\x03", 1)
#: For how long somebody is looked for at an address of this machine, in seconds.
_LOOKED_FOR: Final = 1.0


def answers(worker: Worker, end: End, address: Any) -> bool:
    """Whether somebody outside of the run listens at an address of this machine."""
    with Uncontrolled(worker):
        real = _REAL(end.family, socket.SOCK_STREAM)
        try:
            real.settimeout(_LOOKED_FOR)
            return bool(real.connect_ex(address) in _ANSWERED)
        finally:
            real.close()


def connect(worker: Worker, end: End, address: Any, wait: float | None) -> None:
    """Connect ``end`` with who is at ``address`` outside of the run, or was when it was recorded.
    Raises what a real socket raises."""
    where = f"{address[0]}:{address[1]}" if end.tcp else str(address)
    bound, longest = end.address, patience(worker, wait)
    made: list[Any] = []

    def live() -> tuple[Any, Any]:
        plain = _REAL(end.family, socket.SOCK_STREAM)
        real = _REAL(end.family, socket.SOCK_STREAM, 0, moved(plain.detach()))
        try:
            real.settimeout(longest)
            if bound is not None:
                real.bind(bound)
            real.connect(address)
            made.append(real)
            return real.getsockname(), real.getpeername()
        except ConnectionRefusedError:
            real.close()
            _really_sleep(_REFUSED_FOR)
            raise
        except TimeoutError:
            real.close()
            if wait and wait <= longest:
                raise
            raise LimitReached(f"nobody has answered at {where} in {longest:g} seconds") from None
        except BaseException:
            real.close()
            raise

    own, peer = ask(worker, "connection", f"connect to {where}", live)
    name = worker.hub.bind(end, end.name)
    far = End(end.family, socket.SOCK_STREAM, name)
    end.join(far, Direction(f"{name}{SENT}"), Direction(f"{name}{ANSWERED}"))
    end.address, end.other, far.address, far.other = own, peer, peer, own
    end.link = Link(end, far, where, made[0] if made else None)
    if made:
        outside_of(worker.hub).to_end.append(made[0].close)
    far.watchers.append(end.link)
    tell(worker, end)


def patience(worker: Worker, wait: float | None) -> float:
    """For how long something real is waited for, in seconds: less than what is a worker that is
    stuck."""
    longest = float(worker.hub.stall)
    return min(longest, wait) if wait else longest


class Link:
    """What brings an end in memory together with a real socket, None in a replay. ``secured``: that
    one does TLS, of which what the program says knows nothing; ``nothing``: the errors by which it
    says that nothing has come."""

    def __init__(self, end: End, far: End, where: str, real: Any) -> None:
        self.end, self.far, self.where, self.real = end, far, where, real
        self.secured = False
        self.nothing: tuple[type[Exception], ...] = (BlockingIOError, TimeoutError)

    # --- there ---------------------------------------------------------------------------------
    def changed(self, worker: Worker, far: End) -> None:
        """Something was sent, or sending was ended."""
        way = far.incoming
        assert way is not None and far.peer is not None
        if way.buffer:
            data = way.remove(len(way.buffer))
            worker.hub.controller.models[way.number].held = 0  # type: ignore[union-attr]
            self._send(worker, data)
        if self.real is not None and (far.peer.closed or way.ended):
            with Uncontrolled(worker):
                self._end(far.peer.closed)

    def _send(self, worker: Worker, data: bytes) -> None:
        if not self.secured and data[:2] == _TLS[0] and data[5:6] == bytes([_TLS[1]]):
            refuse(
                worker, f"TLS to {self.where}: its keys are drawn in C, so that no replay could "
                "say the same; talk to it without (by a proxy), or to something in the run",
            )  # fmt: skip

        def live() -> None:
            self.real.settimeout(patience(worker, None))
            self.real.sendall(data)

        ask(
            worker, "connection", f"send to {self.where}", live,
            [len(data), zlib.crc32(data)],
        )  # fmt: skip

    def _end(self, closed: bool) -> None:
        try:
            if closed:
                self.real.close()
            else:
                self.real.shutdown(socket.SHUT_WR)
        except OSError:  # the other end was faster
            pass

    # --- back ----------------------------------------------------------------------------------
    @property
    def empty(self) -> bool:
        """Whether there is nothing to be read, as far as is known here."""
        return not self.end.ready() & READABLE

    def fetch(self, worker: Worker, wait: float | None) -> None:
        """Have what comes next in the buffer. ``wait``: for how long, None for ever, 0 not at all.
        Raises what a real receive raises, as a time-out."""
        if not self.empty:
            return
        at = caller(worker, 4)
        if wait is None or wait > 0:
            worker.step(Op(SLEEP, -1, at, LATENCY))
            if not self.empty:
                return
        if self.receive(worker, wait) or wait == 0:
            return
        if wait is None or wait > worker.hub.stall:
            self.give_up(worker)
        worker.step(Op(SLEEP, -1, at, wait))
        raise timed_out()

    def give_up(self, worker: Worker) -> None:
        """Nothing comes: the schedule is unfinished."""
        refuse(
            worker, f"nothing came from {self.where} in {worker.hub.stall:g} seconds, for which "
            "somebody waits; RunLimits(stall=...) says how long that may take",
        )  # fmt: skip

    def receive(self, worker: Worker, wait: float | None) -> bool:
        """Receive for real, at once where ``wait`` is 0. Whether anything came, or the end did."""

        def live() -> bytes | None:
            self.real.settimeout(0.0 if wait == 0 else patience(worker, wait))
            try:
                return bytes(self.real.recv(CHUNK))
            except self.nothing:
                return None

        data = ask(worker, "connection", f"receive from {self.where}", live)
        way = self.end.incoming
        assert way is not None
        if data is None:
            return False
        if data:
            step(worker, PUT, number_of(worker, way), len(data))
            way.buffer += data
            way.ends.append(len(way.buffer))
        else:
            step(worker, SET, number_of(worker, way))
            self.far.end_sending()
        tell(worker, self.end)
        return True


def fetch_any(worker: Worker, ends: Sequence[End], wait: float | None) -> None:
    """Before somebody waits for several ends, of which some are connected with the outside: where
    nothing is ready, have what comes next. ``wait``: as of ``fetch``."""
    links = [end.link for end in ends if end.link is not None]
    if not links or any(end.ready() & READABLE for end in ends):
        return
    at = caller(worker, 5)
    spent = 0.0
    for virtual, real in pauses(worker):
        if wait != 0:
            worker.step(Op(SLEEP, -1, at, virtual))
            spent += virtual
        for link in links:
            if any(end.ready() & READABLE for end in ends):
                return
            link.receive(worker, 0 if wait == 0 else real / len(links))
        if any(end.ready() & READABLE for end in ends) or (wait is not None and spent >= wait):
            return
    links[0].give_up(worker)
