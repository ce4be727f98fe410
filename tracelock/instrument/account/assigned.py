"""What code that is not looked into assigns of what all who call it have: globals, variables of
closures, attributes of classes, functions and modules.

None of these is an object that several workers are given, and none is an access. Which of them code
assigns, and which it names, is in its bytecode; a worker that was in that code counts as one that
does so.
"""

from __future__ import annotations

import dis
import functools
from _weakref import ref
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.account.extensions import module_of
from tracelock.instrument.account.known import CONTAINER, INSTANCE, Kinds, root_of
from tracelock.instrument.contexts import class_line, class_names, identity, module_names

_LOADS: Final = ("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME", "STORE_FAST_LOAD")
_CLOSED: Final = ("STORE_DEREF", "DELETE_DEREF")
_GLOBAL: Final = ("STORE_GLOBAL", "DELETE_GLOBAL")
_ATTRIBUTE: Final = ("STORE_ATTR", "DELETE_ATTR")
_STORES: Final = frozenset(
    dis.opmap[one] for one in (*_CLOSED, *_GLOBAL, *_ATTRIBUTE) if one in dis.opmap
)
_MOST: Final = 4_096  # code that is made by ``exec`` again and again is not kept for ever
#: Functions that assign an attribute of which they are told the name.
_BY_TEXT: Final = frozenset({"setattr", "delattr", "__setattr__"})
#: Objects of which there is one for all.
_ONE_FOR_ALL: Final = (type, FunctionType, ModuleType)
_ABSENT: Final = object()


@dataclass(slots=True, eq=False)
class Assigning:
    """What the bytecode of some code says. ``bound``: globals and variables of closures that it
    assigns; ``attributes``: (variable, attribute) that it assigns, the former "" where the object
    is had in another way; ``named``: all that it names. Variables of closures are told from one
    another by the function that they are of (``make.<locals>.n``)."""

    code: CodeType
    bound: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    named: frozenset[str]


@functools.lru_cache(_MOST)
def read_code(code: CodeType) -> Assigning:
    """What there is to know of it."""
    outer = code.co_qualname.rpartition("<locals>.")[0]
    bound, attributes = [], []
    loaded = copied = ""
    stores = not _STORES.isdisjoint(code.co_code[::2])  # or what goes with an operation is so
    for each in dis.get_instructions(code) if stores else ():
        name, how = each.argval, each.opname
        if how in _GLOBAL:
            bound.append(str(name))
        elif how in _CLOSED and name in code.co_freevars:
            bound.append(f"{outer}{name}")
        elif how in _ATTRIBUTE:
            attributes.append((loaded or copied, str(name)))
        elif how == "COPY":
            copied, loaded = loaded, ""
            continue
        last = name[-1] if type(name) is tuple else name
        loaded = str(last) if how.startswith(_LOADS) else ""
    texts = [one for one in code.co_consts if type(one) is str and one.isidentifier()]
    closed = [f"{outer}{name}" for name in code.co_freevars]
    if not _BY_TEXT.isdisjoint(code.co_names):  # ``setattr(cls, "total", 1)``
        attributes += [("", one) for one in texts]
    if "globals" in code.co_names:
        bound += texts
    named = frozenset((*code.co_names, *texts, *closed))
    return Assigning(code, tuple(bound), tuple(attributes), named)


