"""A use of each row of the table of patches for sockets: what it says is so."""

from __future__ import annotations

import select
import selectors
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import trio

from tests.helpers.patch_uses import explore_uses, judge, worker_name
from tracelock.instrument.patches import table

Use = Callable[..., Any]


def fails(now: bool) -> None:
    threading.Event().wait(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


def between(use: Callable[[socket.socket, socket.socket], Any]) -> Use:
    """``use`` with the two ends of a connection."""

    def work() -> Any:
        one, other = socket.socketpair()
        with one, other:
            return use(one, other)

    return work


def answered(use: Callable[[socket.socket], Any]) -> Use:
    """``use`` with the end of a connection to which a byte has been sent."""

    def work(one: socket.socket, other: socket.socket) -> Any:
        other.sendall(b"xy")
        return use(one)

    return between(work)


def served(use: Callable[[socket.socket], Any]) -> Use:
    """``use`` with a socket that listens, and to which somebody has connected."""

    def work() -> Any:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()),
        ):
            return use(server)

    return work


def datagrams(use: Callable[[socket.socket, socket.socket], Any]) -> Use:
    """``use`` with a socket of datagrams, and another one that has an address."""

    def work() -> Any:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            other.bind(("localhost", 0))
            return use(one, other)

    return work


def refused(method: str) -> Use:
    """Connecting to where a socket has an address and does not listen."""

    def work() -> None:
        with socket.socket() as server, socket.socket() as client:
            server.bind(("127.0.0.1", 0))
            try:
                getattr(client, method)(server.getsockname())
            except ConnectionRefusedError:
                return

    return work


def file_sent(one: socket.socket, other: socket.socket) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.seek(0)
        one.sendfile(file)


def selected(make: Callable[[], Any]) -> Use:
    def work(one: socket.socket) -> None:
        with make() as selector:
            selector.register(one, selectors.EVENT_READ)
            assert [key.fileobj for key, _ in selector.select()] == [one]

    return answered(work)


def polled(one: socket.socket) -> bool:
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return poll.poll() == [(one.fileno(), select.POLLIN)]


def received_from(one: socket.socket, other: socket.socket) -> None:
    one.sendto(b"x", other.getsockname())
    assert other.recvfrom(9) == (b"x", one.getsockname())


def closed(one: socket.socket, other: socket.socket) -> None:
    other.close()
    assert one.recv(1) == b""


def dropped() -> None:
    one, other = socket.socketpair()
    del one
    assert other.recv(1) == b""
    other.close()


def secured(one: socket.socket, other: socket.socket) -> Any:
    context = ssl.create_default_context()
    tls = context.wrap_socket(one, server_hostname="localhost", do_handshake_on_connect=False)
    with tls:
        return type(tls._sslobj).__name__  # type: ignore[attr-defined]


USES: dict[str, Use] = {
    "socket.socket.__init__": lambda: socket.socket().family,
    "socket.socket._real_close": between(closed),
    "socket.socket.__del__": dropped,
    "socket.socket.dup": between(lambda one, other: one.dup().family),
    "socket.socketpair": between(lambda one, other: one.family),
    "socket.socket.bind": datagrams(lambda one, other: None),
    "socket.socket.listen": served(lambda server: None),
    "socket.socket.accept": served(lambda server: server.accept()[0].close()),
    "socket.socket.connect": refused("connect"),
    "socket.socket.connect_ex": refused("connect_ex"),
    "socket.socket.shutdown": between(lambda one, other: one.shutdown(socket.SHUT_RDWR)),
    "socket.socket.recv": answered(lambda one: one.recv(1)),
    "socket.socket.recv_into": answered(lambda one: one.recv_into(bytearray(1))),
    "socket.socket.recvfrom": datagrams(received_from),
    "socket.socket.recvfrom_into": answered(lambda one: one.recvfrom_into(bytearray(1))),
    "socket.socket.recvmsg": answered(lambda one: one.recvmsg(1)),
    "socket.socket.send": between(lambda one, other: one.send(b"x")),
    "socket.socket.sendall": between(lambda one, other: one.sendall(b"x")),
    "socket.socket.sendto": datagrams(received_from),
    "socket.socket.sendmsg": between(lambda one, other: one.sendmsg([b"x", b"y"])),
    "socket.socket.sendfile": between(file_sent),
    "socket.socket.getsockname": served(lambda server: server.getsockname()),
    "socket.socket.getpeername": between(lambda one, other: (one.getpeername(),)),
    "socket.socket.getsockopt": served(
        lambda server: server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ),
    "select.select": answered(lambda one: select.select([one], [], [])),
    "select.poll": answered(polled),
    "selectors.SelectSelector.select": selected(selectors.SelectSelector),
    "selectors._PollLikeSelector.select": selected(selectors.PollSelector),
    "selectors.EpollSelector.select": selected(selectors.EpollSelector),
    "socket.getaddrinfo": lambda: tuple(socket.getaddrinfo("localhost", 80)),
    "socket.gethostbyname": lambda: socket.gethostbyname("localhost"),
    "socket.gethostbyaddr": lambda: str(socket.gethostbyaddr("127.0.0.1")),
    "ssl.SSLContext._wrap_socket": between(secured),
}


async def t_talks() -> None:
    """Two tasks, of which each has to wait for the other."""
    one, other = trio.socket.socketpair()

    async def answers() -> None:
        size = 0
        while size < 100_000:
            size += len(await other.recv(60_000))
        await trio.sleep(1.0)
        other.close()

    with one:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answers)
            await trio.SocketStream(one).send_all(b"x" * 100_000)
            assert await one.recv(1) == b""


async def t_fails(now: bool) -> None:
    await trio.sleep(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


#: The same on trio.
TRIO_USES: dict[str, Use] = {
    "trio.lowlevel.wait_readable": t_talks,
    "trio.lowlevel.wait_writable": t_talks,
    "trio.lowlevel.notify_closing": t_talks,
    "trio.SocketType._nonblocking_helper": t_talks,
}


def test_each_row_of_trio_is_called_where_it_is_used() -> None:
    rows = table("trio_network")
    assert TRIO_USES.keys() == {row.name for row in rows}
    seen = explore_uses(TRIO_USES, fails=t_fails, backend="trio")
    for name in TRIO_USES:
        callers = {worker.partition("/")[0] for worker, _ in seen.calls[name]}
        assert worker_name(name) in callers
        did = {event.op for event in seen.events[worker_name(name)]}
        assert {"put", "get", "set"} <= did, did
    assert seen.explored.trace.verdict.message.startswith("RuntimeError: the last one")
    assert not seen.explored.account.outside


def test_each_row_says_what_is_so() -> None:
    rows = table("network", "secured")
    assert USES.keys() == {row.name for row in rows}
    rows = [row for row in rows if row.name in USES]
    seen = explore_uses(USES, fails=fails)
    wrong = {}
    for row in rows:
        try:
            judge(row, seen, frozenset())
        except AssertionError as error:
            wrong[row.name] = f"{error}; {seen.of(row.name)}; {seen.gave[row.name]}"
    assert not wrong
    trace = seen.explored.trace
    assert trace.verdict.message.startswith("RuntimeError: the last one"), trace.verdict
    assert seen.explored.confirmed == {"threading": "1/1"}, seen.explored.notes
