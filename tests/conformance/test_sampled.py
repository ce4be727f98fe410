"""Schedules of tasks of which nothing is wanted but the end go the same way as those of which no
record is kept, step by step; and the loop that is kept between them is as a new one."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tracelock
from tracelock.instrument.loops import retelling
from tracelock.instrument.loops.asyncio_backend import AsyncioLoopBackend
from tracelock.instrument.loops.asyncio_unrecorded import UnrecordedAsyncioTasks
from tracelock.instrument.loops.retelling import state_of


@pytest.fixture(autouse=True)
def _as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setattr(retelling, "CHECK", False)


class State:
    def __init__(self) -> None:
        self.n = 0
        self.items: list[Any] = []
        self.inner: dict[str, list[int]] = {"a": []}
        self.lock = asyncio.Lock()
        self.condition = asyncio.Condition()
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[int] = asyncio.Queue(1)
        self.kept: set[Any] = set()


async def add(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def locked(s: State) -> None:
    async with s.lock:
        await add(s)


async def wait(s: State) -> None:
    async with s.condition:
        await asyncio.wait_for(s.condition.wait(), 0.2)


async def notify(s: State) -> None:
    async with s.condition:
        s.condition.notify()


async def put(s: State) -> None:
    await s.queue.put(s.n)


async def get(s: State) -> None:
    s.items.append(await s.queue.get())


async def hurry(s: State) -> None:
    try:
        async with asyncio.timeout(0.1):
            s.inner["a"].append(await s.queue.get())
    except TimeoutError:
        s.inner = {"a": [s.n]}


async def group(s: State) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(add(s))
        tasks.create_task(locked(s))


async def behind(s: State) -> None:
    task = asyncio.create_task(add(s))
    s.kept.add(task)
    task.add_done_callback(s.kept.discard)


async def cancels(s: State) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(add(s))
    loop.call_soon(task.cancel)
    loop.call_later(0.1, s.items.append, 1)
    await asyncio.wait([task])


async def debugged(s: State) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(not loop.get_debug())
    await add(s)


async def insist(s: State) -> None:
    await asyncio.sleep(0)
    assert s.n < 2, f"{s.n}"


async def away(s: State) -> None:
    s.n += await asyncio.to_thread(len, "a")


STEPS: dict[str, Callable[[State], Any]] = {
    "add": add, "locked": locked, "wait": wait, "notify": notify, "put": put, "get": get,
    "hurry": hurry, "group": group, "behind": behind, "cancels": cancels, "debugged": debugged,
    "insist": insist, "away": away, "event": lambda s: s.event.wait(),
    "set": lambda s: asyncio.sleep(0, s.event.set()),
}  # fmt: skip


def worker(steps: list[str]) -> Callable[[Any], Any]:
    async def run(s: Any) -> None:
        for step in steps:
            await STEPS[step](s)

    return run


def schedules_of(programs: list[list[str]], strategy: str, fast: bool) -> list[Any]:
    """What each schedule without a record came to, in order."""
    seen: list[Any] = []
    run, make = AsyncioLoopBackend.unrecorded, AsyncioLoopBackend.make_unrecorded

    def unrecorded(self: Any, controller: Any) -> Any:
        tasks = run(self, controller)
        state = state_of(controller) if tasks.well else None
        seen.append((tasks.picks.copy(), tasks.well, tasks.failed, tasks.beyond, state))
        return tasks

    def slowly(self: Any) -> Any:
        return UnrecordedAsyncioTasks(self.hub, self._baton, new_loop=self._new_loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncioLoopBackend, "unrecorded", unrecorded)
        patch.setattr(AsyncioLoopBackend, "make_unrecorded", make if fast else slowly)
        tracelock.explore(
            setup=State, workers=[worker(steps) for steps in programs], backend="asyncio",
            check=lambda s: s.n != 3, every=True, strategy=strategy, schedules=25,
            shrink=False, confirm=1, instrument=[__name__],
        )  # fmt: skip
    return seen


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=3), min_size=2, max_size=3
    ),
    st.sampled_from(["random", "pct", "pos"]),
)
@example([["locked", "cancels"], ["locked", "group"]], "random")
@example([["wait", "behind"], ["notify", "debugged"], ["hurry"]], "pos")
def test_each_schedule_is_that_of_the_slow_steps(programs: list[list[str]], strategy: str) -> None:
    fast, slow = (schedules_of(programs, strategy, fast) for fast in (True, False))
    assert fast == slow


LOOPS: list[Any] = []
BY_LOOP: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def kept_loops(work: Callable[[State], Any], check: Callable[[State], bool]) -> Any:
    return tracelock.explore(
        setup=State, workers=[work, add], check=check, backend="asyncio", strategy="random",
        schedules=60, instrument=[],
    )  # fmt: skip


def test_nothing_of_a_schedule_is_left_on_the_loop_that_is_kept() -> None:
    async def leaves(s: State) -> None:
        loop: Any = asyncio.get_running_loop()
        s.items.append(getattr(loop, "mine", None))
        loop.mine = 1
        loop.set_debug(True)
        s.items.append(len(asyncio.all_tasks()) > 4)
        loop.call_later(1000, print)
        loop.set_exception_handler(lambda loop, context: None)
        s.items.append(loop.time())

    found = kept_loops(leaves, lambda s: s.items[:2] == [None, False])
    assert not found.failed


def test_a_loop_by_which_something_is_kept_is_not_kept() -> None:
    async def keeps(s: State) -> None:
        loop = asyncio.get_running_loop()
        s.items.append(loop in BY_LOOP)
        BY_LOOP[loop] = 1

    assert not kept_loops(keeps, lambda s: s.items == [False]).failed


def test_a_loop_that_the_program_has_is_not_kept() -> None:
    async def keeps(s: State) -> None:
        loop = asyncio.get_running_loop()
        s.items.append(any(one is loop for one in LOOPS))
        LOOPS.append(loop)

    try:
        assert not kept_loops(keeps, lambda s: s.items == [False]).failed
        assert len({id(one) for one in LOOPS}) == len(LOOPS)
    finally:
        LOOPS.clear()