class AssignedNames:
    """What workers have assigned like that in one schedule."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        #: Module and code -> the workers that ran it, and its globals.
        self._users: dict[tuple[str, Assigning], tuple[int, dict[str, Any]]] = {}
        #: Module and name -> the workers that assign it, and the objects that it is of.
        self._writers: dict[tuple[str, str], tuple[int, list[Any]]] = {}

    def entered(
        self, frame: FrameType, held: dict[str, Any], module: str, worker: int
    ) -> list[object]:
        """A worker runs code of ``module``, which is not looked into; ``held``: its variables.
        Returns what classes of that module keep for all their objects, is named by the code, and
        can be changed."""
        known, names = read_code(frame.f_code), frame.f_globals
        key = module, known
        self._users[key] = self._users.get(key, (0, names))[0] | 1 << worker, names
        for name in known.bound:
            self._writes(module, name, worker)
        for variable, name in known.attributes:
            value = held.get(variable, names.get(variable, _ABSENT))
            if value is _ABSENT:
                if _of_a_class(names, module, name):
                    self._writes(module, name, worker)
            elif issubclass(type(value), _ONE_FOR_ALL):
                self._writes(_home_of(value) or module, name, worker, value)
        given = [*held.values(), *(names[one] for one in known.code.co_names if one in names)]
        return [one for value in given for one in self._kept_by_class(value, known, module)]

    def _kept_by_class(self, value: object, known: Assigning, module: str) -> Iterator[object]:
        for one in class_line(value if issubclass(type(value), type) else type(value)):
            if module_of(one) == module:
                for name, kept in list(class_names(one).items()):
                    if name in known.named and self._kinds.of(kept) in (CONTAINER, INSTANCE):
                        yield kept

    def _writes(self, module: str, name: str, worker: int, of: Any = None) -> None:
        workers, objects = self._writers.get((module, name), (0, []))
        if of is not None and all(of is not one() for one in objects):
            objects.append(ref(of))  # a function may be all that holds what dies in this schedule
        self._writers[module, name] = workers | 1 << worker, objects

    def told(self, names: Any) -> Iterator[tuple[str, str]]:
        """What several workers use, and one at least assigns: module, and why. ``names``: of the
        objects that code that is looked into uses."""
        for (module, name), (workers, objects) in self._writers.items():
            users = workers | _seen(names, objects, module, name) | self._by_name(module, name)
            if users & (users - 1):
                shown = name.rpartition(".")[2]
                yield module, f"its code assigns {shown}, which several workers use"
        for known in list(names.lasting.values()) if self._users else ():
            module = _home_of(known.keep)
            for name, one in known.parts.items():
                if name is not None and _written(names, one):
                    users = one.users | self._by_name(module, name)
                    if users & (users - 1) and users != one.users:
                        yield module, f"its code uses {name}, which a worker assigns"

    def _by_name(self, module: str, name: str) -> int:
        """The workers that were in code of the package, or that names the module, with this name in
        it."""
        users = 0
        for (where, known), (by, held) in self._users.items():
            if name in known.named and (
                root_of(where) == root_of(module)
                or any(
                    issubclass(type(held.get(one)), ModuleType) and _home_of(held[one]) == module
                    for one in known.code.co_names
                )
            ):
                users |= by
        return users


def _written(names: Any, variable: Any) -> bool:
    return bool(variable.shared or (variable.stamp == names.schedule and variable.writers))


def _seen(names: Any, objects: list[Any], module: str, name: str) -> int:
    """The workers that were seen to use an attribute, or a global of the module."""
    users = 0
    there = [one for one in (each() for each in objects) if one is not None]
    known_ones = [
        names.objects.get(identity(one)) or names.lasting.get(identity(one)) for one in there
    ]
    known_ones += [one for one in names.lasting.values() if _home_of(one.keep) == module]
    for known in known_ones:
        variable = None if known is None else known.parts.get(name)
        if variable is not None:
            if variable.shared:
                return -1
            if variable.stamp == names.schedule:
                users |= variable.users
    return users


def _home_of(value: Any) -> str:
    """The module of a class or function, or the name of a module."""
    if issubclass(type(value), type):
        return module_of(value)
    is_module = issubclass(type(value), ModuleType)  # which may run code when it is asked
    found = module_names(value).get("__name__") if is_module else value.__module__
    return found if type(found) is str else ""


def _of_a_class(names: dict[str, Any], module: str, name: str) -> bool:
    """Whether some class of a module has a value of this name for all its objects."""
    return any(
        issubclass(type(one), type)
        and module_of(one) == module
        and class_names(one).get(name, _ABSENT) is not _ABSENT
        for one in list(names.values())
    )
