"""Loops that the code under test starts itself are under control as those of async workers are."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import tracelock
from tests.helpers.own_loops import State, exploring

HERE = __name__
explore = exploring(HERE, 60)


async def update(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def safe(s: State) -> None:
    await asyncio.sleep(0)
    s.n += 1
    await asyncio.sleep(0)


def both(update: Callable[[State], Any]) -> Callable[[State], Any]:
    async def main(s: State) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(update(s))

    return main


def by_run(main: Any) -> Any:
    return lambda s: asyncio.run(main(s))


def by_runner(main: Any) -> Any:
    def worker(s: State) -> None:
        with asyncio.Runner() as runner:
            runner.run(asyncio.sleep(0))
            runner.run(main(s))

    return worker


def by_a_loop(main: Any) -> Any:
    def worker(s: State) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main(s))
        finally:
            loop.close()

    return worker


def by_a_loop_of_a_class(main: Any) -> Any:
    def worker(s: State) -> None:
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(main(s))
        finally:
            loop.close()

    return worker


def by_anyio(main: Any) -> Any:
    return lambda s: anyio.run(main, s)


def in_a_thread(main: Any) -> Any:
    def worker(s: State) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(main(s)))
        thread.start()
        thread.join()

    return worker


def beside_the_thread(main: Any) -> Any:
    """The usual background loop, to which the thread sends coroutines."""

    def worker(s: State) -> None:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(main(s), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return worker


@pytest.mark.parametrize(
    "way",
    [by_run, by_runner, by_a_loop, by_a_loop_of_a_class, by_anyio, in_a_thread, beside_the_thread],
)
def test_its_tasks_are_scheduled(way: Callable[..., Any]) -> None:
    found = explore(way(both(update)))
    assert found.failed
    assert "n is 1" in found.trace.verdict.message  # type: ignore[union-attr]
    assert found.confirmed == {"threading": "3/3"}
    assert explore(way(both(safe))).verdict == "passed"


def test_two_loops_in_two_threads_are_in_one_schedule() -> None:
    # each of the tasks alone is right: it is the other loop's that comes between
    found = explore(by_run(update), by_run(update))
    assert found.failed
    assert found.confirmed == {"threading": "3/3"}


def test_a_thread_beside_a_loop_is_in_the_schedule_too() -> None:
    def thread(s: State) -> None:
        s.n += 1

    assert explore(by_run(update), thread).failed


def test_a_loop_that_waits_for_ever_is_a_deadlock_that_says_for_what() -> None:
    async def main(s: State) -> None:
        await asyncio.Event().wait()

    found = explore(by_run(main))
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert "event" in found.trace.verdict.message


def test_a_loop_that_is_never_stopped_is_a_deadlock() -> None:
    found = explore(lambda s: asyncio.new_event_loop().run_forever())
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"


def test_an_own_loop_is_never_verified() -> None:
    found = explore(by_run(safe), strategy="dpor", check=None)
    assert found.verdict == "passed"


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        (by_run(both(safe)), "3 tasks, "),
        (in_a_thread(both(safe)), "1 thread and 3 tasks, "),
        (beside_the_thread(both(safe)), "1 thread and 3 tasks, "),
        (by_run(safe), "1 task, "),
    ],
)
def test_who_goes_on_with_others_is_counted(worker: Callable[..., Any], told: str) -> None:
    found = explore(worker, schedules=2, check=None)
    assert found.account is not None and found.account.counts.startswith(told)
    assert found.account.to_data()["kind"] == ("thread" if "thread" in told else "task")


class Custom(asyncio.SelectorEventLoop):
    pass


def test_a_loop_of_another_class_is_refused_by_name() -> None:
    def worker(s: State) -> None:
        loop = Custom()
        try:
            loop.run_until_complete(loop.create_future())
        finally:
            loop.close()

    found = explore(worker, check=None, schedules=3)
    assert found.verdict == "unfinished"
    assert f"the loop {HERE}.Custom is not under control" in str(found.ways[0].message)


class Strange(asyncio.AbstractEventLoop):
    """Like that of uvloop, which has nothing of asyncio's own."""

    def close(self) -> None:
        pass


def test_so_is_a_loop_that_has_nothing_of_asyncio() -> None:
    def worker(s: State) -> None:
        runner = asyncio.Runner(loop_factory=Strange)
        runner.run(update(s))

    found = explore(worker, check=None, schedules=3)
    assert found.verdict == "unfinished"
    assert f"the loop {HERE}.Strange is not under control" in str(found.ways[0].message)


def test_setup_and_check_may_run_a_loop() -> None:
    def check(s: State) -> None:
        asyncio.run(both(safe)(s))
        assert s.n == 4

    assert explore(by_run(both(safe)), check=check).verdict == "passed"


def test_the_list_of_all_tasks_is_no_part_of_the_program() -> None:
    """Though the program has weak references, so that its own are looked into."""
    known = weakref.WeakSet[Any]()

    async def nothing() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        known.add(main)
        tasks = [asyncio.create_task(nothing()) for _ in range(3)]
        assert asyncio.all_tasks() == {*tasks, asyncio.current_task()}
        await asyncio.gather(*tasks)
        assert len(asyncio.all_tasks()) == 1

    explored = tracelock.explore(workers=[lambda: asyncio.run(main())], schedules=40)
    assert explored.verdict == "passed", explored.story()
    assert explored.notes == []
    assert explored.account is not None
    told = [*explored.account.variables, *explored.account.unseen]
    assert not [name for name in told if "Task" in name or "_iterating" in name]


@pytest.mark.parametrize("safely", [True, False])
def test_in_debug_mode_other_threads_may_call_what_is_safe_and_nothing_else(safely: bool) -> None:
    async def main(s: State) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        loop.set_debug(True)
        call = loop.call_soon_threadsafe if safely else loop.call_soon
        await loop.run_in_executor(None, lambda: call(done.set))
        await done.wait()

    found = explore(by_run(main), check=None, schedules=1, shrink=False, confirm=0)
    assert found.failed is not safely, found.story()
    assert safely or "Non-thread-safe operation" in found.trace.verdict.message  # type: ignore
