"""What is done by way of an object's namespace is done to its attributes: ``vars(obj)``,
``obj.__dict__``. Another worker changes one, or adds or deletes one; a reader that asks twice gets
two answers in some schedule. With a lock around both there is none."""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar

import pytest

import tracelock


@dataclass
class Record:  # has no hash
    first: int = 1
    second: int = 1


def _in_a_loop(obj: Any) -> Any:
    for name, value in vars(obj).items():
        if name == "first":
            return value
    return None


def _iterated(obj: Any) -> Any:
    given = iter(vars(obj).values())
    for value in given:
        return value
    return None


def _taken_apart(obj: Any) -> Any:
    first, *_ = vars(obj).values()
    return first


def _matched(obj: Any) -> Any:
    match vars(obj):
        case {"first": value}:
            return value
    return None


#: Ways to read ``first``.
READS: dict[str, Callable[[Any], Any]] = {
    "loop": _in_a_loop,
    "iter": _iterated,
    "unpack": _taken_apart,
    "match": _matched,
    "enumerate": lambda it: [value for _, value in enumerate(vars(it).values())],
    "list comprehension": lambda it: [value + 1 for value in vars(it).values()],
    "dict comprehension": lambda it: {k: v for k, v in it.__dict__.items() if k[0] != "_"},
    "set comprehension": lambda it: {value + 1 for value in vars(it).values()},
    "generator": lambda it: next(value for value in vars(it).values()),
    "join": lambda it: ", ".join(f"{k}={v!r}" for k, v in it.__dict__.items()),
    "all": lambda it: all(value == 1 for value in vars(it).values()),
    "key": lambda it: vars(it)["first"],
    "get": lambda it: it.__dict__.get("first"),
    "itemgetter": lambda it: operator.itemgetter("first")(vars(it)),
    "getitem": lambda it: operator.getitem(vars(it), "first"),
    "by getattribute": lambda it: it.__getattribute__("__dict__")["first"],
    "equal": lambda it: vars(it) == {"first": 1, "second": 1},
    "in items": lambda it: ("first", 1) in vars(it).items(),
    "items &": lambda it: vars(it).items() & {("first", 1)},
    "items >=": lambda it: vars(it).items() >= {("first", 1)},
    "items ==": lambda it: vars(it).items() == {"first": 1, "second": 1}.items(),
    "|": lambda it: vars(it) | {},
    "right |": lambda it: {} | vars(it),
    "dict": lambda it: dict(vars(it)),
    "dict of items": lambda it: dict(vars(it).items()),
    "**": lambda it: {**vars(it)},
    "keywords": lambda it: SimpleNamespace(**vars(it)).first,
    "*": lambda it: [*vars(it).values()],
    "copy": lambda it: copy.copy(vars(it)),
    "copied object": lambda it: copy.copy(it).first,
    "own copy": lambda it: vars(it).copy(),
    "repr": lambda it: f"{vars(it)}",
    "%": lambda it: "%(first)s" % vars(it),  # noqa: UP031
    "format_map": lambda it: "{first}".format_map(vars(it)),
    "sum": lambda it: sum(vars(it).values()),
    "max": lambda it: max(vars(it).values()),
    "sorted": lambda it: sorted(vars(it).values()),
    "map": lambda it: [*map(str, vars(it).values())],
    "zip": lambda it: [*zip(vars(it), vars(it).values(), strict=True)],
    "chain": lambda it: [*itertools.chain(vars(it).values())],
    "reduce": lambda it: functools.reduce(operator.add, vars(it).values()),
    "deque": lambda it: collections.deque(vars(it).values()),
    "ChainMap": lambda it: collections.ChainMap(vars(it))["first"],
    "proxy": lambda it: [*MappingProxyType(vars(it)).values()],
}
#: Ways to change ``first``.
WRITES: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda it: setattr(it, "first", 5),
    "item": lambda it: vars(it).__setitem__("first", 5),
    "setitem": lambda it: operator.setitem(vars(it), "first", 5),
    "of dict": lambda it: dict.__setitem__(vars(it), "first", 5),
    "update": lambda it: vars(it).update(first=5),
    "ior": lambda it: operator.ior(vars(it), {"first": 5}),
    "another namespace": lambda it: setattr(it, "__dict__", {"first": 5, "second": 1}),
}
#: Ways to have one attribute less.
DELETIONS: dict[str, Callable[[Any], Any]] = {
    "delattr": lambda it: delattr(it, "second"),
    "pop": lambda it: vars(it).pop("second"),
    "popitem": lambda it: vars(it).popitem(),
    "clear": lambda it: vars(it).clear(),
    "delitem": lambda it: operator.delitem(vars(it), "second"),
}
#: Ways to have one more.
ADDITIONS: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda it: setattr(it, "third", 1),
    "setdefault": lambda it: vars(it).setdefault("third", 1),
    "update": lambda it: vars(it).update(third=1),
}
#: Ways to read which there are.
NAMES: dict[str, Callable[[Any], Any]] = {
    "list": lambda it: list(vars(it)),
    "loop": lambda it: [name.upper() for name in vars(it)],
    "generator": lambda it: any(name == "third" for name in vars(it)) + len(vars(it)),
    "len": lambda it: len(vars(it)),
    "sorted": lambda it: sorted(vars(it)),
    "keys ==": lambda it: vars(it).keys() == {"first", "second"},
    "keys &": lambda it: sorted(vars(it).keys() & {"second", "third"}),
    "items": lambda it: [*vars(it).items()],
    "own copy": lambda it: vars(it).copy(),
    "dict": lambda it: dict(vars(it)),
}


