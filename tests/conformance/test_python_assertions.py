"""What assertions look at is seen, also where pytest has rewritten them, as it has here."""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tracelock.instrument.rewrite.codes import pytest_loader

Work = Callable[[Any], None]


class Counter:
    def __init__(self) -> None:
        self.value = 0
        self.closed = False

    def bump(self) -> int:
        value = self.value
        self.value = value + 1
        return self.value

    def nothing(self) -> None:
        self.bump()

    def itself(self) -> Counter:
        return self


def state() -> Any:
    counter = Counter()
    return SimpleNamespace(
        counter=counter, part=SimpleNamespace(counter=counter), table={"a": counter},
        items=[0]
    )  # fmt: skip


# --- two workers do this, and count both -----------------------------------------------------
def method(s: Any) -> None:
    counter = s.counter
    assert counter.bump() > 0


def of_a_part(s: Any) -> None:
    assert s.part.counter.itself().bump() > 0


def of_an_item(s: Any) -> None:
    assert s.table["a"].bump() > 0 and s.table


def of_no_value(s: Any) -> None:
    assert not s.counter.nothing()


def of_all(s: Any) -> None:
    assert all(each.bump() for each in [s.counter])


def by_getter(s: Any) -> None:
    get = operator.attrgetter("counter")
    assert get(s).bump() != 0, "counted"


COUNTING: list[Work] = [method, of_a_part, of_an_item, of_no_value, of_all, by_getter]


# --- the other one puts 1 and then 2 into the list; each fails only between ------------------
def puts(s: Any) -> None:
    s.items.append(1)
    s.items.append(2)


def searched(s: Any) -> None:
    items = s.items
    assert 1 not in items or 2 in items


def counted(s: Any) -> None:
    assert len(s.items) == len(s.items)


def copied(s: Any) -> None:
    assert s.items.copy() in ([0], [0, 1, 2])


def compared(s: Any) -> None:
    assert s.items != [0, 1]


def last(s: Any) -> None:
    assert s.items[-1] != 1


def popped(s: Any) -> None:
    assert s.items.pop() != 1


def by_place(s: Any) -> None:
    assert operator.itemgetter(-1)(s.items) != 1


def joined(s: Any) -> None:
    assert ",".join(map(str, s.items)) != "0,1"


LOOKING: list[Work] = [searched, counted, copied, compared, last, popped, by_place, joined]


def failures(found: tracelock.Explored) -> set[str | None]:
    return {way.failure for way in found.ways if way.kind == "failed"}


def test_pytest_has_rewritten_this_module() -> None:
    import sys

    assert pytest_loader(sys.modules[__name__]) is not None


@pytest.mark.parametrize("work", COUNTING)
def test_methods_called_in_assertions_are_seen(work: Work) -> None:
    def check(s: Any) -> None:
        if s.counter.value != 2:
            raise ValueError("lost")

    found = tracelock.explore(
        setup=state, workers=[work, work], check=check, instrument=[__name__], strategy="dpor",
        schedules=200, shrink=False, confirm=0,
    )  # fmt: skip
    assert found.verdict == "failed" and failures(found) == {"finally"}, found.ways


@pytest.mark.parametrize("work", LOOKING)
def test_containers_looked_at_in_assertions_are_seen(work: Work) -> None:
    found = tracelock.explore(
        setup=state, workers=[work, puts], instrument=[__name__], strategy="dpor",
        schedules=200, shrink=False, confirm=0,
    )  # fmt: skip
    assert found.verdict == "failed" and failures(found) == {"assert"}, found.ways


# --- what pytest does for the text of a failure is no access ---------------------------------
LIMIT = 3


def sets_limit() -> None:
    global LIMIT
    LIMIT = 3


def asserts(s: Any) -> None:
    sets_limit()
    try:
        assert s.counter.value > LIMIT or (s.items and s.counter.value == 7)
    except AssertionError:
        s.counter.closed = True


def asks(s: Any) -> None:
    sets_limit()
    value = s.counter.value > LIMIT
    if not value:
        value = s.items
        if value:
            value = s.counter.value == 7
    if not value:
        s.counter.closed = True


def test_the_text_of_an_assertion_that_fails_is_no_access() -> None:
    seen = []
    for work in (asserts, asks):
        found = tracelock.explore(
            setup=state, workers=[work, work], instrument=[__name__], strategy="dpor",
            schedules=5_000, shrink=False, confirm=0,
        )  # fmt: skip
        assert found.account is not None and (found.whole or found.exhaustive), found.summary
        seen.append((found.executions, found.account.line.partition(";")[0]))
    assert seen[0] == seen[1]
