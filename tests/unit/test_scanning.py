"""What is known of the objects of the process between explorations, without a schedule."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest

from tracelock.instrument.live_objects import LiveObjects, no_collections
from tracelock.instrument.scanning.lasting import LastingObjects
from tracelock.instrument.scanning.marks import BY_AGE, AgeMark
from tracelock.instrument.scanning.process import ProcessLook
from tracelock.instrument.scanning.references import KnownReferences, Referrers

pytestmark = pytest.mark.skipif(not BY_AGE, reason="the collector has no lists by age")


class Thing:
    pass


class Pair(namedtuple("Pair", "one two")):
    """Nobody can refer to it weakly, and it has attributes of its own."""


def named(value: Any = None) -> Any:
    return value


def another(value: Any = None) -> Any:
    return value


@pytest.fixture
def mark() -> Iterator[AgeMark]:
    with no_collections():
        mark = AgeMark()
        mark.everything()
        yield mark


def is_in(thing: object, found: list[Any] | None) -> bool:
    return found is not None and any(one is thing for one in found)


# --- what is new ------------------------------------------------------------------------------
def test_what_has_come_into_being_is_told_once(mark: AgeMark) -> None:
    gc.unfreeze()
    old = mark.new()
    assert old is not None
    gc.unfreeze()
    thing = Thing()
    new = mark.new()
    assert is_in(thing, new)
    gc.unfreeze()
    assert not is_in(thing, mark.new())


def test_what_has_grown_a_little_older_is_still_new(mark: AgeMark) -> None:
    gc.unfreeze()
    thing = Thing()
    gc.collect(0)
    assert is_in(thing, mark.new())


@pytest.mark.parametrize("times", [1, 3])
def test_what_has_grown_old_is_still_new(mark: AgeMark, times: int) -> None:
    for _ in range(times):
        old, thing = Thing(), Thing()
        if times > 1:
            gc.unfreeze()
            assert mark.new() is not None
        else:
            mark.everything()
        gc.unfreeze()
        gc.collect(1)
        newer = Thing()
        gc.collect(1)
        newest = Thing()
        new = mark.new()
        assert is_in(newer, new) and is_in(newest, new)
        assert not is_in(old, new) and not is_in(thing, new)
        gc.unfreeze()


@pytest.mark.parametrize("when", ["young", "old"])
def test_what_was_frozen_meanwhile_is_still_new(mark: AgeMark, when: str) -> None:
    gc.unfreeze()
    thing = Thing()
    if when == "old":
        gc.collect(1)
    newer = Thing()
    gc.freeze()
    gc.unfreeze()
    newest = Thing()
    new = mark.new()
    assert is_in(thing, new) and is_in(newer, new) and is_in(newest, new)


@pytest.mark.parametrize("how", ["collected", "collected when old", "frozen", "referred to"])
def test_where_new_and_old_are_mixed_it_is_not_told(mark: AgeMark, how: str) -> None:
    gc.unfreeze()
    thing = Thing()
    if how == "collected":
        gc.collect()
    elif how == "collected when old":
        gc.collect(1)
        gc.collect()
    elif how == "frozen":
        gc.freeze()
    else:
        mark.referrers((thing,))
        thing = Thing()
        gc.unfreeze()
        gc.collect(1)
    assert mark.new() is None
    assert is_in(thing, mark.everything())


def test_an_object_that_is_old_and_referred_to_anew_is_found_among_the_referrers(
    mark: AgeMark,
) -> None:
    thing, holder = Thing(), Thing()
    gc.unfreeze()
    mark.everything()
    holder.thing = thing  # type: ignore[attr-defined]
    found, new = mark.referrers((thing,))
    assert is_in(holder, found) and not is_in(holder, new)


# --- who is kept in mind ----------------------------------------------------------------------
def test_those_that_are_kept_in_mind_die_with_their_last_reference() -> None:
    lasting = LastingObjects(gc.get_referrers)
    thing = Thing()
    thing.lock = threading.Lock()  # type: ignore[attr-defined]
    lasting.take(LiveObjects(objects=[thing, thing.lock]))  # type: ignore[attr-defined]
    given = LiveObjects(objects=[])
    lasting.give(given)
    lasting.give_all(given)
    assert given.others == [thing] and given.special == [thing.lock]  # type: ignore[attr-defined]
    del thing, given
    empty = LiveObjects(objects=[])
    lasting.give(empty)
    lasting.give_all(empty)
    assert empty.others == [] and empty.special == []


def test_one_that_cannot_be_referred_to_weakly_is_found_through_its_class() -> None:
    lasting = LastingObjects(gc.get_referrers)
    bare, full = Pair(1, 2), Pair(3, 4)
    full.more = Thing()  # type: ignore[attr-defined]
    lasting.take(LiveObjects(objects=[bare, full]))
    assert lasting.complete
    given = LiveObjects(objects=[])
    lasting.give_all(given)
    assert any(one is full for one in given.others)  # the other will have a new dictionary


def test_objects_of_a_class_are_kept_in_mind_once_they_were_asked_for() -> None:
    class Derived(Thing):
        pass

    lasting = LastingObjects(gc.get_referrers)
    first, other = Thing(), Derived()
    lasting.take(LiveObjects(objects=[first, other]))
    assert lasting.instances_of(Thing) == [first]
    second = Thing()
    lasting.take(LiveObjects(objects=[second, Derived()]))
    assert lasting.instances_of(Thing) == [first, second]
    del first
    assert lasting.instances_of(Thing) == [second]
    lasting.forget()
    lasting.take(LiveObjects(objects=[second]))
    assert lasting.instances_of(Thing) == [second]


def test_objects_of_a_class_are_found_old_and_young() -> None:
    look = ProcessLook()
    old = Thing()
    with no_collections():
        look.look()
        assert [one for one in look.instances(Thing) if one is old] == [old]
        young = Thing()
        assert {id(one) for one in look.instances(Thing)} >= {id(old), id(young)}
        look.referrers(old)  # by which all that is young is frozen
        found = look.instances(Thing)
        assert sum(one is young for one in found) == sum(one is old for one in found) == 1


# --- who refers to them -------------------------------------------------------------------------
class Has:
    thing: Any


class Other:
    thing: Any


class Asked:
    """Asks who refers to what ``Has`` has. ``all``: whether all objects had to be asked."""

    def __init__(self) -> None:
        self.all = False
        self.known = KnownReferences(dict, self._referrers)

    def _referrers(self, *objects: Any) -> list[Any]:
        self.all = True
        return [one for one in gc.get_referrers(*objects) if one is not objects]

    def __call__(self, new: list[Any] | None = None) -> Referrers:
        self.all = False
        aside = [] if new is None else [new]
        return self.known.of((vars(Has)["thing"] for _ in "1"), [], new, aside)


@pytest.fixture
def asked() -> Iterator[Asked]:
    Has.thing = (lambda: lambda: None)()
    asks = Asked()
    asks()
    yield asks
    del Has.thing
    if "thing" in vars(Other):
        del Other.thing
    named.__defaults__ = another.__defaults__ = (None,)


def classes(found: Referrers) -> set[type]:
    return {cls for cls, _ in found.classes} | {
        one for one in found.objects if issubclass(type(one), type)
    }


def functions(found: Referrers) -> list[Any]:
    return [one.__name__ for one in found.live().functions]


def test_while_the_counts_agree_nobody_is_asked(asked: Asked) -> None:
    for _ in range(2):
        assert classes(asked([])) == {Has} and not asked.all


def test_one_who_is_new_is_found_among_what_is_new(asked: Asked) -> None:
    class New:
        thing = vars(Has)["thing"]

    assert New in classes(asked([New, gc.get_referents(vars(New))[0]]))
    assert not asked.all


def test_one_who_is_old_and_has_it_now_is_found_among_all(asked: Asked) -> None:
    Other.thing = vars(Has)["thing"]
    assert {Has, Other} <= classes(asked([])) and asked.all
    assert {Has, Other} == classes(asked([])) and not asked.all


def test_one_who_lets_go_hides_nobody_who_is_new(asked: Asked) -> None:
    Other.thing = vars(Has)["thing"]
    asked([])
    asked([])
    named.__defaults__ = (vars(Has)["thing"],)
    del Other.thing
    assert "named" in functions(asked([])) and asked.all


def test_who_has_it_may_be_reached_by_a_class(asked: Asked) -> None:
    Other.thing = {"field": Pair(vars(Has)["thing"], 1)}
    assert asked([]) and asked.all
    assert asked([]) and not asked.all
    again = Pair(vars(Has)["thing"], 2)
    assert asked([again]) and asked.all  # nothing leads to it but this function


def test_code_in_c_that_has_it_and_cannot_be_asked_is_searched_for_once(asked: Asked) -> None:
    thing = ctypes.py_object(vars(Has)["thing"])
    taken = 0
    try:
        for _ in range(2):
            ctypes.pythonapi.Py_IncRef(thing)
            taken += 1
            found = [asked([]) and asked.all for _ in range(3)]
            assert found == [True, False, False]
    finally:
        for _ in range(taken):
            ctypes.pythonapi.Py_DecRef(thing)
    assert {Has} == classes(asked([])) and not asked.all


def test_defaults_that_another_function_has_as_well_are_searched_for(asked: Asked) -> None:
    named.__defaults__ = (vars(Has)["thing"],)
    asked([])
    asked([])
    assert not asked.all
    another.__defaults__ = named.__defaults__
    assert {"named", "another"} <= {*functions(asked([]))} and asked.all
