"""Executors of threads that a module has made before control begins."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tracelock

NEW, USED = ThreadPoolExecutor(2), ThreadPoolExecutor(2, thread_name_prefix="used")


class Cache:
    made = ThreadPoolExecutor(1)

    def __init__(self) -> None:
        self.entries: dict[str, int] = {}
        self.loads = 0
        self.lock = threading.Lock()


def load(cache: Cache) -> None:
    if "a" not in cache.entries:
        cache.loads += 1
        cache.entries["a"] = 1


def load_locked(cache: Cache) -> None:
    with cache.lock:
        load(cache)


def by_threads(pool: ThreadPoolExecutor, work: Callable[[Cache], None]) -> Callable[[Cache], Any]:
    return lambda cache: pool.submit(work, cache).result()


def by_tasks(pool: ThreadPoolExecutor, work: Callable[[Cache], None]) -> Callable[[Cache], Any]:
    async def one(cache: Cache) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, work, cache)

    return one


def check(cache: Cache) -> None:
    assert cache.loads == 1, cache.loads


def explore(worker: Callable[[Cache], Any], backend: str, **options: Any) -> tracelock.Explored:
    return tracelock.explore(
        setup=Cache, workers=[worker] * 2, check=check, backend=backend, instrument=[__name__],
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    """Their threads are gone afterwards: while there are any, other tests cannot fork."""
    yield
    for pool in (NEW, USED, Cache.made):
        pool.shutdown()


@pytest.fixture(autouse=True)
def used() -> None:
    assert USED.submit(int, "7").result(20) == 7  # its thread waits from here on


@pytest.mark.parametrize("pool", [NEW, USED])
@pytest.mark.parametrize(("way", "backend"), [(by_threads, "threading"), (by_tasks, "asyncio")])
def test_their_threads_are_under_control(pool: ThreadPoolExecutor, way: Any, backend: str) -> None:
    before = dict(vars(pool))
    found = explore(way(pool, load), backend)
    assert found.failed and found.trace is not None
    assert found.trace.verdict.message.startswith("AssertionError: 2")
    assert found.confirmed == {backend: "3/3"}
    right = explore(way(pool, load_locked), backend, schedules=40)
    assert right.verdict in ("passed", "verified") and not right.notes
    assert vars(pool) == before
    assert pool.submit(int, "7").result(20) == 7


def test_each_schedule_finds_them_as_new() -> None:
    def worker(cache: Cache) -> None:
        Cache.made.submit(load_locked, cache).result()
        Cache.made.shutdown()

    found = tracelock.explore(
        setup=Cache, workers=[worker], check=check, backend="threading", strategy="dpor",
        instrument=[__name__],
    )  # fmt: skip
    assert found.verdict == "verified", (found.summary, found.ways)
    assert Cache.made.submit(int, "7").result(20) == 7


def test_one_that_a_module_makes_which_a_worker_is_the_first_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads ended with the first schedule, and the second one waited for them."""
    name = "imported_with_an_executor"
    text = "from concurrent.futures import ThreadPoolExecutor\n"
    text += "class Sender:\n    pool = ThreadPoolExecutor(1)\n"
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def sends(state: list[int]) -> None:
        state.append(importlib.import_module(name).Sender.pool.submit(int, 3).result())

    try:
        for _ in range(2):
            found = tracelock.explore(
                setup=list, workers=[sends], check=lambda state: state == [3], strategy="dpor"
            )
            assert found.verdict in ("passed", "verified")
        assert sys.modules[name].Sender.pool.submit(int, 3).result(20) == 3
    finally:
        sys.modules.pop(name).Sender.pool.shutdown()


def leaves_a_pool() -> None:
    pool = ThreadPoolExecutor(2)
    pool.submit(int)
    raise ValueError("the pool's threads wait for work when the schedule ends")


async def leaves_a_default_pool() -> None:
    await asyncio.get_running_loop().run_in_executor(None, int)
    raise ValueError("the loop's threads do")


@pytest.mark.parametrize("work", [leaves_a_pool, leaves_a_default_pool])
def test_that_a_schedule_has_ended_its_threads_is_not_logged(
    work: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = tracelock.explore(workers=[work], schedules=4, shrink=False, confirm=0)
    assert found.verdict == "failed"
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []
