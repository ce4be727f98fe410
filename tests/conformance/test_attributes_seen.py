"""Attributes that are read or written other than by ``obj.name``: a race on them is seen."""

from __future__ import annotations

import copy
import decimal
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import tracelock


class Plain:
    def __init__(self) -> None:
        self.n: Any = 1


class Slotted:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n: Any = 1


@dataclass
class Record:
    n: Any = 1


@dataclass(order=True, slots=True)
class SlottedRecord:
    n: Any = 1


KINDS: list[type] = [Plain, Slotted, Record, SlottedRecord]


def by_pattern(o: Any) -> Any:
    match o:
        case object(n=1):
            return 1
        case object(n=other):
            return other


def by_place(o: Any) -> Any:
    match o:
        case Record(1) | SlottedRecord(1):
            return 1
    return o.n


def within(o: Any) -> Any:
    match {"all": [0, o]}:
        case {"all": [_, object(n=found)]}:
            return found


def after_a_guard(o: Any) -> Any:
    match o:
        case object() if not o:
            return 0
        case object(n=found):
            return found


def formatted(o: Any) -> Any:
    return "{0.n}".format(o)  # noqa: UP030, UP032


def asked(o: Any) -> Any:
    return o.__getattribute__("n")


def copied(o: Any) -> Any:
    return copy.copy(o).n


def deeply(o: Any) -> Any:
    return copy.deepcopy(o).n


def reduced(o: Any) -> Any:
    return str(o.__reduce_ex__(2))


def unpacked(o: Any) -> Any:
    return {**vars(o)}["n"]


def of_the_slot(o: Any) -> Any:
    return type(o).n.__get__(o)


def replaced(o: Any) -> None:
    o.__dict__ = {"n": 4}


def updated(o: Any) -> None:
    vars(o).update(n=4)


EITHER: list[Callable[[Any], Any]] = [
    by_pattern, by_place, within, after_a_guard, formatted, asked, copied, deeply, reduced,
]  # fmt: skip


def writes(o: Any) -> None:
    o.n = 5


CASES = [
    *((worker, kind) for worker in EITHER for kind in KINDS),
    *((worker, kind) for worker in (unpacked, replaced, updated) for kind in (Plain, Record)),
    *((of_the_slot, kind) for kind in (Slotted, SlottedRecord)),
]


@pytest.mark.parametrize(
    ("worker", "kind"), CASES, ids=lambda one: one.__name__
)  # fmt: skip
def test_it_is_seen(worker: Callable[[Any], Any], kind: type) -> None:
    found = tracelock.explore(setup=kind, workers=[worker, writes], strategy="dpor")
    assert found.verdict == "verified"
    assert found.executions >= 2
    assert any(name.startswith(kind.__name__) for name in found.account.variables)


@pytest.mark.parametrize("kind", [Record, SlottedRecord])
def test_that_records_differ_is_asked_of_what_they_hold(kind: type) -> None:
    def worker(o: Any) -> None:
        assert o != kind(5)

    assert tracelock.explore(setup=kind, workers=[worker, writes]).verdict == "failed"


class Meta(type):
    total = 0


class Counted(metaclass=Meta):
    pass


def raised() -> tuple[Any, Any]:
    error = ValueError("a")
    return lambda: setattr(error, "args", ("b",)), lambda: error.args


def precise() -> tuple[Any, Any]:
    context = decimal.Context()
    return lambda: setattr(context, "prec", 5), lambda: context.prec


def of_a_metaclass() -> tuple[Any, Any]:
    return lambda: setattr(Meta, "total", 1), lambda: Counted.total  # type: ignore[attr-defined]


@pytest.mark.parametrize("made", [raised, precise, of_a_metaclass])
def test_attributes_that_are_held_in_c_or_by_a_metaclass(
    made: Callable[[], tuple[Any, Any]],
) -> None:
    sets, reads = made()
    found = tracelock.explore(
        setup=Plain, workers=[lambda o: sets(), lambda o: reads()], strategy="dpor"
    )
    assert found.executions == 2
    kept = {"Context"} if made is precise else set()  # which has more than its attributes, in C
    assert (found.verdict, set(found.account.unseen)) == ("passed" if kept else "verified", kept)


def warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")


SETTINGS: list[tuple[Callable[[], object], str]] = [
    (lambda: os.environ.update(TRACELOCK_TRIED="1"), "os.environ"),
    (lambda: os.environ.pop("HOME", None), "os.environ"),
    (warns, "the filters of warnings"),
    (lambda: os.umask(0o22), "os.umask"),
    (lambda: sys.setrecursionlimit(sys.getrecursionlimit()), "sys.setrecursionlimit"),
]


@pytest.mark.parametrize(("sets", "what"), SETTINGS)
def test_what_holds_for_the_whole_process_is_not_verified(
    sets: Callable[[], object], what: str
) -> None:
    found = tracelock.explore(
        setup=Plain, workers=[lambda o: sets(), lambda o: o.n], strategy="dpor"
    )
    assert found.verdict == "passed"
    assert what in found.account.unseen


def test_what_is_handed_away_with_its_attributes_is_used() -> None:
    """``json`` is not looked into: it may do with them what it likes."""

    def dumps(o: Any) -> Any:
        return json.dumps(vars(o))

    found = tracelock.explore(setup=Plain, workers=[dumps, writes], strategy="dpor")
    assert found.verdict == "passed"
    assert "json" in found.account.unseen


def from_a_generator(o: Any) -> Any:
    def gives() -> Any:
        yield from o.n

    return any(gives())


TAKING: list[Callable[[Any], Any]] = [
    lambda o: sum((each for each in o.n), []),  # noqa: RUF017
    lambda o: any(each for each in o.n),
    lambda o: max(each for each in o.n),
    lambda o: sorted(each for each in o.n),
    lambda o: list(itertools.chain.from_iterable(each for each in o.n)),
    from_a_generator,
]


@pytest.mark.parametrize("takes", TAKING)
def test_what_a_generator_gives_is_looked_into(takes: Callable[[Any], Any]) -> None:
    """``sum(gen, [])`` adds up lists in C: what these hold is read, and not by the generator."""

    def clears(o: Any) -> None:
        o.n[0].clear()

    def reads(o: Any) -> None:
        o.got = takes(o)

    def setup() -> Any:
        o: Any = Plain()
        o.n = [[1]]
        return o

    expected = takes(setup())
    found = tracelock.explore(
        setup=setup, workers=[reads, clears], strategy="dpor", confirm=1, shrink=False,
        check=lambda o: o.got == expected,
    )  # fmt: skip
    assert found.verdict == "failed"
