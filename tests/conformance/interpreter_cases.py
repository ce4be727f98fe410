"""Small programs over the less usual constructs of Python, each with its known truth.

A *wrong* program has a schedule, on CPython with its lock, in which a worker raises or the check
fails; a *right* one has none. Why stands beside each. All are about two or three threads.
"""

from __future__ import annotations

import array
import collections
import contextlib
import copy
import enum
import functools
import io
import itertools
import operator
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

State = Any
Work = Callable[[State], Any]


@dataclass(frozen=True)
class Case:
    name: str
    wrong: bool
    why: str
    setup: Callable[[], State]
    workers: list[Work]
    check: Callable[[State], Any] | None


CASES: list[Case] = []


def case(wrong: bool, why: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def add(build: Callable[[], Any]) -> Callable[[], Any]:
        setup, workers, check = build()
        CASES.append(Case(build.__name__, wrong, why, setup, workers, check))
        return build

    return add


WRONG, RIGHT = True, False


class Thing:
    def __init__(self, value: int = 0) -> None:
        self.value = value


def values(**given: Any) -> Callable[[], State]:
    return lambda: SimpleNamespace(**{name: make() for name, make in given.items()})


def equal(expected: Any) -> Callable[[State], None]:
    def check(s: State) -> None:
        assert s.n == expected, s.n

    return check


# --- weak references -------------------------------------------------------------------------
def owned() -> State:
    thing = Thing(1)
    return SimpleNamespace(owner=thing, ref=weakref.ref(thing), n=0, gone=False)


def drop(s: State) -> None:
    s.owner = None


@case(WRONG, "the last reference goes between the look and the use")
def weakref_looked_at_twice() -> Any:
    def look(s: State) -> None:
        if s.ref() is not None:
            s.ref().value  # noqa: B018

    return owned, [look, drop], None


@case(RIGHT, "what was got is held while it is used")
def weakref_held() -> Any:
    def look(s: State) -> None:
        thing = s.ref()
        if thing is not None:
            thing.value  # noqa: B018

    return owned, [look, drop], None


@case(WRONG, "the last reference is a local variable, which ends with its function")
def weakref_to_what_a_local_holds() -> Any:
    def setup() -> State:
        thing = Thing(1)
        return SimpleNamespace(box=[thing], ref=weakref.ref(thing))

    def take(s: State) -> None:
        s.box.pop()

    def look(s: State) -> None:
        if s.ref() is not None:
            s.ref().value  # noqa: B018

    return setup, [look, take], None


@case(WRONG, "an alias of weakref.ref in a local variable is called twice")
def weakref_in_a_local() -> Any:
    def look(s: State) -> None:
        get = s.ref
        if get():
            assert get().value == 1

    def delete(s: State) -> None:
        del s.owner

    return owned, [look, delete], None


@case(RIGHT, "nobody lets go of it")
def weakref_to_what_stays() -> Any:
    def look(s: State) -> None:
        if s.ref() is not None:
            s.ref().value  # noqa: B018

    return owned, [look, look], None


@case(WRONG, "the callback of the dying object comes before what the other expects to be first")
def weakref_callback() -> Any:
    def setup() -> State:
        s = SimpleNamespace(owner=Thing(), dead=0, seen=None)
        s.ref = weakref.ref(s.owner, lambda _: setattr(s, "dead", 1))
        return s

    def look(s: State) -> None:
        s.seen = s.dead

    def check(s: State) -> None:
        assert s.seen == 0

    return setup, [look, drop], check


class Key:
    pass


@case(WRONG, "the key may have died between the look and the use")
def weak_key_dictionary() -> Any:
    def setup() -> State:
        s = SimpleNamespace(key=Key(), table=weakref.WeakKeyDictionary())
        s.table[s.key] = 1
        return s

    def look(s: State) -> None:
        if len(s.table):
            assert list(s.table.items())

    def let_go(s: State) -> None:
        s.key = None

    return setup, [look, let_go], None


@case(WRONG, "the value may have died between the look and the use")
def weak_value_dictionary() -> Any:
    def setup() -> State:
        s = SimpleNamespace(value=Key(), table=weakref.WeakValueDictionary())
        s.table["a"] = s.value
        return s

    def look(s: State) -> None:
        if "a" in s.table:
            s.table["a"]

    def let_go(s: State) -> None:
        s.value = None

    return setup, [look, let_go], None


@case(RIGHT, "get gives the value or nothing")
def weak_value_dictionary_get() -> Any:
    def setup() -> State:
        s = SimpleNamespace(value=Key(), table=weakref.WeakValueDictionary())
        s.table["a"] = s.value
        return s

    def look(s: State) -> None:
        s.table.get("a")

    def let_go(s: State) -> None:
        s.value = None

    return setup, [look, let_go], None


@case(WRONG, "two threads make the value for one key")
def weak_value_cache_made_twice() -> Any:
    def setup() -> State:
        return SimpleNamespace(table=weakref.WeakValueDictionary(), made=[])

    def make(s: State) -> None:
        found = s.table.get("a")
        if found is None:
            found = s.table["a"] = Key()
        s.made.append(found)

    def check(s: State) -> None:
        assert s.made[0] is s.made[1]

    return setup, [make, make], check


@case(RIGHT, "a lock around the look and the making")
def weak_value_cache_with_a_lock() -> Any:
    def setup() -> State:
        return SimpleNamespace(table=weakref.WeakValueDictionary(), made=[], lock=threading.Lock())

    def make(s: State) -> None:
        with s.lock:
            found = s.table.get("a")
            if found is None:
                found = s.table["a"] = Key()
            s.made.append(found)

    def check(s: State) -> None:
        assert s.made[0] is s.made[1]

    return setup, [make, make], check


@case(WRONG, "an entry is added between the count and the add")
def weak_set() -> Any:
    def setup() -> State:
        return SimpleNamespace(all=weakref.WeakSet(), keep=[Key(), Key()], n=0)

    def add(number: int) -> Work:
        def work(s: State) -> None:
            if len(s.all) == 0:
                s.all.add(s.keep[number])

        return work

    def check(s: State) -> None:
        assert len(s.all) == 1

    return setup, [add(0), add(1)], check


def boxed() -> State:
    thing = Thing(1)
    return SimpleNamespace(box=[thing], ref=weakref.ref(thing), lock=threading.Lock())


def take_with_a_lock(s: State) -> None:
    """What it took dies when the function ends, after the lock was given back."""
    with s.lock:
        thing = s.box.pop()
    del thing


def look_once(s: State) -> None:
    s.ref()


# --- what is attached to a class -------------------------------------------------------------
class Lazy:
    def get(self) -> str:
        return "lazy"


class Loaded(Lazy):
    def get(self) -> str:
        return self.data  # type: ignore[attr-defined, no-any-return]


@case(WRONG, "it is of the new class before it has the new class's data")
def class_assigned_too_early() -> Any:
    def load(s: State) -> None:
        s.thing.__class__ = Loaded
        s.thing.data = "loaded"

    def use(s: State) -> None:
        s.thing.get()

    return values(thing=Lazy), [load, use], None


@case(RIGHT, "the data is there before the class")
def class_assigned_last() -> Any:
    def load(s: State) -> None:
        s.thing.data = "loaded"
        s.thing.__class__ = Loaded

    def use(s: State) -> None:
        s.thing.get()

    return values(thing=Lazy), [load, use], None


class Unlike:
    def get(self) -> str:
        return "other"


def become_another(s: State) -> None:
    s.thing.__class__ = Unlike


@case(WRONG, "it is of another class between the two calls")
def class_assigned_between_calls() -> Any:
    def use(s: State) -> None:
        assert s.thing.get() == s.thing.get()

    return values(thing=Lazy), [become_another, use], None


class LazyModule(types.ModuleType):
    def get(self) -> str:
        return "loaded"


@case(WRONG, "a module object is of another class between the two calls")
def class_of_a_module_assigned() -> Any:
    def setup() -> State:
        module = types.ModuleType("lazy")
        module.get = lambda: "lazy"  # type: ignore[attr-defined]
        return SimpleNamespace(thing=module)

    def load(s: State) -> None:
        s.thing.__class__ = LazyModule
        del s.thing.get

    def use(s: State) -> None:
        assert s.thing.get() == s.thing.get()

    return setup, [load, use], None


class WithCache:
    @functools.lru_cache(maxsize=4)  # noqa: B019
    def get(self) -> Thing:
        return Thing()


@case(WRONG, "a method with lru_cache is run by both")
def cached_method() -> Any:
    def setup() -> State:
        WithCache.get.cache_clear()
        return SimpleNamespace(made=WithCache(), got=[])

    def get(s: State) -> None:
        s.got.append(s.made.get())

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return setup, [get, get], check


@case(WRONG, "the object of the method dies between the look and the call")
def weak_method() -> Any:
    def setup() -> State:
        thing = Lazy()
        return SimpleNamespace(owner=thing, method=weakref.WeakMethod(thing.get))

    def use(s: State) -> None:
        if s.method() is not None:
            s.method()()

    return setup, [use, drop], None


def counter_class() -> State:
    class Counted:
        n = 0

    return Counted


@case(WRONG, "a class attribute is read and written in two steps")
def class_attribute() -> Any:
    def add(s: State) -> None:
        s.n += 1

    return counter_class, [add, add], equal(2)


@case(WRONG, "the same through an instance's type")
def class_attribute_through_type() -> Any:
    def setup() -> State:
        return counter_class()()

    def add(s: State) -> None:
        type(s).n += 1

    return setup, [add, add], equal(2)


class Registry(type):
    made = 0

    def __call__(cls, *args: Any) -> Any:
        Registry.made += 1
        return super().__call__(*args)


class Registered(metaclass=Registry):
    pass


@case(WRONG, "the metaclass counts in two steps")
def metaclass_counts() -> Any:
    def setup() -> State:
        Registry.made = 0
        return SimpleNamespace()

    def make(s: State) -> None:
        Registered()

    def check(s: State) -> None:
        assert Registry.made == 2

    return setup, [make, make], check


class SingletonMeta(type):
    _one: Any = None

    def __call__(cls) -> Any:
        if cls._one is None:
            cls._one = super().__call__()
        return cls._one


@case(WRONG, "two threads make the only instance")
def singleton_by_metaclass() -> Any:
    def setup() -> State:
        class Only(metaclass=SingletonMeta):
            pass

        return SimpleNamespace(cls=Only, made=[])

    def make(s: State) -> None:
        s.made.append(s.cls())

    def check(s: State) -> None:
        assert s.made[0] is s.made[1]

    return setup, [make, make], check


class SingletonNew:
    _one: Any = None

    def __new__(cls) -> Any:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one


@case(WRONG, "two threads make the only instance in __new__")
def singleton_by_new() -> Any:
    def setup() -> State:
        SingletonNew._one = None
        return SimpleNamespace(made=[])

    def make(s: State) -> None:
        s.made.append(SingletonNew())

    def check(s: State) -> None:
        assert s.made[0] is s.made[1]

    return setup, [make, make], check


class Positive:
    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_{name}"

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self if obj is None else getattr(obj, self.name, 0)

    def __set__(self, obj: Any, value: int) -> None:
        setattr(obj, self.name, value)


class Described:
    n = Positive()


@case(WRONG, "a data descriptor is read and written in two steps")
def data_descriptor() -> Any:
    def add(s: State) -> None:
        s.n += 1

    return Described, [add, add], equal(2)


class WithProperty:
    def __init__(self) -> None:
        self._n = 0
        self.lock = threading.Lock()

    @property
    def n(self) -> int:
        return self._n

    @n.setter
    def n(self, value: int) -> None:
        self._n = value


@case(WRONG, "a property is read and written in two steps")
def property_of_a_class() -> Any:
    def add(s: State) -> None:
        s.n += 1

    return WithProperty, [add, add], equal(2)


@case(RIGHT, "with a lock around both")
def property_with_a_lock() -> Any:
    def add(s: State) -> None:
        with s.lock:
            s.n += 1

    return WithProperty, [add, add], equal(2)


class Slotted:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


@case(WRONG, "a slot is read and written in two steps")
def slots() -> Any:
    def add(s: State) -> None:
        s.n += 1

    return Slotted, [add, add], equal(2)


class Colour(enum.Enum):
    RED = 1


@case(WRONG, "an attribute of a member of an Enum is read and written in two steps")
def enum_member() -> Any:
    def setup() -> State:
        Colour.RED.n = 0  # type: ignore[attr-defined]
        return Colour.RED

    def add(s: State) -> None:
        s.n += 1

    return setup, [add, add], equal(2)


# --- attributes by other roads ---------------------------------------------------------------
def number() -> State:
    return SimpleNamespace(n=0)


def adds(body: Work) -> Any:
    return number, [body, body], equal(2)


@case(WRONG, "getattr and setattr are two steps")
def getattr_setattr() -> Any:
    return adds(lambda s: setattr(s, "n", getattr(s, "n") + 1))  # noqa: B009


@case(WRONG, "vars(x)['n'] += 1 is two steps")
def through_vars() -> Any:
    def add(s: State) -> None:
        vars(s)["n"] += 1

    return adds(add)


@case(WRONG, "x.__dict__['n'] += 1 is two steps")
def through_dict() -> Any:
    def add(s: State) -> None:
        s.__dict__["n"] += 1

    return adds(add)


@case(WRONG, "one way through __dict__, the other by its name")
def dict_against_name() -> Any:
    def one(s: State) -> None:
        s.__dict__.update(n=s.n + 1)

    def other(s: State) -> None:
        s.n += 1

    return number, [one, other], equal(2)


@case(WRONG, "object.__setattr__ writes what was read before")
def object_setattr() -> Any:
    return adds(lambda s: object.__setattr__(s, "n", s.n + 1))


@case(WRONG, "attrgetter reads, then it is written")
def attrgetter() -> Any:
    get = operator.attrgetter("n")

    def add(s: State) -> None:
        s.n = get(s) + 1

    return adds(add)


@case(WRONG, "attrgetter reads along a path")
def attrgetter_of_a_path() -> Any:
    def add(s: State) -> None:
        s.a.n = operator.attrgetter("a.n")(s) + 1

    def check(s: State) -> None:
        assert s.a.n == 2

    return values(a=number), [add, add], check


@case(WRONG, "itemgetter reads, then it is written")
def itemgetter() -> Any:
    def add(s: State) -> None:
        s.d["k"] = operator.itemgetter("k")(s.d) + 1

    def check(s: State) -> None:
        assert s.d["k"] == 2

    return values(d=lambda: {"k": 0}), [add, add], check


@case(WRONG, "methodcaller pops what was there before")
def methodcaller() -> Any:
    def take(s: State) -> None:
        if s.d:
            operator.methodcaller("pop")(s.d)

    return values(d=lambda: [1]), [take, take], None


@case(WRONG, "operator.setitem writes what operator.getitem read")
def operator_items() -> Any:
    def add(s: State) -> None:
        operator.setitem(s.d, "k", operator.getitem(s.d, "k") + 1)

    def check(s: State) -> None:
        assert s.d["k"] == 2

    return values(d=lambda: {"k": 0}), [add, add], check


@case(WRONG, "hasattr, then delattr")
def hasattr_delattr() -> Any:
    def remove(s: State) -> None:
        if hasattr(s, "n"):
            delattr(s, "n")

    return number, [remove, remove], None


@case(WRONG, "a function got under another name")
def alias_of_setattr() -> Any:
    put = setattr

    return adds(lambda s: put(s, "n", s.n + 1))


@case(WRONG, "functools.partial of setattr")
def partial_of_setattr() -> Any:
    def add(s: State) -> None:
        functools.partial(setattr, s, "n")(s.n + 1)

    return adds(add)


@dataclass
class Pair:
    a: int = 0
    b: int = 0
    kept: list[int] = field(default_factory=list)


@case(WRONG, "replace reads the fields one after the other")
def dataclass_replace() -> Any:
    def write(s: State) -> None:
        s.pair.a = 1
        s.pair.b = 1

    def read(s: State) -> None:
        one = replace(s.pair)
        assert one.a == one.b

    return values(pair=Pair), [write, read], None


@case(WRONG, "a copy while both are being written")
def copied_while_written() -> Any:
    def write(s: State) -> None:
        s.pair.a = 1
        s.pair.b = 1

    def read(s: State) -> None:
        one = copy.copy(s.pair)
        assert one.a == one.b

    return values(pair=Pair), [write, read], None


# --- generators and iterators ----------------------------------------------------------------
def naturals() -> Iterator[int]:
    n = 0
    while True:
        yield n
        n += 1


@case(WRONG, "a generator cannot be entered twice: 'generator already executing'")
def generator_shared() -> Any:
    def take(s: State) -> None:
        next(s.numbers)

    return values(numbers=naturals), [take, take], None


@case(RIGHT, "a lock around each step")
def generator_with_a_lock() -> Any:
    def take(s: State) -> None:
        with s.lock:
            s.n += next(s.numbers)

    return (
        values(numbers=naturals, lock=threading.Lock, n=int), [take, take], equal(1)
    )  # fmt: skip


@case(WRONG, "a for loop enters a shared generator like next")
def generator_in_for_loops() -> Any:
    def take(s: State) -> None:
        for _ in s.numbers:
            break

    return values(numbers=naturals), [take, take], None


@case(WRONG, "send enters it too")
def generator_send() -> Any:
    def take(s: State) -> None:
        s.numbers.send(None)

    return values(numbers=naturals), [take, take], None


@case(WRONG, "who is first gets the first item")
def list_iterator_shared() -> Any:
    def take(name: str) -> Work:
        return lambda s: setattr(s, name, next(s.items))

    def check(s: State) -> None:
        assert s.a < s.b

    return values(items=lambda: iter([1, 2])), [take("a"), take("b")], check


@case(RIGHT, "itertools.count is one step, each number is given once")
def count_shared() -> Any:
    def take(s: State) -> None:
        s.got.append(next(s.items))

    def check(s: State) -> None:
        assert sorted(s.got) == [0, 1]

    return values(items=itertools.count, got=list), [take, take], check


@case(WRONG, "enumerate over a shared generator enters it")
def enumerate_of_a_generator() -> Any:
    def take(s: State) -> None:
        next(s.items)

    return values(items=lambda: enumerate(naturals())), [take, take], None


@case(WRONG, "zip takes from the first iterator, then from the second, which is a generator")
def zip_of_a_generator() -> Any:
    def take(s: State) -> None:
        next(s.items)

    return (
        values(items=lambda: zip(itertools.count(), naturals(), strict=False)),
        [take, take], None,
    )  # fmt: skip


@case(WRONG, "the order of two takers of a zip")
def zip_shared() -> Any:
    def take(name: str) -> Work:
        return lambda s: setattr(s, name, next(s.items)[0])

    def check(s: State) -> None:
        assert s.a < s.b

    return values(items=lambda: zip([1, 2], [3, 4], strict=True)), [take("a"), take("b")], check


# --- what is computed once -------------------------------------------------------------------
@functools.lru_cache(maxsize=1)
def connection() -> Thing:
    return Thing()


@functools.cache
def connection_logged(log: Any) -> int:
    log.append(1)
    return 1


@case(WRONG, "lru_cache runs the body twice if both come before the first has ended")
def lru_cache_as_a_singleton() -> Any:
    def setup() -> State:
        connection.cache_clear()
        return SimpleNamespace(got=[])

    def get(s: State) -> None:
        s.got.append(connection())

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return setup, [get, get], check


class Log(list[int]):
    __hash__ = object.__hash__


@case(WRONG, "the body is run twice and what it does is done twice")
def cache_with_an_effect() -> Any:
    def get(s: State) -> None:
        connection_logged(s.log)

    def check(s: State) -> None:
        assert len(s.log) == 1

    return values(log=Log), [get, get], check


@case(RIGHT, "the second thread comes when the first has ended")
def lru_cache_with_a_lock() -> Any:
    def setup() -> State:
        connection.cache_clear()
        return SimpleNamespace(got=[], lock=threading.Lock())

    def get(s: State) -> None:
        with s.lock:
            s.got.append(connection())

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return setup, [get, get], check


@case(WRONG, "the cache may be cleared between the two calls")
def cache_cleared() -> Any:
    def setup() -> State:
        connection.cache_clear()
        return SimpleNamespace(got=[])

    def get(s: State) -> None:
        assert connection() is connection()

    def clear(s: State) -> None:
        connection.cache_clear()

    return setup, [get, clear], None


class Computed:
    def __init__(self) -> None:
        self.runs: list[int] = []

    @functools.cached_property
    def lazily(self) -> Thing:
        self.runs.append(1)
        return Thing()


@case(WRONG, "the value is deleted between the look and the use: two different ones")
def cached_property_deleted() -> Any:
    def get(s: State) -> None:
        assert s.lazily is s.lazily

    def forget(s: State) -> None:
        s.__dict__.pop("lazily", None)

    return Computed, [get, forget], None


class Missing(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        self[key] = made = Thing()
        return made


def new_list() -> list[int]:
    return []


def default_dicts(factory: Any) -> Any:
    return values(d=lambda: collections.defaultdict(factory))


def put(number: int) -> Work:
    return lambda s: s.d["k"].append(number)


def both_there(s: State) -> None:
    assert sorted(s.d["k"]) == [1, 2]


@case(WRONG, "a factory in Python is run by both, and the second list takes the place of the first")
def defaultdict_with_a_python_factory() -> Any:
    return default_dicts(new_list), [put(1), put(2)], both_there


@case(RIGHT, "a factory in C is run in one step")
def defaultdict_with_a_c_factory() -> Any:
    return default_dicts(list), [put(1), put(2)], both_there


@case(WRONG, "__missing__ is run by both")
def dict_with_missing() -> Any:
    def get(s: State) -> None:
        s.got.append(s.d["k"])

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return values(d=Missing, got=list), [get, get], check


# --- containers that the standard library writes in Python -----------------------------------
def looks_then_takes(make: Callable[[], Any]) -> Any:
    def take(s: State) -> None:
        if "k" in s.d:
            del s.d["k"]

    return values(d=make), [take, take], None


@case(WRONG, "looked at, then deleted")
def user_dict() -> Any:
    return looks_then_takes(lambda: collections.UserDict(k=1))


@case(WRONG, "looked at, then deleted")
def chain_map() -> Any:
    return looks_then_takes(lambda: collections.ChainMap({"k": 1}))


@case(WRONG, "looked at, then deleted")
def ordered_dict() -> Any:
    return looks_then_takes(lambda: collections.OrderedDict(k=1))


@case(WRONG, "looked at, then taken")
def user_list() -> Any:
    def take(s: State) -> None:
        if s.d:
            s.d.pop()

    return values(d=lambda: collections.UserList([1])), [take, take], None


@case(RIGHT, "append of a UserList is one append of a list")
def user_list_append() -> Any:
    def put(s: State) -> None:
        s.d.append(1)

    def check(s: State) -> None:
        assert len(s.d) == 2

    return values(d=collections.UserList), [put, put], check


@case(WRONG, "setdefault of a UserDict looks and then stores")
def user_dict_setdefault() -> Any:
    def get(s: State) -> None:
        s.got.append(s.d.setdefault("k", Thing()))

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return values(d=collections.UserDict, got=list), [get, get], check


@case(RIGHT, "setdefault of a dict is one step")
def dict_setdefault() -> Any:
    def get(s: State) -> None:
        s.got.append(s.d.setdefault("k", Thing()))

    def check(s: State) -> None:
        assert s.got[0] is s.got[1]

    return values(d=dict, got=list), [get, get], check


@case(WRONG, "Counter.update with a mapping reads, adds and stores")
def counter_update() -> Any:
    def add(s: State) -> None:
        s.d.update({"a": 1})

    def check(s: State) -> None:
        assert s.d["a"] == 2

    return values(d=lambda: collections.Counter(a=0, b=1)), [add, add], check


# --- buffers ---------------------------------------------------------------------------------
@case(WRONG, "the position is changed between seek and write")
def string_io() -> Any:
    def write(text: str) -> Work:
        def work(s: State) -> None:
            s.out.seek(0, 2)
            s.out.write(text)

        return work

    def check(s: State) -> None:
        assert s.out.getvalue() == "ab"

    return values(out=io.StringIO), [write("a"), write("b")], check


@case(WRONG, "two writes of one line")
def bytes_io() -> Any:
    def write(text: bytes) -> Work:
        def work(s: State) -> None:
            s.out.write(text)
            s.out.write(text)

        return work

    def check(s: State) -> None:
        assert s.out.getvalue() in (b"aabb", b"bbaa")

    return values(out=io.BytesIO), [write(b"a"), write(b"b")], check


@case(RIGHT, "each writes once")
def string_io_written_once() -> Any:
    def write(s: State) -> None:
        s.out.write("a")

    def check(s: State) -> None:
        assert s.out.getvalue() == "aa"

    return values(out=io.StringIO), [write, write], check


@case(WRONG, "a loop over its lines moves the position for both")
def lines_of_string_io() -> Any:
    def read(name: str) -> Work:
        def work(s: State) -> None:
            found = []
            for line in s.out:
                found.append(line)
            setattr(s, name, found)

        return work

    def check(s: State) -> None:
        assert len(s.a) == 2

    return values(out=lambda: io.StringIO("x\ny\n")), [read("a"), read("b")], check


@case(WRONG, "who prints first")
def print_to_string_io() -> Any:
    def write(text: str) -> Work:
        return lambda s: print(text, file=s.out)

    def check(s: State) -> None:
        assert s.out.getvalue() == "a\nb\n"

    return values(out=io.StringIO), [write("a"), write("b")], check


def adds_item(make: Callable[[], Any]) -> Any:
    def add(s: State) -> None:
        s.d[0] += 1

    def check(s: State) -> None:
        assert s.d[0] == 2

    return values(d=make), [add, add], check


@case(WRONG, "an item is read and written in two steps")
def of_a_bytearray() -> Any:
    return adds_item(lambda: bytearray(1))


@case(WRONG, "an item is read and written in two steps")
def of_an_array() -> Any:
    return adds_item(lambda: array.array("i", [0]))


@case(WRONG, "an item is read and written in two steps")
def of_a_memoryview() -> Any:
    return adds_item(lambda: memoryview(bytearray(1)))


@case(WRONG, "one writes to the bytes, the other to a view of them")
def memoryview_against_bytearray() -> Any:
    def setup() -> State:
        data = bytearray(1)
        return SimpleNamespace(data=data, view=memoryview(data))

    def one(s: State) -> None:
        s.data[0] += 1

    def other(s: State) -> None:
        s.view[0] += 1

    def check(s: State) -> None:
        assert s.data[0] == 2

    return setup, [one, other], check


# --- what belongs to one thread --------------------------------------------------------------
@case(RIGHT, "each thread has its own")
def thread_local() -> Any:
    def add(s: State) -> None:
        s.local.n = 0
        s.local.n += 1
        s.local.n += 1
        s.got.append(s.local.n)

    def check(s: State) -> None:
        assert s.got == [2, 2]

    return values(local=threading.local, got=list), [add, add], check


@case(WRONG, "the object that both have in their local storage is the same")
def shared_through_thread_local() -> Any:
    def add(s: State) -> None:
        s.local.thing = s.thing
        s.local.thing.value += 1

    def check(s: State) -> None:
        assert s.thing.value == 2

    return values(local=threading.local, thing=Thing), [add, add], check


@case(WRONG, "a context manager that stores and puts back is no lock")
def context_manager_puts_back() -> Any:
    @contextlib.contextmanager
    def changed(s: State) -> Iterator[None]:
        before, s.n = s.n, 1
        try:
            yield
        finally:
            s.n = before

    def use(s: State) -> None:
        with changed(s):
            assert s.n == 1

    return number, [use, use], equal(0)


# --- the timer of the virtual clock ----------------------------------------------------------
@case(WRONG, "the timer may fire before its starter has noted it")
def timer_against_its_starter() -> Any:
    def start(s: State) -> None:
        def fire() -> None:
            s.seen = s.noted

        timer = threading.Timer(0.0, fire)
        timer.start()
        s.noted = True
        timer.join()

    def check(s: State) -> None:
        assert s.seen

    return values(noted=bool, seen=bool), [start], check


@case(RIGHT, "noted before it is started")
def timer_started_last() -> Any:
    def start(s: State) -> None:
        def fire() -> None:
            s.seen = s.noted

        timer = threading.Timer(1.0, fire)
        s.noted = True
        timer.start()
        timer.join()

    def check(s: State) -> None:
        assert s.seen

    return values(noted=bool, seen=bool), [start], check
