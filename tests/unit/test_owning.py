"""Objects die with their last reference, whichever thread lets go of it, also without the GIL."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tracelock.instrument.threads.owning import APART, KNOWN, count_together, give


class Thing:
    def __init__(self, inner: Any = None) -> None:
        self.inner = inner


def in_a_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_the_layout_of_objects_is_known_on_free_threaded_builds() -> None:
    assert KNOWN == APART == ("t" in sys.abiflags)


@pytest.mark.parametrize("of_all", [True, False])
def test_what_another_thread_lets_go_of_dies_there(of_all: bool) -> None:
    box = [Thing([Thing()])]
    dies = [weakref.ref(box[0]), weakref.ref(box[0].inner[0])]
    if of_all:
        count_together([box, box[0], box[0].inner, box[0].inner[0]])
    else:
        give(box)

    def let_go() -> list[bool]:
        box.clear()
        return [reference() is None for reference in dies]

    assert in_a_thread(let_go) == [True, True]


def test_references_stay_what_they_are() -> None:
    held = Thing()
    box = [held, held]
    before = sys.getrefcount(held)
    count_together([held, box, None, 5, "text"])
    count_together([held])
    give(box)
    assert sys.getrefcount(held) == before
    in_a_thread(box.clear)
    assert sys.getrefcount(held) == before - 2
    assert held.inner is None
