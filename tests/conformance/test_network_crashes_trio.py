"""Crashes of hosts whose tasks are on a loop of trio that others use: what is gone, and what the
others come to, in every order of steps."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing

import tracelock
from tests.conformance.test_network_crashes_shared import interleaved, prefixes

QUIET: dict[str, Any] = {"instrument": [], "shrink": False, "backend": "trio"}
NO_SPLITS: dict[str, Any] = {"splits": 0}


class Seen:
    """``told``: what has happened, in order. ``over``: the schedule is, nearly."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun = trio.Event()
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


async def told_by(state: Seen, *words: str) -> None:
    """A step for each word, and an end that no crash lets it come to."""
    try:
        for word in words:
            state.tell(word)
            await trio.sleep(0)
    finally:
        state.tell("finally")


def test_a_crash_comes_between_any_two_steps_and_no_code_runs_after_it() -> None:
    """Brute force: a task of three steps, cut before or after any of these, or come to its end,
    beside one of another host that makes all of its own, in any order: trio promises none."""

    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(told_by, state, "1", "2")
            with tracelock.host("web"):
                nursery.start_soon(told_by, state, "a")
            await trio.sleep(0)
            tracelock.crash("db")
        state.over = True

    every = ends([main])
    mine, others = ("1", "2", "finally"), ("a", "finally")
    assert every == {order for made in prefixes(mine) for order in interleaved(made, others)}
    assert ends([main], strategy="random", schedules=20, seed=1) <= every


# --- wherever a task waits -----------------------------------------------------------------------
class Things:
    """What a task may wait for."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.lock, self.condition = trio.Lock(), trio.Condition()
        self.semaphore, self.limiter = trio.Semaphore(1), trio.CapacityLimiter(1)
        self.sends, self.receives = trio.open_memory_channel[str](0)


Waits = Callable[[Things, Seen], Awaitable[object]]


async def _acquires(lock: Any) -> None:
    async with lock:
        await trio.sleep(1_000.0)


async def _counts() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await trio.sleep(1_000.0)
    finally:
        await trio.sleep(1.0)


async def _iterates(things: Things, seen: Seen) -> None:
    async for _ in _counts():
        seen.tell("counts")


async def _shielded(things: Things, seen: Seen) -> None:
    with trio.CancelScope(shield=True):
        await things.event.wait()


async def _nested(things: Things, seen: Seen) -> None:
    with trio.move_on_after(5.0):
        async with trio.open_nursery() as outer:
            outer.start_soon(_shielded, things, seen)
            async with trio.open_nursery() as inner:
                inner.start_soon(_acquires, things.lock)
                inner.start_soon(_iterates, things, seen)


async def _deadline(things: Things, seen: Seen) -> None:
    with trio.fail_after(5.0):
        await trio.sleep_forever()


async def _conditions(things: Things, seen: Seen) -> None:
    async with things.condition:
        await things.condition.wait()


async def _starts(things: Things, seen: Seen) -> None:
    async def never(task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(never)


async def _threads(things: Things, seen: Seen) -> None:
    def blocks() -> None:
        try:
            threading.Event().wait(1_000.0)
        finally:
            seen.tell("finally in a thread")

    await trio.to_thread.run_sync(blocks, limiter=things.limiter)


WAITS: dict[str, Waits] = {
    "sleep": lambda _, __: trio.sleep(1_000.0),
    "event": lambda things, _: things.event.wait(),
    "holds a lock": lambda things, _: _acquires(things.lock),
    "semaphore": lambda things, _: _acquires(things.semaphore),
    "sends": lambda things, _: things.sends.send("lost"),
    "receives": lambda things, _: things.receives.receive(),
    "condition": _conditions,
    "shielded": _shielded,
    "deadline": _deadline,
    "nurseries": _nested,
    "starts": _starts,
    "async generator": _iterates,
    "thread": _threads,
    "all blocked": lambda _, __: trio.testing.wait_all_tasks_blocked(1_000.0),
}  # fmt: skip


@pytest.mark.parametrize("name", WAITS)
def test_wherever_it_waits_it_is_gone_and_others_go_on(name: str) -> None:
    """What it waited for is another's, its deadline never comes, no code of it runs."""
    waits = WAITS[name]

    async def dies(things: Things, state: Seen) -> None:
        try:
            await waits(things, state)
        finally:
            state.tell("finally")
            await trio.sleep(0)

    async def main(state: Seen) -> None:
        things = Things()
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(dies, things, state)
            await trio.sleep(1.0)
            tracelock.crash("db")
        state.tell("nursery is over")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(things.sends.send, "kept")
            assert await things.receives.receive() == "kept"
        if name != "semaphore":  # it would not be shared
            things.semaphore.acquire_nowait()
        with trio.fail_after(1.0):
            async with things.lock, things.condition, things.limiter:
                things.event.set()
                things.condition.notify_all()
            await trio.to_thread.run_sync(state.tell, "a thread", limiter=things.limiter)
        await trio.sleep(5_000.0)
        state.over = True

    told = ("counts",) if name in ("nurseries", "async generator") else ()
    more: dict[str, Any] = {"strategy": "random", "schedules": 6, "seed": 1}
    assert ends([main], **more) == {(*told, "nursery is over", "a thread")}


