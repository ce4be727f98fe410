"""What holds state and how it is put back, without a schedule."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
import threading
import types
import warnings
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.instrument.state import holders as kinds_of_holders
from tracelock.instrument.state import together as looking_together
from tracelock.instrument.state.holders import Holder
from tracelock.instrument.state.identities import IS_SEEN, picture
from tracelock.instrument.state.process import ProcessWide
from tracelock.instrument.state.snapshot import Snapshot
from tracelock.instrument.state.together import batches
from tracelock.instrument.state.versions import COUNTED


def snapshot(module: types.ModuleType) -> list[Holder]:
    found = Snapshot(lambda name: name == module.__name__)
    found.module(module.__name__, module)
    return found.found


def written(source: str) -> types.ModuleType:
    module = types.ModuleType("kept_state_module")
    exec(source, module.__dict__)
    return module


def put_back(holders: list[Holder]) -> list[str]:
    changed = [holder for holder in holders if holder.changed()]
    for holder in changed:
        holder.put_back()
    assert not any(holder.changed() for holder in holders)
    return sorted(holder.label for holder in changed)


def test_nothing_of_the_program_runs_when_state_is_looked_at_or_put_back() -> None:
    module = written(
        """
def no(*args, **kwargs):
    raise AssertionError("the program's code was called")

class Meta(type):
    __eq__ = __setattr__ = __delattr__ = __getattribute__ = no
    __hash__ = None

class Odd(metaclass=Meta):
    __eq__ = __hash__ = __setattr__ = __delattr__ = __getattribute__ = __iter__ = __len__ = no
    __bool__ = __getattr__ = no
    count = 0

class Lazy:
    __class__ = property(no)
    __dict__ = property(no)

ODD = object.__new__(Odd)
LAZY = Lazy()
HELD = {"odd": ODD, "lazy": LAZY}
"""
    )
    holders = snapshot(module)
    names = module.__dict__
    object.__setattr__(names["ODD"], "new", 1)
    type.__setattr__(names["Odd"], "count", 1)
    names["HELD"]["more"] = names["ODD"]
    assert put_back(holders)
    assert list(names["HELD"]) == ["odd", "lazy"]
    assert type.__getattribute__(names["Odd"], "count") == 0
    del holders
    names.clear()
    gc.collect()  # nobody else shall meet such a class


def test_the_order_of_a_dictionary_is_put_back() -> None:
    module = written("D = {'a': 1, 'b': 2}")
    holders = snapshot(module)
    module.D["a"] = module.D.pop("a")
    assert put_back(holders) == ["kept_state_module.D"]
    assert list(module.D) == ["a", "b"]


@pytest.mark.parametrize("maxsize", [None, 8])
def test_a_cache_that_was_filled_before(maxsize: int | None) -> None:
    module = written(
        f"import functools\n@functools.lru_cache(maxsize={maxsize})\ndef f(n):\n    return [n]"
    )
    first = module.f(1)
    holders = snapshot(module)
    module.f(2)
    (cache,) = (one for one in holders if "f" in one.label and one.changed())
    cache.put_back()
    assert cache.whole is (maxsize is None)
    assert module.f(1) is first
    assert module.f.cache_info().currsize == (1 if maxsize is None else 2)


def test_containers_in_containers_and_objects_are_found() -> None:
    module = written(
        """
class Node:
    def __init__(self, parts):
        self.parts = parts

LEAF = [1]
TREE = (Node({"x": [Node({"y": LEAF})]}),)
"""
    )
    holders = snapshot(module)
    module.LEAF.append(2)
    module.TREE[0].parts["x"][0].extra = 1
    assert len(put_back(holders)) == 2
    assert module.LEAF == [1]


def test_objects_of_libraries_are_only_seen_to_change() -> None:
    module = written("")
    library = types.ModuleType("kept_state_library")
    exec("class Engine:\n    pass", library.__dict__)
    library.Engine.__module__ = "kept_state_library"
    module.engine = library.Engine()
    holders = snapshot(module)
    module.engine.connections = 1
    (changed,) = (holder for holder in holders if holder.changed())
    assert not changed.whole
    changed.put_back()
    assert module.engine.connections == 1


def test_nothing_is_copied_of_libraries() -> None:
    holders = snapshot(written("import sys, functools, os\nCACHED = functools.partial(os.getcwd)"))
    assert [holder.label for holder in holders] == ["kept_state_module"]
    assert sys.modules
    assert functools


class Unasked:
    """Whoever compares it runs its code."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("it was asked")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.skipif(not IS_SEEN, reason="it is looked at one by one")
@given(st.lists(st.integers(0, 4), max_size=9), st.lists(st.integers(0, 4), max_size=9))
def test_two_tuples_have_the_same_picture_where_they_contain_the_same_objects(
    one: list[int], other: list[int]
) -> None:
    pool: list[Any] = [Unasked(), Unasked(), None, 1.5, float("1.5")]
    first, second = tuple(pool[k] for k in one), tuple(pool[k] for k in other)
    assert picture(first) == picture(tuple(pool[k] for k in one))
    assert (picture(first) == picture(second)) == (one == other)


def test_an_interpreter_that_shows_nothing_of_tuples_is_asked_for_each_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking_together, "IS_SEEN", False)
    box: dict[str, Any] = {"a": 1.5}
    module = types.ModuleType("kept_state_module")
    vars(module)["BOX"] = box
    together, _ = batches(snapshot(module))
    assert not [one for batch in together for one in batch.changed()]
    assert not [one for batch in together for one in batch.changed()]
    box["a"] = float("1.5")
    assert len([one for batch in together for one in batch.changed()]) == 1


