"""Programs of more threads and tasks than a schedule has places for at first."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
import tracelock.engine.open_layout as open_layout

#: More than there are places for at first, whichever program this is.
MANY = 60


def counter() -> SimpleNamespace:
    return SimpleNamespace(n=0)


def threads(counter: Any) -> None:
    def add() -> None:
        counter.n = counter.n + 1

    started = [threading.Thread(target=add) for _ in range(MANY)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


async def tasks(counter: Any) -> None:
    async def add() -> None:
        seen = counter.n
        await asyncio.sleep(0)
        counter.n = seen + 1

    await asyncio.gather(*(add() for _ in range(MANY)))


def all_counted(counter: Any) -> bool:
    return bool(counter.n == MANY)


@pytest.mark.parametrize("isolation", ["never", "always"])
@pytest.mark.parametrize("worker", [threads, tasks])
def test_they_are_explored_and_their_failures_replayed(worker: Any, isolation: str) -> None:
    program: dict[str, Any] = {"setup": counter, "workers": [worker], "check": all_counted}
    found = tracelock.explore(**program, schedules=20, shrink=False, confirm=1, isolation=isolation)
    assert found.failed and found.trace is not None
    assert not [way for way in found.ways if way.kind == "unfinished"]
    assert found.account is not None and found.account.workers == MANY + 1
    assert list(found.confirmed.values()) == ["1/1"]
    # in a new table of names, which has places for as many as the trace has
    assert tracelock.replay(found.trace, **program).reproduced


def test_dpor_goes_through_all_of_them() -> None:
    """None of them does anything that another one sees."""

    def start() -> None:
        for _ in range(MANY):
            threading.Thread(target=lambda: None).start()

    found = tracelock.explore(workers=[start], strategy="dpor", schedules=20)
    assert not [way for way in found.ways if way.kind == "unfinished"]


@pytest.mark.filterwarnings("ignore:coroutine")
def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_layout, "MOST", 40)
    found = tracelock.explore(setup=counter, workers=[tasks], schedules=5)
    assert found.verdict == "unfinished"
    assert any("more than 40 threads and tasks were started" in way.message for way in found.ways)


def test_more_of_them_may_come_later() -> None:
    """In one order of three, which a sampler is the first to have: that schedule is cut, and those
    of what comes after it have places for them."""
    ends: set[tuple[str, int]] = set()

    def meet(name: str) -> Any:
        def work(state: Any) -> None:
            with state.lock:
                state.order += name
                last = state.order == "acb"
            if last:
                started = [threading.Thread(target=lambda: None) for _ in range(MANY)]
                for thread in started:
                    thread.start()
                for thread in started:
                    thread.join()
                state.started = MANY

        return work

    def setup() -> SimpleNamespace:
        return SimpleNamespace(lock=threading.Lock(), order="", started=0)

    found = tracelock.explore(
        setup=setup, workers=[*map(meet, "abc")], isolation="never", schedules=100,
        check=lambda state: ends.add((state.order, state.started)),
    )  # fmt: skip
    assert any("more than" in way.message for way in found.ways)
    assert ("acb", MANY) in ends and len(ends) == 6
    assert found.verdict == "verified"
