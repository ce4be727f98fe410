"""Sockets in memory that nobody closes: they are closed when their last reference dies."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

import tracelock
from tracelock.errors import LimitReached

ADDRESS = ("127.0.0.1", 7002)


class Server:
    def __init__(self) -> None:
        self.server = socket.create_server(ADDRESS)
        self.taken: dict[int, list[socket.socket]] = {}


class Client:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def greet(self) -> None:
        self.sock.sendall(b"hi")


def asks(state: Server) -> None:
    with socket.create_connection(ADDRESS) as sock:
        data = b""
        while part := sock.recv(10):
            data += part
    assert data == b"hi"


def by_a_variable(state: Server) -> None:
    sock, _ = state.server.accept()
    sock.sendall(b"hi")


def by_an_object(state: Server) -> None:
    Client(state.server.accept()[0]).greet()


def by_a_container(state: Server) -> None:
    state.taken[1] = [state.server.accept()[0]]
    state.taken[1][0].sendall(b"hi")
    del state.taken[1]


def by_a_file(state: Server) -> None:
    sock, _ = state.server.accept()
    file = sock.makefile("wb")
    del sock
    file.write(b"hi")
    file.flush()
    del file


def by_an_exception(state: Server) -> None:
    sock, _ = state.server.accept()
    sock.sendall(b"hi")
    raise KeyError("which may end a worker")


def by_a_thread(state: Server) -> None:
    thread = threading.Thread(target=Client.greet, args=(Client(state.server.accept()[0]),))
    thread.start()
    thread.join()


def explore(*workers: Callable[..., Any], **options: Any) -> tracelock.Explored:
    return tracelock.explore(
        workers=workers, shrink=False,
        **{"setup": Server, "schedules": 12, "seed": 1, "expected_errors": [KeyError], **options},
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("serves", [
    by_a_variable, by_an_object, by_a_container, by_a_file, by_an_exception, by_a_thread,
])  # fmt: skip
def test_the_peer_comes_to_the_end_of_the_stream(serves: Callable[..., Any]) -> None:
    found = explore(serves, asks)
    assert found.verdict == "passed", [(way.kind, way.message) for way in found.ways]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_who_drops_it_last_is_not_claimed_to_be_tried() -> None:
    found = explore(by_a_variable, asks, strategy="dpor", schedules=2_000)
    assert found.verdict == "passed"
    assert any("closed when its last reference died" in what for what in found.account.unseen)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_it_stays_open_as_long_as_somebody_has_it() -> None:
    kept: list[socket.socket] = []

    def keeps(state: Server) -> None:
        kept.append(state.server.accept()[0])
        kept[0].sendall(b"hi")

    found = explore(keeps, asks)
    kept.clear()
    assert {way.kind for way in found.ways} == {"deadlock"}


async def a_serves(server: socket.socket) -> None:
    server.setblocking(False)
    loop = asyncio.get_running_loop()
    sock, _ = await loop.sock_accept(server)
    await loop.sock_sendall(sock, b"hi")


async def a_asks(server: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(*ADDRESS)
    assert await asyncio.wait_for(reader.read(), 3.0) == b"hi"
    writer.close()


async def t_serves(server: socket.socket) -> None:
    sock, _ = await trio.socket.from_stdlib_socket(server).accept()
    await sock.send(b"hi")


async def t_asks(server: socket.socket) -> None:
    stream = await trio.open_tcp_stream(*ADDRESS)
    data = b""
    with trio.fail_after(3.0):
        async for part in stream:
            data += part
    assert data == b"hi"
    await stream.aclose()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("workers", [(a_serves, a_asks), (t_serves, t_asks)])
def test_tasks_drop_them_too(workers: Any) -> None:
    backend = "asyncio" if workers[0] is a_serves else "trio"

    def setup() -> socket.socket:
        server = socket.create_server(ADDRESS)
        server.setblocking(False)
        return server

    found = explore(*workers, setup=setup, backend=backend)
    assert found.verdict == "passed", [(way.kind, way.message) for way in found.ways]


def test_a_limit_ends_a_worker_of_which_every_exception_is_expected() -> None:
    def reaches_it(state: Server) -> None:
        raise LimitReached("a bound")

    found = explore(reaches_it, expected_errors=[Exception])
    assert found.verdict == "unfinished"
