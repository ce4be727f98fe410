"""More small programs with their known truth, in the list of ``interpreter_cases``."""

from __future__ import annotations

import _thread
import collections
import copy
import functools
import math
import threading
import types
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


# --- modules that are filled late ---------------------------------------------------------------
def late_module(locked: bool) -> State:
    module: Any = types.ModuleType("late")
    lock = threading.Lock()
    module.made = 0

    def make(name: str) -> Any:
        if name != "value":
            raise AttributeError(name)
        module.made += 1
        module.value = [module.made]
        return module.value

    def make_once(name: str) -> Any:
        with lock:
            return module.__dict__[name] if name in module.__dict__ else make(name)

    module.__getattr__ = make_once if locked else make
    return SimpleNamespace(module=module)


def use_late(s: State) -> None:
    assert s.module.value


def made_once(s: State) -> None:
    assert s.module.made == 1


@case(WRONG, "two see that it is missing, and the module makes it twice")
def module_with_getattr() -> Any:
    return lambda: late_module(False), [use_late, use_late], made_once


@case(RIGHT, "looked at again with a lock held")
def module_with_getattr_and_a_lock() -> Any:
    return lambda: late_module(True), [use_late, use_late], made_once


class Unloaded(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        self.value = 1
        return self.value


@case(WRONG, "it counts as loaded before it is")
def module_that_is_loaded_too_early() -> Any:
    return lambda: SimpleNamespace(module=Unloaded("late")), [use_late, use_late], None


# --- what is put into texts ---------------------------------------------------------------------
def table() -> State:
    return SimpleNamespace(table={"a": 1}, thing=Thing(1), items=[1])


def change(s: State) -> None:
    s.table["a"] = s.thing.value = s.items[0] = 2


def shows(show: Any) -> Any:
    """One worker looks twice while the other changes what it looks at."""

    def work(s: State) -> None:
        assert show(s) == show(s)

    return table, [work, change], None


@case(WRONG, "a text is filled from a table")
def format_map_of_a_table() -> Any:
    return shows(lambda s: "{a}".format_map(s.table))


@case(WRONG, "a text that is no literal is filled with a list")
def format_of_a_list() -> Any:
    text = "{}!"
    return shows(lambda s: text.format(s.items))


@case(WRONG, "a text asks for an attribute")
def format_of_an_attribute() -> Any:
    return shows(lambda s: "{0.value}".format(s.thing))  # noqa: UP030, UP032


@case(WRONG, "the older way to fill a text, from a table")
def percent_of_a_table() -> Any:
    return shows(lambda s: "%(a)s" % s.table)  # noqa: UP031


@case(WRONG, "and with a list, beside something else")
def percent_of_a_list() -> Any:
    return shows(lambda s: "%s %s" % (1, s.items))  # noqa: UP031


@case(RIGHT, "what does not change is put into a text")
def format_of_what_stays() -> Any:
    def work(s: State) -> None:
        assert "{} {:.1f} {a}".format(s.n, 0.5, a="x") == "%s %.1f %s" % (1, 0.5, "x")  # noqa: UP031

    return lambda: SimpleNamespace(n=1), [work, work], None


# --- what code in C goes through -----------------------------------------------------------------
@case(WRONG, "a sum that C makes of a list")
def sum_in_c() -> Any:
    return shows(lambda s: math.fsum(s.items))


@case(WRONG, "a deque that is made of a list")
def container_of_a_container() -> Any:
    return shows(lambda s: collections.deque(s.items))


@case(WRONG, "an ordered dictionary that is made of a dictionary")
def dict_of_a_dict() -> Any:
    return shows(lambda s: collections.OrderedDict(s.table))


@case(WRONG, "a copy by the module copy")
def copied_by_copy() -> Any:
    return shows(lambda s: copy.copy(s.items))


@case(WRONG, "a list that is repeated")
def list_repeated() -> Any:
    return shows(lambda s: s.items * 2)


@case(WRONG, "a method of a list that is taken from its class")
def method_of_the_class() -> Any:
    count = list.count
    return shows(lambda s: count(s.items, 1))


@case(RIGHT, "an object that is only kept by what C makes")
def kept_by_a_partial() -> Any:
    def work(s: State) -> None:
        assert functools.partial(len, s.table)() == 1

    return table, [work, work], None


# --- namespaces by name ---------------------------------------------------------------------------
TOTAL = 0


@case(WRONG, "globals() is the same variable as the name")
def globals_against_the_name() -> Any:
    def setup() -> None:
        global TOTAL
        TOTAL = 0

    def one(_: State) -> None:
        globals()["TOTAL"] += 1

    def other(_: State) -> None:
        global TOTAL
        TOTAL += 1

    return setup, [one, other], lambda _: TOTAL == 2


@case(RIGHT, "vars() without an object is what locals() is")
def vars_of_a_function() -> Any:
    def work(s: State) -> None:
        assert set(vars()) == {"s"} == set(locals())
        assert globals()["TOTAL"] is TOTAL

    return lambda: SimpleNamespace(), [work, work], None
