"""Programs of a network in memory whose traces are replayed in fresh processes: a counter behind a
server which two clients ask, each of which reads, and then writes what it has computed. Plain and
over TLS, on threads, asyncio and trio.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

import trio

import tracelock
from tests.helpers.tls import client_context, server_context
from tracelock.trace import Trace

CLIENTS: Final = 2
PORT: Final = 4433


class Counter:
    """What the server counts."""

    def __init__(self) -> None:
        self.value = 0
        self.ready = threading.Event()

    def answer(self, request: bytes) -> bytes:
        if request != b"?":
            self.value = request[0]
        return bytes([self.value])


def check(counter: Counter) -> None:
    assert counter.value == CLIENTS, counter.value


# --- threads -----------------------------------------------------------------------------------
def _serve(counter: Counter, tls: bool) -> None:
    def handle(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(1):
                connection.sendall(counter.answer(request))

    threads = []
    with socket.create_server(("127.0.0.1", PORT)) as server:
        counter.ready.set()
        for _ in range(CLIENTS):
            connection, _ = server.accept()
            if tls:
                connection = server_context().wrap_socket(connection, server_side=True)
            threads.append(threading.Thread(target=handle, args=(connection,)))
            threads[-1].start()
            del connection
    for thread in threads:
        thread.join()


def _ask(counter: Counter, tls: bool) -> None:
    counter.ready.wait()
    connection = socket.create_connection(("127.0.0.1", PORT))
    if tls:
        connection = client_context().wrap_socket(connection, server_hostname="localhost")
    with connection:
        connection.sendall(b"?")
        seen = connection.recv(1)[0]
        connection.sendall(bytes([seen + 1]))
        connection.recv(1)


def _of_threads(tls: bool) -> list[Callable[[Counter], None]]:
    def serve(counter: Counter) -> None:
        _serve(counter, tls)

    def ask(counter: Counter) -> None:
        _ask(counter, tls)

    return [serve, *[ask] * CLIENTS]


# --- asyncio -----------------------------------------------------------------------------------
def _of_asyncio(tls: bool) -> list[Callable[[Counter], Awaitable[None]]]:
    async def main(counter: Counter) -> None:
        async def handle(reader: Any, writer: Any) -> None:
            while request := await reader.read(1):
                writer.write(counter.answer(request))
                await writer.drain()
            writer.close()

        async def ask() -> None:
            more: dict[str, Any] = {"server_hostname": "localhost"} if tls else {}
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", PORT, ssl=client_context() if tls else None, **more
            )
            writer.write(b"?")
            seen = (await reader.readexactly(1))[0]
            writer.write(bytes([seen + 1]))
            await reader.readexactly(1)
            writer.close()

        async with (
            await asyncio.start_server(
                handle, "127.0.0.1", PORT, ssl=server_context() if tls else None
            ),
            asyncio.TaskGroup() as group,
        ):
            for _ in range(CLIENTS):
                group.create_task(ask())

    return [main]


# --- trio --------------------------------------------------------------------------------------
def _of_trio(tls: bool) -> list[Callable[[Counter], Awaitable[None]]]:
    async def main(counter: Counter) -> None:
        async def handle(stream: Any) -> None:
            async with stream:
                while request := await stream.receive_some(1):
                    await stream.send_all(counter.answer(request))

        async def ask() -> None:
            stream: Any
            if tls:
                stream = await trio.open_ssl_over_tcp_stream(
                    "localhost", PORT, ssl_context=client_context()
                )
            else:
                stream = await trio.open_tcp_stream("localhost", PORT)
            async with stream:
                await stream.send_all(b"?")
                seen = (await stream.receive_some(1))[0]
                await stream.send_all(bytes([seen + 1]))
                await stream.receive_some(1)

        async with trio.open_nursery() as servers:
            listeners = await trio.open_tcp_listeners(PORT, host="127.0.0.1")
            if tls:
                listeners = [trio.SSLListener(one, server_context()) for one in listeners]  # type: ignore[misc]
            servers.start_soon(trio.serve_listeners, handle, listeners)
            async with trio.open_nursery() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(ask)
            servers.cancel_scope.cancel()

    return [main]


RUNTIMES: Final[dict[str, tuple[str, Callable[[bool], list[Any]]]]] = {
    "threads": ("threading", _of_threads),
    "asyncio": ("asyncio", _of_asyncio),
    "trio": ("trio", _of_trio),
}
#: All programs: ``threads``, ``threads tls``, ...
NAMES: Final = [f"{name}{tls}" for name in RUNTIMES for tls in ("", " tls")]


def program(name: str) -> dict[str, Any]:
    """The program of this name, as ``explore`` and ``replay`` take it."""
    runtime, _, tls = name.partition(" ")
    backend, workers = RUNTIMES[runtime]
    return {"workers": workers(bool(tls)), "setup": Counter, "check": check, "backend": backend}


def failing(name: str) -> Trace:
    """The trace of a schedule in which an update is lost."""
    found = tracelock.explore(**program(name), schedules=2_000, seed=1, shrink=False)
    assert found.failed and found.trace is not None, found.summary
    return found.trace


_REPLAY: Final = """
import json, sys, tracelock
from tests.helpers.lost_updates import program
trace = tracelock.load_trace(sys.argv[2])
print(json.dumps(tracelock.replay(trace, **program(sys.argv[1])).reproduced))
"""


def fresh_replays(name: str, trace: Trace, seeds: Iterable[int]) -> list[bool]:
    """Whether the trace is reproduced, in a fresh process for each of these hash seeds."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace.json"
        trace.save(path)
        done = [
            subprocess.run(
                [sys.executable, "-c", _REPLAY, name, str(path)], cwd=root,
                env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(root)},
                capture_output=True, text=True, timeout=120, check=True,
            )
            for seed in seeds
        ]  # fmt: skip
    return [json.loads(one.stdout) for one in done]
