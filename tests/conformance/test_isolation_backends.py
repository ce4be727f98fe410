"""Schedules in forked processes with tasks of trio and asyncio, and with workers that are processes
themselves: a crash, an end of the process, state that leaks."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tests.helpers.apart import Account, ticks
from tests.helpers.forked import explored, it_can_be_forked

trio = pytest.importorskip("trio")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]
LIBRARIES = {"asyncio": asyncio.sleep, "trio": trio.sleep}
ENDS: dict[str, tuple[Callable[[], Any], str]] = {
    "exit": (lambda: ctypes.CDLL(None)._exit(3), "the process died: exit status 3, in ends"),
    "segfault": (lambda: ctypes.string_at(0), "the process was killed by SIGSEGV, in ends"),
    "os._exit": (lambda: os._exit(7), "the process died: exit status 7, in ends"),
}


def adding(library: str) -> Callable[[Account], Any]:
    async def adds(account: Account) -> None:
        total = account.total
        await LIBRARIES[library](0)
        account.total = total + 1

    return adds


def ending(library: str, end: Callable[[], Any]) -> Callable[[Account], Any]:
    """A task that ends its process where another one has come between."""

    async def ends(account: Account) -> None:
        total = account.total
        await LIBRARIES[library](0)
        if account.total != total:
            end()
        account.total = total + 1

    return ends


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ENDS)
def test_a_task_that_ends_its_process_ends_one_schedule(library: str, name: str) -> None:
    end, told = ENDS[name]
    workers = [ending(library, end), adding(library)]
    found, isolation = explored(*workers, backend=library, isolation="always")
    assert found.trace is not None and found.confirmed == {library: "1/1"}
    assert (found.trace.verdict.kind, found.trace.verdict.message) == ("crashed", told)
    assert isolation.forks
    replayed = tracelock.replay(found.trace, setup=Account, workers=workers)
    assert replayed.reproduced and replayed.verdict.message == told


@pytest.mark.parametrize("library", LIBRARIES)
def test_tasks_search_the_same_apart_as_here(library: str) -> None:
    def check(account: Account) -> None:
        assert account.total == 2

    workers = [adding(library), adding(library)]
    here, apart = (
        explored(*workers, backend=library, check=check, isolation=isolation, every=True)[0]
        for isolation in ("never", "always")
    )
    assert here.failed and apart.confirmed == {library: "1/1"}
    if library == "trio":  # what steps touch is not told from there, and every order is tried
        assert (here.schedules, here.summary) == (apart.schedules, apart.summary)
    assert here.trace is not None and apart.trace is not None
    assert list(here.trace.events) == list(apart.trace.events)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_deadlock_of_tasks_leaves_nothing_behind(library: str) -> None:
    async def waits(account: Account) -> None:
        await LIBRARIES[library](0)
        if account.total:
            await {"asyncio": asyncio.Event, "trio": trio.Event}[library]().wait()

    found, _ = explored(waits, adding(library), backend=library, isolation="always")
    assert found.trace is not None and found.trace.verdict.kind == "deadlock"
    assert found.confirmed == {library: "1/1"}


TICKS: Any = None


@pytest.mark.parametrize("library", LIBRARIES)
def test_state_that_leaks_from_tasks(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TICKS", ticks())

    async def first(account: Account) -> None:
        await LIBRARIES[library](0)
        assert next(TICKS) == 0

    workers = [first, adding(library)]
    found, isolation = explored(*workers, backend=library, strategy="random", schedules=6)
    assert not found.failed and isolation.leaks, found.summary
    found, _ = explored(*workers, backend=library, isolation="never")
    assert found.failed


# --- workers that are processes -----------------------------------------------------------------
def bumps(shared: Any) -> None:
    number = shared.value
    shared.value = number + 1


def bumping(end: Callable[[], Any]) -> Callable[[Any], None]:
    def ends(shared: Any) -> None:
        number = shared.value
        shared.value = number + 1
        if shared.value != number + 1:
            end()

    return ends


def shared() -> Any:
    import multiprocessing

    return multiprocessing.get_context("fork").Value("i", 0, lock=False)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("isolation", ["auto", "always", "never"])
def test_a_process_that_dies_is_told_wherever_schedules_run(name: str, isolation: str) -> None:
    end, told = ENDS[name]
    found, _ = explored(
        bumping(end), bumps, setup=shared, backend="multiprocessing", isolation=isolation,
        schedules=40, shrink=False,
    )  # fmt: skip
    assert found.trace is not None and found.confirmed == {"multiprocessing": "1/1"}
    assert found.trace.verdict.kind == "crashed"
    assert told.partition(",")[0].partition(": ")[2] in found.trace.verdict.message


def test_processes_search_the_same_apart_as_here() -> None:
    here, apart = (
        explored(
            bumps, bumps, setup=shared, check=lambda number: number.value == 2,
            backend="multiprocessing", isolation=isolation, schedules=40,
        )[0]
        for isolation in ("never", "always")
    )  # fmt: skip
    assert here.failed and apart.confirmed == {"multiprocessing": "1/1"}
    assert (here.schedules, here.summary) == (apart.schedules, apart.summary)


def test_what_processes_change_of_their_own_leaks_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TICKS", ticks())

    def first(number: Any) -> None:
        assert next(TICKS) == 0
        bumps(number)

    for isolation in ("auto", "always"):
        found, _ = explored(
            first, bumps, setup=shared, backend="multiprocessing", isolation=isolation,
            schedules=6, strategy="random",
        )  # fmt: skip
        assert not found.failed, found.summary


def test_a_check_that_ends_its_process_beside_processes() -> None:
    found, _ = explored(
        bumps, bumps, setup=shared, backend="multiprocessing", isolation="always", schedules=20,
        check=lambda number: number.value == 2 or ctypes.CDLL(None)._exit(5), shrink=False,
    )  # fmt: skip
    assert found.trace is not None and found.confirmed == {"multiprocessing": "1/1"}
    assert found.trace.verdict.message == "the process died: exit status 5, in the check"
