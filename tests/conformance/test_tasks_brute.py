"""dpor of tasks against brute force: the same ends of every program, and never more schedules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.oracles.task_ends import agree


class State:
    def __init__(self) -> None:
        self.n = 0
        self.log: list[Any] = []
        self.lock = asyncio.Lock()
        self.other = asyncio.Lock()
        self.condition = asyncio.Condition()
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[int] = asyncio.Queue(1)
        self.semaphore = asyncio.Semaphore(1)
        self.task: Any = None


async def lost_update(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def locked_update(s: State) -> None:
    async with s.lock:
        n = s.n
        await asyncio.sleep(0)
        s.n = n + 1


async def one_two(s: State) -> None:
    async with s.lock:
        await asyncio.sleep(0)
        async with s.other:
            s.n += 1


async def two_one(s: State) -> None:
    async with s.other:
        await asyncio.sleep(0)
        async with s.lock:
            s.n += 1


def logs(name: str, steps: int) -> Any:
    async def work(s: State) -> None:
        for number in range(steps):
            s.log.append(f"{name}{number}")
            await asyncio.sleep(0)

    return work


async def waits_if(s: State) -> None:
    async with s.condition:
        if not s.n:
            await s.condition.wait()
        s.log.append("woken")


async def looks_then_waits(s: State) -> None:
    if not s.n:
        await asyncio.sleep(0)
        async with s.condition:
            await s.condition.wait()
    s.log.append("woken")


async def notifies(s: State) -> None:
    async with s.condition:
        s.n = 1
        s.condition.notify()


async def puts(s: State) -> None:
    for number in range(2):
        await s.queue.put(number)


async def gets(s: State) -> None:
    for _ in range(2):
        s.log.append(await s.queue.get())


async def sets(s: State) -> None:
    await asyncio.sleep(0)
    s.event.set()
    s.log.append("set")


async def awaits_event(s: State) -> None:
    await s.event.wait()
    s.log.append("awaited")


async def gathers(s: State) -> None:
    await asyncio.gather(lost_update(s), lost_update(s))
    s.log.append("gathered")


async def groups(s: State) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(logs("a", 1)(s))
        group.create_task(logs("b", 1)(s))


async def fails_in_group(s: State) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def cleans() -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            s.log.append("done")
        finally:
            s.log.append("clean")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(cleans())
    except* ValueError:
        s.log.append("failed")


async def times_out(s: State) -> None:
    try:
        await asyncio.wait_for(s.event.wait(), 1)
        s.log.append("in time")
    except TimeoutError:
        s.log.append("late")


async def sets_late(s: State) -> None:
    await asyncio.sleep(1)
    s.event.set()


async def calls_later(s: State) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(0.2, s.log.append, "later")
    loop.call_later(0.1, s.log.append, "sooner")
    loop.call_soon(s.log.append, "soon")
    await asyncio.sleep(0.3)


async def cancels_first(s: State) -> None:
    await asyncio.sleep(0)
    if s.task is not None:
        s.task.cancel()


async def is_cancelled(s: State) -> None:
    s.task = asyncio.current_task()
    try:
        async with s.lock:
            await asyncio.sleep(0)
            s.log.append("worked")
    except asyncio.CancelledError:
        s.log.append("cancelled")


async def with_semaphore(s: State) -> None:
    async with s.semaphore:
        s.log.append("in")
        await asyncio.sleep(0)
        s.log.append("out")


PROGRAMS: dict[str, tuple[list[Any], str]] = {
    "lost update": ([lost_update, lost_update], "virtual"),
    "three lost updates": ([lost_update] * 3, "virtual"),
    "locked update": ([locked_update] * 2, "virtual"),
    "deadlock of two locks": ([one_two, two_one], "virtual"),
    "who comes when": ([logs("a", 2), logs("b", 2), logs("c", 1)], "virtual"),
    "a condition": ([waits_if, notifies], "virtual"),
    "a lost wake-up": ([looks_then_waits, notifies], "virtual"),
    "a queue, consumer first": ([gets, puts], "virtual"),
    "two waiters of an event": ([awaits_event, awaits_event, sets], "virtual"),
    "gather": ([gathers, lost_update], "virtual"),
    "a group of tasks": ([groups, logs("c", 1)], "virtual"),
    "a group that fails": ([fails_in_group], "virtual"),
    "wait_for, virtual": ([times_out, sets_late], "virtual"),
    "wait_for, adversarial": ([times_out, sets_late], "adversarial"),
    "call_later": ([calls_later, logs("a", 1)], "virtual"),
    "call_later, adversarial": ([calls_later], "adversarial"),
    "a cancellation": ([is_cancelled, cancels_first, locked_update], "virtual"),
    "a semaphore": ([with_semaphore] * 3, "virtual"),
}


def seen(s: State) -> Any:
    return s.n, tuple(s.log)


@pytest.mark.parametrize("name", PROGRAMS)
def test_dpor_finds_what_brute_force_finds(name: str) -> None:
    workers, clock = PROGRAMS[name]
    agree(workers, State, seen, clock=clock)


@pytest.mark.parametrize("name", ["lost update", "locked update", "a lost wake-up", "a condition"])
def test_the_same_with_cancellations(name: str) -> None:
    workers, clock = PROGRAMS[name]
    agree(workers, State, seen, clock=clock, cancellations=1)
