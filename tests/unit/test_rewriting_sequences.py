"""Each construct makes exactly the accesses that it should, in order, and does what it did."""

from __future__ import annotations

import _thread
import collections
import gc
import io
import re
import sys
import textwrap
import weakref
from typing import Any

import pytest

from tests.helpers.watching import Watcher, both, outcome, under
from tracelock import ops
from tracelock.instrument.accesses.containers import METHODS, access_of, owners

FREE_THREADED = "t" in sys.abiflags
PRELUDE = """
def g(*a, **k): return a[0]
class c:
    def __enter__(self): return 7
    def __exit__(self, *a): pass
def f(o, d, l, s, q):
"""


class Thing:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


def things() -> dict[str, Any]:
    o = Thing(n=1, items=[1, 2], table={"a": 1}, inner=Thing(n=5), name="x")
    o.f = lambda *a: a
    return {
        "o": o, "d": {"a": 1, "b": 2}, "l": [3, 1, 2], "s": {1, 2}, "q": collections.deque([1, 2])
    }  # fmt: skip


#: What only newer versions have, by the version.
NEWER = {
    (3, 14): [
        ("import heapq; heapq.heappush_max(l, 1); heapq.heappop_max(l)", "w l, w l"),
        ("return t'{o.n:>{o.name}}{o.items[0]}'.values", "r o.n, r o.name, r o.items, r items"),
    ],
    (3, 15): [
        ("return [*each for each in (l, q)]", "r l, r q"),
        ("return {**each for each in (o.table, d)}", "r o.table, r table, r d"),
    ],
}

