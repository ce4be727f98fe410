"""Crashes of hosts whose tasks are on a loop of asyncio that others use: what is gone, and what the
others come to, in every order of steps."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
import weakref
from collections.abc import Iterable
from typing import Any

import pytest

import tracelock

QUIET: dict[str, Any] = {"instrument": [], "shrink": False, "backend": "asyncio"}
NO_SPLITS: dict[str, Any] = {"splits": 0}


class Seen:
    """``told``: what has happened, in order. ``over``: the schedule is, nearly."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun = asyncio.Event()
        self.lock = asyncio.Lock()
        self.over = False

    def tell(self, what: str) -> None:
        if not self.over:
            self.told.append(what)


def ends(workers: list[Any], setup: Any = Seen, **more: Any) -> set[tuple[str, ...]]:
    """What the schedules tell; each of them passes, and all of them are tried."""
    seen: set[tuple[str, ...]] = set()
    found = tracelock.explore(
        workers=workers, setup=setup, check=lambda state: seen.add(tuple(state.told)),
        network=NO_SPLITS, **{"strategy": "dpor", "schedules": 5_000, **QUIET, **more},
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), (found, [way.message for way in found.ways])
    return seen


def told_by(state: Seen, *words: str) -> Any:
    """A coroutine with a step for each word, and an end that no crash lets it come to."""

    async def work() -> None:
        try:
            for word in words:
                state.tell(word)
                await asyncio.sleep(0)
        finally:
            state.tell("finally")

    return work()


