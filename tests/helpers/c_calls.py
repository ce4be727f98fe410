"""Programs that race through code that is written in C, made by introspection.

A *reading* program: one worker evaluates an expression over a shared object twice and says that
both are equal, the other changes the object in between. A *changing* one: one worker looks at the
object twice, and the other evaluates an expression that changes it. Which expressions there are is
found by trying: all public callables of some modules, and all methods of some types, with a few
arguments each. Each program is wrong by construction: the expression was evaluated before and after
the change, alone, and gave two different answers.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import io
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.watching import SilentContext, under
from tracelock import ops
from tracelock.instrument.accesses.attributes import WHOLE, names_in
from tracelock.instrument.accesses.places import owner_of
from tracelock.instrument.naming import CONTAINERS
from tracelock.instrument.rewrite.codes import compiled

HEADER = """\
import array, base64, binascii, bisect, cmath, codecs, collections, copy, dataclasses, decimal
import fractions, functools, hashlib, heapq, io, itertools, json, math, operator, pickle, pprint
import re, statistics, string, struct, textwrap, types, zlib
from array import array as Array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from types import MappingProxyType, SimpleNamespace


@dataclasses.dataclass(frozen=True)
class Frozen:
    part: object


class Plain:
    def __init__(self, part):
        self.part = part


def shown(value):
    if type(value) is memoryview:
        return value.tolist()
    if hasattr(type(value), "__next__"):
        return [repr(each) for each in itertools.islice(value, 20)]
    if type(value) is functools.partial or callable(value):
        return None
    return repr(value)


