"""Objects whose state only their own code in C knows: each use of one is a step.

A race that goes through such an object is found; that there is none is never proved.
"""

from __future__ import annotations

import ctypes
import mmap
import pyexpat
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import pytest

import tracelock
from tracelock.instrument.accesses import by_type, containers

BUFFER = pyexpat.ParserCreate().buffer_size


class Cell(ctypes.Structure):
    _fields_ = (("value", ctypes.c_int),)


def counted_value(shared: Any) -> None:
    shared.value += 1


def counted_item(shared: Any) -> None:
    shared[0] += 1


def doubled_item(shared: Any) -> None:
    shared[0] = shared[0] + shared.__getitem__(0)


def _packer() -> Any:
    return pytest.importorskip("msgpack").Packer(autoreset=False)


def packed_once(shared: Any) -> None:
    if not shared.bytes():
        shared.pack(1)


def unpacked_once(shared: Any) -> None:
    if len(shared.getbuffer()) == 0:
        shared.pack(1)


VALUE: tuple[Callable[[Any], None], Callable[[Any], object]] = counted_value, lambda it: it.value
ITEM: tuple[Callable[[Any], None], Callable[[Any], object]] = counted_item, lambda it: it[0]


@pytest.mark.parametrize("strategy", ["auto", "dpor"])
@pytest.mark.parametrize(
    ("make", "work", "look", "right"),
    [
        (ctypes.c_int, *VALUE, 2),
        (Cell, *VALUE, 2),
        (ctypes.c_int * 1, *ITEM, 2),
        (lambda: (ctypes.c_int * 1)(1), doubled_item, lambda it: it[0], 4),
        (_packer, packed_once, lambda it: it.bytes(), b"\x01"),
        (_packer, unpacked_once, lambda it: it.bytes(), b"\x01"),
    ],
    ids=["value", "field", "item", "method", "packer", "buffer"],
)
def test_a_race_is_found(
    make: Callable[[], Any], work: Callable[[Any], None], look: Callable[[Any], object],
    right: object, strategy: str,
) -> None:  # fmt: skip
    if make is _packer:
        pytest.importorskip("msgpack")

    def check(shared: Any) -> None:
        assert look(shared) == right

    how: Any = {"setup": make, "workers": [work, work], "check": check}
    found = tracelock.explore(**how, strategy=strategy, isolation="never", confirm=0, shrink=False)
    assert found.verdict == "failed"
    replayed = tracelock.replay(found.trace, **how)
    assert replayed.reproduced


def test_with_a_lock_nothing_is_found_nor_proved() -> None:
    def setup() -> tuple[Any, Any]:
        import threading

        return threading.Lock(), ctypes.c_int()

    def work(state: tuple[Any, Any]) -> None:
        lock, shared = state
        with lock:
            shared.value += 1

    def check(state: tuple[Any, Any]) -> None:
        assert state[1].value == 2

    found = tracelock.explore(setup=setup, workers=[work, work], check=check, strategy="dpor")
    assert (found.verdict, found.whole) == ("passed", True)
    assert "c_int" in found.account.unseen


def _element() -> Element:
    made = Element("a")
    made.append(Element("b"))
    return made


def wrote_text(shared: Any) -> None:
    shared.text = (shared.text or "") + "x"


def wrote_child(shared: Any) -> None:
    shared[0] = Element(shared[0].tag + "x")


def added_child(shared: Any) -> None:
    shared.insert(len(shared), Element(str(len(shared))))


def grew(shared: Any) -> None:
    shared.buffer_size = shared.buffer_size + 1


def noted(shared: Any) -> None:
    shared.add_note(str(len(getattr(shared, "__notes__", ()))))


@dataclass
class Pair:
    first: int = 0


def made_again(shared: Pair) -> None:
    shared.__init__(shared.first + 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "work", "look", "right"),
    [
        (_element, wrote_text, lambda it: it.text, "xx"),
        (_element, wrote_child, lambda it: it[0].tag, "bxx"),
        (_element, added_child, lambda it: [each.tag for each in it], ["b", "1", "2"]),
        (lambda: mmap.mmap(-1, 16), counted_item, lambda it: it[0], 2),
        (pyexpat.ParserCreate, grew, lambda it: it.buffer_size, BUFFER + 2),
        (lambda: ValueError(0), noted, lambda it: it.__notes__, ["0", "1"]),
        (Pair, made_again, lambda it: it.first, 2),
    ],
    ids=["text", "child", "children", "mmap", "parser", "notes", "dataclass"],
)
@pytest.mark.parametrize("held", [tuple, list])
def test_so_it_is_in_the_standard_library(
    make: Callable[[], Any], work: Callable[[Any], None], look: Callable[[Any], object],
    right: object, held: Callable[[Any], Any],
) -> None:  # fmt: skip
    """Also for what ``setup`` returns in a tuple, and where arguments read what a method writes."""

    def setup() -> Any:
        return held([make()])

    def each(state: Any) -> None:
        work(state[0])

    def check(state: Any) -> None:
        assert look(state[0]) == right

    found = tracelock.explore(
        setup=setup, workers=[each, each], check=check, strategy="dpor", isolation="never",
        shrink=False, confirm=0,
    )  # fmt: skip
    assert found.verdict == "failed"


class Inner(ctypes.Structure):
    _fields_ = (("items", ctypes.c_int * 2),)


@pytest.mark.parametrize("strategy", ["auto", "dpor"])
@pytest.mark.parametrize("whose", ["each worker its own", "one is the whole"])
def test_a_view_is_what_it_is_a_view_of(whose: str, strategy: str) -> None:
    def setup() -> tuple[Any, Any]:
        whole = Inner()
        return whole, whole.items

    def by_whole(state: tuple[Any, Any]) -> None:
        state[0].items[0] += 1

    def by_view(state: tuple[Any, Any]) -> None:
        state[1][0] += 1

    def check(state: tuple[Any, Any]) -> None:
        assert state[1][0] == 2

    workers = [by_whole, by_view if whose == "one is the whole" else by_whole]
    found = tracelock.explore(
        setup=setup, workers=workers, check=check, strategy=strategy, confirm=0
    )
    assert found.verdict == "failed"


def test_memory_that_is_shared_otherwise_keeps_verified_away() -> None:
    def setup() -> tuple[Any, Any]:
        memory = bytearray(4)
        return memory, ctypes.c_int.from_buffer(memory)

    def by_memory(state: tuple[Any, Any]) -> None:
        state[0][0] = state[0][0] + 1

    def by_value(state: tuple[Any, Any]) -> None:
        state[1].value += 1

    found = tracelock.explore(setup=setup, workers=[by_memory, by_value], strategy="dpor")
    assert found.verdict == "passed"


class Looked:
    def __init__(self) -> None:
        self.times = 0

    def __getitem__(self, key: int) -> int:
        self.times += 1
        return key


def test_an_item_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask for one may change an object: a cache forgets the one that was not asked for longest.
    No module of this kind is sure to be here, so a class in Python stands for it."""
    tells = [*containers.KEEPING_STATE_IN_C, defaultdict(str, {Looked: "alone"}).__getitem__]
    monkeypatch.setattr(containers, "KEEPING_STATE_IN_C", tells)
    by_type.forget()

    def work(shared: Looked) -> None:
        assert (shared[3], shared.times) == (3, 1)

    found = tracelock.explore(setup=Looked, workers=[work], strategy="dpor")
    by_type.forget()
    assert found.verdict in ("passed", "verified")
