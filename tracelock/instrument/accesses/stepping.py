"""Iterators and generators as shared objects: each step changes them.

A step of an iterator that is written in C is one access; it writes the iterator, and those that it
takes from, and reads the containers below. A generator runs code: while it does, another thread
that comes to it gets "generator already executing", so entering it is two points.
"""

from __future__ import annotations

import gc
from _thread import get_ident
from collections.abc import Iterator
from types import GeneratorType
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses.containers import (
    GIVEN,
    applies,
    order_of,
    steps,
    table_of,
)
from tracelock.instrument.accesses.reach import below as reached
from tracelock.instrument.contexts import Context, contexts, identity
from tracelock.instrument.rewrite.sites import Site

#: How deep iterators over iterators are looked into.
_DEEP: Final = 6
#: Generators, by identity, that a worker has entered and whose code has not gone on yet.
_entered: Final[set[int]] = set()


def parts_of(obj: object) -> tuple[list[Any], list[Any]]:
    """The iterators that a step of ``obj`` changes, itself included; the containers it reads."""
    iterators: list[Any] = []
    containers: list[Any] = []
    level: list[Any] = [obj]
    seen = {identity(obj)}
    for _ in range(_DEEP):
        below: list[Any] = []
        for each in level:
            type_ = type(each)
            if type_ is GeneratorType:
                iterators.append(each)
            elif applies(type_):  # the function may look at all that is below
                iterators.append(each)
                inner = gc.get_referents(each)
                below += inner
                found = reached(GIVEN, *inner).parts
                containers += [one for one, name, _ in found if name is None]
            elif steps(type_):
                iterators.append(each)
                below += gc.get_referents(each)
            elif type_ is tuple:
                below += each
            elif type_.__module__ == "itertools":
                below += gc.get_referents(each)
            elif any(table_of(base) is not None for base in order_of(type_)) and all(
                each is not one for one in containers
            ):
                containers.append(each)
        level = [each for each in below if identity(each) not in seen]
        seen.update(map(identity, level))
        if not level:
            break
    return iterators, containers


def enter(obj: Any, site: Site, context: Context) -> None:
    """Before a step of ``obj``, or several. Raises ValueError as a generator does that runs."""
    iterators, containers = parts_of(obj)
    if not context.shares(iterators):
        for each in containers:
            context.access(ops.READ, each, None, site)
        return
    stepped = [(each, None) for each in iterators]
    context.together([(each, None) for each in containers], stepped, site)
    generators = [each for each in iterators if type(each) is GeneratorType]
    numbers = {identity(each) for each in generators}
    if not _entered.isdisjoint(numbers):
        raise ValueError("generator already executing")
    if generators:
        _entered.update(numbers)
        try:
            context.together((), [(each, None) for each in generators], site)
        finally:
            _entered.difference_update(numbers)


class StepWalk:
    """An iterator in a loop: each step of the loop is a step of it."""

    __slots__ = ("_real", "_site")

    def __init__(self, real: Iterator[Any], site: Site) -> None:
        self._real = real
        self._site = site

    def __iter__(self) -> StepWalk:
        return self

    def __next__(self) -> Any:
        context = contexts.get(get_ident())
        if context is not None:
            enter(self._real, self._site, context)
        value = next(self._real)
        if context is not None:
            context.saw(value)
        return value

    def __length_hint__(self) -> int:
        real: Any = self._real
        return real.__length_hint__() if hasattr(real, "__length_hint__") else 0
