"""Where what an expression or statement comes to depends on what a container holds, a read of it is
seen; where it changes the container, a write is. Whether it does is found out by running it."""

from __future__ import annotations

import array
import ast
import builtins
import collections
import contextlib
import functools
import io
import itertools
import math
import operator
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.helpers.watching import Watcher, both, under

#: Makes what two workers may share; and the same kind of container, but with something else in it.
CONTAINERS: Final[dict[str, tuple[Callable[[], Any], Callable[[], Any]]]] = {
    "list": (lambda: [3, 1, 2], lambda: [3, 1, 9]),
    "texts": (lambda: ["a", "b"], lambda: ["a", "c"]),
    "dict": (lambda: {"a": 1, "b": 2}, lambda: {"a": 1, "c": 7}),
    "set": (lambda: {1, 2}, lambda: {1, 5}),
    "deque": (lambda: collections.deque([3, 1]), lambda: collections.deque([3, 9])),
    "bytearray": (lambda: bytearray(b"ab"), lambda: bytearray(b"cd9")),
    "array": (lambda: array.array("i", [3, 1]), lambda: array.array("i", [3, 9])),
    "ordered": (
        lambda: collections.OrderedDict(a=1, b=2),
        lambda: collections.OrderedDict(a=1, c=7),
    ),
    "list in a list": (lambda: [[1, 2], [3, 4]], lambda: [[1, 9], [3, 4]]),
    "list in a dict": (lambda: {"a": [1, 2]}, lambda: {"a": [1, 9]}),
    "list in a tuple": (lambda: ([1, 2], 3), lambda: ([1, 9], 3)),
    "list in a namespace": (
        lambda: types.SimpleNamespace(a=[1, 2]),
        lambda: types.SimpleNamespace(a=[1, 9]),
    ),
}
CONSTANTS: Final = ["0", "1", "'a'", "b'a'", "None", "()", "[]", "{}", "(1, 2)", "{1}", "''", "b''",
                    "1.5", "lambda *a: a", "str"]  # fmt: skip
#: What runs code that is not here, asks the terminal, or only keeps what it is given.
LEFT_OUT: Final = frozenset({
    "input", "breakpoint", "exit", "quit", "help", "exec", "eval", "open", "copyright", "credits",
    "license", "compile", "globals", "locals", "vars", "dir", "delattr", "setattr", "id", "slice",
    "classmethod", "staticmethod", "property", "super", "memoryview", "aiter", "anext",
})  # fmt: skip
KEEPING: Final = frozenset({
    "GenericAlias", "partialmethod", "singledispatchmethod", "wraps", "update_wrapper",
    "namedtuple", "partial", "lru_cache", "cache", "total_ordering", "singledispatch",
    "cached_property", "count", "cycle", "tee", "ChainMap", "UserDict", "UserList", "UserString",
    "Counter", "RLock",
    "itemgetter", "attrgetter", "methodcaller", "cmp_to_key", "recursive_repr",
})  # fmt: skip
OPERATORS: Final = [
    "+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>",
    "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or",
]  # fmt: skip


def calls() -> Iterator[str]:
    """Built-in functions with ``x`` at each place."""
    for name in dir(builtins):
        if name in LEFT_OUT or not name.islower() or name.startswith("_"):
            continue
        if callable(getattr(builtins, name)):
            yield from (f"{name}(x)", f"{name}(*x)", f"{name}(1, 2, x)", f"{name}('a', x, 2)")
            for constant in CONSTANTS:
                yield from (f"{name}({constant}, x)", f"{name}(x, {constant})")
            for name_, value in itertools.product(
                ("key", "default", "start"), ("None", "0", "str")
            ):
                yield from (f"{name}(x, {name_}={value})", f"{name}(1, {name_}=x)")


def library_calls() -> Iterator[str]:
    for module in (operator, itertools, functools, math):
        for name in dir(module):
            if name.startswith("_") or name in KEEPING or not callable(getattr(module, name)):
                continue
            spelled = f"{module.__name__}.{name}"
            for given in ("x", "0, x", "x, 0", "'a', x", "x, [1]", "[1], x", "str, x", "x, str",
                          "operator.add, x", "x, y", "y, x"):  # fmt: skip
                call = f"{spelled}({given})"
                yield f"list(itertools.islice({call}, 5))" if module is itertools else call