"""


@dataclass(frozen=True)
class Kind:
    """A shared object: how ``x`` is made, and how another worker changes what is in it."""

    name: str
    make: str
    changes: tuple[str, ...]


KINDS = [
    Kind("list", "[3, 1, 2]", ("x.append(7)", "x[0] = 9", "x.clear()")),
    Kind("texts", "['b', 'a']", ("x.append('c')", "x.clear()")),
    Kind("blobs", "[b'b', b'a']", ("x.append(b'c')", "x.clear()")),
    Kind("pairs", "[(1, 2)]", ("x.append((3, 4))", "x.clear()")),
    Kind("dict", "{'a': 1, 'b': 2}", ("x['c'] = 5", "x['a'] = 9", "x.clear()")),
    Kind("set", "{1, 2}", ("x.add(0)", "x.clear()")),
    Kind("bytearray", "bytearray(b'12')", ("x[0] = 55", "x.append(51)", "x.clear()")),
    Kind("deque", "deque([3, 1])", ("x.append(7)", "x.clear()")),
    Kind("array", "Array('b', [49, 50])", ("x[0] = 52", "x.append(51)", "del x[:]")),
    Kind("numbers", "Array('d', [1.0, 2.0])", ("x[0] = 3.0", "x.append(4.0)")),
    Kind("OrderedDict", "OrderedDict(a=1)", ("x['c'] = 5", "x.clear()")),
    Kind("defaultdict", "defaultdict(int, a=1)", ("x['c'] = 5", "x.clear()")),
    Kind("Counter", "Counter(a=1)", ("x['c'] = 5", "x['a'] = 3", "x.clear()")),
    Kind("memoryview", "memoryview(bytearray(b'12'))", ("x[0] = 55",)),
    Kind("namespace", "SimpleNamespace(a=1)", ("x.a = 5",)),
    Kind("in_tuple", "([1],)", ("x[0].append(2)",)),
    Kind("in_list", "[[1]]", ("x[0].append(2)", "x[0][0] = 5")),
    Kind("in_dict", "{'a': [1]}", ("x['a'].append(2)",)),
    Kind("dict_in_list", "[{'a': 1}]", ("x[0]['b'] = 2", "x[0]['a'] = 2")),
    Kind("in_deque", "deque([[1]])", ("x[0].append(2)",)),
    Kind("in_frozen", "Frozen([1])", ("x.part.append(2)",)),
    Kind("in_object", "Plain([1])", ("x.part.append(2)", "x.part = 5")),
    Kind("in_namespace", "SimpleNamespace(a=[1])", ("x.a.append(2)",)),
    Kind("deep", "{'a': ([[1]],)}", ("x['a'][0][0].append(2)",)),
]
#: Objects through which another one is read: ``below`` is what changes.
BEHIND = [
    Kind("of_dict", "MappingProxyType(below)", ("below['c'] = 5", "below['a'] = 9")),
    Kind("keys", "below.keys()", ("below['c'] = 5",)),
    Kind("values", "below.values()", ("below['a'] = 5",)),
    Kind("items", "below.items()", ("below['a'] = 5",)),
    Kind("of_chain", "ChainMap(below)", ("below['c'] = 5", "below['a'] = 9")),
]
BELOW = "{'a': 1, 'b': 2}"
#: What else an expression may have as argument.
CONSTANTS = ("0", "1", "'a'", "b'1'", "[3, 1, 2]", "{'a': 1}", "{1, 2}", "len", "','", "None")
#: What is no question to an object, or is not to be tried.
LEFT_OUT = {
    "builtins": {
        "breakpoint", "copyright", "credits", "exit", "quit", "help", "input", "license", "open",
        "exec", "eval", "compile", "__import__", "print", "id", "type", "object", "super",
        "__build_class__", "property", "classmethod", "staticmethod", "callable", "isinstance",
        "issubclass", "locals", "globals", "__debug__", "__loader__", "aiter", "anext",
        "BaseExceptionGroup", "ExceptionGroup",
    },
    "io": {"open", "open_code", "FileIO"},
    # these keep what they are given, and show it by a method of the standard library
    "functools": {"cache", "lru_cache", "wraps", "singledispatch", "partialmethod"},
    "dataclasses": {"InitVar"},
}  # fmt: skip
MODULES = (
    "builtins", "operator", "collections", "functools", "itertools", "heapq", "bisect", "json",
    "copy", "struct", "re", "array", "io", "math", "cmath", "statistics", "types", "binascii",
    "zlib", "pickle", "codecs", "dataclasses", "decimal", "fractions", "string", "textwrap",
    "base64", "hashlib", "pprint",
)  # fmt: skip
#: Objects whose methods are given the shared one.
RECEIVERS = (
    "'a,b{}'", "b'12'", "5", "2.5", "[3, 1, 2]", "{'a': 1}", "{1, 2}", "frozenset({1, 2})",
    "deque([3, 1])", "bytearray(b'12')", "Array('b', [49])", "(1, 2)", "OrderedDict(a=1)",
    "Counter(a=1)", "defaultdict(int, a=1)", "range(3)", "io.StringIO('a')", "io.BytesIO(b'12')",
    "re.compile('a')", "re.compile(b'1')", "struct.Struct('2b')", "hashlib.md5()",
    "{'a': 1}.keys()", "{'a': 1}.items()", "slice(1)", "memoryview(b'12')", "ChainMap({})",
    "json.JSONEncoder()", "int", "float", "bytes", "bytearray", "dict", "str", "complex",
    "OrderedDict", "itertools.chain", "Counter", "decimal.Decimal(1)", "zlib.compressobj()",
)  # fmt: skip
#: Methods that take an object apart, or are the interpreter's own.
UNASKED = {
    "__class__", "__new__", "__init_subclass__", "__subclasshook__", "__getstate__", "__setstate__",
    "__del__", "__dir__", "__class_getitem__", "__getattribute__", "__setattr__", "__delattr__",
    "__subclasses__", "mro", "__subclasscheck__", "__instancecheck__", "__prepare__",
    "__reduce__", "__reduce_ex__", "__sizeof__", "__alloc__", "__hash__", "fileno", "detach",
    "__abstractmethods__", "__init__", "__call__",
}  # fmt: skip
#: How a method of the shared object is called, if it is.
FORMS = (
    "", "()", "(0)", "(1)", "(7)", "('a')", "('c')", "(0, 9)", "('a', 9)", "([7])", "({'z': 1})",
    "(b'3')", "([('z', 1)])", "(x)", "({1, 5})", "(slice(0, 1))",
)  # fmt: skip
#: Expressions that no form finds.
MORE = """
operator.itemgetter(0)(x)
operator.itemgetter('a')(x)
operator.attrgetter('a')(x)
operator.attrgetter('part')(x)
operator.methodcaller('copy')(x)
operator.methodcaller('count', 1)(x)
functools.partial(len, x)()
functools.partial(sorted)(x)
list(map(str, [x]))
list(map(len, [x]))
list(map(list, [x]))
list(filter(len, [x]))
sorted([x, x], key=len)
max([x], key=len)
[len(x) for x in [x]]
f'{x}'
f'{x!r:>50}'
'%s' % x
'%s' % (x,)
'%r' % {'a': x}
'{}'.format(x)
'{0[0]}'.format(x)
'{0[a]}'.format(x)
'{0.a}'.format(x)
'{0.part}'.format(x)
'{a}'.format_map(x)
'{a}'.format(**x)
str(x)
(x, 1) == ([1], 1)
[x] == [[1]]
{'a': x} == {'a': [1]}
x == ([1],)
x == [[1]]
x < [[1, 1]]
[1] in x
([1],) in [x]
x in ([1], 2)
(x,).count([1])
[x].index([1]) if x == [1] else 5
json.dumps({'a': x})
json.dumps([x])
pickle.dumps([x])
copy.deepcopy([x])
copy.copy(x)
[*x]
{**x}
(lambda *given: given)(*x)
(lambda **given: given)(**x)
dict(**x)
max(*x)
sorted(x, reverse=True)
sum(x, 5)
print(x, file=(out := io.StringIO())) or out.getvalue()
print([x], file=(out := io.StringIO())) or out.getvalue()
struct.pack('2b', *x)
struct.unpack('2b', x)
list(zip(x, x))
list(enumerate(x))
list(reversed(x))
set(x)
frozenset(x)
{0}.union(x)
{0} | set(x)
[0] + list(x)
dict.fromkeys(x)
(*x, 1)
'a' in x
1 in x
not x
bool(x)
len(x)
x[0]
x['a']
x[:]
x[0:1]
x * 2
x + x
x | x
x & x
x - {1}
str(x, 'ascii')
bytes(x).decode()
getattr(x, 'a')
getattr(x, 'part')
vars(x)
x.__dict__
x.__dict__['a']
'a' in vars(x)
list(vars(x))
len(vars(x))
type(x)(x)
list.__len__(x)
list.copy(x)
dict.get(x, 'a')
list.__getitem__(x, 0)
(f := x.__len__)()
(f := x.__getitem__)(0)
(f := x.get)('a')
(f := x.copy)()
(f := len)(x)
(f := sorted)(x)
next(iter(x))
(lambda f: f(x))(len)
(lambda f: f(x))(repr)
(lambda f: f([x]))(repr)
[sorted, len][1](x)
{'f': sorted}['f'](x)
(lambda: len)()(x)
functools.reduce(operator.add, x)
sorted(x, key=lambda one: one)
max(x, key=lambda one: one)
list(map(lambda one: one, x))
list(filter(lambda one: True, x))
all(map(lambda one: True, x)) and len(x)
re.sub('a', lambda m: str(len(x)), 'a')
[each for each in x]
{each for each in x}
{each: 1 for each in x}
list(each for each in x)
sum(1 for each in x)
list(itertools.chain([0], x))
list(itertools.chain.from_iterable([x]))
list(itertools.islice(x, 5))
list(itertools.repeat(x, 1))
list(itertools.accumulate(x))
deque(x, 5)
Array('b', x)
bytes(x)
bytearray(x)
memoryview(x).tobytes()
int(x)
float(x)
int.from_bytes(x, 'big')
memoryview(x)[0]
memoryview(x).hex()
(lambda first, *rest: (first, rest))(*x)
min(x, default=5)
iter(x).__length_hint__()
operator.length_hint(iter(x))
x.keys() & {'a'}
x.keys() == {'a'}
list(x.items())
'a' in x.keys()
('a', 1) in x.items()
len(x.values())
1 in x.values()
x.values().__len__()
x.keys().__contains__('c')
x.items().isdisjoint([('c', 5)])
x.keys().isdisjoint(['c'])
dict(x.items())
sorted(x.values())
repr(x.items())
dataclasses.asdict(x)
dataclasses.astuple(x)
dataclasses.replace(x)
hash(bytes(x))
''.join(x)
b''.join(x)
','.join(map(str, x))
str.join(',', x)
bytes.join(b'', x)
b'1' in x
x.decode()
b'1'.startswith(bytes(x))
[1, 2].__eq__(x)
[[1]].__contains__(x)
set().union([1], x)
{1, 2}.issuperset(x)
{1}.isdisjoint(x)
frozenset([5]).union(x)
isinstance(x, list) and len(x)
type(x).__len__(x)
x.__len__()
x.__repr__()
x.__eq__([1])
x.__contains__(7)
x.__iter__().__next__()
x.__sizeof__()
x.__format__('')
object.__repr__(x) and len(x)
x.__reduce_ex__(4)
x.__getstate__()
base64.b64encode(x)
hashlib.sha256(x).hexdigest()
zlib.crc32(x)
binascii.hexlify(x)
heapq.nlargest(1, x)
heapq.nsmallest(1, x)
list(heapq.merge(x, [5]))
bisect.bisect(x, 2)
statistics.mean(x)
statistics.median(x)
math.prod(x)
math.fsum(x)
math.dist(x, [0, 0])
pprint.pformat(x)
textwrap.dedent(''.join(x))
string.Template('$a').substitute(x)
re.findall(b'1', x)
re.match(b'1', x)
re.sub(b'1', b'2', x)
io.BytesIO(x).getvalue()
""".strip().splitlines()
#: Statements in the form of an expression that change ``x`` (or what is in it) from within C.
CHANGING = """
list(map(x.append, [7, 8]))
list(map(x.pop, [0]))
list(map(x.add, [7]))
[*map(x.discard, [1])]
list(map(list.append, [x], [7]))
operator.setitem(x, 0, 9)
operator.setitem(x, 'a', 9)
operator.delitem(x, 0)
operator.iadd(x, [7])
operator.ior(x, {7})
operator.iconcat(x, [7])
operator.methodcaller('clear')(x)
operator.methodcaller('append', 7)(x)
functools.partial(x.append, 7)()
functools.partial(list.append, x)(7)
functools.partial(operator.setitem, x, 0)(9)
(f := x.append)(7)
(f := x.clear)()
(f := list.append)(x, 7)
list.append(x, 7)
dict.update(x, a=9)
x.__setitem__(0, 9)
x.__setitem__('a', 9)
heapq.heappush(x, 0)
heapq.heapify(x)
heapq.heappop(x)
bisect.insort(x, 2)
x.sort()
x.reverse()
struct.pack_into('b', x, 0, 9)
struct.Struct('b').pack_into(x, 0, 9)
io.BytesIO(b'99').readinto(x)
memoryview(x).__setitem__(0, 57)
deque(map(x.append, [7]), 0)
any(map(x.append, [7]))
all(map(x.setdefault, ['z'], [0]))
list(map(x.setdefault, ['z'], [0]))
list(map(x.__setitem__, [0], [9]))
list(map(x.__setitem__, ['a'], [9]))
list(itertools.starmap(x.insert, [(0, 5)]))
list(filter(x.append, [7]))
sorted([7, 8], key=x.append)
sorted([1], key=x.discard)
max([7], key=x.append)
min([0, 0], key=x.pop)
functools.reduce(lambda a, b: x.append(b), [1, 2])
list(iter(x.pop, None)) if False else x.pop()
list(iter(x.popleft, 1))
next(iter(x.pop, None))
re.sub('a', x.append, 'a')
re.sub('b', lambda m: x.append(7) or '', 'b')
setattr(x, 'a', 9)
vars(x).update(a=9)
x.__dict__.clear()
x.__dict__['a'] = 9
object.__setattr__(x, 'part', 9)
delattr(x, 'a')
x.extend(iter([7]))
x.update(iter([7]))
x.update(iter([('z', 1)]))
x.__iadd__([7])
x.__ior__({7: 7})
x.__delitem__(0)
x.__init__()
x.__init__([5])
next(x.__iter__()) and x.pop()
x.subtract('a')
x.fromlist([7])
x.frombytes(b'7')
x.byteswap()
x.insert(0, 1)
x.rotate(1)
x.move_to_end('a')
x.popitem()
x.pop('a')
x.setdefault('z', 1)
x['z']
x.__missing__('z')
collections.Counter.update(x, 'a')
[x.append(each) for each in [7]]
x[0].append(9)
list(map(list.clear, x))
[each.append(9) for each in x]
list(map(operator.methodcaller('clear'), x))
x['a'].append(9)
x.a.append(9)
sorted(x, key=lambda one: x.clear())
x.remove(1)
print('z', file=x)
x.write('z')
json.dump([1], x)
pickle.dump(1, x)
x.writelines(['z'])
x.seek(0)
x.read(1)
dict.__setitem__(x, 'a', 9)
dict.setdefault(x, 'z', 9)
dict.pop(x, 'a')
set.add(x, 9)
x.difference_update([1])
x.intersection_update([1])
x.symmetric_difference_update([1])
next(x)
x.send(None)
list(x)
tuple(x)
sum(x)
2 in x
max(x)
x.__next__()
dict(zip(x, x))
set(x)
list(itertools.islice(x, 1))
[*x]
for_each(x)
any(x)
sorted(x)
next(zip(x))
next(map(str, x))
next(enumerate(x))
{}.fromkeys(x)
collections.deque(x)
[].extend(x)
set().update(x)
set().union(x)
''.join(map(str, x))
""".strip().splitlines()
ITERATORS = [
    Kind("list_iterator", "iter([1, 2, 3, 4])", ()),
    Kind("generator", "(each for each in [1, 2, 3, 4])", ()),
    Kind("count", "itertools.islice(itertools.count(), 9)", ()),
    Kind("zip", "zip([1, 2, 3], [4, 5, 6])", ()),
    Kind("StringIO", "io.StringIO('abcdef')", ()),
]


@dataclass(frozen=True)
class Program:
    """``expression`` is evaluated over ``x``, which ``kind`` makes; ``change`` changes it."""

    group: str
    kind: Kind
    expression: str
    change: str
    changing: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind.name}: {self.expression}"

    def source(self, number: int) -> str:
        """Its three functions."""
        behind = f"below = {BELOW}; " if self.kind in BEHIND else ""
        also = "below=below, " if behind else ""
        made = f"{behind}return SimpleNamespace({also}x={self.kind.make})"
        setup = f"def setup_{number}():\n    {made}\n"
        from_state = "    x = s.x\n"
        change = ("    below = s.below\n" if behind else from_state) + f"    {self.change}\n"
        if self.changing:
            reader = from_state + f"    first = {self.change}\n    assert first == {self.change}\n"
            change = from_state + f"    {self.expression}\n"
        else:
            asked = f"shown({self.expression})"
            reader = from_state + f"    first = {asked}\n    assert first == {asked}\n"
        return f"{setup}def reads_{number}(s):\n{reader}def changes_{number}(s):\n{change}\n\n"


def _names() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "c_calls_tried"}
    sys.modules.setdefault("c_calls_tried", types.ModuleType("c_calls_tried"))
    exec(compile(HEADER, "c_calls_tried", "exec"), names)
    return names


class Trier:
    """Evaluates expressions alone."""

    def __init__(self) -> None:
        self.names = _names()
        self._codes: dict[str, Any] = {}

    def run(self, source: str, names: dict[str, Any], mode: str = "eval") -> Any:
        code = self._codes.get(source)
        if code is None:
            code = self._codes[source] = compile(source, "c_calls_tried", mode)
        return eval(code, names)

    def made(self, kind: Kind) -> dict[str, Any]:
        names = dict(self.names)
        if kind in BEHIND:
            names["below"] = self.run(BELOW, names)
        names["x"] = self.run(kind.make, names)
        return names

    def answers(self, kind: Kind, expression: str) -> tuple[Any, dict[str, Any]]:
        names = self.made(kind)
        return self.run(f"shown({expression})", names), names

    def reading(self, kind: Kind, expression: str) -> str | None:
        """The change that makes two evaluations differ, if there is one; None too where the
        expression itself changes something, or its answer differs by chance."""
        try:
            names = self.made(kind)
            asked = f"shown({expression})"
            first = self.run(asked, names)
            if self.run(asked, names) != first or first is None or " at 0x" in str(first):
                return None
        except Exception:
            return None
        for change in kind.changes:
            try:
                names = self.made(kind)
                first = self.run(asked, names)
                exec(change, names)
            except Exception:
                continue
            try:
                again: Any = self.run(asked, names)
            except Exception as error:
                again = error
            if again != first:
                return change
        return None

    def changing(self, kind: Kind, expression: str) -> str | None:
        """The look at ``x`` that tells that the expression has changed it."""
        looks = ("repr(x)",)
        if kind in ITERATORS:
            looks = ("x.tell()",) if kind.name == "StringIO" else ()
        for look in looks:
            try:
                names = self.made(kind)
                first = self.run(look, names)
                exec(f"{expression}", names)
                if self.run(look, names) != first:
                    return look
            except Exception:
                continue
        return None


def expressions(quick: bool) -> Iterator[tuple[str, str]]:
    """The group and the text of all that is tried over ``x``."""
    for name in MODULES:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [n for n in dir(module) if n[0] != "_"]
        if name == "builtins":
            public = [n for n in dir(builtins) if n not in LEFT_OUT[name]]
        for each in sorted(public):
            value = getattr(module, each, None)
            if not callable(value) or each in LEFT_OUT.get(name, ()):
                continue
            if isinstance(value, type) and issubclass(value, BaseException):
                continue
            function = each if name == "builtins" else f"{name}.{each}"
            group = name
            yield group, f"{function}(x)"
            yield group, f"{function}(x, x)"
            yield group, f"{function}([x])"
            yield group, f"{function}((x,))"
            for constant in CONSTANTS[: 5 if quick else None]:
                yield group, f"{function}(x, {constant})"
                yield group, f"{function}({constant}, x)"
    for receiver in RECEIVERS:
        for each in dir(eval(receiver, _names())):
            if each not in UNASKED:
                group = f"methods of {receiver}"
                forms = ("(x)", "('b', x)", "([x])", "(x, 1)", "([x], 1)")
                for form in forms[: 3 if quick else None]:
                    yield group, f"((r := {receiver}).{each}{form}, r)"
    for each in MORE:
        yield "more", each


def methods(kind: Kind, names: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All methods of the shared object itself."""
    for each in dir(names["x"]):
        if each in UNASKED:
            continue
        for form in FORMS:
            yield f"methods on {kind.name}", f"x.{each}{form}"
            if form not in ("", "()"):
                yield f"methods on {kind.name}", f"type(x).{each}(x, {form[1:-1]})"


