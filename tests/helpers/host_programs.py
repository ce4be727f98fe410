"""Programs of several hosts, one for each runtime: a store, and somebody who asks it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import tracelock

#: A host as a test meets it: what is told of what has happened.
Told = list[Any]


class Store:
    """A store of one number on the host ``db``; ``told``: what has happened, in order."""

    def __init__(self) -> None:
        self.told: Told = []
        with tracelock.host("db"):
            self.server = socket.create_server(("", 5432))


# --- threads ---------------------------------------------------------------------------------
@tracelock.host("db")
def answers(store: Store) -> None:
    """Serves one connection: each request of two bytes gets its own bytes back."""
    connection, _ = store.server.accept()
    with connection:
        while request := connection.recv(2, socket.MSG_WAITALL):
            store.told.append(request)
            connection.sendall(request)


@tracelock.host("web")
def asks(store: Store) -> None:
    """Asks once, and waits no longer than five seconds."""
    with socket.create_connection(("db", 5432), 5.0) as connection:
        connection.sendall(b"go")
        try:
            store.told.append(b"<" + connection.recv(2, socket.MSG_WAITALL))
        except TimeoutError:
            store.told.append("late")


def nobody_was_late(store: Store) -> None:
    assert store.told == [b"go", b"<go"], store.told


def parts(seconds: float | None) -> Callable[[Store], None]:
    """Makes a partition, and heals it after so long; None: never."""

    def work(store: Store) -> None:
        import time

        tracelock.partition("db", "web")
        if seconds is not None:
            time.sleep(seconds)
            tracelock.heal("web", "db")

    return work


# --- loops: each is a main that runs a server on one host and a client on another --------------
async def asyncio_main(told: Told, meanwhile: Callable[[str], Awaitable[None]]) -> None:
    """``meanwhile`` is awaited where it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readexactly(2):
                told.append(request)
                writer.write(request)
        except asyncio.IncompleteReadError:
            writer.close()

    @tracelock.host("web")
    async def ask() -> None:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("db", 5432), 5.0)
        except TimeoutError:
            told.append("never connected")
            return
        await meanwhile("connected")
        writer.write(b"go")
        try:
            told.append(b"<" + await asyncio.wait_for(reader.readexactly(2), 5.0))
        except TimeoutError:
            told.append("late")
        writer.close()

    with tracelock.host("db"):
        server = await asyncio.start_server(serve, "", 5432)
    async with server:
        await meanwhile("listens")
        await ask()
        await meanwhile("asked")


async def trio_main(told: Told, meanwhile: Callable[[str], Awaitable[None]]) -> None:
    """The same."""

    async def exactly(stream: trio.SocketStream) -> bytes:
        data = b""
        while len(data) < 2:
            more = await stream.receive_some(2 - len(data))
            if not more:
                break
            data += bytes(more)
        return data

    async def serve(stream: trio.SocketStream) -> None:
        while request := await exactly(stream):
            told.append(request)
            await stream.send_all(request)

    @tracelock.host("web")
    async def ask() -> None:
        with trio.move_on_after(5.0) as connecting:
            stream = await trio.open_tcp_stream("db", 5432)
        if connecting.cancelled_caught:
            told.append("never connected")
            return
        async with stream:
            await meanwhile("connected")
            await stream.send_all(b"go")
            with trio.move_on_after(5.0) as waiting:
                told.append(b"<" + await exactly(stream))
            if waiting.cancelled_caught:
                told.append("late")

    async with trio.open_nursery() as nursery:
        with tracelock.host("db"):
            listeners = await trio.open_tcp_listeners(5432, host="0.0.0.0")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
        await meanwhile("listens")
        await ask()
        await meanwhile("asked")
        nursery.cancel_scope.cancel()


MAINS: dict[str, Any] = {"asyncio": asyncio_main, "trio": trio_main}
SLEEPS: dict[str, Any] = {"asyncio": asyncio.sleep, "trio": trio.sleep}


def loop_program(backend: str, **when: Callable[[Callable[..., Any]], Awaitable[None]]) -> Any:
    """A main, with the list that it tells what has happened in. ``when``: by the word of
    ``meanwhile`` what is awaited there; it is called with the ``sleep`` of the library."""
    seen: list[tuple[Any, ...]] = []

    async def main() -> None:
        told: Told = []

        async def meanwhile(word: str) -> None:
            if word in when:
                await when[word](SLEEPS[backend])

        await MAINS[backend](told, meanwhile)
        seen.append(tuple(told))

    return main, seen