def _explored(read: Callable[[Any], Any], change: Callable[[Any], Any], locked: bool) -> Any:
    def setup() -> Any:
        record = Record()
        return record, threading.Lock() if locked else threading.RLock()

    def changing(state: Any) -> None:
        record, lock = state
        if locked:
            with lock:
                change(record)
        else:
            change(record)

    def reading(state: Any) -> None:
        record, lock = state
        if locked:
            with lock:
                one = read(record), read(record)
        else:
            one = read(record), read(record)
        assert one[0] == one[1]

    return tracelock.explore(workers=[changing, reading], setup=setup, strategy="dpor")


@pytest.mark.parametrize("how", READS)
def test_every_way_to_read_an_attribute_is_seen(how: str) -> None:
    assert _explored(READS[how], WRITES["attribute"], False).verdict == "failed"


@pytest.mark.parametrize("how", WRITES)
def test_every_way_to_change_one_is_seen(how: str) -> None:
    assert _explored(lambda it: getattr(it, "first", None), WRITES[how], False).verdict == "failed"


@pytest.mark.parametrize("how", DELETIONS)
@pytest.mark.parametrize("by", ["list", "loop", "len", "dict"])
def test_every_way_to_delete_one_is_seen(how: str, by: str) -> None:
    assert _explored(NAMES[by], DELETIONS[how], False).verdict == "failed"


@pytest.mark.parametrize("how", ADDITIONS)
@pytest.mark.parametrize("by", NAMES)
def test_every_way_to_add_one_is_seen(how: str, by: str) -> None:
    assert _explored(NAMES[by], ADDITIONS[how], False).verdict == "failed"


@pytest.mark.parametrize("how", ["loop", "generator", "dict", "list comprehension", "items =="])
def test_under_a_lock_it_is_verified(how: str) -> None:
    for change in (WRITES["attribute"], WRITES["of dict"], ADDITIONS["attribute"]):
        assert _explored(READS[how], change, True).verdict == "verified"


@pytest.mark.parametrize("how", ["update", "of dict", "ior", "items"])
def test_what_a_namespace_is_changed_with_is_read(how: str) -> None:
    changes: dict[str, Callable[[Any, Any], Any]] = {
        "update": lambda it, items: vars(it).update(items),
        "of dict": lambda it, items: dict.update(vars(it), items),
        "ior": lambda it, items: vars(it).__ior__(items),
        "items": lambda it, items: vars(it).update(items.items()),
    }

    def reading(state: Any) -> None:
        record, items = state
        changes[how](record, items)
        first = record.first
        changes[how](record, items)
        assert record.first == first

    found = tracelock.explore(
        workers=[lambda state: state[1].update(first=5), reading],
        setup=lambda: (Record(), {"first": 1}), strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "failed"


def test_pairs_may_add_a_name() -> None:
    found = _explored(
        lambda it: getattr(it, "third", None), lambda it: vars(it).update([("third", 1)]), False
    )
    assert found.verdict == "failed"


def test_attributes_of_their_own_are_not_in_each_others_way() -> None:
    """Nobody reads which there are: two workers that set one each have no order."""

    def setting(name: str) -> Callable[[Any], None]:
        return lambda record: vars(record).__setitem__(name, 2)

    found = tracelock.explore(
        workers=[setting("first"), setting("second")], setup=Record, strategy="dpor"
    )
    assert (found.verdict, found.executions) == ("verified", 1)


def test_what_is_added_replays() -> None:
    found = _explored(NAMES["loop"], ADDITIONS["attribute"], False)
    assert found.confirmed["threading"] == "3/3"


# --- namespaces that are not one object's alone ------------------------------------------------


class AttributeDict(dict[str, Any]):
    def __init__(self, **items: Any) -> None:
        super().__init__(items)
        self.__dict__ = self


class SameState:
    shared: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.__dict__ = self.shared


class MadeWithSameState:
    shared: ClassVar[dict[str, Any]] = {}

    def __new__(cls) -> MadeWithSameState:
        made = super().__new__(cls)
        made.__dict__ = cls.shared
        return made


def _of_one_state(kind: Any) -> Callable[[], Any]:
    def setup() -> Any:
        kind.shared.clear()
        kind.shared["first"] = 1
        return kind(), kind()

    return setup


def _given_namespace() -> Any:
    one, other = Record(), Record()
    other.__dict__ = one.__dict__
    return one, other


def _given_dictionary() -> Any:
    items, record = {"first": 1}, Record()
    record.__dict__ = items
    return record, items


def _set(it: Any) -> None:
    it.first = 5


#: What ``setup`` returns, what one worker does to it, what another reads.
SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "attribute, item": (lambda: AttributeDict(first=1), _set, lambda it: it["first"]),
    "item, attribute": (
        lambda: AttributeDict(first=1),
        lambda it: it.__setitem__("first", 5),
        lambda it: it.first,
    ),
    "attribute, loop": (
        lambda: AttributeDict(first=1),
        _set,
        lambda it: [value + 1 for value in it.values()],
    ),
    "update, attribute": (
        lambda: AttributeDict(first=1),
        lambda it: it.update(first=5),
        lambda it: it.first,
    ),
    "one state": (_of_one_state(SameState), lambda it: _set(it[0]), lambda it: it[1].first),
    "one state, new": (
        _of_one_state(SameState),
        lambda it: _set(SameState()),
        lambda it: SameState().first,  # type: ignore[attr-defined]
    ),
    "made with it": (
        _of_one_state(MadeWithSameState),
        lambda it: _set(it[0]),
        lambda it: vars(it[1])["first"],
    ),
    "another's": (_given_namespace, lambda it: _set(it[0]), lambda it: it[1].first),
    "another's, by item": (
        _given_namespace,
        lambda it: _set(it[0]),
        lambda it: vars(it[1])["first"],
    ),
    "a dictionary": (_given_dictionary, lambda it: _set(it[0]), lambda it: it[1]["first"]),
    "to a dictionary": (
        _given_dictionary,
        lambda it: it[1].update(first=5),
        lambda it: it[0].first,
    ),
}


