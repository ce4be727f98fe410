"""Small programs of two hosts that are connected, as tables, on three runtimes.

A worker is its host and what it does, one thing after the other: ``("send", connection, bytes)``,
``("receive", connection, seconds)``, ``("try", connection)``, ``("shut", connection)``,
``("close", connection)``, ``("tell", bytes)`` and ``("hear", seconds)`` (a datagram to the other
host, and one from it), ``("lock",)`` (one of its own: a step that is nobody else's business),
``("part",)``, ``("heal",)``, ``("crash", connections)`` (the other host), ``("sleep", seconds)``.
Each has told what it has received, or how that failed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import trio

import tracelock

#: What is done at one connection.
_AT_ONE = frozenset({"send", "receive", "try", "shut", "close"})
#: What waits, and so is written for each runtime.
_WAITS = frozenset({"send", "receive", "tell", "hear"})
OTHER = {"a": "b", "b": "a"}
Steps = tuple[str, list[tuple[Any, ...]]]


class Peers:
    """Connections from host ``b`` to host ``a``. To what has come to ``a`` in connection 1 nobody
    has looked: who closes that end resets it."""

    def __init__(self, connections: int, datagrams: bool = False, unread: bool = True) -> None:
        self.told: dict[str, list[Any]] = {}
        self.locks = [threading.Lock() for _ in range(3)]
        self.ends: dict[tuple[str, int], socket.socket] = {}
        with tracelock.host("a"):
            server = socket.create_server(("", 80))
        for number in range(connections):
            with tracelock.host("b"):
                self.ends["b", number] = socket.create_connection(("a", 80))
            self.ends["a", number] = server.accept()[0]
            if number and unread:
                self.ends["b", number].sendall(b"unread")
        for name in OTHER if datagrams else ():
            with tracelock.host(name):
                self.ends[name, -1] = socket.socket(type=socket.SOCK_DGRAM)
                self.ends[name, -1].bind(("", 53))

    def ending(self) -> str:
        return repr(sorted(self.told.items()))


def worker(runtime: str, number: int, host: str, steps: Sequence[tuple[Any, ...]]) -> Any:
    """A worker of this runtime, whose name is ``w`` and its number."""
    name = f"w{number}"

    def plain(peers: Peers, what: str, *given: Any) -> Any:
        """What is the same in all runtimes."""
        if what == "close":
            peers.ends[host, given[0]].close()
        elif what == "lock":
            with peers.locks[number]:
                pass
        elif what == "try":
            end = peers.ends[host, given[0]]
            end.setblocking(False)
            return end.recv(9)
        elif what == "shut":
            peers.ends[host, given[0]].shutdown(socket.SHUT_WR)
        elif what == "crash":
            tracelock.crash(OTHER[host], given[0])
        else:
            {"part": tracelock.partition, "heal": tracelock.heal}[what]("a", "b")
        return None

    def noted(peers: Peers, found: Any) -> None:
        if found is not None:
            peers.told.setdefault(name, []).append(found)

    def thread(peers: Peers) -> None:
        for what, *given in steps:
            try:
                if what == "sleep":
                    time.sleep(given[0])
                elif what == "send":
                    peers.ends[host, given[0]].sendall(given[1])
                elif what == "receive":
                    end = peers.ends[host, given[0]]
                    end.settimeout(given[1])
                    noted(peers, end.recv(9))
                elif what == "tell":
                    peers.ends[host, -1].sendto(given[0], (OTHER[host], 53))
                elif what == "hear":
                    end = peers.ends[host, -1]
                    end.settimeout(given[0])
                    noted(peers, end.recvfrom(9)[0])
                else:
                    noted(peers, plain(peers, what, *given))
            except OSError as error:
                noted(peers, type(error).__name__)

    async def task(peers: Peers) -> None:
        loop = asyncio.get_running_loop()
        for what, *given in steps:
            try:
                if what == "sleep":
                    await asyncio.sleep(given[0])
                    continue
                if what not in _WAITS:
                    noted(peers, plain(peers, what, *given))
                    continue
                end = peers.ends[host, -1 if what in ("tell", "hear") else given[0]]
                end.setblocking(False)
                if what == "tell":
                    await loop.sock_sendto(end, given[0], (OTHER[host], 53))
                elif what == "hear":
                    heard = await asyncio.wait_for(loop.sock_recvfrom(end, 9), given[0])
                    noted(peers, heard[0])
                elif what == "send":
                    await loop.sock_sendall(end, given[1])
                else:
                    noted(peers, await asyncio.wait_for(loop.sock_recv(end, 9), given[1]))
            except OSError as error:
                noted(peers, type(error).__name__)

    async def task_of_trio(peers: Peers) -> None:
        for what, *given in steps:
            try:
                if what == "sleep":
                    await trio.sleep(given[0])
                    continue
                if what not in _WAITS:
                    noted(peers, plain(peers, what, *given))
                    continue
                number = -1 if what in ("tell", "hear") else given[0]
                end = trio.socket.from_stdlib_socket(peers.ends[host, number])
                if what == "tell":
                    await end.sendto(given[0], (OTHER[host], 53))
                elif what == "hear":
                    with trio.fail_after(given[0]):
                        noted(peers, (await end.recvfrom(9))[0])
                elif what == "send":
                    await end.send(given[1])
                else:
                    with trio.fail_after(given[1]):
                        noted(peers, await end.recv(9))
            except trio.TooSlowError:
                noted(peers, "TimeoutError")
            except OSError as error:
                noted(peers, type(error).__name__)

    made: dict[str, Callable[..., Any]] = {
        "threading": thread, "asyncio": task, "trio": task_of_trio
    }  # fmt: skip
    work = made[runtime]
    work.__name__ = work.__qualname__ = name
    return tracelock.host(host)(work)


def workers(runtime: str, program: Sequence[Steps]) -> list[Any]:
    return [worker(runtime, number, *one) for number, one in enumerate(program)]


def endings(
    runtime: str, program: Sequence[Steps], *, faults: int = 1, schedules: int = 20_000,
    kinds: Sequence[str] = ("partition",), splits: int = 0, unread: bool = True, **more: Any,
) -> tuple[set[str], tracelock.Explored]:  # fmt: skip
    """What all schedules together tell, and how those ended that told nothing."""
    seen: set[str] = set()
    every = [(what, *given) for _, steps in program for what, *given in steps]
    used = {given[0] for what, *given in every if what in _AT_ONE}
    datagrams = any(what in ("tell", "hear") for what, *_ in every)
    found = tracelock.explore(
        workers=workers(runtime, program), backend=runtime, every=True, shrink=False, confirm=0,
        setup=lambda: Peers(max(used, default=-1) + 1, datagrams, unread),
        check=lambda peers: seen.add(peers.ending()), instrument=[], schedules=schedules,
        faults=faults, network={"kinds": list(kinds), "splits": splits}, isolation="never",
        **{"strategy": "dpor", **more},
    )  # fmt: skip
    seen.update(f"{way.kind}: {way.message}" for way in found.ways if way.kind != "passed")
    return seen, found


#: What threads come to besides: connections are cut one after the other, and between two of these
#: steps of ``b`` the other thread may send.
OF_THREADS: dict[str, set[tuple[Any, ...]]] = {"two connections": {(b"y", "TimeoutError")}}
#: Programs, each with its endings by hand where one partition may come in: it lasts for a moment,
#: 10 seconds, or an hour. What is told is of the one worker that receives.
LATE = "TimeoutError"
PROGRAMS: dict[str, tuple[list[Steps], set[tuple[Any, ...]]]] = {
    "one way": (
        [("a", [("send", 0, b"x")]), ("b", [("receive", 0, 5.0)])], {(b"x",), (LATE,)}
    ),
    "later": (
        [("a", [("send", 0, b"x")]), ("b", [("receive", 0, 5.0), ("receive", 0, 20.0)])],
        {(b"x", LATE), (LATE, b"x"), (LATE, LATE)},
    ),
    "an end": ([("a", [("close", 0)]), ("b", [("receive", 0, 5.0)])], {(b"",), (LATE,)}),
    "after a sleep": (
        [("a", [("sleep", 5.0), ("send", 0, b"x")]), ("b", [("receive", 0, 10.0)])],
        {(b"x",), (LATE,)},
    ),
    "a partition of its own": (
        [
            ("b", [("part",)]), ("a", [("lock",), ("send", 0, b"x")]),
            ("b", [("lock",), ("receive", 0, 5.0), ("receive", 0, 20.0)]),
        ],
        {(b"x", LATE), (LATE, LATE)},
    ),
    "an end behind a partition": (
        [
            ("b", [("part",)]), ("a", [("lock",), ("close", 0)]),
            ("b", [("lock",), ("receive", 0, 5.0), ("receive", 0, 20.0)]),
        ],
        {(b"", b""), (LATE, LATE)},
    ),
    "healed": (
        [("b", [("part",), ("heal",)]), ("a", [("close", 0)]), ("b", [("receive", 0, 5.0)])],
        {(b"",), (LATE,)},
    ),
    # what was sent arrives when it is healed, and has arrived before any other partition
    "healed by who sends": (
        [("a", [("send", 0, b"x"), ("heal",)]), ("b", [("receive", 0, 5.0)])], {(b"x",)}
    ),
    "two connections": (
        [
            ("a", [("send", 0, b"x"), ("send", 1, b"y")]),
            ("b", [("receive", 1, 5.0), ("receive", 0, 5.0)]),
        ],
        {(b"y", b"x"), (LATE, b"x"), (LATE, LATE)},
    ),
    "both ways": (
        [("a", [("send", 0, b"x")]), ("b", [("send", 0, b"y"), ("receive", 0, 5.0)])],
        {(b"x",), (LATE,)},
    ),
}  # fmt: skip
