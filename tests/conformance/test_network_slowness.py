"""Faults of one direction of a connection: delays, slow readers, early ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import pytest
import trio

import tracelock


class Pairs:
    def __init__(self) -> None:
        self.pairs = [socket.socketpair() for _ in range(2)]
        self.sent = threading.Event()
        self.got: list[bytes] = []


def endings(workers: list[Any], *kinds: str, faults: int = 1) -> set[tuple[bytes, ...]]:
    """What is received in all schedules, of which each passes."""
    seen: set[tuple[bytes, ...]] = set()
    found = tracelock.explore(
        workers=workers, setup=Pairs, check=lambda pairs: seen.add(tuple(pairs.got)),
        instrument=[], shrink=False, strategy="dpor", schedules=5_000, faults=faults,
        network={"splits": 0, "kinds": kinds},
    )  # fmt: skip
    assert found.verdict == "passed" and found.whole, (found, [one.message for one in found.ways])
    return seen


def sends_on_both(pairs: Pairs) -> None:
    pairs.pairs[0][0].sendall(b"a")
    pairs.pairs[1][0].sendall(b"b")
    pairs.sent.set()


def looks_at_both(pairs: Pairs) -> None:
    pairs.sent.wait()
    for _, one in pairs.pairs:
        one.setblocking(False)
        try:
            pairs.got.append(one.recv(9))
        except BlockingIOError:
            pairs.got.append(b"")


def test_a_delay_lets_others_overtake() -> None:
    workers = [sends_on_both, looks_at_both]
    one = {(b"a", b"b"), (b"", b"b"), (b"a", b"")}
    assert endings(workers, "lost") == {(b"a", b"b")}
    assert endings(workers, "delay") == one
    assert endings(workers, "delay", faults=2) == {*one, (b"", b"")}


def test_what_is_late_comes_in_order_and_with_its_end() -> None:
    def sends(pairs: Pairs) -> None:
        one = pairs.pairs[0][0]
        one.sendall(b"a")
        one.sendall(b"b")
        one.close()

    def reads(pairs: Pairs) -> None:
        while data := pairs.pairs[0][1].recv(1):
            pairs.got.append(data)

    assert endings([sends, reads], "delay", faults=2) == {(b"a", b"b")}


def test_one_direction_ends_early() -> None:
    def sends(pairs: Pairs) -> None:
        for data in (b"a", b"b"):
            try:
                pairs.pairs[0][0].sendall(data)
            except BrokenPipeError:
                pairs.got.append(b"!")
        assert pairs.pairs[0][0].recv(9) in (b"ok", b"")  # the other one goes on, or ends early

    def reads(pairs: Pairs) -> None:
        other = pairs.pairs[0][1]
        while (data := other.recv(1)) and data != b"b":
            pairs.got.append(data)
        pairs.got.append(data)
        with contextlib.suppress(BrokenPipeError):
            other.sendall(b"ok")

    seen = endings([sends, reads], "half-closed")
    assert endings([sends, reads], "lost") == {(b"a", b"b")}
    assert {tuple(one for one in got if one != b"!") for got in seen} == {
        (b"a", b"b"), (b"a", b""), (b"",),
    }  # fmt: skip


# --- slow readers ----------------------------------------------------------------------------
def exchange(sock: socket.socket) -> None:
    sock.sendall(b"0123456789")  # before it reads
    assert sock.recv(10, socket.MSG_WAITALL) == b"0123456789"


THREADS: list[Any] = [lambda p: exchange(p.pairs[0][0]), lambda p: exchange(p.pairs[0][1])]


async def asyncio_main() -> None:
    async def talk(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        await loop.sock_sendall(sock, b"0123456789")
        got = b""
        while len(got) < 10:
            got += await loop.sock_recv(sock, 10)

    await asyncio.gather(*map(talk, socket.socketpair()))


async def trio_main() -> None:
    async def talk(sock: Any) -> None:
        stream = trio.SocketStream(sock)
        await stream.send_all(b"0123456789")
        got = b""
        while len(got) < 10:
            got += await stream.receive_some(10)

    async with trio.open_nursery() as nursery:
        for sock in trio.socket.socketpair():
            nursery.start_soon(talk, sock)


@pytest.mark.parametrize(
    "program",
    [
        {"workers": THREADS, "setup": Pairs},
        {"workers": [asyncio_main], "backend": "asyncio"},
        {"workers": [trio_main], "backend": "trio"},
    ],
    ids=["threads", "asyncio", "trio"],
)
def test_both_send_and_nobody_reads(program: dict[str, Any]) -> None:
    """A deadlock as soon as both readers are slow."""
    rules: dict[str, Any] = {"instrument": [], "shrink": False, "seed": 1}
    rules["network"] = {"kinds": ["slow reader"], "splits": 0}
    assert tracelock.explore(**program, **rules, faults=1, schedules=20).verdict == "passed"
    found = tracelock.explore(**program, **rules, faults=2, schedules=400)
    assert found.failed and found.trace.verdict.kind == "deadlock", found
    known = {key: value for key, value in program.items() if key != "backend"}
    for _ in range(2):
        assert tracelock.replay(found.trace, **known).reproduced