#: The body of ``f`` -> its accesses: r(ead) or w(rite), of what. ``items``, ``table`` and
#: ``inner`` are what ``o`` holds under those names.
CASES = [
    ("return o.n", "r o.n"),
    ("o.n = 5", "w o.n"),
    ("o.n = g(1)", "w o.n"),
    ("o.n += 1", "r o.n, w o.n"),
    ("o.inner.n += 1", "r o.inner, r inner.n, w inner.n"),
    ("o.n: int = g(3)", "w o.n"),
    ("del o.n", "w o.n"),
    ("o.inner.n = o.n = g(2)", "r o.inner, w inner.n, w o.n"),
    ("o.n, o.name = 1, 2", "w o.n, w o.name"),
    ("o.n, (a, o.name), *o.items = 1, (2, 3), 4, 5", "w o.n, w o.name, w o.items"),
    ("l[0], l[1] = l[1], l[0]", "r l, r l, w l, w l"),
    ("return d['a']", "r d"),
    ("d['c'] = 5", "w d"),
    ("d['a'] += 1", "r d, w d"),
    ("o.table['a'] += 1", "r o.table, r table, w table"),
    ("o.table[g('a')] += o.n", "r o.table, r table, r o.n, w table"),
    ("o.table[g('q')] = g(5)", "r o.table, w table"),
    ("d[g('a')] = 1", "w d"),
    ("return d[g('a')]", "r d"),
    ("return o.table[g('a')]", "r o.table, r table"),
    ("del d['a']", "w d"),
    ("del o.table[g('a')]", "r o.table, w table"),
    ("del o.n, d['b'], (l[0], l[0])", "w o.n, w d, w l, w l"),
    ("return l[0:2]", "r l"),
    ("l[g(0):1] = [5, 6]", "w l"),
    ("o.items[g(0):g(1)] = []", "r o.items, w items"),
    ("o.items.append(o.n)", "r o.items, r o.n, w items"),
    ("o.items.append(5)", "r o.items, w items"),
    ("return d.get('a')", "r d"),
    ("return d.setdefault('z', 1)", "w d"),
    ("return d.pop('a')", "w d"),
    ("return o.f(o.n)", "r o.f, r o.n"),
    ("return 'a' in d", "r d"),
    ("return 1 not in o.items", "r o.items, r items"),
    ("return len(d)", "r d"),
    ("return len(o.items)", "r o.items, r items"),
    ("return (1 if l else 2)", "r l"),
    ("return not o.items", "r o.items, r items"),
    ("return o.items and o.n or d", "r o.items, r items, r o.n"),
    ("while q: q.popleft()", "r q, w q, r q, w q, r q"),
    ("assert o.items, o.n", "r o.items, r items"),
    ("return [x for x in l]", "r l, r l, r l, r l, r l"),
    (
        "return [x for x in l if o.items]",
        "r l, r l, r o.items, r items, r l, r o.items, r items, r l, r o.items, r items, r l",
    ),
    ("for x in o.items: pass", "r o.items, r items, r items, r items, r items"),
    ("for k, v in d.items(): pass", "r d, r d, r d, r d"),
    ("return sorted(d.values(), key=lambda v: o.n)", "r d, r o.n, r o.n"),
    ("return list(enumerate(o.items))", "r o.items, r items, r items"),
    ("for i, x in enumerate(l): pass", "r l, r l, r l, r l, r l"),
    ("for a, b in zip(l, q): pass", "r l, r q, r l, r q, r l, r q, r l, r q"),
    ("return next(iter(l))", "r l, r l"),
    ("return sum(x for x in l)", "r l, r l, r l, r l, r l"),
    ("return max(l), min(q)", "r l, r q"),
    ("return str(l), repr(o.table), f'{d}'", "r l, r o.table, r table, r d"),
    ("return ','.join(map(str, l))", "r l, r l"),
    ("a, b = o.items; return a", "r o.items, r items"),
    ("return [*l, *q], {**d}", "r l, r q, r d"),
    ("return g(*l, **o.table)", "r l, r o.table, r table"),
    ("l += q", "w l"),
    ("l += [g(1)]", "w l"),
    ("o.items += [1]", "r o.items, w items, w o.items"),
    ("s |= {5}", "w s"),
    ("q.extend(l)", "w q"),
    ("s.add(4); s.discard(1); return s.copy()", "w s, w s, r s"),
    ("m = o.items.append; m(3)", "r o.items, w items"),
    ("import heapq; heapq.heappush(l, 1)", "w l"),
    ("return getattr(o, 'n'), hasattr(o, 'zz')", "r o.n, r o.zz, r type.zz"),
    ("setattr(o, 'n', 2); delattr(o, 'n')", "w o.n, w o.n"),
    ("for o.n in l: pass", "r l, r l, w o.n, r l, w o.n, r l, w o.n, r l"),
    ("for o.n, d['x'] in [(1, 2)]: o.name", "w o.n, w d, r o.name"),
    ("with c() as o.n, c() as d[o.n]: pass", "w o.n, r o.n, w d"),
    ("if (y := o.n) > 0: return y", "r o.n"),
    (
        "match o.items:\n    case [a, b] if d: return a\n    case _: return 0",
        "r o.items, r items, r d",
    ),
    ("return l == q, l != [1], l < [1]", "r l, r q, r l, r list, r l, r list"),
    ("return (lambda z: z.n)(o)", "r o.n"),
    ("return o.n if o.n else 0", "r o.n, r o.n"),
    ("dict.__setitem__(d, 'k', 1); object.__setattr__(o, 'n', 3)", "w d, w o.n"),
    ("return o.__dict__", "r o.__dict__"),
    ("return o.missing", "r o.missing, r type.missing"),
    ("return o.name.upper()", "r o.name"),
    ("yield from l", "r l, r l, r l, r l, r l"),
    (
        "try:\n    raise ValueError(o.n)\nexcept ValueError as e:\n    return e.args",
        "r o.n, r ValueError.args",
    ),
    ("return d | {'x': 1}", "r d, r dict"),
    ("return (yield o.n)", "r o.n"),
    ("print(l, file=o.f)", "r o.f, r l"),
    ("print('x', l)", "r l"),
    ("return [*filter(None, l)]", "r l, r l"),
    ("for a, b in zip('ab', l): pass", "r l, r l, r l, r l"),
    ("return max(0, *l)", "r l"),
    ("match o:\n    case object(n=1): return 3", "r o.n"),
    (
        "match o:\n    case object(n=7): return 3\n    case object(name=x): return x",
        "r o.n, r o.name",
    ),
    (
        "match o:\n    case object(n=7) | object(inner=object(n=5)) as x: return 3",
        "r o.n, r o.inner, r inner.n",
    ),
    (
        "match o:\n    case object(n=1) if g(0): pass\n    case object(name=x): return x",
        "r o.n, r o.name",
    ),
    (
        "match g(o):\n    case object(n=1) if g(0): pass\n    case object(name=x): return x",
        "r o.n, r o.name",
    ),
    (
        "match g(o):\n    case object(n=1) if g(2): return 5\n    case object(name=x): return x",
        "r o.n",
    ),
    ("match [o, 1, 2]:\n    case [object(n=1), *_, x]: return x", "r list, r o.n"),
    ("match d:\n    case {'a': object(real=1)}: return 4", "r d"),
    ("match o:\n    case object(gone=1): return 4\n    case _: return 5", "r o.gone"),
    ("return o.__getattribute__('n')", "r o.n"),
    ("return l == o.items == [1]", "r o.items, r l, r items, r items"),
    ("return 0 < len(l) < 9", "r l"),
    ("return [] < o.items < l", "r o.items, r items, r items, r l"),
    ("return l != (3,) != q", "r l, r q"),
    ("return bytearray(b'x') == b'x'", "r bytearray"),
    *(case for version, cases in NEWER.items() if sys.version_info >= version for case in cases),
]


