"""Calls that are told by ``sys.monitoring`` are those that a profile function is told."""

from __future__ import annotations

import asyncio
import colorsys
import contextlib
import io
import linecache
import os
import pickle
import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

import tracelock
from tests.helpers import step_programs
from tracelock.instrument.account.keeping import AccountKeeper
from tracelock.instrument.account.monitoring import Monitored
from tracelock.instrument.account.profiling import C_CALL, CALL, DEEP, Profile

needed = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
Told = list[tuple[int, str, str]]


class Shelf:
    def __init__(self) -> None:
        self.books: list[str] = []

    def put(self, book: str) -> None:
        self.books.append(book)

    def __len__(self) -> int:
        return len(self.books)


def generator() -> Iterator[int]:
    try:
        yield from (n for n in [1, 2])
        yield 3
    except KeyError as error:
        yield len(error.args)


async def waits() -> int:
    await asyncio.sleep(0)
    return 1


def sample() -> None:
    """Functions, methods, classes, generators, coroutines; functions and methods in C, bound or
    not; what raises; what is called from C."""
    shelf = Shelf()
    for book in ("a", "b"):
        shelf.put(book)
    len(shelf)
    made = generator()
    next(made)
    made.throw(KeyError("k"))
    made.close()
    str.join(",", sorted(["b", "a"], key=lambda one: one.upper()))
    list.append(shelf.books, "c")
    join = " ".join
    join(map(str, [1, 2]))
    with pytest.raises(ValueError):
        int("no number")
    with pytest.raises(AttributeError):
        getattr(shelf, "nothing")  # noqa: B009
    coroutine = waits()
    coroutine.send(None)
    coroutine.close()
    dict.fromkeys("ab", 0).items()
    pickle.Pickler(io.BytesIO()).dump(shelf)  # a method that is given its class
    re.compile("a").sub("b", "a")
    [*zip(shelf.books, range(3), strict=True)]


def names(told: Told) -> Callable[[FrameType, int, Any], None]:
    def tell(frame: FrameType, what: int, function: Any) -> None:
        if frame.f_code.co_filename == __file__:
            told.append((what, frame.f_code.co_name, getattr(function, "__qualname__", "")))

    return tell


def profiled(run: Callable[[], None]) -> Told:
    told: Told = []
    profile = Profile(names(told), {})
    profile.on()
    run()
    profile.off()
    return told


def monitored(
    run: Callable[[], None], silent: Callable[[CodeType, int], bool] = lambda code, what: False
) -> Told:
    told: Told = []
    with Monitored(names(told), {}, silent) as events:
        assert events.usable
        events.on()
        run()
        events.off()
    return told


@needed
def test_both_tell_the_same() -> None:
    off = [(4, name, "") for name in ("profiled", "monitored")]
    expected, found = profiled(sample), monitored(sample)
    assert len(expected) > 30
    ours = {"on", "off", "Monitored.off", "Profile.off"}
    assert [one for one in found if one not in off and one[2] not in ours] == [
        one for one in expected if one not in off and one[2] not in ours
    ]


def test_what_is_done_aside_is_not_told() -> None:
    told: Told = []
    profile = Profile(names(told), {})

    def counted() -> int:
        return sum(map(ord, "ab"))

    assert profile.aside(counted) == 195  # nothing is on, and stays so
    assert told == []
    profile.on()
    try:
        str.upper("a")
        assert profile.aside(counted) == 195
        str.lower("a")
    finally:
        profile.off()
    called = [name for what, _, name in told if what == C_CALL]
    assert [name for name in called if name in ("str.upper", "sum", "str.lower")] == [
        "str.upper", "str.lower",
    ]  # fmt: skip


@needed
def test_what_is_silent_is_told_no_more_and_the_rest_is() -> None:
    def silent(code: CodeType, what: int) -> bool:
        return code.co_name == "put"

    expected = [one for one in monitored(sample) if one[1] != "put"]
    assert monitored(sample, silent) == expected
    assert any(one[1] == "put" for one in monitored(sample))  # it is off no longer than that


@needed
def test_of_other_threads_nothing_is_told() -> None:
    def run() -> None:
        thread = threading.Thread(target=sample)
        thread.start()
        thread.join(60)

    assert [one for one in monitored(run) if one[1] in ("sample", "put", "generator")] == []


@needed
def test_it_ends_before_the_limit_of_recursion() -> None:
    def down(levels: int) -> None:
        if levels:
            down(levels - 1)

    unseen: dict[str, str] = {}
    with Monitored(lambda *call: None, unseen, lambda code, what: False) as events:
        events.on()
        down(sys.getrecursionlimit() // 2)
    assert unseen == {"calls": DEEP}


@needed
def test_where_no_number_is_free_the_profile_function_tells() -> None:
    for number in (3, 4):
        sys.monitoring.use_tool_id(number, f"tool {number}")  # type: ignore[attr-defined,unused-ignore]
    try:
        with Monitored(lambda *call: None, {}, lambda code, what: False) as events:
            assert not events.usable
        again = explored(7)
    finally:
        for number in (3, 4):
            sys.monitoring.free_tool_id(number)  # type: ignore[attr-defined,unused-ignore]
    assert again == explored(7)


def test_nothing_is_left_on() -> None:
    explored(3)
    if sys.version_info >= (3, 12):
        assert sys.monitoring.get_tool(3) is sys.monitoring.get_tool(4) is None
    assert sys.getprofile() is None


class Box:
    def __init__(self) -> None:
        self.pickler = pickle.Pickler(io.BytesIO())
        self.numbers = random.Random(1)


async def dumps(box: Box) -> None:
    box.pickler.dump([1])
    await asyncio.sleep(0)
    box.numbers.random()


async def on_a_thread(box: Box) -> None:
    await asyncio.to_thread(colorsys.rgb_to_hsv, 0.1, 0.2, 0.3)
    box.pickler.dump([2])


async def by_chance(box: Box) -> None:
    random.random()
    await asyncio.sleep(0)
    linecache.clearcache()
    with contextlib.suppress(KeyError):
        {}["nothing"]


async def draws(box: Box) -> None:
    pair = generator()
    next(pair)
    with contextlib.suppress(StopIteration):
        pair.throw(KeyError("k"))
    os.urandom(1)


@needed
@pytest.mark.parametrize("works", [(dumps, dumps), (on_a_thread, dumps), (by_chance, draws)])
def test_the_account_of_tasks_is_the_same_by_a_profile_function(
    works: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def account() -> Any:
        found = tracelock.explore(
            workers=works, setup=Box, backend="asyncio", strategy="random", schedules=20
        )
        assert found.account is not None and found.account.recorded > 1
        return found.verdict, found.schedules, found.account

    monitored = account()
    monkeypatch.setattr(AccountKeeper, "on_one_thread", lambda self: contextlib.nullcontext())
    assert monitored == account()


def explored(seed: int) -> tuple[Any, ...]:
    found = tracelock.explore(
        workers=step_programs.program(seed), setup=step_programs.State, backend="asyncio",
        strategy="dpor", schedules=40,
    )  # fmt: skip
    return found.verdict, found.executions, found.redundant, found.account


def test_a_call_is_told_with_its_number() -> None:
    assert (CALL, "put", "") in profiled(sample)
