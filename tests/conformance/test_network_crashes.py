"""Crashes of hosts of a network in memory, and what is started again: from tests, and as faults."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio

import tracelock

QUIET: dict[str, Any] = {"instrument": [], "shrink": False}
NO_SPLITS: dict[str, Any] = {"splits": 0}


class Disk:
    """What a host saves outlives it; ``told``: by whom what has happened."""

    def __init__(self) -> None:
        self.saved: list[bytes] = []
        self.told: dict[str, list[str]] = {"first": [], "again": [], "client": []}
        self.lock = threading.Lock()
        with tracelock.host("db"):
            self.server: Any = socket.create_server(("", 5432))
        self.server.settimeout(5_000.0)


def serves(disk: Disk, who: str = "first") -> None:
    """Saves what one client asks for, under a lock."""
    try:
        with disk.server, disk.lock:
            connection, _ = disk.server.accept()
            with connection:
                while request := connection.recv(2, socket.MSG_WAITALL):
                    disk.saved.append(request)
                    connection.sendall(request)
    except TimeoutError:
        disk.told[who].append("nobody")
    finally:
        disk.told[who].append("finally")


def serves_again(disk: Disk) -> None:
    disk.server = socket.create_server(("", 5432))  # the port is free again
    disk.server.settimeout(5_000.0)
    serves(disk, "again")


@tracelock.host("web")
def tries_twice(disk: Disk) -> None:
    for _ in range(2):
        try:
            with socket.create_connection(("db", 5432), 5.0) as connection:
                connection.sendall(b"go")
                if connection.recv(2, socket.MSG_WAITALL) == b"go":
                    disk.told["client"].append("done")
                    return
                disk.told["client"].append("an end")
        except TimeoutError:
            disk.told["client"].append("nothing")
        except OSError as error:
            disk.told["client"].append(type(error).__name__)


def kills(connections: str | None) -> Callable[[Disk], None]:
    def work(disk: Disk) -> None:
        tracelock.crash("db", connections)
        tracelock.restart("db", serves_again, disk)

    return work


def ends(connections: str | None, **more: Any) -> set[Any]:
    seen: set[Any] = set()

    def check(disk: Disk) -> None:
        assert len(disk.saved) <= 2
        seen.add((len(disk.saved), *(tuple(told) for told in disk.told.values())))

    found = tracelock.explore(
        workers=[tracelock.host("db")(serves), tries_twice, kills(connections)], setup=Disk,
        check=check, network=NO_SPLITS, **QUIET, **more,
    )  # fmt: skip
    assert found.verdict == "passed", (found, [way.message for way in found.ways])
    return seen


@pytest.mark.parametrize("connections", ["closed", "reset", "silent"])
def test_a_crash_comes_between_any_two_steps(connections: str) -> None:
    """By partial orders nothing is missed that a random walk finds, and in a run in which the first
    server is gone it has not come to its ``finally``."""
    every = ends(connections, strategy="dpor", schedules=2_000)
    assert ends(connections, schedules=60, seed=1) <= every
    assert {first for _, first, _, _ in every} == {(), ("finally",)}
    clients = {client for *_, client in every}
    applied_twice = {saved for saved, *_ in every} == {0, 1, 2}
    assert applied_twice
    learnt = {"closed": "an end", "reset": "ConnectionResetError", "silent": "nothing"}
    assert (learnt[connections], "done") in clients


def test_what_the_others_learn_is_a_choice() -> None:
    learnt = {client[0] for *_, client in ends(None, schedules=300, seed=1)}
    assert {"an end", "ConnectionResetError", "nothing"} <= learnt


def test_who_crashes_his_own_host_is_gone_and_whoever_waits_for_him_goes_on() -> None:
    seen: list[Any] = []

    def main(disk: Disk) -> None:
        def dies() -> None:
            try:
                disk.lock.acquire()
                seen.append("before")
                tracelock.crash("db", "closed")
                seen.append("after")
            finally:
                seen.append("finally")

        with tracelock.host("db"):
            thread = threading.Thread(target=dies)
            thread.start()
        thread.join()
        assert not thread.is_alive()
        with disk.lock:
            seen.append("joined")
        with tracelock.host("web"), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("db", 5432))

    found = tracelock.explore(workers=[main], setup=Disk, schedules=1, **QUIET)
    assert found.verdict == "passed", [way.message for way in found.ways]
    assert seen[:2] == ["before", "joined"] and "after" not in seen


def test_a_connection_that_is_not_known_any_more_is_reset_by_what_is_sent() -> None:
    def work(disk: Disk) -> None:
        with tracelock.host("web"):
            one = socket.create_connection(("db", 5432), 1.0)
        tracelock.crash("db", "silent")
        with pytest.raises(TimeoutError):
            one.recv(1)
        tracelock.restart("db", lambda: None).join()
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            one.recv(1)

    found = tracelock.explore(workers=[work], setup=Disk, schedules=2, **QUIET)
    assert found.verdict == "passed", [way.message for way in found.ways]


# --- loops -----------------------------------------------------------------------------------
def serves_by_asyncio(disk: Disk) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            disk.saved.append(await reader.readexactly(2))
            writer.write(b"go")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "", 80):
            await asyncio.sleep(100.0)

    asyncio.run(main())


def serves_by_trio(disk: Disk) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            if data := await stream.receive_some(2):
                disk.saved.append(bytes(data))
                await stream.send_all(b"go")

    async def main() -> None:
        with trio.move_on_after(100.0):
            await trio.serve_tcp(answer, 80, host="0.0.0.0")

    trio.run(main)


@tracelock.host("web")
def tries_often(disk: Disk) -> None:
    import time

    for _ in range(40):
        try:
            with socket.create_connection(("db", 80), 5.0) as connection:
                connection.sendall(b"go")
                if connection.recv(2) == b"go":
                    disk.told["client"].append("done")
                    return
        except OSError:
            pass
        time.sleep(1.0)


def done(disk: Disk) -> None:
    assert disk.told["client"] == ["done"], disk.told


def once(disk: Disk) -> None:
    assert len(disk.saved) == 1, disk.saved


SERVERS = pytest.mark.parametrize("server", [serves_by_asyncio, serves_by_trio])


@SERVERS
def test_a_loop_is_gone_with_its_thread(server: Callable[[Disk], None]) -> None:
    def kill(disk: Disk) -> None:
        tracelock.crash("db")
        tracelock.restart("db", server, disk)

    found = tracelock.explore(
        workers=[tracelock.host("db")(server), tries_often, kill], setup=Disk, check=done,
        schedules=15, seed=2, network=NO_SPLITS, **QUIET,
    )  # fmt: skip
    assert found.verdict == "passed", [way.message for way in found.ways]


@SERVERS
def test_what_was_cut_is_let_go_of(
    server: Callable[[Disk], None], caplog: pytest.LogCaptureFixture
) -> None:
    """No schedule outlives its end, with its sockets: a run of trio that is cut before it has begun
    leaves its thread no hooks, and gives none to another one."""
    seen: list[weakref.ref[Disk]] = []

    class Seen(Disk):
        def __init__(self) -> None:
            super().__init__()
            seen.append(weakref.ref(self))

    def kill(disk: Disk) -> None:
        tracelock.crash("db", "closed")

    hooks = sys.get_asyncgen_hooks()
    tracelock.explore(
        workers=[tracelock.host("db")(server), kill], setup=Seen, strategy="dpor", schedules=12,
        network=NO_SPLITS, **QUIET,
    )  # fmt: skip
    assert sys.get_asyncgen_hooks() == hooks
    assert not caplog.records  # trio logs what an instrument raises
    gc.collect()
    assert len(seen) > 5
    assert [one for one in seen if one() is not None] in ([], seen[-1:])


@SERVERS
def test_as_a_fault_it_is_found_and_replayed(server: Callable[[Disk], None]) -> None:
    class Restarted(Disk):
        def __init__(self) -> None:
            super().__init__()
            tracelock.host("db", restarts=lambda: server(self))

    program: dict[str, Any] = {
        "workers": [tracelock.host("db")(server), tries_often], "setup": Restarted, "check": once,
    }  # fmt: skip
    rules: dict[str, Any] = {"faults": 1, "network": {"kinds": ["crash"], "splits": 0}}
    found = tracelock.explore(**program, **rules, schedules=400, seed=1, **QUIET)
    assert found.failed, found
    chosen = [event.extra["chosen"] for event in found.trace.events if event.op == "choose"]
    assert chosen[0] == "crash", chosen
    for _ in range(2):
        assert tracelock.replay(found.trace, **program).reproduced


# --- what is refused ---------------------------------------------------------------------------
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_on_a_loop_that_others_use_cannot_end_itself_in_the_middle_of_a_step(
    backend: str,
) -> None:
    @tracelock.host("db")
    async def crashes() -> None:
        with pytest.raises(tracelock.UsageError, match=r"on db itself"):
            tracelock.crash("db")

    async def other() -> None: ...

    found = tracelock.explore(workers=[crashes, other], backend=backend, schedules=1, **QUIET)
    assert found.verdict in ("passed", "verified"), [way.message for way in found.ways]


def test_what_cannot_crash_or_be_started_again_is_refused() -> None:
    with pytest.raises(tracelock.UsageError, match="exploration"):
        tracelock.crash("db")

    async def coroutine() -> None: ...

    def wrong(disk: Disk) -> None:
        for call in (
            lambda: tracelock.crash("nowhere"),
            lambda: tracelock.crash("db", "politely"),
            lambda: tracelock.restart("db", coroutine),  # there is no loop
            lambda: tracelock.restart("db", None),  # type: ignore[arg-type]
        ):
            with pytest.raises(
                tracelock.UsageError, match=r"no host|connections are|is a function"
            ):
                call()
        with tracelock.host("db"), pytest.raises(tracelock.UsageError, match="itself"):
            tracelock.restart("db", print)

    found = tracelock.explore(workers=[wrong], setup=Disk, schedules=1, **QUIET)
    assert found.verdict == "passed", [way.message for way in found.ways]
