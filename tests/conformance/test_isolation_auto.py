"""Schedules run in forked processes by themselves: where state leaks from one to the next that
cannot be put back, and where workers run through code in C. Elsewhere nothing is forked."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pydantic_core
import pytest
from pydantic_core import to_json

import tracelock
from tests.helpers import decisions
from tests.helpers.apart import Account, add, add_later, add_safely, ticks
from tests.helpers.forked import explored, it_can_be_forked

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]


# --- what workers run through -----------------------------------------------------------------
class Model(pydantic.BaseModel):
    number: int


class Validating:
    def __init__(self) -> None:
        self.validator = pydantic_core.SchemaValidator({"type": "int"})


VALIDATING = Validating()


def by_import(account: Account) -> None:
    import pydantic_core as core

    core.to_json(account.total)


def by_name(account: Account) -> None:
    to_json(account.total)


def by_object(account: Account) -> None:
    VALIDATING.validator.validate_python(account.total)


def by_library(account: Account) -> None:
    Model(number=account.total)


WAYS = (by_import, by_name, by_object, by_library)


def falling(way: Callable[[Account], None]) -> Callable[[Account], None]:
    """A worker that is in C in each schedule, and ends its process there where another one has come
    between."""

    def falls(account: Account) -> None:
        total = account.total
        account.total = total + 1
        way(account)
        if account.total != total + 1:
            sys.modules["ctypes"].string_at(0)  # stands for a fault in there

    return falls


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_in_an_extension_module_ends_one_schedule(way: Callable[[Account], None]) -> None:
    worker = falling(way)
    found, isolation = explored(worker, add)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert found.trace.verdict.kind == "crashed"
    assert found.trace.verdict.message == "the process was killed by SIGSEGV, in falls"
    assert isolation.why.endswith("code in C, which may end their process: pydantic_core")
    assert isolation.why in found.notes
    replayed = tracelock.replay(found.trace, setup=Account, workers=[worker, add])
    assert replayed.reproduced


def test_one_that_the_program_names_is_known_before_anything_runs() -> None:
    """So that a fault in the first schedule ends no more than that."""

    def falls(account: Account) -> None:
        to_json(1)
        sys.modules["ctypes"].string_at(0)

    found, _ = explored(falls, add)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert found.trace.verdict.message == "the process was killed by SIGSEGV"


def test_what_nobody_runs_through_is_not_feared() -> None:
    """Extension modules are loaded, and schedules run here, where what they do can be seen."""
    seen: list[int] = []

    def worker(account: Account) -> None:
        add_safely(account)
        seen.append(account.total)

    found, isolation = explored(worker, add_safely)
    assert not isolation.forks and not isolation.apart and not isolation.why
    assert len(seen) >= found.schedules > 5


def test_a_plain_program_is_forked_for_nothing() -> None:
    for workers in ((add_safely, add), (add_later, add_later)):
        found, isolation = explored(*workers)
        assert found.schedules > 1
        assert isolation.forks == 0 and not isolation.apart and not isolation.why


@pytest.mark.parametrize("way", WAYS)
def test_never_forks_nothing(way: Callable[[Account], None]) -> None:
    _, isolation = explored(way, add, isolation="never", schedules=5)
    assert isolation.forks == 0 and not isolation.apart and not isolation.why


# --- what leaks from schedule to schedule -----------------------------------------------------
COUNTING = """
class Counter:
    def __init__(self):
        self.number = 0
    def step(self):
        self.number += 1
        return self.number