def _named(held: dict[str, Any]) -> dict[str, Any]:
    o = held["o"]
    return {**held, "items": o.items, "table": o.table, "inner": o.inner}


def _call(f: Any, held: dict[str, Any]) -> Any:
    result = f(**held)
    return list(result) if hasattr(result, "send") else result


def _text(held: dict[str, Any]) -> str:
    o = held["o"]
    shown = (vars(o), vars(o.inner) if hasattr(o, "inner") else None, *held.values())
    return re.sub(r"0x\w+", "", str(shown))


@pytest.mark.parametrize(("body", "expected"), CASES, ids=[body[:50] for body, _ in CASES])
def test_the_accesses_of_each_construct(body: str, expected: str) -> None:
    plain, new = both(PRELUDE + textwrap.indent(body, "    "))
    mine, free, theirs = things(), things(), things()
    names = _named(mine)
    watcher = Watcher()
    with under(watcher):
        got = outcome(lambda: _call(new["f"], mine))
    wanted = outcome(lambda: _call(plain["f"], theirs))
    idle = outcome(lambda: _call(new["f"], free))
    assert watcher.shown(names) == [
        each.replace("r ", "read ", 1) if each[0] == "r" else each.replace("w ", "write ", 1)
        for each in expected.split(", ") if each
    ]  # fmt: skip
    assert re.sub(r"0x\w+", "", str(got)) == re.sub(r"0x\w+", "", str(wanted))
    assert re.sub(r"0x\w+", "", str(idle)) == re.sub(r"0x\w+", "", str(wanted))
    assert _text(mine) == _text(theirs) == _text(free)


SHARED = """
total = 0
constant = 3
def add(k):
    global total
    total += k
    return total + constant
def drop():
    global total
    del total
def look():
    return total
def counter():
    count = 0
    fixed = 5
    def up():
        nonlocal count
        count += fixed
        return count
    return up
def loop():
    made = []
    for i in range(2):
        made.append(lambda: i)
    return [each() for each in made]
def recursive(n):
    def inner(k):
        return inner(k - 1) if k else 0
    return inner(n)
class Late:
    def set(self):
        def use():
            return value
        value = 1
        return use()
"""


def _names(watcher: Watcher) -> list[str]:
    return [f"{kind} {name}" for kind, _, name, _, _ in watcher.events if name]


def test_globals_that_a_function_binds_and_only_those() -> None:
    plain, new = both(SHARED)
    for call in (lambda ns: ns["add"](2), lambda ns: ns["look"](), lambda ns: ns["drop"]()):
        watcher = Watcher()
        with under(watcher):
            got = outcome(lambda call=call: call(new))  # type: ignore[misc]
        assert got == outcome(lambda call=call: call(plain))  # type: ignore[misc]
    watcher = Watcher()
    new["total"] = 1
    with under(watcher):
        new["add"](4)
    assert _names(watcher) == ["read total", "write total", "read total"]
    assert watcher.values == [1, 5]
    assert watcher.events[1][4] == 5
    with under(Watcher()):
        new["drop"]()
        assert outcome(new["look"])[0] == "NameError"


