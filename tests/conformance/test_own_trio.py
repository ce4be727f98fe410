"""Runs of trio that the code under test starts itself are under control as trio's workers are."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
import trio
from anyio.from_thread import start_blocking_portal
from trio.testing import MockClock

import tracelock
from tests.helpers.own_loops import State, exploring
from tracelock.instrument.hub import Hub

HERE = __name__
explore = exploring(HERE, 40)


async def update(s: State) -> None:
    n = s.n
    await trio.sleep(0)
    s.n = n + 1


async def safe(s: State) -> None:
    await trio.sleep(0)
    s.n += 1


def both(update: Callable[[State], Any]) -> Callable[[State], Any]:
    async def main(s: State) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(update, s)

    return main


def by_run(main: Any) -> Any:
    return lambda s: trio.run(main, s)


def by_anyio(main: Any) -> Any:
    return lambda s: anyio.run(main, s, backend="trio")


def in_a_thread(main: Any) -> Any:
    def worker(s: State) -> None:
        thread = threading.Thread(target=trio.run, args=(main, s))
        thread.start()
        thread.join()

    return worker


def back_from_a_thread(main: Any) -> Any:
    async def outer(s: State) -> None:
        await trio.to_thread.run_sync(trio.from_thread.run, main, s)

    return by_run(outer)


def in_a_thread_of_a_run(main: Any) -> Any:
    async def outer(s: State) -> None:
        await trio.to_thread.run_sync(by_run(main), s)

    return by_run(outer)


def sent_from_outside(main: Any) -> Any:
    """As a system task."""

    def worker(s: State) -> None:
        told: queue.Queue[Any] = queue.Queue()

        async def outer() -> None:
            over = trio.Event()
            told.put((trio.lowlevel.current_trio_token(), over))
            await over.wait()

        thread = threading.Thread(target=trio.run, args=(outer,))
        thread.start()
        token, over = told.get()
        trio.from_thread.run(main, s, trio_token=token)
        trio.from_thread.run_sync(over.set, trio_token=token)
        thread.join()

    return worker


def through_a_portal(main: Any) -> Any:
    def worker(s: State) -> None:
        with start_blocking_portal("trio") as portal:
            portal.call(main, s)

    return worker


def one_after_the_other(main: Any) -> Any:
    async def nothing() -> None:
        await trio.sleep(1)

    def worker(s: State) -> None:
        trio.run(nothing)
        trio.run(main, s)
        trio.run(nothing)

    return worker


@pytest.mark.parametrize(
    "way",
    [
        by_run, by_anyio, in_a_thread, back_from_a_thread, in_a_thread_of_a_run, sent_from_outside,
        through_a_portal, one_after_the_other,
    ],
)  # fmt: skip
def test_its_tasks_are_scheduled(way: Callable[..., Any]) -> None:
    found = explore(way(both(update)))
    assert found.failed
    assert "n is 1" in found.trace.verdict.message  # type: ignore[union-attr]
    assert found.confirmed == {"threading": "3/3"}
    assert explore(way(both(safe)), schedules=20).verdict == "passed"


def test_two_runs_in_two_threads_are_in_one_schedule() -> None:
    found = explore(by_run(update), by_run(update))
    assert found.failed
    assert found.confirmed == {"threading": "3/3"}


def test_a_loop_of_asyncio_beside_it_is_in_the_schedule_too() -> None:
    import asyncio

    async def of_asyncio(s: State) -> None:
        n = s.n
        await asyncio.sleep(0)
        s.n = n + 1

    assert explore(by_run(update), lambda s: asyncio.run(of_asyncio(s))).failed


def test_a_run_that_waits_for_ever_is_a_deadlock_that_says_for_what() -> None:
    async def main(s: State) -> None:
        await trio.Event().wait()

    found = explore(by_run(main))
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert "worker/main waits at Event#1" in found.trace.verdict.message


def test_what_the_main_task_raises_comes_out_of_the_run() -> None:
    async def fails(s: State) -> None:
        await trio.sleep(0)
        raise SystemExit(3)

    async def raises(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, s)

    def worker(s: State) -> None:
        with pytest.raises(SystemExit) as raised:
            trio.run(fails, s)
        assert raised.value.code == 3
        with pytest.raises(BaseExceptionGroup):
            trio.run(raises, s)
        with pytest.raises(RuntimeError, match="from inside"):
            trio.run(nested, s)

    async def nested(s: State) -> None:
        trio.run(fails, s)

    assert explore(worker, check=None, schedules=5).verdict == "passed"


def test_a_clock_that_jumps_keeps_its_own_time() -> None:
    def worker(s: State) -> None:
        clock = MockClock(autojump_threshold=0)

        async def main() -> float:
            await trio.sleep(60)
            return trio.current_time()

        assert trio.run(main, clock=clock) == 60
        slow = MockClock()

        async def by_hand() -> None:
            with trio.move_on_after(5) as scope:
                slow.jump(6)
                await trio.sleep_forever()
            assert scope.cancelled_caught

        trio.run(by_hand, clock=slow)

    assert explore(worker, check=None, schedules=5).verdict == "passed"


@pytest.mark.parametrize("start", ["clock", "guest"])
def test_what_cannot_be_controlled_is_refused_by_name(start: str) -> None:
    def worker(s: State) -> None:
        if start == "clock":
            trio.run(update, s, clock=MockClock(rate=1))
        else:
            trio.lowlevel.start_guest_run(
                update, s, run_sync_soon_threadsafe=print, done_callback=print
            )

    found = explore(worker, check=None, schedules=3)
    assert found.verdict == "unfinished"
    assert "is not under control" in str(found.ways[0].message)


def test_an_own_run_is_never_verified() -> None:
    assert explore(by_run(safe), strategy="dpor", check=None).verdict == "passed"


def test_setup_and_check_may_run_one() -> None:
    def check(s: State) -> None:
        trio.run(both(safe), s)
        assert s.n == 4

    assert explore(by_run(both(safe)), check=check, schedules=10).verdict == "passed"


def test_an_endless_turn_is_a_livelock() -> None:
    async def spins(s: State) -> None:
        while s.n < 5:
            await trio.sleep(0)

    found = explore(by_run(spins), check=None, schedules=3, limits=tracelock.RunLimits(steps=500))
    assert found.verdict == "unfinished"
    assert "livelock" in str(found.ways[0].message)


# --- what stays ------------------------------------------------------------------------------
class TwoLocks:
    def __init__(self) -> None:
        self.first, self.second = anyio.Lock(), anyio.Lock()


async def in_order(locks: TwoLocks) -> None:
    with anyio.CancelScope():
        async with locks.first, locks.second:
            pass


async def the_other_way(locks: TwoLocks) -> None:
    with anyio.CancelScope():
        async with locks.second, locks.first:
            pass


async def both_at_once() -> None:
    locks = TwoLocks()
    async with anyio.create_task_group() as group:
        group.start_soon(in_order, locks)
        group.start_soon(the_other_way, locks)


def hubs() -> int:
    gc.collect()
    return sum(type(obj) is Hub for obj in gc.get_objects())


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("own", [False, True])
def test_tasks_that_never_end_keep_no_exploration(library: str, own: bool) -> None:
    """Libraries keep states of tasks, which only a task that ends takes off."""
    options: dict[str, Any] = {"workers": [partial(anyio.run, both_at_once, backend=library)]}
    if not own:
        options = {"workers": [in_order, the_other_way], "setup": TwoLocks, "backend": library}
    before = hubs()
    for _ in range(2):
        assert tracelock.explore(schedules=30, **options).failed
    assert hubs() <= before + 1  # the last one


def in_a_nursery(s: State) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_a_block, s)

    trio.run(main)


async def in_a_block(s: State) -> None:
    with tracelock.cancellable():
        s.n += 1
        await trio.sleep(1)
        s.n -= 1


def in_the_main_task(s: State) -> None:
    trio.run(in_a_block, s)


async def in_a_system_task(s: State) -> None:
    trio.lowlevel.spawn_system_task(in_a_block, s)
    await trio.sleep(3)


def test_a_block_in_a_child_of_a_nursery_is_cancelled_by_the_scope_of_that() -> None:
    found = tracelock.explore(
        setup=State, workers=[in_a_nursery], check=lambda s: s.n == 0, cancellations=1,
        strategy="random", schedules=50, shrink=False, confirm=1,
    )  # fmt: skip
    assert found.verdict == "failed"
    assert found.trace is not None
    assert "(the nursery of in_a_nursery/main/in_a_block)" in found.trace.verdict.message


@pytest.mark.parametrize("work", [in_the_main_task, in_a_system_task])
def test_a_block_that_nothing_cancels_is_told(work: Callable[[State], Any]) -> None:
    found = tracelock.explore(
        setup=State, workers=[work], check=lambda s: s.n == 0, cancellations=1,
        backend="threading" if work is in_the_main_task else "trio", strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "passed"
    assert "tracelock.cancellable()" in found.account.unseen