def prefixes(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (words[:count] for count in range(len(words) + 1))


def interleaved(a: tuple[str, ...], b: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Every order of the words of both, each in its own."""
    if not a or not b:
        return {a + b}
    return {(a[0], *rest) for rest in interleaved(a[1:], b)} | {
        (b[0], *rest) for rest in interleaved(a, b[1:])
    }


def test_a_crash_comes_between_any_two_steps_and_no_code_runs_after_it() -> None:
    """Brute force: a task of three steps, cut after any of these, or come to its end, beside one
    of another host that makes all of its own."""

    async def main(state: Seen) -> None:
        with tracelock.host("db"):
            task = asyncio.create_task(told_by(state, "1", "2"))
        with tracelock.host("web"):
            other = asyncio.create_task(told_by(state, "a"))
        await asyncio.sleep(0)
        tracelock.crash("db")
        assert await asyncio.gather(task, other) == [None, None]
        state.over = True

    every = ends([main])
    mine, others = ("1", "2", "finally"), ("a", "finally")
    expected = {
        order for made in prefixes(mine) for order in interleaved(made, others)
        # the first step of each task, in the line of the loop, comes before the second of main
        if order[:2] == ("1", "a")
    }  # fmt: skip
    assert every == expected
    assert ends([main], strategy="random", schedules=60, seed=1) <= every


def test_a_group_of_tasks_goes_on_without_those_that_are_gone() -> None:
    async def forever(state: Seen) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            state.tell("finally")

    async def main(state: Seen) -> None:
        async with asyncio.TaskGroup() as group:
            with tracelock.host("db"):
                group.create_task(forever(state))
                group.create_task(told_by(state, "1"))
            await asyncio.sleep(0)
            tracelock.crash("db")
        state.tell("group is over")
        state.over = True

    assert ends([main]) == {("1", "group is over"), ("1", "finally", "group is over")}


def test_timers_and_callbacks_of_the_host_are_dropped_and_others_are_not() -> None:
    async def main(state: Seen) -> None:
        loop = asyncio.get_running_loop()
        for name in ("db", "web"):
            with tracelock.host(name):
                loop.call_later(1.0, state.tell, f"timer of {name}")
                loop.call_soon(state.tell, f"callback of {name}")
                future = loop.create_future()
                future.add_done_callback(lambda _, name=name: state.tell(f"told {name}"))
                future.set_result(None)
        tracelock.crash("db")
        await asyncio.sleep(2.0)

    assert ends([main]) == {("callback of web", "told web", "timer of web")}


@pytest.mark.parametrize("when", [0.5, 1.5])
def test_a_lock_that_they_hold_or_wait_for_is_another_ones(when: float) -> None:
    async def takes(state: Seen, name: str) -> None:
        async with state.lock:
            state.tell(f"{name} has it")
            await asyncio.sleep(1.0)

    async def main(state: Seen) -> None:
        with tracelock.host("db"):
            tasks = [asyncio.create_task(takes(state, name)) for name in ("db", "db too")]
        with tracelock.host("web"):
            web = asyncio.create_task(takes(state, "web"))
        await asyncio.sleep(when)
        tracelock.crash("db")
        await web
        assert not state.lock.locked() and all(task.done() for task in tasks)

    had = ("db has it", "db too has it")[: 1 + (when > 1.0)]
    assert ends([main]) == {(*had, "web has it")}


# --- connections ------------------------------------------------------------------------------
async def serves(state: Seen) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if data := await reader.read(2):
                state.tell("saved")
                writer.write(data)
            writer.close()
        finally:
            state.tell("finally")

    async with await asyncio.start_server(answer, "", 80):
        state.begun.set()
        await asyncio.sleep(50.0)


async def asks(state: Seen, *, often: int = 1) -> None:
    await state.begun.wait()
    for _ in range(often):
        try:
            reader, writer = await asyncio.open_connection("db", 80)
            writer.write(b"go")
            state.tell((await reader.readexactly(2)).decode())
            writer.close()
            break
        except asyncio.IncompleteReadError:
            state.tell("an end")
        except OSError as error:
            state.tell(type(error).__name__)
        await asyncio.sleep(1.0)
    state.over = True


async def kills(state: Seen) -> None:
    await state.begun.wait()
    tracelock.crash("db", "closed")


CONNECTED: list[Any] = [tracelock.host("db")(serves), tracelock.host("web")(asks), kills]


class Listening(Seen):
    def __init__(self) -> None:
        super().__init__()
        with tracelock.host("db"):
            self.server = socket.create_server(("", 80))
        self.server.setblocking(False)


def test_what_a_client_may_learn_of_a_server_that_is_gone() -> None:
    """By hand. Before the connection: refused. Later: a reset, since what was sent is not read, or
    comes to a socket that is closed. The step that saves also answers: after it nothing of it is
    noticed."""

    @tracelock.host("db")
    async def answers(state: Listening) -> None:
        state.begun.set()
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(state.server)
        with connection:
            if data := await loop.sock_recv(connection, 2):
                state.tell("saved")
                await loop.sock_sendall(connection, data)
                state.tell("sent")

    @tracelock.host("web")
    async def client(state: Listening) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            address = socket.gethostbyname("db")
            try:
                await loop.sock_connect(connection, (address, 80))
                await loop.sock_sendall(connection, b"go")
                state.tell((await loop.sock_recv(connection, 2)).decode())
            except OSError as error:
                state.tell(type(error).__name__)

    every = ends([answers, client, kills], setup=Listening)
    lost = {("ConnectionRefusedError",), ("ConnectionResetError",)}
    assert every == {("saved", "sent", "go"), *lost}


def test_a_host_is_started_again_as_a_task() -> None:
    async def kills_and_starts(state: Seen) -> None:
        await kills(state)
        again = tracelock.restart("db", serves, state)
        assert isinstance(again, asyncio.Task)

    told = ends(
        [CONNECTED[0], tracelock.host("web")(asks_again), kills_and_starts], strategy="random",
        schedules=40, seed=1,
    )  # fmt: skip
    assert all(one[-1] == "go" for one in told), told
    assert {one[0] for one in told} >= {"saved", "an end", "ConnectionRefusedError"}


async def asks_again(state: Seen) -> None:
    await asks(state, often=3)


def once(state: Seen) -> None:
    assert state.told.count("saved") == 1, state.told


class Restarts(Seen):
    def __init__(self) -> None:
        super().__init__()

        async def again() -> None:
            await serves(self)

        tracelock.host("db", restarts=again)


def test_as_a_fault_it_is_found_made_small_and_replayed() -> None:
    """A client that tries again after the answer was lost."""
    program: dict[str, Any] = {
        "workers": [tracelock.host("db")(serves), tracelock.host("web")(asks_again)],
        "setup": Restarts, "check": once, "backend": "asyncio",
    }  # fmt: skip
    rules: dict[str, Any] = {"faults": 1, "network": {"kinds": ["crash"], "splits": 0}}
    found = tracelock.explore(**program, **rules, schedules=600, seed=1, instrument=[])
    assert found.failed, found
    chosen = [event.extra["chosen"] for event in found.trace.events if event.op == "choose"]
    assert chosen[0] == "crash", chosen
    for _ in range(2):
        assert tracelock.replay(found.trace, **program).reproduced


# --- other threads ------------------------------------------------------------------------------
def test_a_thread_does_not_end_tasks_on_the_loop_of_another() -> None:
    """Which may be in the middle of a step of theirs."""

    def runs(state: Seen) -> None:
        async def main() -> None:
            with tracelock.host("db"):
                task = asyncio.create_task(asyncio.sleep(1.0))
            await task

        asyncio.run(main())

    def crashes(state: Seen) -> None:
        time.sleep(0.5)
        with pytest.raises(tracelock.UsageError, match=r"a task on that loop"):
            tracelock.crash("db")

    assert ends([runs, crashes], backend="threading") == {()}


def test_what_is_gone_is_let_go_of() -> None:
    """No schedule outlives its end, with what the crash has left."""
    seen: list[weakref.ref[Seen]] = []

    class Watched(Seen):
        def __init__(self) -> None:
            super().__init__()
            seen.append(weakref.ref(self))

    hooks = sys.get_asyncgen_hooks()
    found = tracelock.explore(workers=CONNECTED, setup=Watched, schedules=10, seed=1, **QUIET)
    assert found.verdict == "passed", [way.message for way in found.ways]
    assert sys.get_asyncgen_hooks() == hooks
    gc.collect()
    assert [one for one in seen if one() is not None] in ([], seen[-1:])


@pytest.mark.parametrize("connections", ["reset", "silent"])
def test_the_ends_of_its_connections(connections: str) -> None:
    async def kill(state: Seen) -> None:
        await state.begun.wait()
        tracelock.crash("db", connections)

    async def waits(state: Seen) -> None:
        await state.begun.wait()
        try:
            reader, writer = await asyncio.open_connection("db", 80)
            got = await asyncio.wait_for(reader.read(1), 5.0)
            state.tell("an end" if not got else "bytes")
        except TimeoutError:
            state.tell("nothing")
            writer.close()
        except OSError as error:
            state.tell(type(error).__name__)
        state.over = True

    every = ends([CONNECTED[0], tracelock.host("web")(waits), kill], schedules=60, seed=1,
                 strategy="random")  # fmt: skip
    assert every == {
        ("ConnectionRefusedError",),
        ("ConnectionResetError",) if connections == "reset" else ("nothing",),
    }
