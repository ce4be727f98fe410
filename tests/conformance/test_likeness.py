"""What ``setup`` returned and what it returned before: whether the one is as good as the other."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing as mp
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.instrument.processes.likeness import Likeness, Semaphore, Unlike, likeness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there it is asked for")


class Own:
    def __init__(self, value: object) -> None:
        self.value = value


class Slotted:
    __slots__ = ("value",)


def everything(value: object = 1) -> SimpleNamespace:
    return SimpleNamespace(
        lock=mp.Lock(), n=mp.RawValue("i", 5), array=mp.Array("i", 3), event=mp.Event(),
        condition=mp.Condition(), own=Own([value]), plain={"a": [1, (2, {value})]},
        deque=deque([value], 3), function=everything,
    )  # fmt: skip


def test_the_same_is_alike_and_what_differs_is_not() -> None:
    first = Likeness(everything())
    assert first.like(Likeness(everything()))
    assert not first.like(Likeness(everything(2)))
    assert not first.like(Likeness(everything(True))), "1 and True are equal, and not the same"
    other = everything()
    other.own.more = 1
    assert not first.like(Likeness(other))
    other = everything()
    other.lock = mp.Semaphore(1)
    assert not first.like(Likeness(other))


def test_who_is_whose_counts_too() -> None:
    one = [1]
    assert not Likeness([one, one]).like(Likeness([[1], [1]]))
    around: list[Any] = []
    around.append(around)
    assert Likeness(around).like(Likeness(around))
    assert not Likeness([0.0]).like(Likeness([-0.0]))
    assert not Likeness({"a": 1, "b": 2}).like(Likeness({"b": 2, "a": 1}))


class Pointing(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p)]


@pytest.mark.parametrize(
    "make",
    [
        Slotted, threading.local, lambda: iter([1]), lambda: itertools.count(),
        lambda: memoryview(b""), lambda: bytearray(1), lambda: ctypes.c_int(1),
        lambda: mp.RawValue(Pointing),
        lambda: ValueError(1), lambda: {Own(1): 1}, lambda: type("Text", (str,), {})("a"),
        lambda: mp.Pipe(), lambda: [[] for _ in range(3_000)],
    ],
)  # fmt: skip
def test_what_is_not_known_has_no_likeness(make: Callable[[], Any]) -> None:
    made = make()
    if type(made) is tuple:
        made[1].send(1)  # what is in a pipe is no part of the likeness
    with pytest.raises(Unlike):
        Likeness(SimpleNamespace(part=made))
    assert likeness([made]) is None


def test_what_processes_share_is_copied_and_what_is_private_is_put_back() -> None:
    mine, theirs = everything(), everything()
    here, there = Likeness(mine), Likeness(theirs)
    mine.n.value, mine.array[1] = 77, 4
    mine.lock.acquire()
    mine.event.set()
    assert here.copy(there)
    assert (theirs.n.value, theirs.array[1]) == (77, 4)
    assert not theirs.lock.acquire(block=False)
    assert theirs.event.is_set()
    theirs.own.value.append(2)
    theirs.own.more = 1
    theirs.plain["a"].clear()
    theirs.deque.append(7)
    assert there.put_back()
    assert there.like(Likeness(everything()))
    assert (theirs.own.value, vars(theirs.own).keys()) == ([1], {"value"})
    assert theirs.plain == {"a": [1, (2, {1})]} and list(theirs.deque) == [1]


@given(st.lists(st.booleans(), max_size=8), st.integers(0, 3))
def test_a_semaphore_counts_as_it_did_and_keeps_its_value(does: list[bool], value: int) -> None:
    raw: Any = mp.Semaphore(value)._semlock  # type: ignore[attr-defined]
    semaphore = Semaphore(raw)
    for release in does:
        if release:
            raw.release()
        else:
            raw.acquire(False)
    now = raw._get_value()
    assert semaphore.put_back()
    assert (raw._get_value(), raw._count()) == (now, 0)
    other = Semaphore(mp.Semaphore(1)._semlock)  # type: ignore[attr-defined]
    assert semaphore.copy(other)
    assert (other.raw._get_value(), other.raw._count()) == (now, 0)


NAMES = st.text(max_size=1)


@settings(max_examples=40)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_data_is_like_a_copy_of_it_and_is_put_back(data: Any) -> None:
    def copied(value: Any) -> Any:
        if isinstance(value, list):
            return [copied(one) for one in value]
        if isinstance(value, dict):
            return {key: copied(one) for key, one in value.items()}
        return value

    found = Likeness(data)
    assert found.like(Likeness(copied(data)))
    before = repr(data)
    if isinstance(data, list):
        data.append(0)
    elif isinstance(data, dict):
        data["new"] = 0
        data.pop(next(iter(data)))
    assert found.put_back() and repr(data) == before