def test_locks_that_they_hold_or_wait_for_are_anothers() -> None:
    async def takes(state: Seen, lock: Any, name: str) -> None:
        async with lock:
            state.tell(f"{name} has it")
            await trio.sleep(1.0)

    async def main(make: Callable[[], Any], when: float, state: Seen) -> None:
        lock = make()
        async with trio.open_nursery() as nursery:
            for host in ("db", "db", "web"):
                with tracelock.host(host):
                    nursery.start_soon(takes, state, lock, host)
            await trio.sleep(when)
            tracelock.crash("db")
        assert not lock.locked()
        state.over = True

    orders = {
        0.5: {("db has it", "web has it"), ("web has it",)},
        1.5: {
            ("db has it", "db has it", "web has it"), ("db has it", "web has it"),
            ("web has it", "db has it"),
        },
    }  # fmt: skip
    for when, expected in orders.items():
        for make in (trio.Lock, trio.StrictFIFOLock, lambda: anyio.Lock(fast_acquire=True)):
            assert ends([functools.partial(main, make, when)]) == expected


def test_a_nursery_that_waits_goes_on_and_its_cancellation_reaches_nobody_who_is_gone() -> None:
    async def forever(state: Seen) -> None:
        try:
            await trio.sleep_forever()
        finally:
            state.tell("finally")

    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(forever, state)
            nursery.start_soon(kills)
        state.tell("nursery is over")
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(forever, state)
            await trio.sleep(1.0)
            tracelock.crash("db")
            nursery.cancel_scope.cancel()
        state.over = True

    async def kills() -> None:
        await trio.sleep(1.0)
        tracelock.crash("db")

    assert ends([main]) == {("nursery is over",)}


def test_who_waits_for_a_host_to_be_started_is_told_as_by_trio() -> None:
    @tracelock.host("db")
    async def never(task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kills)
            with pytest.raises(RuntimeError, match=r"without calling task_status\.started"):
                await nursery.start(never)
        state.over = True

    async def kills() -> None:
        await trio.sleep(1.0)
        tracelock.crash("db")

    assert ends([main]) == {()}


def test_a_task_of_another_host_below_one_of_it_is_not_left_alone() -> None:
    """Nobody would wait for it, or hear of its error."""

    async def parent(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("web"):
                nursery.start_soon(trio.sleep, 1.0)

    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(parent, state)
            await trio.sleep(0.5)
            with pytest.raises(tracelock.UsageError, match=r"sleep is not on it, and is in a"):
                tracelock.crash("db")
            await trio.sleep(1.0)
            tracelock.crash("db")

    assert ends([main]) == {()}


# --- threads -------------------------------------------------------------------------------------
def test_threads_that_trio_keeps_are_on_the_host_that_they_work_for() -> None:
    """One that has worked for it and waits is another's; what it has sent is not called."""

    def sends(state: Seen) -> None:
        trio.from_thread.run_sync(state.tell, "a message")
        token = trio.lowlevel.current_trio_token
        assert token is not None
        threading.Event().wait(1.0)
        state.tell("never")

    async def works(state: Seen) -> None:
        await trio.to_thread.run_sync(state.tell, "first")
        await trio.to_thread.run_sync(sends, state)

    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(works, state)
            await trio.sleep(0.5)
            tracelock.crash("db")
        with tracelock.host("web"):
            await trio.to_thread.run_sync(state.tell, "web")
        state.over = True

    more: dict[str, Any] = {"strategy": "random", "schedules": 20, "seed": 1}
    assert ends([main], **more) == {("first", "a message", "web")}


# --- connections and what is started again --------------------------------------------------------
async def serves(state: Seen) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                if data := await stream.receive_some(2):
                    state.tell("saved")
                    await stream.send_all(data)
        finally:
            state.tell("finally")

    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(trio.serve_tcp, answer, 80, host="0.0.0.0"))
        state.begun.set()
        with trio.move_on_after(50.0):
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()


async def asks(state: Seen, *, often: int = 1) -> None:
    await state.begun.wait()
    for _ in range(often):
        try:
            async with await trio.open_tcp_stream("db", 80) as stream:
                await stream.send_all(b"go")
                got = await stream.receive_some(2)
                state.tell(got.decode() or "an end")
                if got:
                    break
        except (OSError, trio.BrokenResourceError) as error:
            state.tell(type(error).__name__)
        await trio.sleep(1.0)
    state.over = True


async def asks_again(state: Seen) -> None:
    await asks(state, often=3)


