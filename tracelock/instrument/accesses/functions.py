"""Built-in functions that read or write what they are given."""

from __future__ import annotations

import _thread
import bisect
import builtins
import collections
import functools
import heapq
import operator
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses.containers import (
    EXPORT,
    EXTREME,
    HASH,
    ORDER,
    OVER,
    SUM,
    TRUTH,
    access_of,
)
from tracelock.instrument.accesses.implied import names_of_class
from tracelock.instrument.accesses.looks import (
    calls_code,
    combined,
    filling,
    given,
    looked,
    stepped,
)
from tracelock.instrument.accesses.places import learn, namespace_of, place_of, slots_of
from tracelock.instrument.accesses.plans import plan_read, plan_write
from tracelock.instrument.accesses.reach import below, others
from tracelock.instrument.accesses.stand_ins import Later, by_name
from tracelock.instrument.contexts import Context, contexts, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import is_plain

_SEARCHING: Final = (bisect.bisect_left, bisect.bisect_right, operator.contains)
#: Built-in functions that read a container: name -> which operation of it they use.
READERS: Final = {
    "len": "__len__", "bool": "__bool__", "str": "__str__", "repr": "__repr__",
    "ascii": "__repr__", "list": "__iter__", "tuple": "__iter__", "set": HASH, "frozenset": HASH,
    "dict": HASH, "sorted": ORDER, "sum": SUM, "min": EXTREME, "max": EXTREME, "any": TRUTH,
    "all": TRUTH, "enumerate": OVER, "zip": OVER, "iter": OVER, "map": OVER, "filter": OVER,
    "reversed": "__reversed__", "next": "__next__", "bytes": "__iter__",
    "bytearray": "__iter__", "print": "__str__", "format": "__format__", "hash": "__hash__",
    "int": "__iter__", "float": "__iter__", "ord": "__iter__", "memoryview": EXPORT,
}  # fmt: skip


#: By the identity of what is patched: what takes its place where a module that keeps its own
#: names has it (``_thread.allocate_lock``).
replaced: Final[dict[int, Callable[..., Any]]] = {}


#: What the methods of descriptors in C do.
SLOT: Final = {"__get__": ops.READ, "__set__": ops.WRITE, "__delete__": ops.WRITE}
#: By the identity of a type of callables in C: what makes the points of such a function.
appliers: Final[dict[int, Callable[[Any, Site], Any]]] = {}


def applied(function: Any, site: Site) -> Any:
    """What code in C is to apply for ``function``, which it is given."""
    plan = appliers.get(identity(type(function)))
    return function if plan is None else plan(function, site)


def controlled(function: Any, site: Site) -> Any:
    """``function``, or what makes its points and then calls it, or what takes its place."""
    known = _BODIES.get(identity(function))
    if known is None:
        return replaced.get(identity(function), function)
    return functools.partial(known[0], function, known[1], site)


#: By identity, those that write what they are given, or an attribute of it.
writers: Final[set[int]] = set()


def _context() -> Context | None:
    return contexts.get(_thread.get_ident())