"""


def through() -> Iterator[int]:
    yield from (yield from ticks_of(range(100))) or ()


def ticks_of(numbers: range) -> Iterator[Any]:
    yield from numbers


RANGE: Any = None
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


def by_one_inside(account: Account) -> None:
    assert next(RANGE) == 0


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
    "the generator": by_generator, "RANGE": by_one_inside, "TEXT": by_text, "times": by_cache,
    "COUNTER": by_object_of_a_library,
}  # fmt: skip


@pytest.fixture
def to_leak(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    library = types.ModuleType("over_it")
    library.__file__ = "/site-packages/over_it.py"
    exec(compile(COUNTING, library.__file__, "exec"), vars(library))
    monkeypatch.setitem(sys.modules, "over_it", library)
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "TICKS", ticks())
    monkeypatch.setattr(here, "RANGE", through())
    monkeypatch.setattr(here, "TEXT", io.StringIO())
    monkeypatch.setattr(here, "COUNTER", library.Counter())
    times.cache_clear()
    times(0)  # what a cache with a bound has kept cannot be put back
    CALLS.clear()
    yield
    times.cache_clear()


@pytest.mark.parametrize("name", LEAKS)
def test_each_schedule_begins_from_the_same_state(name: str, to_leak: None) -> None:
    """The worker would fail in the second schedule that begins from what the first one left."""
    found, isolation = explored(LEAKS[name], count, schedules=8, strategy="random")
    assert found.verdict == "passed" and found.schedules == 8, found.summary
    assert "what schedules change cannot be put back" in isolation.why and name in isolation.why
    assert not any("lives on" in note or "not deterministic" in note for note in found.notes)
    assert isolation.forks >= 8  # each its own
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


def test_what_the_caller_alone_can_reach_is_the_callers() -> None:
    """It is looked at afterwards: a process of its own would lose it. So it is named."""
    mine, seen = ticks(), list[int]()

    def worker(account: Account) -> None:
        seen.append(next(mine))

    found, isolation = explored(worker, count, schedules=20, strategy="random")
    assert isolation.forks == 0 and len(seen) >= 20
    assert any("lives on from schedule to schedule: the generator" in one for one in found.notes)


def test_what_forked_schedules_give_the_caller_is_sent_or_named() -> None:
    """Plain data that is added to the caller's containers comes back; all else is named."""
    totals: list[dict[str, int]] = []
    ended: set[int] = set()
    known: dict[int, int] = {}
    objects: list[object] = []
    calls = 0
    mine = ticks()

    def worker(account: Account) -> None:
        nonlocal calls
        add(account)
        by_name(account)
        totals.append({"total": account.total})
        objects.append(account)
        calls += 1
        next(mine)

    def check(account: Account) -> None:
        ended.add(account.total)
        known[account.total] = 1

    found, isolation = explored(worker, add, check=check, schedules=30, strategy="random")
    assert isolation.apart and found.schedules == 30 and found.verdict == "passed"
    assert len(totals) >= 30 and ended == {1, 2} and known == {1: 1, 2: 1}
    assert {one["total"] for one in totals} == {1, 2}
    (note,) = [note for note in found.notes if "the caller's own objects was lost" in note]
    assert "objects" in note and "calls" in note and "mine" in note and "totals" not in note
    assert "ended" not in note and "known" not in note


def test_a_leak_that_the_first_schedules_do_not_show_ends_with_them(to_leak: None) -> None:
    """What is left is the state that all later ones begin from, each in a process of its own."""

    def worker(account: Account) -> None:
        total = account.total
        account.total = total + 1
        if account.total != total + 1:
            next(TICKS)

    found, isolation = explored(worker, count, schedules=80, strategy="random")
    assert found.verdict == "passed" and isolation.apart
    assert "the generator" in isolation.why
    assert next(TICKS) < 20


def test_a_look_that_fails_is_done_without(to_leak: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Account:
        raise ValueError("no account today")

    with pytest.raises(tracelock.UsageError, match="setup failed: ValueError: no account today"):
        explored(by_generator, add, setup=broken)


def test_a_schedule_that_ends_its_process_in_the_look_is_found_afterwards(to_leak: None) -> None:
    def falls(account: Account) -> None:
        next(TICKS)
        sys.modules["ctypes"].string_at(0)

    found, isolation = explored(falls, add)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert found.trace.verdict.message == "the process was killed by SIGSEGV"
    assert isolation.why.endswith("a schedule ended its process: the process was killed by SIGSEGV")


@pytest.mark.parametrize("reason", ["code in C", "state that leaks"])
def test_where_threads_are_alive_nothing_is_forked_and_a_note_says_so(
    reason: str, to_leak: None
) -> None:
    def leaks(account: Account) -> None:
        next(TICKS)

    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="somebody")
    thread.start()
    try:
        worker = by_name if reason == "code in C" else leaks
        found, isolation = explored(worker, count, schedules=20, strategy="random")
    finally:
        over.set()
        thread.join()
    assert isolation.forks == 0 and found.schedules == 20
    assert any("in this process: threads are alive" in n and "somebody" in n for n in found.notes)
    assert any("lives on" in note for note in found.notes) == (reason != "code in C")


# --- what else is loaded has no say -----------------------------------------------------------
def test_it_is_decided_the_same_whatever_else_is_loaded(tmp_path: Path) -> None:
    """Many modules, written in C among them, and one like the program's own whose objects leak."""
    root = Path(tracelock.__file__).parents[1]

    def told(*more: str) -> dict[str, list[Any]]:
        command = [sys.executable, "-m", decisions.__name__, *more]
        out = subprocess.run(
            command, cwd=root, check=True, capture_output=True, text=True, timeout=100
        ).stdout
        found: dict[str, list[Any]] = json.loads(out)
        return found

    bare = told()
    assert bare == told(str(tmp_path))
    apart = {name: apart for name, (apart, *_) in bare.items()}
    assert apart == {
        "plain": False, "safe": False, "the caller's own": False, "leaks": True, "fills": True,
        "calls C": True, "names ctypes": True,
    }  # fmt: skip
    assert not any(forks for apart, forks, _ in bare.values() if not apart)