def operations() -> Iterator[str]:
    for sign in OPERATORS:
        for constant in CONSTANTS:
            if not constant.startswith("lambda"):
                yield from (f"(x {sign} {constant})", f"({constant} {sign} x)")
                yield f"({constant} {sign} x == {constant})"
                yield f"({constant} < {constant} {sign} x)"
        yield from (f"(x {sign} y)", f"(x {sign} y {sign} y)", f"(y {sign} x {sign} y)")
    yield from (f"({sign} x)" for sign in ("not", "-", "+", "~"))


def methods() -> Iterator[str]:
    for type_ in (str, bytes):
        text = "'abab'" if type_ is str else "b'abab'"
        for name in dir(type_):
            if not name.startswith("_"):
                yield from (f"{text}.{name}(x)", f"{text}.{name}({text}, x)",
                            f"{text}.{name}(*x)")  # fmt: skip
    for type_ in {type(make()) for make, _ in CONTAINERS.values()}:
        for name in sorted(dir(type_)):
            special = name.startswith("__") and name not in (
                "__len__", "__iter__", "__contains__", "__getitem__", "__eq__", "__lt__", "__add__",
                "__iadd__", "__ior__", "__reversed__", "__setitem__", "__delitem__", "__str__",
            )  # fmt: skip
            if not special and callable(getattr(type_, name)) and name != "buffer_info":
                for given in ("", "0", "'a'", "y", "b'a'", "1, 2"):
                    yield f"x.{name}({given})"
                yield from (f"y.{name}(x)", f"y.{name}(*x)", f"y.{name}(1, x)")


DISPLAYS: Final = """
x[0]; x['a']; x[0:1]; x[-1]; x[:]; 1 if x else 2; [*x]; (*x,); {*x}; {**x}; [a for a in x]; x and 3
{a for a in x}; {a: 1 for a in x}; list(a for a in x); any(a for a in x); sum(a for a in x if a)
f'{x}'; f'{x!r}'; f'{x!s:>5}'; f'{1}{x}'; f'{2:{x}}'; '%s' % x; '%s' % (x,); '%s %s' % (1, x)
'{}'.format(x); '{0[0]}'.format(x); '{a}'.format(**x); '{a}'.format_map(x); ' '.join(x); b''.join(x)
b'%s' % x; (lambda *a: a)(*x); (lambda **a: a)(**x); [b for a in [x] for b in a]; [1, *x, 2]; x or 3
(y := x) == 3; [i for i in x if i]; [i for i in range(3) if i in x]; [i for i in [1] if x]
{**{'a': 2}, **x}; dict(x, b=3); dict(b=3, **x); dict([*x]); x.copy(); getattr(x, 'copy')()
next(iter(x)); next(iter(x), None); iter(x).__next__(); x in [y]; [x] == [y]; {'q': x} == {'q': y}
[1, [1, 2]] < [1, x]; sorted([x, y]); [y, x].index(x); [*zip(*x)]; [a for a, b in x]; [*map(max, x)]
set(map(tuple, x)); functools.reduce(operator.add, x); [0 for x[0] in [5]]; [0 for x['a'] in [7]]
""".replace("\n", ";").split(";")
STATEMENTS: Final = [
    "a, *b = x", "(a, b), *c = x, 1", "(a, b), c = x", "a, (b, c) = 1, x[0]", "a, b = x['a']",
    "for a in x: pass", "for (a, b), c in [x]: pass", "for (a, b) in x: pass", "(a, b), = [x[0]]",
    "match x:\n  case [a, *b]: return a\n  case {'a': q}: return q", "del x[:]", "del x[0]",
    "del x['a']", "x.pop()", "x.clear()", "x.update(y)", "x |= y", "while x: x.pop()", "assert x",
    "if x: return 1", "return [*x]", "yield from x", "print(x)", "print(1, x)", "print(*x)",
    "x[0], b = 1, 2", "b, x[0] = 1, 2", "x[0] = x[1] = 8", "x[len(x) - 1] = 4", "x[y[0]] = 1",
    "match x:\n  case [[a, b], *c]: return a\n  case {'a': [a, b]}: return a",
    *(f"x {sign}= {value}" for sign in OPERATORS[:13]
      for value in ("1", "[1]", "y", "iter(y)", "()")),
    *(f"y {sign}= x" for sign in OPERATORS[:13]),
    *(f"{target} = {value}" for target in ("x[0]", "x['a']", "x[0:1]", "x[:]", "x[::2]")
      for value in ("5", "y", "b'z'", "[1]", "b'zz'")),
]  # fmt: skip
HEAD: Final = "import functools, itertools, math, operator\n"
PARTS: Final = 6