def _reading(
    function: Callable[..., Any], operation: str, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    context = _context()
    if context is not None:
        key = keywords.get("key")
        if key is not None:
            key = keywords["key"] = applied(key, site)
        if operation in (OVER, SUM):
            args = tuple([applied(each, site) for each in args])
        code = calls_code(key) or (function is functools.reduce and calls_code(args[0]))
        args = tuple(
            [
                each if is_plain(each) else looked(each, operation, site, context, code)
                for each in args
            ]
        )
        if function is print and keywords.get("file") is not None:
            into = keywords["file"]
            if access_of(type(into), "write") is not None:
                context.access(ops.WRITE, into, None, site)
    return function(*args, **keywords)


def _filling(
    function: Callable[..., Any], about: None, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    """What takes names and values from a mapping, or pairs (from 3.13 on), and looks no deeper."""
    context = _context()
    if context is not None and args:
        args = tuple([looked(each, HASH, site, context) for each in args])
        for pairs in args:
            for each in pairs if type(pairs) is list or type(pairs) is tuple else ():
                looked(each, "__iter__", site, context)
    return function(*args, **keywords)


def _first(
    function: Callable[..., Any], kind: int, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    context = _context()
    if context is not None and args and access_of(type(args[0]), "__setitem__") is not None:
        rest = args[1:]
        if function is operator.getitem and hasattr(type(args[0]), "__missing__"):
            kind = ops.WRITE  # it may get what it has not
        found = below(ORDER if kind == ops.WRITE or function in _SEARCHING else HASH, *args)
        found.code = found.code or calls_code(keywords.get("key"))
        also = others(found, function.__name__, site, context)
        also = [part for part in also if part[1] is not None or part[0] is not args[0]]
        value = rest[0] if len(rest) == 1 else rest or None
        place, name = place_of(args[0], rest[0]) if rest else (args[0], None)
        if name is not None:  # of a namespace: ``setitem`` binds it, ``delitem`` deletes it
            value = rest[1] if len(rest) > 1 else None
        context.access(kind, place, name, site, value, also)
        result = function(*args, **keywords)
        context.saw(result)
        return result
    return _given(function, None, site, *args, **keywords)


def _given(
    function: Callable[..., Any], about: Any, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    """A function that is written in C, of which nothing else is known."""
    context = _context()
    if context is not None and (args or keywords):
        args = tuple(stepped(args, site, context))
        given(function, [*args, *keywords.values()], site, context)
    return function(*args, **keywords)


def _in_place(function: Callable[..., Any], operation: str, site: Site, /, *args: Any) -> Any:
    context = _context()
    if context is not None and len(args) == 2:
        obj, operand = args
        name = f"__{operation or function.__name__}__"
        if access_of(type(obj), name) == ops.WRITE:
            return function(obj, combined(obj, operand, name, site, context))
    return _given(function, None, site, *args)


def _named(
    function: Callable[..., Any], writes: bool, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    context = _context()
    if context is None or len(args) < 2 or not issubclass(type(args[1]), str):
        return function(*args, **keywords)
    obj, name = args[0], args[1]
    if writes:
        store = plan_write(type(obj), name)
        if store is not None:
            store(obj, name, site, context, args[2] if len(args) > 2 else None)
    else:
        load = plan_read(type(obj), name)
        if load is not None:
            base = load(obj, name, site, context)
            if base is not obj:
                return function(base, *args[1:], **keywords)
    return function(*args, **keywords)


def store(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    """Before ``object.__setattr__(obj, name, value)`` and its like."""
    plan = plan_write(type(obj), name)
    if plan is not None:
        plan(obj, name, site, context, value)
    elif not issubclass(type(obj), _thread._local):  # a property, or what forbids it
        context.access(ops.WRITE, obj, name, site, value)


by_name.append(store)


def slot(function: Any, kind: int, site: Site, /, *args: Any) -> Any:
    """``Class.name.__get__(obj)`` of a slot, ``vars(Class)["__dict__"].__set__(obj, names)``."""
    context = _context()
    if context is not None and args and args[0] is not None:
        name = function.__self__.__name__
        if kind == ops.WRITE:
            store(args[0], name, site, context, args[1] if len(args) > 1 else None)
        else:
            context.access(kind, args[0], name, site)
    found = function(*args)
    if context is not None and function.__self__.__name__ == "__dict__":
        learn(args[0], found)
    return found


def reading_all(obj: Any, site: Site, context: Context) -> None:
    """Before all attributes of an object are read at once: to copy it, to pickle it."""
    held = namespace_of(obj)
    if type(held) is dict and not issubclass(type(obj), type):
        for name in list(held):
            if type(name) is str:
                context.access(ops.READ, obj, name, site)
        context.access(ops.READ, *context.everything(obj, "all attributes", site), site)
    for name in slots_of(type(obj)):
        context.access(ops.READ, obj, name, site)
    if access_of(type(obj), "__iter__") is not None:
        context.access(ops.READ, obj, None, site)


def _vars(function: Callable[..., Any], about: None, site: Site, /, *args: Any) -> Any:
    if not args:
        return sys._getframe(1).f_locals  # of whoever calls it
    context = _context()
    if context is not None:
        if issubclass(type(args[0]), type):
            names_of_class(args[0], site, context)
        elif namespace_of(args[0]) is not None:
            context.access(ops.READ, args[0], "__dict__", site)
    found = function(*args)
    if context is not None:
        learn(args[0], found)
    return found


def _dir(function: Callable[..., Any], about: None, site: Site, /, *args: Any) -> Any:
    if not args:
        return sorted(sys._getframe(1).f_locals)
    context = _context()
    if context is not None:
        reading_all(args[0], site, context)
        context.doubt("dir", f"{site.at} asks which attributes there are")
    return function(*args)


def _globals(function: Callable[..., Any], about: None, site: Site, /) -> Any:
    found = sys._getframe(1).f_globals
    module = sys.modules.get(found.get("__name__", ""))
    if module is not None and module.__dict__ is found:
        learn(module, found)
    return found


#: Where functions are, what they are called, what is called instead, and what that has to know:
#: of C functions that are given a list first, whether they change it.
_CONTROLLED: Final[tuple[tuple[Any, str, Callable[..., Any], Any], ...]] = (
    (
        heapq,
        "heapify heappop heappush heappushpop heapreplace heapify_max heappop_max heappush_max"
        " heappushpop_max heapreplace_max",
        _first,
        ops.WRITE,
    ),  # the latter from 3.14 on
    (bisect, "insort insort_left insort_right", _first, ops.WRITE),
    (collections, "_count_elements", _first, ops.WRITE),  # of ``Counter``
    (bisect, "bisect bisect_left bisect_right", _first, ops.READ),
    (operator, "setitem delitem", _first, ops.WRITE),
    (operator, "getitem contains", _first, ops.READ),
    (operator, "iadd iand ior ixor isub imul", _in_place, ""),
    (operator, "iconcat", _in_place, "iadd"),
    (operator, "eq ne lt le gt ge", _given, None),
    (builtins, "getattr hasattr", _named, False),
    (builtins, "setattr delattr", _named, True),
    (functools, "reduce", _reading, SUM),
    (builtins, "vars", _vars, None),
    (builtins, "dir", _dir, None),
    (builtins, "globals", _globals, None),
)
#: The same of classes, which are not looked for by their names.
_MAKING: Final[tuple[tuple[Any, str, Callable[..., Any], Any], ...]] = (
    (types, "SimpleNamespace", _filling, None),
)
#: What rewriting looks for: calls of anything so named go through ``hooks.calling``.
FUNCTION_NAMES: Final = frozenset(name for row in _CONTROLLED for name in row[1].split())
# By identity: asking for the hash of a callable of the program would run its code.
_BODIES: Final[dict[int, tuple[Callable[..., Any], Any]]] = {
    identity(getattr(module, name)): (body, about)
    for module, names, body, about in (
        *_CONTROLLED,
        *((builtins, name, _reading, operation) for name, operation in READERS.items()),
        *_MAKING,
    )
    for name in names.split()
    if hasattr(module, name)
}
writers.update(
    number
    for number, (body, about) in _BODIES.items()
    if body is _in_place or (body in (_first, _named) and about in (ops.WRITE, True))
)
writers.add(identity(next))


def formatting(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before ``text.format(...)``, or ``format_map``."""
    return Later(functools.partial(_format, getattr(obj, name), site))


def _format(function: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    """``text.format(...)`` reads what it is given; attributes too, if the text names any."""
    context = _context()
    if context is not None:
        given(function, [*args, *keywords.values()], site, context)
        if "[" in function.__self__ or function.__name__ == "format_map":
            filling((*args, *keywords.values()), site, context)
        if "." in function.__self__:
            for each in (*args, *keywords.values()):
                if not is_plain(each):
                    reading_all(each, site, context)
                    held = namespace_of(each)
                    if type(held) is dict:
                        filling(held.values(), site, context)
                        given(function, list(held.values()), site, context)
    return function(*args, **keywords)
