"""Attributes that are read or written other than by ``obj.name``: a race on them is seen."""

from __future__ import annotations

import copy
import json
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


def test_what_is_handed_away_with_its_attributes_is_used() -> None:
    """``json`` is not looked into: it may do with them what it likes."""

    def dumps(o: Any) -> Any:
        return json.dumps(vars(o))

    found = tracelock.explore(setup=Plain, workers=[dumps, writes], strategy="dpor")
    assert found.verdict == "passed"
    assert "json" in found.account.unseen
