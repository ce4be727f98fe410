"""Who else has a container that workers change under a name of their own.

``names = Color._member_map_`` in ``setup``: what is changed then is a dictionary like any other,
and the class reads it in code that is not looked into. The same goes for hints, for the keyword
defaults of functions and for what objects of the standard library have. It is looked for where code
that was run could have it from.
"""

from __future__ import annotations

import gc
from _weakref import ref
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.accesses import elsewhere
from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.account.extensions import named
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.account.reached import inside
from tracelock.instrument.account.touched import Touched
from tracelock.instrument.contexts import class_line, class_names, identity, module_names

#: So many objects in a container are looked at.
_MOST: Final = 100
_METHODS: Final = (FunctionType, classmethod, staticmethod)


def kept(
    ran: Iterable[tuple[CodeType, Mapping[str, Any]]], known: Iterable[Any]
) -> Iterator[tuple[int, str]]:
    """Containers, by identity, and what has each. ``ran``: code of the program with its globals;
    ``known``: the objects that it was seen to use, or weak references to them."""
    for name, value in (each for _, names in ran for each in _for_tools(names)):
        yield identity(value), f"{name} of a module"
    found: dict[int, Any] = {}
    for value in (each for code, names in ran for each in named(code, names)):
        found[identity(value)] = value
    for one in filter(lambda each: each is not None, map(_there, known)):
        found[identity(one)] = one
        found.update((identity(each), each) for each in islice(inside(one), _MOST))
    for cls in {identity(type(one)): type(one) for one in found.values()}.values():
        found[identity(cls)] = cls
    for one in found.values():
        yield from _parts(one)


def behind(touched: Iterable[Touched]) -> Iterator[tuple[int, int, str]]:
    """What can be reached at once from objects whose use is not seen: containers, by identity, the
    workers that use the object, and what has each."""
    for each in touched:
        one = _there(each.keep)
        for value in () if one is None else gc.get_referents(one):
            if _is_container(value):
                yield identity(value), each.by, f"what a {type(one).__name__} has"


def _there(one: Any) -> Any:
    return one() if type(one) is ref else one


def _for_tools(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(names.items()):
        if type(name) is str and elsewhere.is_for_tools(name) and _is_container(value):
            yield name, value


def _is_container(value: object) -> bool:
    return issubclass(type(value), CONTAINERS)


def _parts(one: Any) -> Iterator[tuple[int, str]]:
    cls = type(one)
    if issubclass(cls, type):
        for base in class_line(one):
            for name, value in list(class_names(base).items()):
                if type(value) in _METHODS:
                    yield from _of_function(getattr(value, "__func__", value))
                elif _is_container(value) and (
                    elsewhere.is_for_tools(name) or elsewhere.is_read_in_class(one, name)
                ):
                    yield identity(value), f"{name} of {base.__name__}"
    elif cls is FunctionType:
        yield from _of_function(one)
    elif issubclass(cls, ModuleType):
        for name, value in _for_tools(module_names(one)):
            yield identity(value), f"{name} of a module"
    else:
        for name, value in list(namespace(one).items()):
            if type(name) is str and _is_container(value) and elsewhere.is_read(cls, name):
                yield identity(value), f"{name} of {cls.__name__}"


def _of_function(function: Any) -> Iterator[tuple[int, str]]:
    """Its keyword defaults and its annotations."""
    if type(function) is FunctionType:
        for value in gc.get_referents(function):
            if type(value) is dict and value is not function.__globals__:
                yield identity(value), f"what the function {function.__name__} has"
