"""Small programs that use an object: some calls before, some of two or more workers, some after.
And what of that is compared, and how it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from tracelock.audit.reading import MethodCall
from tracelock.audit.results import evenly
from tracelock.history.contracts import (
    DIRTY_READ,
    ITERATIONS,
    LINEARIZABLE,
    NO_CRASH,
    WEAK_ITERATION,
)
from tracelock.history.values import told

#: What is put in the place of a result that is not compared.
ANY: Final = ("returns", "anything")
_ITERATING: Final = ITERATIONS | {"iter"}


@dataclass(frozen=True)
class ClientOf:
    """``before``: calls of the setup; ``threads``: those of each worker; ``after``: calls that show
    the state in the end. The calls of workers have numbers, worker by worker."""

    before: tuple[MethodCall, ...]
    threads: tuple[tuple[MethodCall, ...], ...]
    after: tuple[MethodCall, ...] = ()

    @property
    def calls(self) -> list[MethodCall]:
        return [call for thread in self.threads for call in thread]

    @property
    def numbers(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the calls of each worker."""
        found, first = [], 0
        for thread in self.threads:
            found.append(tuple(range(first, first + len(thread))))
            first += len(thread)
        return tuple(found)

    def __str__(self) -> str:
        threads = " || ".join("; ".join(map(str, one)) for one in self.threads if one)
        before = "; ".join(map(str, self.before))
        return f"{before} | {threads}" if before else threads


def orders(threads: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Every order of the numbers that keeps those of each worker as they are."""
    if not any(threads):
        yield ()
    for place, thread in enumerate(threads):
        if thread:
            rest = [*threads[:place], thread[1:], *threads[place + 1 :]]
            for order in orders(rest):
                yield (thread[0], *order)


def in_turn(threads: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The order of the numbers in which each worker makes one call after the other one has."""
    rounds = zip_longest(*threads, fillvalue=-1)
    return tuple(number for one in rounds for number in one if number >= 0)


def kept_orders(numbers: Sequence[int], before: set[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Every order that has the first of each pair before the second, where it has both."""
    if not numbers:
        yield ()
    for number in numbers:
        rest = [one for one in numbers if one != number]
        if all((one, number) not in before for one in rest):
            for order in kept_orders(rest, before):
                yield (number, *order)


class Contracts:
    """The words of the methods, by what they are called in the matrix or in Python. ``any_order``:
    judged by a model, the methods of which it says that items come in any order."""

    def __init__(
        self, given: str | Mapping[str, str], reads: Sequence[MethodCall] = (),
        any_order: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self._given = given
        self._reads = frozenset(reads)
        self.any_order = any_order
        #: Methods that take nothing for their caller, whatever they are called.
        self.take_nothing: set[str] = set()

    def knowing(self, reads: Sequence[MethodCall]) -> Contracts:
        """The same, with the calls that change nothing."""
        return Contracts(self._given, reads, self.any_order)

    def of(self, method: str) -> str:
        """The word of a method."""
        if isinstance(self._given, str):
            return self._given
        return self._given.get(method, LINEARIZABLE)

    def view(self, call: MethodCall, result: Any) -> Any:
        """A result as far as it is compared."""
        word = self.of(call.method)
        hidden = (
            word == NO_CRASH
            or (word == WEAK_ITERATION and call.method in _ITERATING)
            or (
                word == DIRTY_READ and (call in self._reads or call.method in ("in", "x[k]", "get"))
            )
        )
        if hidden and result[0] == "returns":
            return ANY
        if self.any_order is None:
            return result
        return evenly(result, call.method in self.any_order)


def shown_as(result: Any) -> str:
    """A result as text: ``returns 1``, ``raises KeyError``, ``waits``."""
    if result[0] == "returns":
        return f"returns {told(_plain(result[1]), 60)}"
    return " ".join(map(str, result))


def _plain(value: Any) -> Any:
    """What ``results.told`` made of a value, as it is read best."""
    if not isinstance(value, tuple) or not value:
        return value
    kind, rest = value[0], value[1:]
    if kind in ("list", "items"):
        return [_plain(one) for one in rest]
    if kind == "mapping":
        return _Text("{" + ", ".join(f"{_plain(k)!r}: {_plain(v)!r}" for k, v in rest) + "}")
    if kind in ("itself", "named", "enum", "object", "value", "exception", "set"):
        return _Text(" ".join(str(_plain(one)) for one in value))
    return tuple(_plain(one) for one in rest)


class _Text(str):
    """A text whose repr is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shut() -> threading.Lock:
    """What one waits for and another opens, once: nobody can look whether it is open, so that there
    is one order of the two. An event would be code that may be looked into."""
    gate = threading.Lock()
    gate.acquire()
    return gate


def named(work: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``work``, called like that."""
    work.__name__ = work.__qualname__ = name
    return work