#: Kinds that do for a quick look.
QUICK = {"list", "dict", "set", "bytearray", "in_tuple", "namespace", "of_dict", "values"}


def programs(each: int = 1, quick: bool = False) -> list[Program]:
    """All programs: of each callable so many for each group of kinds."""
    flat = [kind for kind in KINDS if not quick or kind.name in QUICK]
    views = [kind for kind in BEHIND if not quick or kind.name in QUICK]
    found: list[Program] = []
    trier = Trier()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        every = list(dict.fromkeys(expressions(quick)))
        counts: dict[tuple[str, str], int] = {}
        for kinds in (flat, views):
            for group, expression in every:
                head = expression.partition("(x")[0] if group != "more" else expression
                head = expression[: expression.find("(", 1)] if group in MODULES else head
                for kind in kinds:
                    nested = kind.name.startswith(("in_", "deep", "dict_in"))
                    key = (head, "nested" if nested else kind.name if kinds is views else "")
                    limit = each if group != "more" else 2 * each
                    if counts.get(key, 0) >= limit:
                        continue
                    change = trier.reading(kind, expression)
                    if change is not None:
                        counts[key] = counts.get(key, 0) + 1
                        found.append(Program(group, kind, expression, change))
        for kind in (*flat, *views):
            done: set[tuple[str, bool, bool]] = set()
            for group, expression in methods(kind, trier.made(kind)):
                bound = expression.startswith("x.")
                name = expression.split(".")[1].partition("(")[0]
                if (name, True, bound) not in done:
                    change = trier.reading(kind, expression)
                    if change is not None:
                        done.add((name, True, bound))
                        found.append(Program(group, kind, expression, change))
                if (name, False, bound) not in done:
                    look = trier.changing(kind, expression)
                    if look is not None:
                        done.add((name, False, bound))
                        found.append(Program(group, kind, expression, look, changing=True))
        for kind in (*flat, *ITERATORS[-1:]):
            for expression in CHANGING:
                look = trier.changing(kind, expression)
                if look is not None:
                    found.append(Program("changing", kind, expression, look, changing=True))
    return list(dict.fromkeys(found))


