"""``dpor`` and timers of a loop: one that fires wakes who waits, and that is all there is to it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest

import tracelock

anyio = pytest.importorskip("anyio")

HERE = __name__


class Seen:
    def __init__(self) -> None:
        self.n = 0
        self.seen: list[int] = []


async def wait_for(s: Seen) -> None:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 5)
    except TimeoutError:
        s.n += 1


async def by_call_later(s: Seen) -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(5, event.set)
    await event.wait()
    s.n += 1


async def move_on_after(s: Seen) -> None:
    with anyio.move_on_after(5):
        await anyio.Event().wait()
    s.n += 1


async def fail_after(s: Seen) -> None:
    try:
        with anyio.fail_after(5):
            await anyio.Event().wait()
    except TimeoutError:
        s.n += 1


async def nested(s: Seen) -> None:
    with anyio.move_on_after(5), anyio.move_on_after(5):
        await anyio.Event().wait()
    s.n += 1


async def cancels_itself(s: Seen) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep(1)
    s.n += 1


def run(*workers: Any, check: Any, backend: str = "asyncio") -> tracelock.Explored:
    return tracelock.explore(
        setup=Seen, workers=list(workers), check=check, backend=backend, strategy="dpor",
        instrument=[HERE],
    )  # fmt: skip


@pytest.mark.parametrize(
    "worker", [wait_for, by_call_later, move_on_after, fail_after, nested, cancels_itself]
)
def test_a_timer_that_wakes_one_task_has_one_order(worker: Any) -> None:
    found = run(worker, check=lambda s: s.n == 1)
    assert found.verdict == "verified"
    assert found.executions == 1


@pytest.mark.parametrize("worker", [move_on_after, fail_after])
def test_two_scopes_that_are_up_have_few_orders(worker: Any) -> None:
    found = run(worker, worker, check=lambda s: s.n == 2)
    assert found.verdict == "verified"
    assert found.executions <= 10


@pytest.mark.parametrize("worker", [move_on_after, fail_after, nested])
def test_on_trio_too(worker: Any) -> None:
    pytest.importorskip("trio")
    found = run(worker, check=lambda s: s.n == 1, backend="trio")
    assert found.verdict == "verified"
    assert found.executions == 1


async def before_a_callback(s: Seen) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def bump() -> None:
        s.n = 5

    def first() -> None:
        future.set_result(None)
        loop.call_soon(bump)

    loop.call_later(1, first)
    await future
    s.seen.append(s.n)


def test_a_callback_that_is_left_at_the_end_could_have_come_earlier() -> None:
    ends: set[int] = set()

    def check(s: Seen) -> bool:
        ends.update(s.seen)
        return True

    assert run(before_a_callback, check=check).verdict == "verified"
    assert ends == {0, 5}


class Handed:
    """Who waits is handed an item, and has it although its time is up meanwhile."""

    def __init__(self) -> None:
        self.waiter: asyncio.Future[int] | None = None
        self.left: list[int] = []
        self.ends: list[str] = []

    def put(self, item: int) -> None:
        if self.waiter is None or self.waiter.done():
            self.left.append(item)
        else:
            self.waiter.set_result(item)

    async def get(self) -> int:
        if self.left:
            return self.left.pop()
        self.waiter = asyncio.get_running_loop().create_future()
        return await self.waiter


async def gets_in_time(h: Handed) -> None:
    try:
        async with asyncio.timeout(1):
            h.ends.append(str(await h.get()))
    except TimeoutError:
        h.ends.append("late")


async def puts(h: Handed) -> None:
    h.put(7)


async def puts_later(h: Handed) -> None:
    await asyncio.sleep(0.5)
    h.put(7)


@pytest.mark.parametrize("giver", [puts, puts_later])
def test_a_timer_that_is_called_off_could_have_fired_before(giver: Any) -> None:
    def ends(strategy: str) -> set[Any]:
        seen: set[Any] = set()

        def check(h: Handed) -> bool:
            seen.add((*h.ends, *h.left))
            return True

        found = tracelock.explore(
            setup=Handed, workers=[gets_in_time, giver], check=check, strategy=strategy,
            clock="adversarial", instrument=[HERE], schedules=200, seed=1,
        )  # fmt: skip
        assert found.verdict == ("verified" if strategy == "dpor" else "passed")
        return seen

    # it has the item, its time is up before that, and it is as the item is handed over
    assert ends("dpor") == {("7",), ("late", 7), ("late",)}
    assert ends("random") <= {("7",), ("late", 7), ("late",)}


class Counter:
    def __init__(self) -> None:
        self.value = 0


def adds(counter: Counter) -> None:
    counter.value += 1


def sleeps(counter: Counter) -> None:
    time.sleep(1.0)


def both_are_there(counter: Counter) -> None:
    assert counter.value == 2, counter.value


def one_is_there(counter: Counter) -> None:
    assert counter.value == 1, counter.value


def test_a_timer_that_ends_a_schedule_before_its_check_comes_after_all() -> None:
    """That the last step was one of a timer is known when the schedule is over, whatever is called
    then: reversals of what comes before it do not begin with it."""
    found = tracelock.explore(
        setup=Counter, workers=[adds, adds, sleeps], check=both_are_there, strategy="dpor",
        schedules=1_000, shrink=False,
    )  # fmt: skip
    assert any("AssertionError: 1" in way.message for way in found.ways), found
    right = tracelock.explore(
        setup=Counter, workers=[adds, sleeps, sleeps], check=one_is_there, strategy="dpor",
        schedules=1_000,
    )  # fmt: skip
    assert right.verdict == "verified" and not right.redundant, right


async def timeout_without_end(s: Seen) -> None:
    async with asyncio.timeout(math.inf):
        n = s.n
        await asyncio.wait_for(asyncio.sleep(1), math.inf)
        s.n = n + 1


async def timer_without_end(s: Seen) -> None:
    asyncio.get_running_loop().call_later(math.inf, s.seen.append, 1)
    n = s.n
    await asyncio.sleep(1)
    s.n = n + 1


async def timer_long_ago(s: Seen) -> None:
    asyncio.get_running_loop().call_later(-math.inf, s.seen.append, 1)
    await asyncio.sleep(1)
    s.n += 1


@pytest.mark.parametrize("strategy", ["dpor", "random", "auto"])
@pytest.mark.parametrize("work", [timeout_without_end, timer_without_end, timer_long_ago])
def test_timers_at_no_finite_time(work: Any, strategy: str) -> None:
    """Those that never fire change nothing: two workers lose an update, as they do without."""

    def both(s: Seen) -> None:
        assert s.n == 2 and s.seen == ([1, 1] if work is timer_long_ago else []), (s.n, s.seen)

    def run(count: int) -> Any:
        return tracelock.explore(
            setup=Seen, workers=[work] * count, check=both if count == 2 else None,
            backend="asyncio", strategy=strategy, schedules=50, instrument=[HERE],
        )  # fmt: skip

    assert run(1).verdict == ("passed" if strategy == "random" else "verified")
    assert run(2).failed == (work is not timer_long_ago)