def test_variables_of_closures_that_are_bound_again() -> None:
    _, new = both(SHARED)
    watcher = Watcher()
    with under(watcher):
        up = new["counter"]()
        assert up() == 5
        assert new["loop"]() == [1, 1]
        assert new["recursive"](2) == 0
        assert new["Late"]().set() == 1
    assert _names(watcher) == [
        "write count",  # in counter itself: up is about to share it
        "read count", "write count", "read count",
        "write i", "write i", "read i", "read i",
        "write value", "read value",
    ]  # fmt: skip
    places = {repr(obj) for _, obj, name, _, _ in watcher.events if name == "count"}
    assert places == {"<variables of counter in sample.py>"}


CLASSES = """
import functools
class Base:
    shared = []
    limit = 3
    def method(self): return 1
    @property
    def prop(self): return self._hidden
    @functools.cached_property
    def once(self): return 7
    @classmethod
    def bump(cls): cls.limit += 1
class Slots(Base):
    __slots__ = ("x", "__y")
    def __init__(self):
        self._hidden = 1
        self.__y = 2
    def y(self):
        self.__y += 1
        return self.__y
class Dict(dict):
    def __setitem__(self, key, value): super().__setitem__(key, value)
    def __len__(self): return 99
    def count(self): return len(self), [*self]
class Frozen:
    def __setattr__(self, name, value): super().__setattr__(name, value * 2)
    def fill(self): self.v = 1
def use(o):
    o.method(); o.prop; o.once; o.once
def limits(o):
    o.limit += 1
def replaced(o):
    o.method = lambda: 2
    return o.method()
def put(d):
    d["k"] = 1
    return len(d), d["k"]
"""


def test_what_counts_as_data_of_an_object() -> None:
    _, new = both(CLASSES)
    watcher = Watcher()
    with under(watcher):
        o = new["Slots"]()
        new["use"](o)
        assert o.y() == 3
    assert watcher.shown({"o": o}) == [
        "write o._hidden", "write o._Slots__y",
        "read o._hidden",  # inside the property; the property itself is code
        "read o.once", "read o.once",
        "read o._Slots__y", "write o._Slots__y", "read o._Slots__y",
    ]  # fmt: skip


def test_the_code_of_a_descriptor_runs_once() -> None:
    _, new = both("def f(o): return o.count, o.count")
    calls: list[object] = []

    class Counting:
        def __get__(self, obj: object, kind: type | None = None) -> int:
            calls.append(obj)
            return len(calls)

    class Holder:
        count = Counting()

    holder = Holder()
    with under(Watcher()) as watcher:
        assert new["f"](holder) == (1, 2)
    assert watcher.shown({"o": holder}) == ["read o.count", "read o.count"]


def test_a_namespace_is_its_object() -> None:
    _, new = both(
        """
        def f(o):
            d = o.__dict__
            d["n"] = 1
            d["n"] += 1
            o.__dict__.setdefault("k", 5)
            del d["k"]
            return d.get("n"), len(d), "n" in d, o.n
        """
    )
    o = Thing()
    with under(Watcher()) as watcher:
        assert new["f"](o) == (2, 1, True, 2)
    assert watcher.shown({"o": o, "d": vars(o)}) == [
        "read o.__dict__", "write o.n", "read o.n", "write o.n", "read o.__dict__", "write o.k",
        "write o.k", "read o.n", "read o.n", "read o.__dict__", "read o.n", "read o.__dict__",
        "read o.n",
    ]  # fmt: skip
    held, o.__dict__ = vars(o), {}
    with under(Watcher()) as watcher:
        both("def f(d): d['n'] = 1")[1]["f"](held)
    assert watcher.shown({"d": held}) == ["write d"]


def test_data_in_the_class_depends_on_class_and_instance() -> None:
    _, new = both(CLASSES)
    watcher = Watcher()
    o, base = new["Base"](), new["Base"]
    with under(watcher):
        new["limits"](o)
        new["limits"](o)
        base.bump()
    assert watcher.shown({"o": o, "Base": base}) == [
        "read Base.limit", "read o.limit", "write o.limit",
        "read o.limit", "write o.limit",
        "read Base.limit", "write Base.limit",
    ]  # fmt: skip
    assert (o.limit, base.limit) == (5, 4)


