"""What tasks do to sockets in memory comes to the same in a schedule of which no record is kept and
in that of the same choices with its record: each is run in both ways, and what the program has seen
is compared, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tracelock.instrument.loops import retelling
from tracelock.instrument.loops.asyncio_backend import AsyncioLoopBackend
from tracelock.instrument.loops.retelling import Retelling

#: What the schedule that runs has seen.
SEEN: list[Any] = []


async def echoes() -> None:
    """Two clients of one server, which reads as much as comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            SEEN.append(("served", data))
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def ask(port: int, name: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(3):
            writer.write(b"%s %d\n" % (name, number))
            SEEN.append(("answered", await reader.readline()))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(ask(port, b"one"), ask(port, b"two"))


async def ends() -> None:
    """Half-closed, late, and more than fits in."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = await reader.read(-1)
        SEEN.append(("whole", len(whole)))
        writer.write(b"%d" % len(whole))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 7000)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            SEEN.append(await reader.read(1))
    writer.write(b"x" * 200_000)
    await writer.drain()
    writer.write_eof()
    SEEN.append(("counted", await reader.read(-1)))
    writer.close()
    server.close()


async def broken() -> None:
    """The server closes while there is something left to read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        SEEN.append(await reader.read(2))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 7000):
        reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
        try:
            for _ in range(3):
                writer.write(b"hello")
                await writer.drain()
                await asyncio.sleep(0.1)
            SEEN.append(await reader.read(1))
        except ConnectionError as error:
            SEEN.append(type(error).__name__)
        writer.close()


async def by_hand() -> None:
    """Without streams: what a loop does with sockets itself, and datagrams."""
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)

    async def answers() -> None:
        while data := await loop.sock_recv(other, 10):
            SEEN.append(data)
            await loop.sock_sendall(other, data.upper())

    async def asks() -> None:
        for word in (b"ab", b"cdef"):
            await loop.sock_sendall(one, word)
            SEEN.append(await loop.sock_recv(one, 10))
        one.shutdown(socket.SHUT_WR)

    await asyncio.gather(answers(), asks())
    one.close()
    other.close()

    class Heard(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: Any) -> None:
            SEEN.append(data)

    there, _ = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 5353))
    here, _ = await loop.create_datagram_endpoint(Heard, remote_addr=("127.0.0.1", 5353))
    here.sendto(b"a")
    here.sendto(b"b")
    await asyncio.sleep(0.1)
    here.close()
    there.close()
    await asyncio.sleep(0)


def compared(work: Callable[[], Any], strategy: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run schedules in both ways; of each without a record what it has seen. Raises where the same
    choices came to something else with one."""
    monkeypatch.setattr(retelling, "CHECK", True)
    run, again = AsyncioLoopBackend.unrecorded, Retelling._run_again
    found: list[Any] = []

    def unrecorded(self: Any, controller: Any) -> Any:
        SEEN.clear()
        tasks = run(self, controller)
        found.append((list(SEEN), tasks.well, tasks.beyond))
        return tasks

    def recorded(self: Any, backend: Any, controller: Any, picks: Any) -> Any:
        SEEN.clear()
        made = again(self, backend, controller, picks)
        assert not made.lost and made.left == 0
        assert found[-1][0] == SEEN
        return made

    monkeypatch.setattr(AsyncioLoopBackend, "unrecorded", unrecorded)
    monkeypatch.setattr(Retelling, "_run_again", recorded)
    explored = tracelock.explore(
        workers=[work], strategy=strategy, schedules=8, seed=3, shrink=False, confirm=0,
        instrument=[], isolation="never",
    )  # fmt: skip
    assert explored.verdict == "passed", explored
    assert found and all(well and not beyond for _, well, beyond in found), found
    return [seen for seen, _, _ in found]


@pytest.mark.parametrize(
    ("work", "strategy"),
    [(ends, "pct"), (broken, "random"), (by_hand, "random"), (echoes, "pct")],
)
def test_each_schedule_sees_what_it_sees_with_its_record(
    work: Callable[[], Any], strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = compared(work, strategy, monkeypatch)
    assert all(seen)


def test_reads_are_split_without_a_record_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = compared(echoes, "random", monkeypatch)
    assert len({len(one) for one in seen}) > 1  # a line that came in two parts was served twice
