"""Searches of tasks of which only the failing schedules are recorded find what others find.

With the random walk schedule k depends on the seed alone: with and without records the ends, and
how often each comes, are the same. And every schedule that is run again goes the same way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tracelock
from tracelock.errors import InternalError
from tracelock.instrument.loops import backend, retelling
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session.explored import Explored

REAL = threading.Lock()


@pytest.fixture(autouse=True)
def _as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setattr(retelling, "CHECK", False)


class State:
    def __init__(self) -> None:
        self.n = 0
        self.items: list[int] = []
        self.names: dict[str, int] = {}
        self.locks = [asyncio.Lock(), asyncio.Lock()]
        self.condition = asyncio.Condition()
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[int] = asyncio.Queue(1)
        self.semaphore = asyncio.Semaphore(1)
        self.future: Any = None
        self.kept: set[Any] = set()

    def __repr__(self) -> str:
        return "State()"


async def add(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def hold(s: State, which: int) -> None:
    async with s.locks[which]:
        await asyncio.sleep(0)
        async with s.locks[1 - which]:
            s.n += 1


async def permit(s: State) -> None:
    async with s.semaphore:
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
            s.names["late"] = await s.queue.get()
    except TimeoutError:
        s.names["none"] = 1


async def group(s: State) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(add(s))
        tasks.create_task(add(s))


async def behind(s: State) -> None:
    task = asyncio.get_running_loop().create_task(add(s))
    s.kept.add(task)
    task.add_done_callback(s.kept.discard)


async def forget(s: State) -> None:
    task = asyncio.create_task(add(s))
    await asyncio.sleep(0)
    task.cancel()


async def answer(s: State) -> None:
    loop = asyncio.get_running_loop()
    if s.future is None:
        s.future = loop.create_future()
        loop.call_later(0.1, s.future.set_result, 1)
    s.n += await asyncio.shield(s.future)


async def both(s: State) -> None:
    await asyncio.gather(add(s), asyncio.sleep(0.1), return_exceptions=True)


async def insist(s: State) -> None:
    await asyncio.sleep(0)
    assert s.n < 2, f"{s.n}"


async def threads(s: State) -> None:
    with REAL:  # which is beyond what is not recorded
        s.n += 1
    await asyncio.sleep(0)


async def away(s: State) -> None:
    s.n += await asyncio.to_thread(len, "a")


async def opened(s: State) -> None:
    s.event.set()
    await asyncio.sleep(0)
    s.event.clear()


STEPS: dict[str, Callable[[State], Any]] = {
    "add": add, "hold 0": lambda s: hold(s, 0), "hold 1": lambda s: hold(s, 1), "permit": permit,
    "wait": wait, "notify": notify, "put": put, "get": get, "hurry": hurry, "group": group,
    "behind": behind, "forget": forget, "answer": answer, "both": both, "insist": insist,
    "threads": threads, "away": away, "opened": opened, "event": lambda s: s.event.wait(),
    "sleep": lambda s: asyncio.sleep(0.1),
}  # fmt: skip


class TrioState:
    def __init__(self) -> None:
        self.n = 0
        self.items: list[int] = []
        self.names: dict[str, int] = {}
        self.locks = [trio.Lock(), trio.Lock()]
        self.condition = trio.Condition()
        self.event = trio.Event()
        self.send, self.receive = trio.open_memory_channel[int](1)
        self.semaphore = trio.Semaphore(1)

    def __repr__(self) -> str:
        return "TrioState()"


async def trio_add(s: TrioState) -> None:
    n = s.n
    await trio.lowlevel.checkpoint()
    s.n = n + 1


async def trio_hold(s: TrioState, which: int) -> None:
    async with s.locks[which]:
        await trio.lowlevel.checkpoint()
        async with s.locks[1 - which]:
            s.n += 1


async def trio_permit(s: TrioState) -> None:
    async with s.semaphore:
        await trio_add(s)


async def trio_wait(s: TrioState) -> None:
    with trio.fail_after(0.2):
        async with s.condition:
            await s.condition.wait()


async def trio_notify(s: TrioState) -> None:
    async with s.condition:
        s.condition.notify()


async def trio_get(s: TrioState) -> None:
    s.items.append(await s.receive.receive())


async def trio_hurry(s: TrioState) -> None:
    with trio.move_on_after(0.1) as scope:
        s.names["late"] = await s.receive.receive()
    s.names["none"] = int(scope.cancelled_caught)


async def trio_group(s: TrioState) -> None:
    async with trio.open_nursery() as tasks:
        tasks.start_soon(trio_add, s)
        tasks.start_soon(trio_add, s)


async def trio_forget(s: TrioState) -> None:
    async with trio.open_nursery() as tasks:
        tasks.start_soon(trio_add, s)
        await trio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


async def trio_insist(s: TrioState) -> None:
    await trio.lowlevel.checkpoint()
    assert s.n < 2, f"{s.n}"


async def trio_threads(s: TrioState) -> None:
    with REAL:
        s.n += 1
    await trio.lowlevel.checkpoint()


async def trio_away(s: TrioState) -> None:
    s.n += await trio.to_thread.run_sync(len, "a")


async def trio_open(s: TrioState) -> None:
    s.event.set()
    await trio.lowlevel.checkpoint()


TRIO_STEPS: dict[str, Callable[[TrioState], Any]] = {
    "add": trio_add, "hold 0": lambda s: trio_hold(s, 0), "hold 1": lambda s: trio_hold(s, 1),
    "permit": trio_permit, "wait": trio_wait, "notify": trio_notify, "get": trio_get,
    "put": lambda s: s.send.send(s.n), "hurry": trio_hurry, "group": trio_group,
    "forget": trio_forget, "insist": trio_insist, "threads": trio_threads, "away": trio_away,
    "opened": trio_open, "event": lambda s: s.event.wait(), "sleep": lambda s: trio.sleep(0.1),
}  # fmt: skip
MADE: dict[str, tuple[type[Any], dict[str, Callable[[Any], Any]]]] = {
    "asyncio": (State, STEPS),
    "trio": (TrioState, TRIO_STEPS),
}


def worker(steps: list[str], library: str) -> Callable[[Any], Any]:
    async def run(s: Any) -> None:
        for step in steps:
            await MADE[library][1][step](s)

    return run


def explored(
    programs: list[list[str]], schedules: int = 40, library: str = "asyncio", **more: Any
) -> Explored:
    def check(s: Any) -> bool:
        return bool(s.n != 3)

    options: dict[str, Any] = {
        "check": check, "every": True, "strategy": "random", "instrument": [__name__], **more,
    }  # fmt: skip
    return tracelock.explore(
        setup=MADE[library][0], workers=[worker(steps, library) for steps in programs],
        schedules=schedules, shrink=False, confirm=1, backend=library, **options,
    )  # fmt: skip


def ends(found: Explored) -> list[tuple[Any, ...]]:
    return sorted(
        (end.kind, end.failure or "", end.message, sorted(map(str, end.state.items())), end.count)
        for end in found.ways
    )


@contextmanager
def all_recorded() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "Retelling", lambda: None)
        yield


@contextmanager
def all_compared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retelling, "CHECK", True)
        yield


@st.composite
def programs_of_one_library(draw: Any) -> tuple[str, list[list[str]]]:
    library = draw(st.sampled_from(sorted(MADE)))
    steps = st.lists(st.sampled_from(sorted(MADE[library][1])), min_size=1, max_size=3)
    return library, draw(st.lists(steps, min_size=2, max_size=3))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs_of_one_library())
@example(("asyncio", [["hold 0"], ["hold 1"]]))
@example(("asyncio", [["behind", "forget"], ["answer", "group"]]))
@example(("asyncio", [["threads", "add"], ["away"]]))
@example(("asyncio", [["wait", "add"], ["notify", "insist"], ["add"]]))
@example(("trio", [["hold 0", "away"], ["hold 1"]]))
@example(("trio", [["wait", "add"], ["notify", "insist"], ["forget", "group"]]))
def test_the_same_ends_are_found(program: tuple[str, list[list[str]]]) -> None:
    library, programs = program
    found = explored(programs, library=library)
    with all_recorded():
        assert ends(found) == ends(explored(programs, library=library))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs_of_one_library(), st.sampled_from(["random", "pct", "pos", "surw", "auto"]))
@example(("asyncio", [["hold 0", "hurry"], ["hold 1", "put"]]), "pct")
@example(("trio", [["hold 0", "hurry"], ["hold 1", "put"]]), "surw")
def test_every_schedule_goes_the_same_way_with_a_record(
    program: tuple[str, list[list[str]]], strategy: str
) -> None:
    library, programs = program
    with all_compared():  # which raises where one does not
        explored(programs, 40, library)
        explored(programs, 30, library, strategy=strategy, check=None, instrument=None)


def test_most_schedules_have_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    class Counted(retelling.Retelling):
        def run(self, backend: Any, controller: Any) -> None:
            super().run(backend, controller)
            lengths.append(len(controller.log))

    monkeypatch.setattr(backend, "Retelling", Counted)
    found = explored([["permit"], ["permit"]], 100)
    assert found.verdict == "passed"
    assert len(lengths) > 80
    assert sum(map(bool, lengths)) == 1  # the one that showed its end first


def test_a_scheduler_of_the_users_sees_every_event() -> None:
    seen: list[int] = []

    class Own(RandomScheduler):
        def attach(self, run: Any) -> None:
            self.run = run

        def end(self, steps: int) -> None:
            seen.append(len(self.run.log))

    explored([["permit"], ["permit"]], 40, strategy=Own(1))
    assert len(seen) > 30
    assert min(seen) > 4


def test_what_fails_has_its_whole_story() -> None:
    found = explored([["permit", "add"], ["add"]], 100)
    assert found.verdict == "failed"
    assert found.trace is not None
    told = {(event.op, event.target) for event in found.trace.events}
    assert {op for op, _ in told} >= {"acquire", "release", "read", "write"}
    assert found.confirmed == {"asyncio": "1/1"}


def test_a_failure_that_does_not_come_again_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class Once(retelling.Retelling):
        """As if a schedule had failed that goes well when it is run again."""

        def run(self, backend: Any, controller: Any) -> None:
            original = backend.unrecorded

            def failing(controller: Any) -> Any:
                tasks = original(controller)
                tasks.failed, tasks.well = True, False
                return tasks

            backend.unrecorded = failing
            try:
                super().run(backend, controller)
            finally:
                del backend.unrecorded

    monkeypatch.setattr(backend, "Retelling", Once)
    with pytest.raises(InternalError, match="not deterministic"):
        explored([["permit"], ["permit"]], 100)
