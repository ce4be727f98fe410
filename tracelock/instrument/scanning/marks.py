"""What has come into being since an earlier look at the process, where the collector can tell.

Up to CPython 3.13 the cyclic collector keeps all that it looks after in lists by age, and only ever
moves whole lists: those of the young objects into that of the old ones, all of them into the frozen
one and back, each behind what is there already. While an object that was made at some time (the
mark) is among the young ones, all that was made later is so too, and all that is old was there
before. Where it has grown old, all that was made since stands before or behind what was there then:
that is between two objects that are kept (the head and the tail), as long as no collection of the
old ones has changed their order.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from functools import partial
from operator import call
from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.scanning.trails import holding

#: Whether lists by age are kept like that: not without the GIL, and not by the collector of 3.14.
BY_AGE: bool = (
    sys.implementation.name == "cpython" and sys.version_info < (3, 14) and "t" not in sys.abiflags
)
_YOUNG: Final = (partial(gc.get_objects, generation=0), partial(gc.get_objects, generation=1))
#: The collector compares each reference with each of those that are asked for, one by one.
_MANY: Final = 250
#: Freezes all. The first list is behind all that is frozen, the second is young.
_FREEZE: Final = (gc.freeze, list, gc.freeze, list)


class AgeMark:
    """Tells what is new since the last look; with each look all is frozen that is there."""

    def __init__(self) -> None:
        self._mark: list[Any] | None = None
        self._head: object = None
        self._tail: object = None
        self._collections = -1  # of the old ones, so far

    def forget(self) -> None:
        """What is new cannot be told from here on, until all is listed again."""
        self._mark = None

    def new(self) -> list[Any] | None:
        """All that has come into being since the last look, None where that cannot be told."""
        mark = self._mark
        if mark is None or gc.get_freeze_count():
            return None
        gc.collect(0)  # of the last exploration; who is left grows older, and is still listed
        head: list[Any] = []  # the first of those that are young now
        newer, older, _, tail, _, self._mark = _at_once(*_YOUNG, *_FREEZE)
        found = [*newer, *older]  # none of these lists is to be in itself
        if identity(mark) not in map(identity, found):
            del newer, older, found
            found, tail = self._grown()
        self._keep(head, tail)
        return found if identity(mark) in map(identity, found) else None

    def _keep(self, head: object, tail: object) -> None:
        self._head, self._tail, self._collections = head, tail, _collected()

    def _grown(self) -> tuple[list[Any], object]:
        """All that is not between the head and the tail of the last look, [] where that cannot be
        told; and a tail that is behind all of it."""
        found: list[Any]
        known = self._head is not None and _collected() == self._collections
        _, found, _, tail, _, self._mark = _at_once(gc.unfreeze, gc.get_objects, *_FREEZE)
        if not known:
            return [], tail
        first = next((place for place, one in enumerate(found) if one is self._head), -1)
        last = len(found) - 1
        while last > first >= 0 and found[last] is not self._tail:
            last -= 1
        return [*found[:first], *found[last + 1 :]] if last > first >= 0 else [], tail

    def everything(self) -> list[Any]:
        """All objects."""
        found: list[Any]
        gc.collect(0)
        head: list[Any] = []
        _, found, _, tail, _, self._mark = _at_once(gc.unfreeze, gc.get_objects, *_FREEZE)
        self._keep(head, tail)
        return found

    def referrers(self, objects: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Who refers to these objects and was there at the last look; and what has come into being
        since: it is mostly our own, and is there for a while."""
        wanted = (*objects,)
        ask = partial(gc.get_referrers, *wanted) if len(wanted) < _MANY else gc.get_objects
        steps = (*_YOUNG, gc.unfreeze, ask, gc.freeze, list)
        newer, older, _, found, _, self._mark = _at_once(*steps)
        self._head = None  # what is new now is before it
        new = [*newer, *older]
        own = {*map(identity, new), *map(identity, (ask, wanted, objects, newer, older, found))}
        if type(ask) is partial:
            own.add(identity(ask.args))
        else:
            found = holding(found, {*map(identity, wanted)})
        return [one for one in found if identity(one) not in own], new


def young() -> list[Any]:
    """What has come into being since the last look, and what was young then."""
    newer, older = _at_once(*_YOUNG)
    return [*newer, *older]


def _collected() -> int:
    """How many collections of the old ones there have been."""
    return int(gc.get_stats()[2]["collections"])


def _at_once(*steps: Any) -> tuple[Any, ...]:
    """What each of these gives. They are called from C: no other thread goes on between them, and
    no handler of a signal is called."""
    results = list(map(call, steps))
    found = (*results,)
    results.clear()  # it has been listed itself
    return found