_VALUES: list[Any] = [None, Unasked(), 1.5, "a", []]


@pytest.mark.parametrize("counted", [COUNTED, False])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 4)), max_size=9))
@settings(deadline=None, max_examples=40)
def test_that_a_module_has_changed_is_told_as_by_all_of_its_names(
    counted: bool, changes: list[tuple[int, int, int]]
) -> None:
    module = written("def assign(value):\n    global A\n    A = value\nA = B = C = None\n")
    names = vars(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds_of_holders, "COUNTED", counted)
        holders = snapshot(module)
    together, _ = batches(holders)
    assert not [one for batch in together for one in batch.changed()]
    before = [*names.items()]
    for way, which, value in changes:
        name, new = "ABCD"[which], _VALUES[value]
        if way == 0:
            names["assign"](new)
        elif way == 1:
            setattr(module, name, new)
        elif way == 2:
            names.pop(name, None)
        elif way == 3:
            names.update({name: new})
        elif way == 4:
            names.setdefault(name, new)
        elif way == 5:
            names[name] = names.pop(name, None)  # the same in another place
        else:
            names.clear()
            names.update(before)
        now = [*names.items()]
        same = len(now) == len(before) and all(
            a == c and b is d for (a, b), (c, d) in zip(now, before, strict=True)
        )
        changed = [one.label for one in holders if one.changed()]
        found = [one.label for batch in together for one in batch.changed()]
        assert found == changed and (not found or not same)
        if found:
            return


def test_what_was_changed_of_the_process_and_made_what_it_was_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACELOCK_TEST_STATE", "as it was")
    kept = ProcessWide()
    for text in ("another", "one more"):
        os.environ["TRACELOCK_TEST_STATE"] = text
        os.environ["TRACELOCK_TEST_STATE"] = "as it was"
        assert kept.same() and kept.put_back() == []
        os.environ["TRACELOCK_TEST_STATE"] = text
        assert not kept.same()
        assert kept.put_back() == ["os.environ"]
        assert os.environ["TRACELOCK_TEST_STATE"] == "as it was"
        assert kept.same()


def _another_path() -> None:
    sys.path = [*sys.path, "another"]


#: What each row that is looked at together with others gets to see.
CHANGES: dict[str, Any] = {
    "the working directory": lambda: os.chdir(os.sep),
    "os.umask": lambda: os.umask(0o123),
    "sys.path": lambda: sys.path.append("another"),
    "sys.argv": lambda: sys.argv.append("another"),
    "gc.callbacks": lambda: gc.callbacks.append(print),
    "warnings.filters": lambda: warnings.simplefilter("ignore", UserWarning),
    "threading.settrace": lambda: threading.settrace(print),
    "threading.setprofile": lambda: threading.setprofile(print),
    "timers of signals": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 1_000_000),
    "logging": lambda: logging.disable(logging.CRITICAL),
    "weakref.finalize": lambda: setattr(weakref.finalize, "_shutdown", True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_looked_at_together_is_put_back_row_by_row(name: str) -> None:
    kept = ProcessWide()
    try:
        for _ in range(2):
            CHANGES[name]()
            assert not kept.same()
            assert kept.put_back() == [name]
            assert kept.same()
            assert kept.put_back() == []
    finally:
        kept.put_back()


def test_a_list_in_the_place_of_another_is_looked_at_from_then_on() -> None:
    kept, before = ProcessWide(), sys.path
    try:
        _another_path()
        assert kept.put_back() == ["sys.path"]
        sys.path.append("one more")
        assert kept.put_back() == ["sys.path"]
        assert sys.path == before
    finally:
        sys.path = before


@given(st.lists(st.tuples(st.integers(0, 699), st.integers(0, 5)), max_size=12), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_many_looked_at_together_are_those_that_change_one_by_one(
    changes: list[tuple[int, int]], earlier: int
) -> None:
    module = written(
        """
import collections
class Point:
    pass
ALL = []
def kept(value):
    return lambda: value
for number in range(100):
    point = Point()
    point.x = number
    point.y = None
    ALL += [{number: None}, [number], {str(number)}, collections.deque([number]), point,
            collections.OrderedDict(a=number), kept([number])]
"""
    )
    holders = snapshot(module)
    together, alone = batches(holders)
    things: list[Any] = module.__dict__["ALL"]

    def change(at: int, how: int) -> None:
        thing = things[at]
        if callable(thing):
            cell = thing.__closure__[0]
            cell.cell_contents = cell.cell_contents if how % 2 else [how]
        elif hasattr(thing, "x"):
            vars(thing).update({"xy"[how % 2]: how} if how < 4 else {"z": how})
        elif isinstance(thing, set):
            (thing.discard if how < 3 else thing.add)(str(at // 7 if how % 2 else how))
        elif isinstance(thing, dict):
            thing.pop(next(iter(thing), None), None) if how < 2 else thing.update({how: how})
        elif how % 2:
            thing.append(how)
        else:
            thing[-1] = how if how else thing[-1]

    seen: set[Holder] = set()
    for part in (changes[:earlier], changes[earlier:]):
        for at, how in part:
            change(at, how)
        found = {one for batch in together for one in batch.changed()}
        assert not found & seen  # what was seen has left its batch
        assert all(one.changed() for one in found)
        seen |= found
        assert {one for one in holders if one.changed()} <= seen | set(alone)
