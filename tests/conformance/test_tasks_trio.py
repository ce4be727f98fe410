"""Coroutine functions on trio, and anyio on both of its backends."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio

import tracelock
from tests.oracles.task_ends import agree
from tracelock.instrument.patches import table

HERE = __name__


class State:
    def __init__(self) -> None:
        self.n = 0
        self.log: list[Any] = []
        self.lock = trio.Lock()
        self.other = trio.Lock()
        self.event = trio.Event()
        self.condition = trio.Condition()
        self.semaphore = trio.Semaphore(1)


async def update(s: State) -> None:
    n = s.n
    await trio.sleep(0)
    s.n = n + 1


async def locked(s: State) -> None:
    async with s.lock:
        await update(s)


async def one_two(s: State) -> None:
    async with s.lock, s.other:
        s.n += 1


async def two_one(s: State) -> None:
    async with s.other, s.lock:
        s.n += 1


async def nursery(s: State) -> None:
    async with trio.open_nursery() as tasks:
        tasks.start_soon(update, s)
        tasks.start_soon(update, s)


async def waits(s: State) -> None:
    with trio.move_on_after(1) as scope:
        await s.event.wait()
    s.log.append(scope.cancelled_caught)


async def sets(s: State) -> None:
    await trio.sleep(0)
    s.event.set()


async def waits_for_condition(s: State) -> None:
    async with s.condition:
        if not s.n:
            await s.condition.wait()
        s.log.append("woken")


async def notifies(s: State) -> None:
    async with s.condition:
        s.n = 1
        s.condition.notify()


async def with_semaphore(s: State) -> None:
    async with s.semaphore:
        s.log.append("in")
        await trio.sleep(0)
        s.log.append("out")


PROGRAMS: dict[str, tuple[list[Any], str]] = {
    "lost update": ([update, update], "virtual"),
    "locked update": ([locked, locked], "virtual"),
    "deadlock of two locks": ([one_two, two_one], "virtual"),
    "a nursery": ([nursery], "virtual"),
    "a deadline, virtual": ([waits, sets], "virtual"),
    "a deadline, adversarial": ([waits, sets], "adversarial"),
    "a condition": ([waits_for_condition, notifies], "virtual"),
    "a semaphore": ([with_semaphore, with_semaphore], "virtual"),
}


def seen(s: State) -> Any:
    return s.n, tuple(s.log)


@pytest.mark.parametrize("name", PROGRAMS)
def test_dpor_finds_what_brute_force_finds(name: str) -> None:
    workers, clock = PROGRAMS[name]
    agree(workers, State, seen, backend="trio", clock=clock)


def explore(workers: list[Any], check: Any = None, **more: Any) -> tracelock.Explored:
    return tracelock.explore(
        setup=State, workers=workers, check=check, backend="trio", instrument=[HERE], **more
    )


def test_a_lost_update_is_found_told_and_replayed() -> None:
    found = explore([update, update], lambda s: s.n == 2)
    assert found.trace is not None
    assert found.confirmed == {"trio": "3/3"}
    assert [e.op for e in found.trace.events].count("write") == 2
    assert "reaches this too" in found.notes[0]
    again = tracelock.replay(
        found.trace, setup=State, workers=[update, update], check=lambda s: s.n == 2
    )
    assert again.reproduced


def test_a_deadlock_is_named() -> None:
    found = explore([one_two, two_one])
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert [(one.worker, one.holder) for one in found.trace.verdict.blocked] == [
        ("one_two", ["two_one"]), ("two_one", ["one_two"]),
    ]  # fmt: skip


def test_a_cancellation_leaks_a_lock() -> None:
    async def leaks(s: State) -> None:
        await s.lock.acquire()
        await trio.sleep(0)
        s.lock.release()

    assert explore([leaks, leaks]).verdict == "verified"
    found = explore([leaks, locked], cancellations=1)
    assert found.failed
    assert found.trace is not None
    assert "cancelled" in [e.op for e in found.trace.events]


def test_threads_are_workers() -> None:
    def body(s: State) -> None:
        s.n += 1

    async def sends(s: State) -> None:
        await trio.to_thread.run_sync(body, s)

    found = explore([sends, sends], lambda s: s.n == 2)
    assert found.trace is not None
    assert "sends[0]/executor" in found.trace.workers


def test_a_worker_that_fails() -> None:
    async def fails(s: State) -> None:
        await trio.sleep(0)
        if s.n:
            raise LookupError("too late")
        s.n = 1

    found = explore([fails, fails])
    assert found.trace is not None
    assert "LookupError: too late" in found.trace.verdict.message


def test_what_is_patched_is_undone() -> None:
    rows = [patch for patch in table("trio") if patch.by is not None and patch.owner is not None]
    assert len(rows) > 10
    receiver = trio.open_signal_receiver
    before = [getattr(patch.owner, patch.attribute) for patch in rows]
    own = [patch.attribute in vars(patch.owner) for patch in rows]
    explore([locked, locked], schedules=5)
    assert before == [getattr(patch.owner, patch.attribute) for patch in rows]
    assert own == [patch.attribute in vars(patch.owner) for patch in rows]
    assert trio.open_signal_receiver is receiver


# --- anyio -----------------------------------------------------------------------------------
class Anyio:
    def __init__(self) -> None:
        self.n = 0
        self.lock = anyio.Lock()
        self.event = anyio.Event()


async def any_update(s: Anyio) -> None:
    n = s.n
    await anyio.sleep(0)
    s.n = n + 1


async def any_locked(s: Anyio) -> None:
    async with s.lock:
        await any_update(s)


async def any_group(s: Anyio) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(any_locked, s)


async def any_timeout(s: Anyio) -> None:
    with anyio.move_on_after(5):
        await s.event.wait()
    s.n += 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_on_its_backends(backend: str) -> None:
    def run(workers: list[Any], n: int, **more: Any) -> tracelock.Explored:
        return tracelock.explore(
            setup=Anyio, workers=workers, check=lambda s: s.n == n, backend=backend,
            instrument=[HERE], **more,
        )  # fmt: skip

    assert run([any_update, any_update], 2).failed
    assert run([any_locked, any_locked], 2, strategy="dpor").verdict == "verified"
    assert run([any_timeout], 1, strategy="dpor").verdict == "verified"
    found = run([any_group], 3, strategy="random", schedules=60)
    assert found.verdict == "passed"
    assert not found.notes


class Together:
    """Three tasks that one event, one cancellation or one moment lets go on, out of a set."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.log: list[int] = []


async def by_event(s: Together, number: int) -> None:
    await s.event.wait()
    s.log.append(number)


async def by_time(s: Together, number: int) -> None:
    await trio.sleep(1)
    s.log.append(number)


async def by_cancellation(s: Together, number: int) -> None:
    try:
        await trio.sleep_forever()
    finally:
        s.log.append(number)


@pytest.mark.parametrize("child", [by_event, by_time, by_cancellation])
def test_who_goes_on_at_once_is_in_no_order_of_addresses(child: Any) -> None:
    async def main(s: Together) -> None:
        async with trio.open_nursery() as tasks:
            for number in range(3):
                tasks.start_soon(child, s, number)
            await trio.sleep(2 if child is by_time else 0.5)
            s.event.set()
            tasks.cancel_scope.deadline = trio.current_time() + (child is by_event)

    for _ in range(3):
        found = tracelock.explore(
            workers=[main], setup=Together, backend="trio", strategy="dpor", instrument=[HERE]
        )
        assert found.verdict == "verified" and not found.notes, (found, found.notes)
