"""Six situations as programs of asyncio that know of no tool: `bench_situations.py` explores each
with this tool, and with a peer in that one's own interpreter. Each raises where its bug shows.

Orders whose events overtake each other; a pool that loses what a time-out interrupts; a line
protocol that takes reads for lines; a store with a follower that is asked too early; a store whose
replicas are parted; a register of two copies that are written one after the other. And one that
fails in its first step: what an exploration costs by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

#: Awaits something that may be cancelled in the middle, as the tool at work does that.
Interrupted = Callable[[Awaitable[Any]], Awaitable[Any]]
#: Awaits a call of a client and records it: (who, name, argument, what to await).
Recorded = Callable[[str, str, Any, Awaitable[Any]], Awaitable[Any]]


class World(Protocol):
    """Hosts, as the tool at work has them."""

    def on(self, host: str, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Have ``work`` done on this host, from now on."""

    def part(self, a: str, b: str) -> None:
        """From now on nothing arrives between the two."""

    def heal(self, a: str, b: str) -> None:
        """All arrives again."""


async def nothing() -> None:
    """Fails at once, in every order."""
    raise AssertionError("at once")


# --- orders ------------------------------------------------------------------------------------
async def orders() -> None:
    """Two requests for one order, each with a database that takes as long as the other one."""
    published: list[str] = []

    async def handle(event: str) -> None:
        await asyncio.sleep(0.005)  # the database
        published.append(event)

    await asyncio.gather(handle("created"), handle("shipped"))
    assert published[0] == "created", published


# --- a pool ------------------------------------------------------------------------------------
async def pool(interrupted: Interrupted) -> None:
    """Four clients of a pool of two; who is cancelled while it asks gives nothing back."""
    permits = asyncio.Semaphore(2)
    used = [0]

    async def query() -> None:
        await permits.acquire()
        used[0] += 1
        await asyncio.sleep(0.01)  # the question
        used[0] -= 1
        permits.release()

    async def client() -> None:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await interrupted(query())

    await asyncio.gather(*(client() for _ in range(4)))
    assert used[0] == 0, f"{used[0]} are lost"


# --- a line protocol ---------------------------------------------------------------------------
async def lines() -> None:
    """Two commands in one write; the server takes each read for whole commands."""
    values: dict[bytes, bytes] = {}

    def do(command: bytes) -> bytes:
        match command.split():
            case [b"SET", name, value]:
                values[name] = value
                return b"OK\n"
            case [b"GET", name]:
                return values.get(name, b"none") + b"\n"
        return b"what is that?\n"

    served: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        while data := await reader.read(1000):
            for command in data.splitlines():
                writer.write(do(command))
        writer.close()

    await asyncio.start_server(serve, "127.0.0.1", 6379)
    reader, writer = await asyncio.open_connection("127.0.0.1", 6379)
    writer.write(b"SET name tracelock\nGET name\n")
    writer.write_eof()
    answers = await reader.read(-1)
    writer.close()
    await asyncio.gather(*served)
    assert answers == b"OK\ntracelock\n", answers


# --- a replicated store ------------------------------------------------------------------------
async def store() -> None:
    """A write at the leader, which does not wait for its follower, and a read at the follower."""
    held = {1: b"0", 2: b"0"}
    copies: list[asyncio.StreamWriter] = []
    served: list[Any] = []

    def replica(number: int) -> Callable[..., Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.current_task())
            while line := await reader.readline():
                word, _, value = line.strip().partition(b" ")
                if word == b"get":
                    writer.write(held[number] + b"\n")
                    continue
                held[number] = value
                if word == b"set":
                    copies[0].write(b"copy %s\n" % value)
                    writer.write(b"ok\n")
            writer.close()

        return serve

    async def ask(port: int, question: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(question)
        answer = await reader.readline()
        writer.close()
        return answer

    await asyncio.start_server(replica(1), "127.0.0.1", 7001)
    await asyncio.start_server(replica(2), "127.0.0.1", 7002)
    _, writer = await asyncio.open_connection("127.0.0.1", 7002)
    copies.append(writer)
    assert await ask(7001, b"set 1\n") == b"ok\n"
    value = await ask(7002, b"get\n")
    writer.close()
    await asyncio.gather(*served)
    assert value == b"1\n", value


# --- a store whose replicas are parted -----------------------------------------------------------
async def parted(world: World) -> None:
    """A write at one replica, which tells the other once, and a partition for a minute at any time:
    who is not reached in time is left behind."""
    held = {"east": "", "west": ""}
    served: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                held["west"] = line.decode().strip()
                writer.write(b"ok\n")
        writer.close()

    async def listen() -> None:
        await asyncio.start_server(serve, "", 80)

    async def write() -> None:
        await asyncio.sleep(0)
        held["east"] = "red"
        with contextlib.suppress(OSError):  # a time-out is one: this one goes on alone
            async with asyncio.timeout(5.0):
                reader, writer = await asyncio.open_connection("west", 80)
                writer.write(b"red\n")
                await reader.readline()
                writer.close()

    async def cut() -> None:
        await asyncio.sleep(0)
        world.part("east", "west")
        await asyncio.sleep(60.0)
        world.heal("east", "west")

    await world.on("west", listen)
    await asyncio.gather(world.on("east", write), cut())
    await asyncio.sleep(60.0)
    assert held["east"] == held["west"], held


# --- a register --------------------------------------------------------------------------------
class Register:
    """One value in two copies: a write changes one after the other, a read looks at one."""

    def __init__(self) -> None:
        self.copies = [0, 0]

    async def write(self, value: int) -> None:
        for place in range(2):
            await asyncio.sleep(0)
            self.copies[place] = value

    async def read(self, place: int) -> int:
        await asyncio.sleep(0)
        return self.copies[place]


async def register(recorded: Recorded) -> None:
    """A writer, and readers of either copy; whether it is linearizable the tool says."""
    one = Register()

    async def reader(place: int) -> None:
        for _ in range(2):
            await recorded(f"reader {place}", "read", None, one.read(place))

    await asyncio.gather(
        recorded("writer", "write", 1, one.write(1)), *(reader(place) for place in range(2))
    )
