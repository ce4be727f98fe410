"""More small programs with their known truth, in the list of ``interpreter_cases``."""

from __future__ import annotations

import _thread
import weakref
from types import SimpleNamespace
from typing import Any

from tests.conformance.interpreter_cases import RIGHT, WRONG, State, Thing, case, drop, equal


# --- what only a container has dies with it ---------------------------------------------------
def look(s: State) -> None:
    if s.ref() is not None:
        s.ref().value  # noqa: B018


def boxed(depth: int) -> State:
    thing = Thing(1)
    box: Any = [thing]
    for _ in range(depth):
        box = [{"inner": box}]
    return SimpleNamespace(owner=box, ref=weakref.ref(thing))


@case(WRONG, "the list that alone has it is dropped as a whole")
def weakref_to_what_a_list_has() -> Any:
    return lambda: boxed(0), [look, drop], None


@case(WRONG, "containers within containers are emptied from outside")
def weakref_to_what_is_deep_in_containers() -> Any:
    def clear(s: State) -> None:
        s.owner.clear()

    return lambda: boxed(3), [look, clear], None


@case(RIGHT, "a second reference to the list keeps it")
def weakref_to_what_another_list_has_too() -> Any:
    def setup() -> State:
        s = boxed(0)
        s.other = s.owner
        return s

    return setup, [look, drop], None


@case(WRONG, "the table was made from keywords, which nobody has any more")
def weak_values_from_keywords() -> Any:
    def setup() -> State:
        thing = Thing(1)
        return SimpleNamespace(owner=thing, table=weakref.WeakValueDictionary(a=thing))

    def use(s: State) -> None:
        if "a" in s.table:
            s.table["a"].value  # noqa: B018

    return setup, [use, drop], None


@case(WRONG, "a worker's own list dies with its last use, however many it met since")
def weakref_to_what_an_old_local_list_has() -> Any:
    def setup() -> State:
        return SimpleNamespace(ref=None, n=0)

    def make(s: State) -> None:
        box = [Thing(1)]
        box.append(Thing(2))
        s.ref = weakref.ref(box[0])
        for number in range(20):
            another = [number]
            another.append(s.n)
        del box, another
        s.n = 1

    def use(s: State) -> None:
        if s.ref is not None:
            look(s)

    return setup, [use, make], None


class Closing:
    """Says on its owner that it has gone."""

    def __init__(self, s: State) -> None:
        self.s = s

    def __del__(self) -> None:
        self.s.open = False


@case(WRONG, "the finalizer of what is in a dropped list runs while the other uses it")
def finalizer_of_what_a_list_has() -> Any:
    def setup() -> State:
        s = SimpleNamespace(open=True, owner=None)
        s.owner = [[Closing(s)]]
        return s

    def use(s: State) -> None:
        assert s.open

    return setup, [use, drop], None


@case(RIGHT, "nobody drops it")
def finalizer_of_what_stays() -> Any:
    def setup() -> State:
        s = SimpleNamespace(open=True, owner=None)
        s.owner = [Closing(s)]
        return s

    def use(s: State) -> None:
        assert s.open
        s.owner[0].s  # noqa: B018

    return setup, [use, use], lambda s: s.owner.clear()


# --- locks by their name in _thread -----------------------------------------------------------
def two_locks(make: Any) -> Any:
    def setup() -> State:
        return SimpleNamespace(a=make(), b=make(), n=0)

    def forth(s: State) -> None:
        with s.a, s.b:
            s.n += 1

    def back(s: State) -> None:
        with s.b, s.a:
            s.n += 1

    return setup, forth, back


@case(WRONG, "two locks in two orders")
def raw_locks_in_two_orders() -> Any:
    setup, forth, back = two_locks(lambda: _thread.allocate_lock())
    return setup, [forth, back], None


@case(RIGHT, "the same in one order")
def raw_locks_in_one_order() -> Any:
    setup, forth, _ = two_locks(lambda: _thread.allocate_lock())
    return setup, [forth, forth], equal(2)


@case(WRONG, "two reentrant locks in two orders")
def raw_rlocks_in_two_orders() -> Any:
    setup, forth, back = two_locks(lambda: _thread.RLock())
    return setup, [forth, back], None


@case(RIGHT, "the same in one order")
def raw_rlocks_in_one_order() -> Any:
    setup, forth, _ = two_locks(lambda: _thread.RLock())
    return setup, [forth, forth], equal(2)


@case(WRONG, "each has a lock of its own")
def raw_lock_of_each() -> Any:
    def count(s: State) -> None:
        with _thread.allocate_lock():
            s.n += 1

    return lambda: SimpleNamespace(n=0), [count, count], equal(2)
