"""In which order tasks begin: that of their creation, whatever the schedule."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock

HERE = [__name__]


def explore(*workers: Any, check: Any = None, **more: Any) -> Any:
    return tracelock.explore(
        setup=lambda: SimpleNamespace(log=[]), workers=list(workers), check=check,
        instrument=HERE, **{"schedules": 300, "strategy": "dpor", **more},
    )  # fmt: skip


async def note(s: Any, what: str, pause: bool = False) -> None:
    if pause:
        await asyncio.sleep(0)
    s.log.append(what)


def in_order(s: Any) -> None:
    assert s.log == ["a", "b", "c"], s.log


async def gathered(s: Any, pause: bool = False) -> None:
    await asyncio.gather(*(note(s, what, pause) for what in "abc"))


async def created(s: Any) -> None:
    tasks = [asyncio.create_task(note(s, what)) for what in "abc"]
    for task in reversed(tasks):
        await task


async def in_a_group(s: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for what in "abc":
            group.create_task(note(s, what))


async def with_a_callback(s: Any) -> None:
    """A callback between two tasks keeps its place too."""
    first = asyncio.create_task(note(s, "a"))
    asyncio.get_running_loop().call_soon(s.log.append, "b")
    await asyncio.gather(first, note(s, "c"))


async def cancelled_before(s: Any) -> None:
    """One that never begins lets the others pass."""
    tasks = [asyncio.create_task(note(s, what)) for what in "axbc"]
    tasks[1].cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("work", [gathered, created, in_a_group, with_a_callback, cancelled_before])
@pytest.mark.parametrize("strategy", ["dpor", "auto"])
def test_tasks_begin_in_the_order_of_their_creation(work: Any, strategy: str) -> None:
    found = explore(work, check=in_order, strategy=strategy)
    assert found.verdict == "verified", (found.summary, found.story())


def test_what_they_do_after_an_await_comes_in_any_order() -> None:
    async def paused(s: Any) -> None:
        await gathered(s, pause=True)

    assert explore(paused, check=in_order).failed


def test_the_workers_that_were_given_begin_in_any_order() -> None:
    async def a(s: Any) -> None:
        await note(s, "a")

    async def b(s: Any) -> None:
        await note(s, "b")

    assert explore(a, b, check=lambda s: s.log == ["a", "b"]).failed
    assert explore(a, b, check=lambda s: s.log == ["b", "a"]).failed


def test_others_may_go_on_before_a_task_begins() -> None:
    """It begins after what could go on before it was created."""

    async def creates(s: Any) -> None:
        await asyncio.sleep(0)
        await asyncio.create_task(note(s, "b"))

    async def other(s: Any) -> None:
        await asyncio.sleep(0)
        s.log.append("a")

    for order in (["a", "b"], ["b", "a"]):
        assert explore(creates, other, check=lambda s, order=order: s.log != order).failed


async def own_loop(s: Any) -> None:
    await gathered(s)


def test_so_they_do_on_a_loop_that_the_program_starts() -> None:
    def work(s: Any) -> None:
        asyncio.run(own_loop(s))

    found = explore(work, check=in_order)
    assert not found.failed, found.story()
