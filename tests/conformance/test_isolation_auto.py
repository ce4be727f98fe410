"""Schedules run in forked processes by themselves: where state leaks from one to the next that
cannot be put back, and where workers run through code in C. Elsewhere nothing is forked."""

from __future__ import annotations

import functools
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any

import pytest

import tracelock
from tests.helpers.apart import Account, add, add_safely
from tests.helpers.forked import explored, it_can_be_forked
from tracelock.instrument.isolation import where

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]
PATH = f"/site-packages/in_c{EXTENSION_SUFFIXES[0]}"
#: Stands for an extension module: its functions are no code that is looked into.
IN_C = """
import ctypes

class Thing:
    def step(self):
        return 1
    def fall(self):
        ctypes.string_at(0)

def step():
    return 1
def fall():
    ctypes.string_at(0)
"""
OVER_IT = """
import in_c

class Counter:
    def __init__(self):
        self.number = 0
    def step(self):
        self.number += 1
        return self.number

class Library:
    def __init__(self):
        self.thing = in_c.Thing()
    def step(self):
        return self.thing.step()
    def fall(self):
        self.thing.fall()
"""


def made(name: str, source: str, path: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), vars(module))
    return module


@pytest.fixture
def in_c(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An extension module, and a library in Python that uses it."""
    with monkeypatch.context() as patch:
        for name in ("in_c", "over_it"):
            patch.setitem(sys.modules, name, None)
        module = made("in_c", IN_C, PATH)
        made("over_it", OVER_IT, "/site-packages/over_it.py")
        yield module


@pytest.fixture
def nothing_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process, that of the tests, had loaded no extension module."""
    monkeypatch.setattr(where, "to_be_feared", lambda: False)


# --- what workers run through -----------------------------------------------------------------
def by_module(account: Account, name: str) -> None:
    import in_c  # type: ignore[import-not-found]

    in_c.fall() if name == "fall" else in_c.step()


def _fall() -> None:
    raise NotImplementedError


def by_name(account: Account, name: str) -> None:
    if name == "fall":
        _fall()


def by_object(account: Account, name: str) -> None:
    THING.fall() if name == "fall" else THING.step()


def by_library(account: Account, name: str) -> None:
    LIBRARY.fall() if name == "fall" else LIBRARY.step()


THING: Any = None
LIBRARY: Any = None


def falling(way: Callable[[Account, str], None]) -> Callable[[Account], None]:
    """A worker that is in C in each schedule, and ends its process there where another one has come
    between."""

    def falls(account: Account) -> None:
        total = account.total
        account.total = total + 1
        way(account, "step" if account.total == total + 1 else "fall")

    return falls


@pytest.mark.parametrize("way", [by_module, by_name, by_object, by_library])
def test_a_fault_in_an_extension_module_ends_one_schedule(
    way: Callable[[Account, str], None], in_c: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "_fall", in_c.fall)
    monkeypatch.setattr(here, "THING", in_c.Thing())
    monkeypatch.setattr(here, "LIBRARY", sys.modules["over_it"].Library())
    worker = falling(way)
    found, isolation = explored(worker, add)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert found.trace.verdict.kind == "crashed"
    assert found.trace.verdict.message == "the process was killed by SIGSEGV, in falls"
    assert isolation.why.endswith("workers run through code in C, which may end it: in_c")
    replayed = tracelock.replay(found.trace, setup=Account, workers=[worker, add])
    assert replayed.reproduced


def test_what_nobody_runs_through_is_not_feared(in_c: ModuleType) -> None:
    """One process has looked; then schedules run here, where what they do can be seen."""
    seen: list[int] = []

    def worker(account: Account) -> None:
        add_safely(account)
        seen.append(account.total)

    found, isolation = explored(worker, add_safely)
    assert isolation.forks == 1 and not isolation.apart and not isolation.why
    assert len(seen) >= found.schedules > 5
    found, isolation = explored(worker, add_safely, isolation="never")
    assert isolation.forks == 0


def test_a_plain_program_is_forked_for_nothing(nothing_in_c: None) -> None:
    for workers in ((add_safely, add), (_later, _later)):
        found, isolation = explored(*workers)
        assert found.schedules > 1
        assert isolation.forks == 0 and not isolation.apart and not isolation.why


async def _later(account: Account) -> None:
    add(account)


def test_what_is_loaded_in_the_first_schedule_only_is_seen_there(
    nothing_in_c: None, in_c: ModuleType
) -> None:
    found, isolation = explored(falling(by_module), add)
    assert found.trace is not None and found.trace.verdict.kind == "crashed"
    assert isolation.why.endswith("which may end it: in_c")


def test_an_extension_that_is_really_there_is_known() -> None:
    """The parser of documents, of which tracelock itself has need."""
    import pydantic

    class Model(pydantic.BaseModel):
        number: int

    def worker(account: Account) -> None:
        account.total += Model(number=1).number

    _, isolation = explored(worker, add)
    assert isolation.why.endswith("which may end it: pydantic_core")


# --- what leaks from schedule to schedule -----------------------------------------------------
def ticks() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


TICKS: Any = None
TEXT: Any = None
COUNTER: Any = None


@functools.lru_cache(maxsize=8)
def times(number: int) -> int:
    CALLS.append(number)
    return number


CALLS: list[int] = []


def by_generator(account: Account) -> None:
    assert next(TICKS) == 0


def by_text(account: Account) -> None:
    assert not TEXT.getvalue()
    TEXT.write("x")
    TEXT.close()


def by_cache(account: Account) -> None:
    times(1)
    assert CALLS == [1]


def by_object_of_a_library(account: Account) -> None:
    assert COUNTER.step() == 1


def count(account: Account) -> None:
    add(account)
    add(account)


LEAKS: dict[str, Callable[[Account], None]] = {
    "the generator": by_generator, "TEXT": by_text, "times": by_cache,
    "COUNTER": by_object_of_a_library,
}  # fmt: skip


@pytest.fixture
def to_leak(in_c: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "TICKS", ticks())
    monkeypatch.setattr(here, "TEXT", io.StringIO())
    monkeypatch.setattr(here, "COUNTER", sys.modules["over_it"].Counter())
    times.cache_clear()
    times(0)  # what a cache with a bound has kept cannot be put back
    CALLS.clear()
    yield
    times.cache_clear()


@pytest.mark.parametrize("name", LEAKS)
def test_each_schedule_begins_from_the_same_state(
    name: str, to_leak: None, nothing_in_c: None
) -> None:
    """The worker would fail in the second schedule that begins from what the first one left."""
    found, isolation = explored(LEAKS[name], count, schedules=20, strategy="random")
    assert found.verdict == "passed" and found.schedules == 20, found.summary
    assert "what schedules change cannot be put back" in isolation.why and name in isolation.why
    assert not any("lives on" in note or "not deterministic" in note for note in found.notes)
    assert isolation.forks >= 20  # each its own
    found, isolation = explored(LEAKS[name], count, schedules=20, isolation="never")
    assert found.failed and isolation.forks == 0  # so that was needed


def test_a_failure_in_it_is_found_confirmed_and_replayed(to_leak: None) -> None:
    def worker(account: Account) -> None:
        number = next(TICKS)
        add(account)
        account.total += number

    def check(account: Account) -> bool:
        return account.total == 3

    found, isolation = explored(worker, count, check=check)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert isolation.leaks
    replayed = tracelock.replay(
        found.trace, setup=Account, workers=[worker, count], check=check
    )  # fmt: skip
    assert replayed.reproduced


def test_what_the_caller_alone_can_reach_is_the_callers(nothing_in_c: None) -> None:
    """It is looked at afterwards: a process of its own would lose it. So it is named."""
    mine, seen = ticks(), list[int]()

    def worker(account: Account) -> None:
        seen.append(next(mine))

    found, isolation = explored(worker, count, schedules=20, strategy="random")
    assert isolation.forks == 0 and len(seen) >= 20
    assert any("lives on from schedule to schedule: the generator" in one for one in found.notes)


def test_a_leak_that_the_first_schedules_do_not_show_ends_with_them(
    to_leak: None, nothing_in_c: None
) -> None:
    """What is left is the state that all later ones begin from, each in a process of its own."""

    def worker(account: Account) -> None:
        total = account.total
        account.total = total + 1
        if account.total != total + 1:
            next(TICKS)

    found, isolation = explored(worker, count, schedules=200, strategy="random")
    assert found.verdict == "passed" and isolation.apart
    assert "the generator" in isolation.why
    assert next(TICKS) < 20


def test_a_look_that_fails_or_stands_still_is_done_without(
    in_c: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Account:
        raise ValueError("no account today")

    monkeypatch.setattr(where, "PATIENCE", 0.3)
    monkeypatch.setattr(where, "look", lambda *_: time.sleep(100))
    found, isolation = explored(count, add)
    assert found.schedules > 1 and isolation.forks == 1 and not isolation.apart
    monkeypatch.undo()
    with pytest.raises(tracelock.UsageError, match="setup failed: ValueError: no account today"):
        explored(count, add, setup=broken)