async def kills_and_starts(state: Seen) -> None:
    await state.begun.wait()
    tracelock.crash("db", "closed")
    again = tracelock.restart("db", serves, state)
    assert isinstance(again, trio.lowlevel.Task)


def test_a_host_is_started_again_as_a_task() -> None:
    told = ends(
        [tracelock.host("db")(serves), tracelock.host("web")(asks_again), kills_and_starts],
        strategy="random", schedules=40, seed=1,
    )  # fmt: skip
    assert all("go" in one for one in told), told
    assert {one[0] for one in told} >= {"saved", "OSError", "an end"}, told


def test_it_is_started_again_in_the_nursery_that_it_was_started_in() -> None:
    async def main(state: Seen) -> None:
        with pytest.raises(ExceptionGroup):
            async with trio.open_nursery() as nursery:
                with tracelock.host("db"):
                    nursery.start_soon(trio.sleep_forever)
                await trio.sleep(1.0)
                tracelock.restart("db", fails, state)
        state.tell("told")

    async def fails(state: Seen) -> None:
        await trio.sleep(1.0)
        raise ValueError

    assert ends([main]) == {("told",)}


def test_what_it_raises_after_its_nursery_is_over_is_a_failure() -> None:
    async def main(state: Seen) -> None:
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(trio.sleep_forever)
            await trio.sleep(1.0)
            tracelock.crash("db")
        tracelock.restart("db", fails, state)
        await trio.sleep(5.0)

    async def fails(state: Seen) -> None:
        await trio.sleep(1.0)
        raise ValueError("no disk")

    found = tracelock.explore(workers=[main], setup=Seen, schedules=3, **QUIET)
    assert found.failed and "no disk" in found.ways[0].message, found


class Restarts(Seen):
    def __init__(self) -> None:
        super().__init__()

        async def again() -> None:
            await serves(self)

        tracelock.host("db", restarts=again)


def once(state: Seen) -> None:
    assert state.told.count("saved") == 1, state.told


def test_as_a_fault_it_is_found_made_small_and_replayed() -> None:
    """A client that tries again after the answer was lost."""
    program: dict[str, Any] = {
        "workers": [tracelock.host("db")(serves), tracelock.host("web")(asks_again)],
        "setup": Restarts, "check": once, "backend": "trio",
    }  # fmt: skip
    rules: dict[str, Any] = {"faults": 1, "network": {"kinds": ["crash"], "splits": 0}}
    found = tracelock.explore(**program, **rules, schedules=600, seed=1, instrument=[])
    assert found.failed, found
    chosen = [event.extra["chosen"] for event in found.trace.events if event.op == "choose"]
    assert chosen[0] == "crash", chosen
    for _ in range(2):
        assert tracelock.replay(found.trace, **program).reproduced


def test_a_loop_that_the_program_starts_itself() -> None:
    def runs(state: Seen) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                with tracelock.host("db"):
                    nursery.start_soon(told_by, state, "1", "2")
                await trio.sleep(0)
                tracelock.crash("db")
            state.over = True

        trio.run(main)

    assert ends([runs], backend="threading") == set(prefixes(("1", "2", "finally")))


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")  # of a group's task that never began
def test_with_anyio() -> None:
    async def main(state: Seen) -> None:
        async with anyio.create_task_group() as group:
            with tracelock.host("db"):
                group.start_soon(dies, state)
            await anyio.sleep(1.0)
            tracelock.crash("db")
        state.tell("group is over")
        state.over = True

    async def dies(state: Seen) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, threading.Event().wait, 100.0)
                group.start_soon(anyio.sleep, 5.0)
                with anyio.CancelScope(shield=True), anyio.fail_after(3.0):
                    await anyio.Event().wait()
        finally:
            state.tell("finally")

    more: dict[str, Any] = {"strategy": "random", "schedules": 10, "seed": 1}
    assert ends([main], **more) == {("group is over",)}


def test_what_is_gone_is_let_go_of() -> None:
    """No schedule outlives its end, with what the crash has left."""
    seen: list[weakref.ref[Seen]] = []

    class Watched(Seen):
        def __init__(self) -> None:
            super().__init__()
            seen.append(weakref.ref(self))

    async def main(state: Seen) -> None:
        things = Things()
        async with trio.open_nursery() as nursery:
            with tracelock.host("db"):
                nursery.start_soon(_nested, things, state)
                nursery.start_soon(_iterates, things, state)
            await trio.sleep(1.0)
            tracelock.crash("db")

    hooks = sys.get_asyncgen_hooks()
    found = tracelock.explore(workers=[main], setup=Watched, schedules=10, seed=1, **QUIET)
    assert found.verdict == "passed", [way.message for way in found.ways]
    assert sys.get_asyncgen_hooks() == hooks
    gc.collect()
    assert [one for one in seen if one() is not None] in ([], seen[-1:])
