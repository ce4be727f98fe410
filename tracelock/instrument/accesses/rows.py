"""Rows that are taken apart: ``for key, value in rows`` reads a row, if that is a list, and so does
``(a, b), c = row`` of what is in one."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Iterator
from typing import Any, Final

from tracelock.instrument.accesses.calls import behalf
from tracelock.instrument.accesses.looks import looked
from tracelock.instrument.accesses.stand_ins import Walk
from tracelock.instrument.accesses.stepping import StepWalk
from tracelock.instrument.contexts import Context, contexts, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import is_plain

#: Iterators whose items are tuples.
_PAIRS: Final = frozenset(map(identity, (enumerate, zip, type(iter({}.items())))))


class Rows:
    """An iterator in such a loop. ``nested``: how far down items of an item are taken apart too."""

    __slots__ = ("_nested", "_next", "_real", "_site")

    def __init__(self, real: Iterator[Any], site: Site, nested: int) -> None:
        self._real: Any = real
        self._next = real.__next__
        self._site = site
        self._nested = nested

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> Any:
        value = self._next()
        if type(value) is not tuple or self._nested:
            context = contexts.get(get_ident())
            if context is not None:
                return row(value, self._site, context, self._nested)
        return value

    def __length_hint__(self) -> int:
        real = self._real
        return real.__length_hint__() if hasattr(real, "__length_hint__") else 0


def row(value: Any, site: Site, context: Context, nested: int) -> Any:
    """Before the items of ``value`` are taken, and of its items, ``nested`` times."""
    if type(value) is not tuple:
        value = looked(value, "__iter__", site, context)
    if nested:
        _below(value, site, context, nested)
    return value


def _below(value: Any, site: Site, context: Context, nested: int) -> None:
    if type(value) is not tuple and type(value) is not list:
        return
    for each in value:
        if not is_plain(each):
            looked(each, "__len__", site, context)
            if nested > 1:
                _below(each, site, context, nested - 1)


def taken_apart(obj: Any, site: Site, nested: int) -> Any:
    """What to go over instead of ``obj``, which is what a loop goes over."""
    type_ = type(obj)
    if type_ is Walk:
        if not nested and identity(type(obj._real)) in _PAIRS:
            return obj
    elif type_ is not StepWalk and type_ is not list and type_ is not tuple:
        return obj  # its own code runs
    return Rows(iter(obj), site, nested)


behalf(dict(vars(Rows)))