def bodies() -> list[str]:
    """Statements, each the body of a function of ``x`` and ``y``."""
    displays = [one.strip() for one in DISPLAYS if one.strip()]
    sources = [*calls(), *library_calls(), *operations(), *methods(), *displays]
    return list(dict.fromkeys([*STATEMENTS, *(f"return {one}" for one in sources)]))


def source(body: str, name: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return f"def {name}(x, y):\n{lines}\n"


def within(x: Any) -> Any:
    """The container that differs."""
    if isinstance(x, list | tuple) and isinstance(x[0], list):
        return x[0]
    if isinstance(x, dict) and isinstance(x.get("a"), list):
        return x["a"]
    return x.a if isinstance(x, types.SimpleNamespace) else x


def keeps(result: Any, one: object, deep: int = 5) -> bool:
    """Whether it is in what came out, so that nobody has looked into it yet."""
    if result is one or not deep:
        return result is one
    if isinstance(result, dict):
        return any(keeps(each, one, deep - 1) for each in result.values())
    if isinstance(result, list | tuple | set | frozenset | collections.deque):
        return any(keeps(each, one, deep - 1) for each in result)
    if isinstance(result, types.SimpleNamespace | BaseException):
        return keeps([vars(result), getattr(result, "args", ())], one, deep - 1)
    if hasattr(result, "__next__") or type(result).__module__ != "builtins":
        return True
    name = type(result).__name__
    return name.startswith(("dict_", "odict_")) or name in (
        "method", "memoryview", "builtin_function_or_method", "method-wrapper",
    )  # fmt: skip


def ran(function: Any, x: Any, y: Any, held: Any) -> str | None:
    """What it came to and printed; None where that has in it what ``x`` holds."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            result = function(x, y)
            if isinstance(result, types.GeneratorType):
                result = list(result)
            told = None if keeps(result, held) else repr(result)
        except Exception as error:
            told = type(error).__name__
            if not isinstance(error, TypeError):  # which names what is called, here a hook
                told += str(error)
    return told and re.sub(r"0x\w+", "", told + printed.getvalue())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_what_depends_on_it_reads_it_and_what_changes_it_writes_it(part: int) -> None:
    chosen: dict[str, str] = {}
    for number, body in enumerate(bodies()[part::PARTS]):
        with contextlib.suppress(SyntaxError):
            compile(source(body, "f"), "f", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            chosen[f"f{number}"] = body
    plain, new = both(HEAD + "".join(source(body, name) for name, body in chosen.items()))
    depending, missed = 0, []
    for name, body in chosen.items():
        for kind, (make, other) in CONTAINERS.items():
            x, another, watched = make(), other(), make()
            held, shared, watcher = within(x), within(watched), Watcher()
            before = repr(held)
            one = ran(plain[name], x, make(), held)
            two = ran(plain[name], another, make(), within(another))
            changed = repr(held) != before
            with under(watcher):
                same = ran(new[name], watched, make(), shared)
            assert same == one, (body, kind)
            seen = [(what, shared is held or shared is value) for what, held, _, _, value
                    in watcher.events]  # fmt: skip
            depends = one is not None and two is not None and one != two
            depending += depends or changed
            if depends and not any(there for _, there in seen):
                missed.append((body, kind, "read"))
            if changed and ("write", True) not in seen:
                missed.append((body, kind, "write"))
    assert depending > 150
    assert missed == []