def test_a_method_that_an_instance_replaces_is_data() -> None:
    _, new = both(CLASSES)
    watcher = Watcher()
    o = new["Base"]()
    with under(watcher):
        assert new["replaced"](o) == 2
    assert watcher.shown({"o": o}) == ["write o.method", "read o.method"]


def test_subclasses_of_containers_speak_for_what_they_define() -> None:
    _, new = both(CLASSES)
    watcher = Watcher()
    d = new["Dict"]()
    with under(watcher):
        assert new["put"](d) == (99, 1)
        assert d.count() == (99, ["k"])
    assert watcher.shown({"d": d}) == ["write d", "read d", "read d"]
    frozen = new["Frozen"]()
    watcher = Watcher()
    with under(watcher):
        frozen.fill()
    assert frozen.v == 2
    assert watcher.shown({"o": frozen}) == ["write o.v", "write o.v"]


def test_a_defaultdict_may_write_when_it_is_read() -> None:
    _, new = both("def f(d, k): return d[k]")
    watcher = Watcher()
    d: Any = collections.defaultdict(list)
    with under(watcher):
        new["f"](d, "x")
    assert watcher.shown({"d": d}) == ["write d"]


def test_thread_locals_and_immutable_objects_are_nobodys() -> None:
    _, new = both("def f(t, s):\n t.x = 1\n return t.x, s.upper(), s[0], 'a' in s, len(s)")
    watcher = Watcher()
    with under(watcher):
        assert new["f"](_thread._local(), "ab") == (1, "AB", "a", True, 2)
    assert watcher.events == []


LOCKS = """
class Box:
    def __init__(self, lock):
        self.lock = lock
        self.acquire = lock.acquire
def enter(lock):
    with lock: pass
def by_hand(lock):
    lock.acquire(); lock.locked(); lock.release()
def kept(box):
    box.acquire()
    box.lock.release()
"""


class StandIn:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *a: self.calls.append(name)

    def __enter__(self) -> None:
        self.calls.append("__enter__")

    def __exit__(self, *error: object) -> None:
        self.calls.append("__exit__")


def test_locks_made_earlier_are_controlled_where_they_are_used() -> None:
    _, new = both(LOCKS)
    for raw in (_thread.allocate_lock(), _thread.RLock()):
        stand_in, watcher = StandIn(), Watcher()
        watcher.locks[id(raw)] = stand_in
        box = new["Box"](raw)
        with under(watcher):
            new["enter"](raw)
            if hasattr(raw, "locked"):
                new["by_hand"](raw)
            new["kept"](box)
        wanted = ["__enter__", "__exit__", "acquire", "locked", "release", "acquire", "release"]
        if not hasattr(raw, "locked"):
            del wanted[2:5]
        assert stand_in.calls == wanted
        new["enter"](raw)  # and is itself when nobody is under control
        assert raw.acquire(False)


def test_the_point_comes_after_the_operands_and_before_the_access() -> None:
    """What another worker does at the point is what the access then meets."""
    _, new = both(
        """
        def get(d, k): return d[k()]
        def store(o, v): o.n = v()
        def late(o): return o.n
        def grow(o): o.items.append(o.items[0]); return o.items[:]
        """
    )
    d: dict[str, int] = {"k": 1}
    with under(Watcher(before=lambda: d.update(k=d["k"] + 1))):
        assert new["get"](d, lambda: d.update(k=10) or "k") == 11
    o = Thing(n=0)
    with under(Watcher(before=lambda: o.__dict__.update(n=o.n + 1))):
        assert new["late"](o) == 1
        new["store"](o, lambda: 7)
    assert o.n == 7
    watcher = Watcher()
    o = Thing(items=[1])

    def meddle() -> None:
        if watcher.events[-1][0] == "write":
            o.items.insert(0, 9)

    watcher.before = meddle
    with under(watcher):
        assert new["grow"](o) == [9, 1, 1]


def test_sites_are_lines_of_functions() -> None:
    _, new = both(
        "class A:\n  def m(self):\n    self.x = 1\n    return [k\n      for k in self.y()]"
    )
    new["A"].y = lambda self: [1]
    watcher = Watcher()
    with under(watcher):
        new["A"]().m()
    assert [(site.at, site.function, site.line) for _, _, _, site, _ in watcher.events] == [
        ("sample.py:3", "A.m", 3), *[("sample.py:5", "A.m", 5)] * 3,
    ]  # fmt: skip
    assert len({id(site) for _, _, _, site, _ in watcher.events}) == 2