@pytest.mark.parametrize("how", SHARED)
def test_attributes_of_one_namespace_are_the_same_for_all_who_have_it(how: str) -> None:
    setup, change, read = SHARED[how]

    def reading(state: Any) -> None:
        one, other = read(state), read(state)
        assert one == other

    found = tracelock.explore(workers=[change, reading], setup=setup, strategy="dpor")
    assert found.verdict == "failed"


def test_namespaces_of_their_own_are_two() -> None:
    """Objects of a class that assigns ``__dict__``, each with one of its own."""

    class Restored:
        def __init__(self) -> None:
            self.__dict__ = {"first": 1}

    found = tracelock.explore(
        workers=[lambda it: _set(it[0]), lambda it: _set(it[1])],
        setup=lambda: (Restored(), Restored()),
        strategy="dpor",
    )
    assert (found.verdict, found.executions) == ("verified", 1)


# --- what a class is given hides what those above it have --------------------------------------


class Above:
    first = 1
    made: ClassVar[list[int] | None] = None


class Between(Above):
    third = 1


class Below(Between):
    @classmethod
    def get(cls) -> list[int]:
        if cls.made is None:
            cls.made = []
        return cls.made


def _as_at_first() -> Any:
    for cls in (Above, Between, Below):
        for name in ("first", "second", "third", "made"):
            if name in vars(cls):
                delattr(cls, name)
    Above.first, Between.third, Above.made = 1, 1, None
    return Below()


#: What one worker does, what another reads.
HIDING: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "added, by an instance": (lambda _: setattr(Between, "first", 5), lambda it: it.first),
    "added, by a class": (lambda _: setattr(Between, "first", 5), lambda _: Below.first),
    "new, by an instance": (
        lambda _: setattr(Above, "second", 5),
        lambda it: getattr(it, "second", 0),
    ),
    "new, by a class": (
        lambda _: setattr(Between, "second", 5),
        lambda _: hasattr(Below, "second"),
    ),
    "deleted": (lambda _: delattr(Between, "third"), lambda it: hasattr(it, "third")),
    "deleted, by a class": (lambda _: delattr(Between, "third"), lambda _: hasattr(Below, "third")),
}


@pytest.mark.parametrize("how", HIDING)
def test_what_a_class_is_given_is_seen_by_those_below(how: str) -> None:
    change, read = HIDING[how]

    def reading(it: Any) -> None:
        one, other = read(it), read(it)
        assert one == other

    found = tracelock.explore(workers=[change, reading], setup=_as_at_first, strategy="dpor")
    assert found.verdict == "failed"


def test_a_class_that_makes_its_own_makes_it_twice() -> None:
    def getting(got: list[Any]) -> None:
        got.append(Below.get())

    def check(got: list[Any]) -> None:
        assert got[0] is got[1]

    found = tracelock.explore(
        workers=[getting, getting], setup=lambda: (_as_at_first(), [])[1], check=check,
        strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "failed"
