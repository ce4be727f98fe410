"""Cancellations that come in: whom they reach, in which ways, and what others then wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

import tracelock

HERE = __name__


class State:
    def __init__(self) -> None:
        self.n = 0
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(1)
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.pool: asyncio.Queue[int] = asyncio.Queue()
        self.pool.put_nowait(1)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()
        self.hand = Hand()


class Hand:
    """A lock of bare futures: one that is woken and cancelled does not pass its wake-up on."""

    def __init__(self) -> None:
        self.busy = False
        self.waiters: list[asyncio.Future[None]] = []

    async def acquire(self) -> None:
        while self.busy:
            future = asyncio.get_running_loop().create_future()
            self.waiters.append(future)
            await future
        self.busy = True

    def wake(self) -> None:
        while self.waiters:
            future = self.waiters.pop(0)
            if not future.done():
                future.set_result(None)
                break

    def release(self) -> None:
        self.busy = False
        self.wake()


class Mended(Hand):
    async def acquire(self) -> None:
        while self.busy:
            future = asyncio.get_running_loop().create_future()
            self.waiters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled():
                    self.wake()
                raise
        self.busy = True


def explore(workers: list[Any], check: Any = None, **more: Any) -> tracelock.Explored:
    if "cancellable" not in more:
        more.setdefault("cancellations", 1)
    options: dict[str, Any] = {
        "setup": State, "backend": "asyncio", "schedules": 300, "seconds": 30, "instrument": [HERE],
    }  # fmt: skip
    return tracelock.explore(workers=workers, check=check, **{**options, **more})


def message(found: tracelock.Explored) -> str:
    assert found.failed and found.trace is not None, found.summary
    return found.trace.verdict.message


async def leaks(s: State) -> None:
    await s.lock.acquire()
    await asyncio.sleep(0)
    s.lock.release()


async def leaks_a_permit(s: State) -> None:
    await s.semaphore.acquire()
    await asyncio.sleep(0)
    s.semaphore.release()


async def leaks_a_connection(s: State) -> None:
    one = await s.pool.get()
    await asyncio.sleep(0)
    s.pool.put_nowait(one)


async def gives_back(s: State) -> None:
    one = await s.pool.get()
    try:
        await asyncio.sleep(0)
    finally:
        s.pool.put_nowait(one)


async def by_hand(s: State) -> None:
    await s.hand.acquire()
    try:
        await asyncio.sleep(0)
    finally:
        s.hand.release()


async def produces(s: State) -> None:
    await asyncio.sleep(0)
    await s.queue.put(1)


async def consumes(s: State) -> None:
    await s.queue.get()


async def consumes_under_a_lock(s: State) -> None:
    async with s.lock:
        await s.queue.get()


async def sets(s: State) -> None:
    await asyncio.sleep(0)
    s.event.set()


async def waits(s: State) -> None:
    await s.event.wait()


async def notifies(s: State) -> None:
    async with s.condition:
        s.n += 1
        s.condition.notify()


async def waits_at_the_condition(s: State) -> None:
    async with s.condition:
        while not s.n:
            await s.condition.wait()


async def groups(s: State) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(consumes(s))
        group.create_task(produces(s))


def mended() -> State:
    state = State()
    state.hand = Mended()
    return state


# --- the verdict -----------------------------------------------------------------------------
@pytest.mark.parametrize("work", [leaks, leaks_a_permit, leaks_a_connection])
def test_what_the_cancelled_one_held_and_never_gave_back_is_a_bug(work: Any) -> None:
    told = message(explore([work, work]))
    assert "has ended and not given it back" in told
    assert f"cancelled here: {work.__name__}" in told


def test_a_wake_up_that_was_handed_to_the_cancelled_one_is_a_bug() -> None:
    found = explore([by_hand] * 3, strategy="dpor")
    assert "which was cancelled and did not pass it on" in message(found)
    assert found.trace is not None
    again = tracelock.replay(found.trace, setup=State, workers=[by_hand] * 3)
    assert again.reproduced
    assert not explore([by_hand] * 3, setup=mended, strategy="dpor").failed


@pytest.mark.parametrize(
    "workers",
    [
        [produces, consumes], [sets, waits], [notifies, waits_at_the_condition], [groups],
        [consumes_under_a_lock, consumes_under_a_lock, produces],
    ],
)  # fmt: skip
def test_to_wait_for_a_message_of_the_cancelled_one_is_no_bug(workers: list[Any]) -> None:
    if workers[0] is not consumes_under_a_lock:  # there one item is missing without it
        found = explore(workers)
        assert not found.failed, message(found)
        assert workers[0] is notifies or any("others waited for" in one for one in found.notes)
    else:
        assert explore(workers, cancellations=0).failed


def test_where_others_starve_the_check_still_has_its_say() -> None:
    found = explore([produces, consumes], lambda s: not s.queue.empty() or s.lock.locked())
    assert "returned False" in message(found)


def test_what_is_given_back_in_the_end_is_verified() -> None:
    assert explore([gives_back] * 2, lambda s: s.pool.qsize() == 1, strategy="dpor").exhaustive


# --- whom --------------------------------------------------------------------------------------
def cancelled(found: tracelock.Explored) -> set[str]:
    assert found.trace is not None
    return {found.trace.workers[e.worker] for e in found.trace.events if e.op == "cancelled"}


@pytest.mark.parametrize("cancellable", [[1], ["leaks"], [leaks]])
def test_cancellable_names_workers(cancellable: list[Any]) -> None:
    found = explore([leaks_a_permit, leaks, leaks], cancellable=cancellable)
    assert cancelled(found) < {"leaks[0]", "leaks[1]"}
    assert not explore([leaks, leaks_a_permit], cancellable=[leaks_a_permit]).failed
    assert found.trace is not None
    code: dict[str, Any] = {"setup": State, "workers": [leaks_a_permit, leaks, leaks]}
    assert tracelock.replay(found.trace, **code).reproduced


@pytest.mark.parametrize("cancellable", [[7], ["nobody"], [sets], [], "leaks", [1.5], [True]])
def test_cancellable_that_names_nobody_is_refused(cancellable: Any) -> None:
    with pytest.raises(tracelock.UsageError, match="cancellable"):
        explore([leaks, leaks], cancellable=cancellable)


def test_only_awaits_in_a_block_are_cancelled_where_there_is_one() -> None:
    async def safe(s: State) -> None:
        await s.lock.acquire()
        await asyncio.sleep(0)
        s.lock.release()
        with tracelock.cancellable():
            await asyncio.sleep(0)

    async def unsafe(s: State) -> None:
        await s.lock.acquire()
        with tracelock.cancellable():
            await asyncio.sleep(0)
        s.lock.release()

    async def child(s: State) -> None:
        with tracelock.cancellable():
            await asyncio.create_task(leaks(s))

    assert explore([safe, safe], strategy="dpor").verdict == "verified"
    assert explore([unsafe, safe]).failed
    assert cancelled(explore([child, safe])) <= {"child", "child/leaks"}


def test_a_block_does_nothing_elsewhere() -> None:
    with tracelock.cancellable() as nothing:
        assert nothing is None


# --- ways --------------------------------------------------------------------------------------
async def times_out(s: State) -> None:
    try:
        async with asyncio.timeout(5):
            await asyncio.sleep(1)
    except TimeoutError:
        s.n = 7


async def waits_for(s: State) -> None:
    try:
        await asyncio.wait_for(asyncio.sleep(1), 5)
    except TimeoutError:
        s.n = 7


async def lets_it_out(s: State) -> None:
    async with asyncio.timeout(5):
        await asyncio.sleep(1)


@pytest.mark.parametrize("work", [times_out, waits_for])
def test_a_deadline_may_come_early(work: Callable[[State], Any]) -> None:
    assert "timed out here" in message(explore([work], lambda s: s.n != 7))
    assert not explore([work], lambda s: s.n != 7, cancellations=0).failed
    assert not explore([lets_it_out]).failed  # to end by it is no failure


class Anyio:
    def __init__(self) -> None:
        self.n = 0
        self.lock = anyio.Lock()
        self.event = anyio.Event()


async def moves_on(s: Anyio) -> None:
    with anyio.move_on_after(5):
        await anyio.sleep(1)
        s.n += 1
    s.n += 10


async def any_leaks(s: Anyio) -> None:
    await s.lock.acquire()
    await anyio.sleep(0)
    s.lock.release()


async def any_locked(s: Anyio) -> None:
    async with s.lock:
        await anyio.sleep(0)


async def any_waits(s: Anyio) -> None:
    await s.event.wait()


async def any_sets(s: Anyio) -> None:
    await anyio.sleep(0)
    s.event.set()


async def awaits_while_cleaning(s: Anyio) -> None:
    try:
        await anyio.sleep(0)
    finally:
        await anyio.sleep(0)  # cancelled again: a scope does so until it is left
        s.n = 1


async def any_sets_at_once(s: Anyio) -> None:
    s.event.set()


async def any_group(s: Anyio) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(any_sets_at_once, s)
    s.n = 1 if s.event.is_set() else 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_scopes_of_anyio(backend: str) -> None:
    more: dict[str, Any] = {"setup": Anyio, "backend": backend}
    assert "scope" in message(explore([moves_on], lambda s: s.n != 10, **more))
    assert explore([any_leaks] * 2, **more).failed
    few = {**more, "schedules": 80}
    assert not explore([any_locked] * 2, **few).failed
    assert not explore([any_waits, any_sets], **few).failed
    assert explore([awaits_while_cleaning], lambda s: s.n == 1, **more).failed
    # nobody cancels a group of tasks by itself, and goes on
    assert not explore([any_group], lambda s: s.n != 2, **few).failed


class Trio:
    def __init__(self) -> None:
        self.n = 0
        self.semaphore = trio.Semaphore(1)
        self.send, self.receive = trio.open_memory_channel[int](0)


async def trio_leaks(s: Trio) -> None:
    await s.semaphore.acquire()
    await trio.sleep(0)
    s.semaphore.release()


async def trio_sends(s: Trio) -> None:
    await trio.sleep(0)
    await s.send.send(1)


async def trio_receives(s: Trio) -> None:
    await s.receive.receive()


def test_trio() -> None:
    more: dict[str, Any] = {"setup": Trio, "backend": "trio"}
    assert "has ended and not given it back" in message(explore([trio_leaks] * 2, **more))
    assert not explore([trio_sends, trio_receives], **more).failed


# --- loops of the program's own ----------------------------------------------------------------
def runs_a_loop(s: State) -> None:
    async def main() -> None:
        s.n += 1
        await asyncio.sleep(0)
        s.n -= 1

    asyncio.run(main())


def test_tasks_of_own_loops_are_cancelled_too() -> None:
    found = explore([runs_a_loop], lambda s: not s.n, backend="threading")
    assert "cancelled here: runs_a_loop/" in message(found)
    assert not explore([runs_a_loop], backend="threading").failed  # to end by it is no failure