def test_written_values_and_seen_values() -> None:
    _, new = both(
        "def f(o, v):\n o.a = v\n o.b, o.c = v, 2\n o.b += [1]\n o.b.append(3)\n o.b.pop()"
    )
    watcher, v, o = Watcher(), [0], Thing()
    with under(watcher):
        new["f"](o, v)
    assert [value for kind, _, _, _, value in watcher.events if kind == "write"] == [
        v, v, 2, [1], v, 3, None
    ]  # fmt: skip
    assert watcher.values == [v, v, None, v, 3]


@pytest.mark.parametrize("type_", METHODS, ids=lambda type_: type_.__name__)
def test_the_table_of_methods_is_complete(type_: type) -> None:
    assert set(dir(type_)) <= set(METHODS[type_])


def _sample(type_: type) -> Any:
    if type_ in (io.StringIO, io.BytesIO):
        held = type_("cab" if type_ is io.StringIO else b"cab")
        held.seek(1)
        return held
    if type_ is memoryview:
        return memoryview(bytearray([3, 1, 2]))
    return type_("b", [3, 1, 2]) if type_.__name__ == "array" else (
        type_(int, {1: 2}) if type_ is collections.defaultdict
        else type_({1: 2, 3: 4}) if issubclass(type_, dict) else type_([3, 1, 2])
    )  # fmt: skip


def _content(held: Any) -> str:
    if type(held) in (io.StringIO, io.BytesIO):
        return "closed" if held.closed else f"{held.getvalue()!r} {held.tell()}"
    return repr(held)


@pytest.mark.parametrize("type_", METHODS, ids=lambda type_: type_.__name__)
def test_methods_said_to_write_nothing_write_nothing(type_: type) -> None:
    """Each method that is not a write is called with plausible arguments on the real thing."""
    for name in METHODS[type_]:
        if access_of(type_, name) == ops.WRITE or name in (
            "__init_subclass__",
            "__new__",
            "__setattr__",
        ):
            continue
        for arguments in ((), (0,), (1,), (_sample(type_),), ("utf-8",), (1, 2), (0, 1, 2)):
            held = _sample(type_)
            content = held.obj if type_ is memoryview else held
            before = _content(content)
            outcome(lambda held=held, name=name, a=arguments: getattr(held, name)(*a))  # type: ignore[misc]
            assert _content(content) == before, f"{name}{arguments}"


@pytest.mark.parametrize("type_", METHODS, ids=lambda type_: type_.__name__)
def test_methods_said_to_write_can_write(type_: type) -> None:
    for name in METHODS[type_]:
        if access_of(type_, name) != ops.WRITE or name in (
            "__init__",
            "__release_buffer__",
            "fromfile",
            "__exit__",  # of a memoryview: lets go of the memory, which may grow then
            "release",
        ):
            continue
        changed = False
        for arguments in (
            (), (0,), (1,), (3,), (0, 5), (1, 5), (9, 5), ([5, 6],), ({5},), ({7: 8},), (b"ab",),
            (_sample(type_),), (2,), ((5,),), (collections.Counter({1: 9}),), (slice(0, 1),),
            ("ab",), ([b"ab"],), (["ab"],), (bytearray(1),),
            (type_("b", [1, 2]) if type_.__name__ == "array" else [5],),
        ):  # fmt: skip
            held = _sample(type_)
            if name == "fromunicode":
                continue
            content = held.obj if type_ is memoryview else held
            before = _content(content)
            outcome(lambda held=held, name=name, a=arguments: getattr(held, name)(*a))  # type: ignore[misc]
            changed = changed or _content(content) != before
        if name in ("__setstate__", "detach"):
            continue  # takes what only ``__getstate__`` gives; never can be done
        # byteswap of single bytes and fromunicode of "b" arrays have nothing to change
        assert changed or name in ("byteswap", "fromunicode"), name


