"""Cancellations that come in, beside the same by hand on asyncio's own loop; locks and
scopes of each library."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

import tracelock
from tests.helpers import by_hand
from tests.helpers.by_hand import Shared, program

HERE = __name__


def explore(workers: list[Any], check: Any = None, **more: Any) -> tracelock.Explored:
    options: dict[str, Any] = {
        "setup": State, "backend": "asyncio", "schedules": 300, "seconds": 30, "instrument": [HERE],
        "cancellations": 1,
    }  # fmt: skip
    return tracelock.explore(workers=workers, check=check, **{**options, **more})


class State:
    def __init__(self) -> None:
        self.n = 0
        self.seen: Any = None
        self.lock = asyncio.Lock()
        self.bounded = asyncio.BoundedSemaphore(1)
        self.condition = asyncio.Condition()
        self.event = asyncio.Event()


class AnyioState:
    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.semaphore = anyio.Semaphore(1)
        self.limiter = anyio.CapacityLimiter(1)
        self.condition = anyio.Condition()
        self.send, self.receive = anyio.create_memory_object_stream[int](0)


class TrioState:
    def __init__(self) -> None:
        self.n = 0
        self.lock = trio.Lock()
        self.fifo = trio.StrictFIFOLock()
        self.limiter = trio.CapacityLimiter(1)
        self.condition = trio.Condition()


def message(found: tracelock.Explored) -> str:
    assert found.failed and found.trace is not None, found.summary
    return found.trace.verdict.message


# --- against the same by hand ------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(12))
def test_what_comes_of_a_cancellation_by_hand_comes_of_one_here(seed: int) -> None:
    draws = random.Random(seed)
    first, second = program(draws, "ab")
    ends: set[Any] = set()

    def check(s: Shared) -> None:
        ends.add(s.end())

    found = tracelock.explore(
        setup=Shared, workers=[first, second], check=check, backend="asyncio", cancellations=1,
        strategy="dpor", schedules=3000, every=True, isolation="never", instrument=[HERE],
    )  # fmt: skip
    outcomes = list(by_hand.outcomes([first, second]))
    assert len(outcomes) > 2
    lost = [one for one in outcomes if one.lost]
    over = {one.end for one in outcomes if not one.waiting}
    assert over <= ends, over - ends
    if lost:
        assert "has ended and not given it back" in message(found)
    if not (first.careless or second.careless):  # type: ignore[attr-defined]
        assert not lost and found.verdict == "verified", found.summary


# --- locks of each library -----------------------------------------------------------------------
def careless(name: str, sleep: Callable[[float], Any]) -> Any:
    async def work(s: Any) -> None:
        lock = getattr(s, name)
        await lock.acquire()
        await sleep(0)
        lock.release()

    return work


def careful(name: str, sleep: Callable[[float], Any]) -> Any:
    async def work(s: Any) -> None:
        async with getattr(s, name):
            await sleep(0)

    return work


LOCKS: list[tuple[Any, str, list[str], Any]] = [
    (State, "asyncio", ["lock", "bounded", "condition"], asyncio.sleep),
    (AnyioState, "asyncio", ["lock", "semaphore", "limiter", "condition"], anyio.sleep),
    (AnyioState, "trio", ["lock", "semaphore", "limiter", "condition"], anyio.sleep),
    (TrioState, "trio", ["lock", "fifo", "limiter", "condition"], trio.sleep),
]


@pytest.mark.parametrize(
    ("setup", "backend", "name", "sleep"),
    [(setup, backend, one, sleep) for setup, backend, names, sleep in LOCKS for one in names],
)
def test_a_lock_that_the_cancelled_one_held(
    setup: Any, backend: str, name: str, sleep: Any
) -> None:
    more = {"setup": setup, "backend": backend}
    found = explore([careless(name, sleep)] * 2, **more)
    assert "cancelled here: work[" in message(found)
    again = tracelock.replay(found.trace, setup=setup, workers=[careless(name, sleep)] * 2)
    assert again.reproduced
    assert not explore([careful(name, sleep)] * 2, schedules=100, **more).failed


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_whose_sender_was_cancelled(backend: str) -> None:
    async def sends(s: AnyioState) -> None:
        await anyio.sleep(0)
        await s.send.send(1)

    async def receives(s: AnyioState) -> None:
        await s.receive.receive()

    found = explore([sends, receives], setup=AnyioState, backend=backend, schedules=100)
    assert not found.failed, message(found)
    assert any("others waited for" in note for note in found.notes)


# --- forms ---------------------------------------------------------------------------------------
async def uncancels(s: State) -> None:
    task = asyncio.current_task()
    assert task is not None
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        s.seen = task.cancelling(), task.uncancel(), task.cancelling()


def test_a_cancelled_task_counts_it_once() -> None:
    assert "cancelled here" in message(explore([uncancels], lambda s: s.seen is None))
    found = explore([uncancels], lambda s: s.seen in (None, (1, 0, 0)), strategy="dpor")
    assert found.verdict == "verified"


async def fails_after(s: TrioState) -> None:
    try:
        with trio.fail_after(5):
            await trio.sleep(1)
    except trio.TooSlowError:
        s.n = 1


async def leaves_a_scope(s: TrioState) -> None:
    with trio.CancelScope():
        await trio.sleep(0)
        return
    s.n = 1


@pytest.mark.parametrize(
    ("work", "told"), [(fails_after, "timed out here"), (leaves_a_scope, "(scope 2 of leaves")]
)
def test_scopes_of_trio(work: Any, told: str) -> None:
    more: dict[str, Any] = {"setup": TrioState, "backend": "trio"}
    assert told in message(explore([work], lambda s: not s.n, **more))
    assert not explore([work], lambda s: not s.n, cancellations=0, **more).failed


async def child_holds(s: State) -> None:
    await asyncio.gather(careless("lock", asyncio.sleep)(s), return_exceptions=True)


def test_children_of_a_worker_are_cancelled_and_no_others() -> None:
    other = careful("lock", asyncio.sleep)
    assert "child_holds/work has ended" in message(
        explore([child_holds, other], cancellable=[child_holds])
    )
    assert not explore([child_holds, other], cancellable=[other]).failed


def test_a_deadlock_of_others_is_one() -> None:
    async def one(s: State) -> None:
        async with s.lock:
            await asyncio.sleep(0)
            async with s.condition:
                pass

    async def two(s: State) -> None:
        async with s.condition:
            await asyncio.sleep(0)
            async with s.lock:
                pass

    async def third(s: State) -> None:
        await asyncio.sleep(0)

    assert "held by" in message(explore([one, two, third], cancellable=[third]))


# --- loops of the program's own ------------------------------------------------------------------
def trio_child(s: TrioState) -> None:
    async def child() -> None:
        with trio.CancelScope():
            s.n += 1
            await trio.sleep(0)
            s.n -= 1

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    trio.run(main)


def anyio_moves_on(s: State) -> None:
    async def main() -> None:
        with anyio.move_on_after(5):
            await anyio.sleep(1)
            return
        s.n = 1

    anyio.run(main, backend=str(s.seen or "asyncio"))


def on_trio() -> State:
    state = State()
    state.seen = "trio"
    return state


@pytest.mark.parametrize(
    ("work", "setup", "told"),
    [
        (trio_child, TrioState, "cancelled here: trio_child/main/child"),
        (anyio_moves_on, State, "timed out here: anyio_moves_on/main"),
        (anyio_moves_on, on_trio, "timed out here: anyio_moves_on/main"),
    ],
)
def test_loops_of_either_library(work: Any, setup: Any, told: str) -> None:
    more: dict[str, Any] = {"setup": setup, "backend": "threading"}
    assert told in message(explore([work], lambda s: not s.n, **more))
    assert not explore([work], lambda s: not s.n, cancellations=0, schedules=20, **more).failed


def own_loop_loses(s: State) -> None:
    lock = asyncio.Lock()

    async def holds() -> None:
        await lock.acquire()
        await asyncio.sleep(0)
        lock.release()

    async def main() -> None:
        await asyncio.gather(holds(), holds(), return_exceptions=True)

    asyncio.run(main())


def test_a_lock_that_is_lost_on_a_loop_of_its_own() -> None:
    told = message(explore([own_loop_loses], backend="threading"))
    assert "own_loop_loses/main/holds has ended and not given it back" in told


# --- in forked processes -------------------------------------------------------------------------
async def in_a_block(s: State) -> None:
    await s.lock.acquire()
    with tracelock.cancellable():
        await asyncio.sleep(0)
    s.lock.release()


async def after_a_block(s: State) -> None:
    await s.lock.acquire()
    await asyncio.sleep(0)
    s.lock.release()
    with tracelock.cancellable():
        await asyncio.sleep(0)


@pytest.mark.parametrize("strategy", ["dpor", "random"])
def test_what_is_known_of_blocks_comes_back_from_a_forked_process(strategy: str) -> None:
    more: dict[str, Any] = {"strategy": strategy, "isolation": "always", "schedules": 200}
    assert explore([in_a_block, after_a_block], **more).failed
    assert not explore([after_a_block] * 2, **more).failed


def test_who_starved_is_told_of_forked_processes_too() -> None:
    async def sets(s: State) -> None:
        await asyncio.sleep(0)
        s.event.set()

    async def waits(s: State) -> None:
        await s.event.wait()

    found = explore([waits, sets], isolation="always", strategy="dpor")
    assert found.verdict == "verified", found.summary
    assert any("others waited for" in note for note in found.notes)
