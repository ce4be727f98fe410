"""Faults at a connect, at the resolver and of datagrams come in on every runtime."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio

import tracelock
from tests.helpers.peer_programs import endings

RUNTIMES = pytest.mark.parametrize("runtime", ["threading", "asyncio", "trio"])


class Listening:
    """Somebody listens, and nobody accepts: a connection is there without that."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 7000))
        self.told = ""


def connects(state: Listening) -> None:
    try:
        socket.create_connection(("localhost", 7000)).close()
        state.told = "connected"
    except OSError as error:
        state.told = type(error).__name__


async def connects_on_asyncio(state: Listening) -> None:
    try:
        _, writer = await asyncio.open_connection("localhost", 7000)
        writer.close()
        state.told = "connected"
    except OSError as error:
        state.told = type(error).__name__


async def connects_on_trio(state: Listening) -> None:
    try:
        await (await trio.open_tcp_stream("localhost", 7000)).aclose()
        state.told = "connected"
    except OSError as error:
        cause = error.__cause__  # trio tells of all addresses that it has tried
        one = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
        state.told = type(one or error).__name__


CONNECTS: dict[str, Callable[..., Any]] = {
    "threading": connects, "asyncio": connects_on_asyncio, "trio": connects_on_trio
}  # fmt: skip


@RUNTIMES
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused", "ConnectionRefusedError"),
        ("timed out", "TimeoutError"),
        ("unresolved", "gaierror"),
    ],
)
def test_a_connect_fails_as_the_fault_says(kind: str, error: str, runtime: str) -> None:
    told: set[str] = set()
    found = tracelock.explore(
        workers=[CONNECTS[runtime]], setup=Listening, backend=runtime, strategy="dpor",
        check=lambda state: told.add(state.told), instrument=[], schedules=500, faults=1,
        network={"kinds": [kind]}, isolation="never", shrink=False,
    )  # fmt: skip
    assert not found.failed, [way.message for way in found.ways]
    assert told == {"connected", error}


@RUNTIMES
@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        ("lost", {(b"x", b"y"), (b"x", "TimeoutError"), (b"y", "TimeoutError")}),
        ("doubled", {(b"x", b"y"), (b"x", b"x")}),
        ("reordered", {(b"x", b"y"), (b"y", b"x")}),
    ],
)
def test_datagrams_arrive_as_the_fault_says(kind: str, heard: set[Any], runtime: str) -> None:
    program = [
        ("a", [("tell", b"x"), ("tell", b"y")]),
        ("b", [("sleep", 1.0), ("hear", 5.0), ("hear", 5.0)]),
    ]
    seen, _ = endings(runtime, program, kinds=[kind], unread=False)
    assert seen == {repr([("w1", list(one))]) for one in heard}