def test_views_and_iterators_lead_to_their_container() -> None:
    d, held, q = {1: 2}, [1, 2], collections.deque([1])
    o = collections.OrderedDict(a=1)
    for thing, wanted in (
        (d.keys(), d), (iter(d.values()), d), (reversed(d.items()), d), (enumerate(held), held),
        (reversed(held), held), (map(str, reversed(held)), held), (iter(q), q), (o.items(), o),
        (iter(o.keys()), o), (zip(q, strict=False), q),
    ):  # fmt: skip
        assert [id(each) for each in owners(thing)] == [id(wanted)], thing
    assert owners(zip(d, held, strict=False)) == [d, held]
    used = iter(held)
    list(used)
    assert owners(used) == ([held] if FREE_THREADED else [])


def test_who_has_a_say_over_an_inherited_method() -> None:
    class Mine(dict[str, int]):
        def get(self, *a: Any) -> Any: ...  # type: ignore[override]

    assert access_of(Mine, "get") is None
    assert access_of(Mine, "pop") == ops.WRITE
    assert access_of(frozenset, "copy") is None
    assert access_of(str, "__len__") is None


def test_types_are_not_kept_and_their_metaclass_is_not_asked() -> None:
    _, new = both("def f(o):\n o.n = 1\n o.n += 1\n return [*o.items], len(o.items), o == o.items")
    asked: list[str] = []

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            asked.append("eq")
            return cls is other

    class Items(list[int], metaclass=Meta):
        pass

    class Local(metaclass=Meta):
        items = Items([1])

    with pytest.raises(TypeError):
        hash(Local)
    with under(Watcher()):
        assert new["f"](Local())[:2] == ([1], 1)
    assert asked == []
    gone = weakref.ref(Local)
    del Local
    gc.collect()
    if not (FREE_THREADED and sys.version_info < (3, 14)):  # which lets no class die
        assert gone() is None


def test_frames_look_the_same_from_inside() -> None:
    source = """
        import sys
        class P:
            @property
            def who(self): return sys._getframe(1).f_code.co_name
            def call(self): return sys._getframe(1).f_code.co_name
            def __getitem__(self, k): return sys._getframe(1).f_code.co_name
            def __setattr__(self, n, v): seen.append(sys._getframe(1).f_code.co_name)
            def __eq__(self, o): return sys._getframe(1).f_code.co_name
        seen = []
        def f(p, k):
            p.x = k()
            p.x = 1
            return p.who, p.call(), p[0], p[k()], (lambda: p)()[k()], (lambda: p)() == k()
        """
    plain, new = both(source)
    with under(Watcher()):
        got = new["f"](new["P"](), lambda: 0)
    assert got == plain["f"](plain["P"](), lambda: 0) == ("f",) * 6
    assert new["seen"] == plain["seen"] == ["f", "f"]


def test_lines_and_local_names_are_as_they_were() -> None:
    source = """
        def f(o):
            o.a = [
                1,
                o.missing,
            ]
        def g(o):
            o.n, o.m = 1, 2
            o.n += 1
            o.t[o.n] = 1
            return sorted(locals())
        """
    plain, new = both(source)
    o = Thing(t={})
    for names in (plain, new):
        with under(Watcher()):
            try:
                names["f"](o)
            except AttributeError as error:
                assert error.__traceback__ is not None
                assert error.__traceback__.tb_next is not None
                assert error.__traceback__.tb_next.tb_lineno == 5
                assert error.__traceback__.tb_next.tb_next is None
            assert names["g"](o) == ["o"]
    assert not [name for name in new if name.startswith("@")]
    assert set(new) == set(plain)


def test_line_events_of_a_tracer_are_the_same() -> None:
    source = """
        def f(o):
            o.n = 1
            o.n += (
                2
            )
            for o.k in [1, 2]:
                if o.k in [2]:
                    o.t[o.k], o.m = 1, 2
            with open("/dev/null") as o.f:
                pass
            return o.n
        """
    events: list[list[int]] = []
    for names in both(source):
        lines: list[int] = []

        def tracer(frame: Any, event: str, arg: object, lines: list[int] = lines) -> Any:
            if frame.f_code.co_name != "f":
                return None
            if event == "line":
                lines.append(frame.f_lineno)
            return tracer

        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            names["f"](Thing(t={}))
        finally:
            sys.settrace(before)
        events.append(lines)
    assert set(events[0]) == set(events[1])