def written(found: list[Program], folder: Path, name: str) -> types.ModuleType:
    """They as a module in ``folder``, imported."""
    path = folder / f"{name}.py"
    text = HEADER + "".join(each.source(number) for number, each in enumerate(found))
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Noting(SilentContext):
    """A fake context that notes what is read and what is written: ``(object, attribute)``."""

    def __init__(self) -> None:
        self.read: set[tuple[int, str | None]] = set()
        self.written: set[tuple[int, str | None]] = set()
        self.doubted = False
        self.kept: list[Any] = []
        self.views: dict[int, int] = {}

    def _key(self, obj: Any, name: str | None) -> tuple[int, str | None]:
        self.kept.append(obj)
        if type(obj) is memoryview:
            with contextlib.suppress(ValueError):
                self.views.setdefault(id(obj), id(obj.obj))
        return self.views.get(id(obj), id(obj)), name

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        noted = self.read if kind == ops.READ else self.written
        noted.add(self._key(obj, name))
        owner = owner_of(obj) if name is None and type(obj) is dict else None
        if owner is not None:  # all attributes, as ``Worker.access`` has it
            noted.update(self._key(owner, one) for one in (*obj, *names_in(value), WHOLE))
        if kind == ops.WRITE and name is not None:
            self.written.add(self._key(obj, None))
        self.read.update(self._key(one, part) for one, part in also)
        for one in value if type(value) is tuple else (value,):  # as ``ObjectNames.contents``
            if kind == ops.WRITE and isinstance(one, CONTAINERS):
                self.read.add(self._key(one, None))

    def shares(self, objects: Any) -> bool:
        return True

    def together(self, reads: Any, writes: Any, site: Any) -> None:
        self.read.update(self._key(one, part) for one, part in reads)
        self.written.update(self._key(one, part) for one, part in writes)

    def unsure(self, parts: Any, what: str, why: str) -> None:
        self.read.update(self._key(one, part) for one, part in parts)

    def replaced(self, obj: object, namespace: object) -> None:
        pass

    def everything(self, obj: object, what: str, site: Any) -> tuple[object, str]:
        self.whole(obj, what, site)
        return obj, "__dict__"

    def whole(self, obj: object, what: str, site: Any) -> None:
        self.read.add(self._key(obj, None))  # an attribute more is written below

    def doubt(self, what: str, why: str) -> None:
        self.doubted = True


def conflict(setup: Any, reads: Any, changes: Any) -> bool:
    """Whether hooks see that the two workers depend on one another."""
    state = setup()
    contexts = []
    for work in (reads, changes):
        context = Noting()
        contexts.append(context)
        with under(context), contextlib.suppress(Exception):  # type: ignore[arg-type]
            work(state)
    one, other = contexts
    return bool(
        one.doubted or other.doubted or one.written & (other.read | other.written)
        or other.written & (one.read | one.written)
    )  # fmt: skip


def watched(found: list[Program], name: str) -> list[Program]:
    """Those of which hooks see no conflict. All are run here, under no scheduler."""
    text = HEADER + "".join(each.source(number) for number, each in enumerate(found))
    made = compiled(text.encode(), f"{name}.py", f"{name}.py", name)
    module = sys.modules[name] = types.ModuleType(name)
    names = vars(module)
    exec(made.rewritten, names)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            each for number, each in enumerate(found)
            if not conflict(*(names[f"{part}_{number}"] for part in ("setup", "reads", "changes")))
        ]  # fmt: skip
