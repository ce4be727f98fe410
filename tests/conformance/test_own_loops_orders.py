"""dpor finds all ends of a plain thread beside the tasks of a loop that the program starts itself:
as many as every order has, or as many random ones."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.amount import amount
from tests.helpers.own_loop_fuzz import Writer
from tests.helpers.own_loops import State, exploring, two
from tests.oracles.own_loop_ends import Ends

HERE = __name__
explore = exploring(HERE, 200)

#: Programs on whose every order brute force ends soon, found by trying; with how many
#: cancellations, and whether the thread talks to the loop too.
EVERY = (
    (75, 0, False), (4019, 1, False), (4029, 1, False), (4045, 1, False),
)  # fmt: skip
#: Those that have more, of which some are looked at.
SOME = (
    (4, 0, False), (2016, 0, True), (4000, 1, False), (4012, 1, False),
    (6009, 1, True), (6032, 1, True), (12013, 0, True), (12348, 0, True),
)  # fmt: skip


def written(seed: int, crossing: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Program number ``seed``, written to ``folder`` and imported from there."""
    name = f"beside_a_loop_{seed}"
    (folder / f"{name}.py").write_text(Writer(seed, crossing).text())
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)  # so that it is forgotten afterwards
    sys.modules[name] = module
    return module


@pytest.mark.parametrize(("seed", "cancellations", "crossing"), EVERY)
def test_dpor_finds_the_ends_that_every_order_has(
    seed: int, cancellations: int, crossing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ends(written(seed, crossing, tmp_path, monkeypatch), cancellations) as ends:
        some, dpor = ends.by_dpor(1000)
        assert dpor.exhaustive
        every, brute = ends.by_every(2000)
        assert brute.exhaustive
        assert some == every
        assert dpor.schedules <= brute.schedules


@pytest.mark.parametrize(("seed", "cancellations", "crossing"), SOME)
def test_dpor_finds_the_ends_that_random_orders_have(
    seed: int, cancellations: int, crossing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ends(written(seed, crossing, tmp_path, monkeypatch), cancellations) as ends:
        some, dpor = ends.by_dpor(1000)
        assert dpor.exhaustive
        drawn, _ = ends.by_random(seed, amount(60, 600))
        assert drawn <= some


# --- what each of the causes was -------------------------------------------------------------
class Locks(State):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = threading.Lock(), threading.Lock()
        self.loop: Any = None
        self.started = threading.Event()


def exploring_locks(*workers: Any, **more: Any) -> Any:
    import tracelock

    return tracelock.explore(
        setup=Locks, workers=workers, instrument=[HERE], strategy="dpor", schedules=3000,
        seconds=30, confirm=1, **more,
    )  # fmt: skip


def a_then_b(s: Locks) -> None:
    with s.a, s.b:
        s.n += 1


def test_a_task_that_blocks_its_loop_on_a_lock_can_go_first() -> None:
    async def b_then_a(s: Locks) -> None:
        with s.b, s.a:
            s.n += 1

    found = exploring_locks(a_then_b, lambda s: asyncio.run(b_then_a(s)))
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    # the task waits for the lock that it has come to, not for a wake-up
    message = found.trace.verdict.message
    assert "b_then_a" in message
    assert "wake-up" not in message


def test_a_lock_is_taken_by_the_thread_first_and_by_the_task_first() -> None:
    def thread(s: Locks) -> None:
        with s.a:
            s.n = s.n * 2 + 1

    async def task(s: Locks) -> None:
        with s.a:
            s.n += 4

    def check(s: Locks) -> None:
        assert s.n != bad, s.n

    for bad in (5, 9):
        found = exploring_locks(thread, lambda s: asyncio.run(task(s)), check=check)
        assert found.failed, bad


async def sleeps(s: State) -> None:
    await asyncio.sleep(1)
    n = s.n
    s.n = n + 1


async def blocks(s: State) -> None:
    time.sleep(1)
    n = s.n
    s.n = n + 1


@pytest.mark.parametrize("strategy", ["dpor", "random"])
@pytest.mark.parametrize("main", [sleeps, blocks])
def test_timers_of_two_loops_that_are_up_at_once_come_in_any_order(
    main: Any, strategy: str
) -> None:
    def worker(s: State) -> None:
        asyncio.run(main(s))

    found = explore(worker, worker, check=two, strategy=strategy, shrink=False)
    assert found.failed
    assert found.confirmed == {"threading": "3/3"}


def test_a_task_that_is_left_when_its_loop_ends_could_have_gone_on_before() -> None:
    """What is sent to the loop is done in full, in part or not at all when that is stopped."""
    ends = set()

    def thread(s: Locks) -> None:
        s.started.wait()
        work = steps(s)
        try:
            asyncio.run_coroutine_threadsafe(work, s.loop)
        except RuntimeError:
            work.close()

    async def steps(s: Locks) -> None:
        for _ in range(2):
            await asyncio.sleep(0)
            s.n += 1

    async def main(s: Locks) -> None:
        s.loop = asyncio.get_running_loop()
        s.started.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def worker(s: Locks) -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(s))
        loop.close()

    def check(s: Locks) -> None:
        ends.add(s.n)

    found = exploring_locks(thread, worker, check=check, every=True)
    assert found.verdict == "passed", found.story()
    assert ends == {0, 1, 2}


def test_a_task_that_blocks_its_loop_is_not_taken_for_one_that_starves() -> None:
    """A lock that a cancelled task holds for ever is lost, also to a task that blocks on it."""

    async def keeps(s: Locks) -> None:
        s.a.acquire()
        await asyncio.sleep(0)
        s.a.release()

    async def wants(s: Locks) -> None:
        await asyncio.sleep(0)
        with s.a:
            s.n += 1

    async def main(s: Locks) -> None:
        await asyncio.gather(keeps(s), wants(s), return_exceptions=True)

    found = exploring_locks(lambda s: asyncio.run(main(s)), cancellations=1, shrink=False)
    assert found.failed


def test_an_event_of_asyncio_that_an_executor_sets_is_never_verified() -> None:
    async def main(s: State) -> None:
        event = asyncio.Event()
        await asyncio.gather(event.wait(), asyncio.to_thread(event.set))
        s.n = 2

    for strategy in ("dpor", "auto"):
        found = explore(lambda s: asyncio.run(main(s)), strategy=strategy, shrink=False)
        assert found.verdict != "verified"


def test_auto_goes_on_with_samples_where_the_search_of_a_loop_is_not_through() -> None:
    async def main(s: State) -> None:
        async def one() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                s.n += 1

        await asyncio.gather(one(), one())

    def thread(s: State) -> None:
        for _ in range(3):
            s.n += 0

    found = explore(
        lambda s: asyncio.run(main(s)), thread, check=None, schedules=40, strategy="auto"
    )
    assert found.schedules == 40
    assert found.stopped == "schedules"
