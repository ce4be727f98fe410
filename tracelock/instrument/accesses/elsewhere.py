"""State that code which is not looked into reads, of objects that others change by hand.

``Color._member_map_`` is a dictionary like any other, and ``Color(1)`` reads it in the code of
``enum``, where no hook is. So what a class of the standard library names of its own objects, and
what a class has between two underscores for the interpreter and for tools, keeps ``verified`` away
where a worker changes it by its name.
"""

from __future__ import annotations

import dis
import sys
import threading
from _thread import LockType, RLock, get_ident
from collections.abc import Container, Iterator
from queue import Queue
from types import CodeType, FunctionType
from typing import Any, Final

from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.containers import holder_of, order_of
from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.contexts import Context, class_names, identity
from tracelock.instrument.rewrite.sites import Site

#: Packages whose objects are under control: what they keep is changed by subclasses too, by rule.
_CONTROLLED: Final = frozenset({"asyncio", "concurrent", "multiprocessing", "queue", "builtins"})
#: Methods that set up an object which nobody else has yet.
_MAKING: Final = frozenset({"__init__", "__new__", "__post_init__", "__set_name__", "_init"})
#: Packages of which tasks use the objects: every order of what these do is tried.
_OF_LOOPS: Final = frozenset({"asyncio", "builtins"})
_WHY: Final = "code that is not looked into reads it"
#: Methods by which a subclass of ``Queue`` says how it keeps its items.
_OF_QUEUES: Final = frozenset({"_init", "_put", "_get", "_qsize"})
#: What puts an item into one: no code of it is given where it is looked into.
_PUT: Final = class_names(Queue)["_put"]
#: Modules whose objects are locks, queues and the like.
_SHOWING: Final = ("threading", "queue", "concurrent.futures", "tracelock.instrument.threads.locks")
_LOADING: Final = ("LOAD_ATTR", "LOAD_METHOD")
_STORING: Final = ("STORE_ATTR", "DELETE_ATTR")

_reads: Final = by_type()
_changes: Final = by_type()


def is_read(type_: type, name: str) -> bool:
    """Whether code of the standard library that is not looked into reads this attribute of objects
    of a type: code of a class of theirs, or of the class of a class."""
    try:
        found: bool = _reads[identity(type_)][name]
    except KeyError:
        found = entry(_reads, type_)[name] = any(
            name in code.co_names and _uses(code, name, _LOADING)
            for code in _codes(type_, _CONTROLLED)
        )
    return found


def is_read_in_class(cls: type, name: str) -> bool:
    """The same of an attribute of a class itself."""
    return is_read(cls, name) or is_read(type(cls), name)


def is_changed(type_: type, name: str) -> bool:
    """Whether such code assigns this attribute, other than where an object is set up."""
    try:
        found: bool = _changes[identity(type_)][name]
    except KeyError:
        found = entry(_changes, type_)[name] = any(
            name in code.co_names and code.co_name not in _MAKING and _uses(code, name, _STORING)
            for code in _codes(type_, _OF_LOOPS)
        ) or (name == "queue" and issubclass(type_, Queue) and any(_codes_of(_PUT)))
    return found


def tells(type_: type, asked: property) -> bool:
    """Whether a property of such code tells of an attribute that it changes."""
    plain = [code for code in _codes_of(asked) if code is getattr(asked.fget, "__code__", None)]
    return any(  # no code where it is looked into, or modelled
        is_changed(type_, name) and _uses(code, name, _LOADING)
        for code in plain
        for name in code.co_names
    )


def is_for_tools(name: str) -> bool:
    """Whether a name is one of the interpreter's own, or of tools that look at classes."""
    return name[:2] == "__" == name[-2:]


def _codes(type_: type, without: Container[str]) -> Iterator[CodeType]:
    for cls in order_of(type_):
        names = class_names(cls)
        module = names.get("__module__")
        root = module.partition(".")[0] if type(module) is str else ""
        if root in sys.stdlib_module_names and root not in without:
            for value in list(names.values()):
                yield from _codes_of(value)


def _codes_of(value: Any) -> Iterator[CodeType]:
    """Those of ``codes_of`` that have no hooks."""
    for code in codes_of(value):
        if Site not in map(type, code.co_consts):
            yield code


def codes_of(value: Any) -> Iterator[CodeType]:
    """The code of a function, a method of the class or a property; runs none."""
    if type(value) in (classmethod, staticmethod):
        value = value.__func__
    one: Any
    for one in (value, getattr(value, "fget", None), getattr(value, "fset", None)):
        while type(one) is FunctionType and "real" in one.__code__.co_freevars:  # it is patched
            held = one.__closure__ or ()
            one = held[one.__code__.co_freevars.index("real")].cell_contents
        if type(one) is FunctionType:
            yield one.__code__


def _uses(code: CodeType, name: str, how: tuple[str, ...], first: str = "") -> bool:
    """Whether code loads, or stores, this attribute of its first argument."""
    first = first or next(iter(code.co_varnames), "")
    before: Any = None
    for each in dis.get_instructions(code):
        if each.opname in how and each.argval == name:
            taken = before[-1] if type(before) is tuple else before
            if taken == first:
                return True
        if each.opname.startswith(("LOAD_FAST", "LOAD_DEREF")):
            before = each.argval
        else:  # ``self.n += 1`` puts what is to be stored behind ``self``
            before = first if each.opname == "SWAP" else None
    return any(
        name in one.co_names and _uses(one, name, how, first)
        for one in code.co_consts
        if type(one) is CodeType
    )


def write(obj: Any, name: str, site: Site, context: Context) -> None:
    """Before such an attribute is written."""
    if site.function.rpartition(".")[2] not in _MAKING:
        context.doubt(f"{name} of {type(obj).__name__}", f"{site.at} assigns it, and {_WHY}")


def read(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before an attribute is read that such code changes, or tells of; returns ``obj``."""
    if obj is not current() and site.function.rpartition(".")[2] not in _OF_QUEUES:
        context.doubt(
            f"{name} of {type(obj).__name__}",
            f"{site.at} reads it, and code that is not looked into changes it",
        )
    return obj


def current() -> object:
    """The thread that runs: what it tells of itself nobody else changes."""
    return threading._active.get(get_ident())  # type: ignore[attr-defined]


def shows(type_: type, operation: str) -> bool:
    """Whether the text of an object tells what such code changes: that a lock is held, say."""
    if type_ in (LockType, RLock):
        return True
    holder = holder_of(type_, operation)
    module = None if holder is None else class_names(holder).get("__module__")
    return type(module) is str and module.startswith(_SHOWING)


def table(value: Any, holder: Any, name: str, context: Context) -> None:
    """Before such an attribute is read: what is in it may be changed next."""
    if issubclass(type(value), CONTAINERS):
        cls = holder if issubclass(type(holder), type) else type(holder)
        title = getattr(holder, "__name__", cls.__name__) if holder is cls else cls.__name__
        context.read_elsewhere(value, f"{name} of {title}", f"a worker changes it, and {_WHY}")


def of_class(cls: Any, name: str, value: Any, context: Context) -> None:
    """Before ``cls.name`` is read, or found among all that a class has."""
    if issubclass(type(value), CONTAINERS) and (is_for_tools(name) or is_read_in_class(cls, name)):
        table(value, cls, name, context)


def hints(cls: Any, context: Context) -> None:
    """Before the annotations of a class are read; from 3.14 on it keeps them under another name."""
    names = class_names(cls)
    for name in ("__annotations__", "__annotations_cache__"):
        of_class(cls, name, names.get(name), context)
