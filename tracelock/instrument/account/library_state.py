"""What modules of the standard library keep for the process: caches, registries, defaults.

``linecache.cache``, ``sys.path``, ``warnings.filters``, ``decimal.DefaultContext``: where a worker
changes one of these by hand, the code that uses it makes no access that is seen.
"""

from __future__ import annotations

import sys
from _weakref import ref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from sys import getrefcount
from types import (
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.account.extensions import module_of
from tracelock.instrument.account.keepers import behind, kept
from tracelock.instrument.account.known import is_standard, root_of
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.account.touched import Touched
from tracelock.instrument.contexts import class_names, identity
from tracelock.instrument.mortality import OURS

if TYPE_CHECKING:
    from tracelock.instrument.naming import NamedObject

#: Packages whose objects are under control.
_CONTROLLED: Final = frozenset(
    {"_thread", "asyncio", "concurrent", "multiprocessing", "queue", "threading"}
)
#: So far down it is looked into objects that a module keeps: ``logging.root.manager``.
_DEPTH: Final = 2
_WHY: Final = "a worker changes it, and code that is not looked into uses it"
#: Types of most of what there is in modules and classes: nothing is changed there by hand.
_ATOMS: Final = frozenset({
    str, int, FunctionType, type(None), bool, tuple, property, type(len), float, bytes, frozenset,
    classmethod, staticmethod, WrapperDescriptorType, MethodDescriptorType, GetSetDescriptorType,
    MemberDescriptorType, ClassMethodDescriptorType, MethodWrapperType,
})  # fmt: skip
#: Where in an object of a class its namespace is, 0 where it has none, whatever the class says.
_place_of_namespace: Final[Any] = type.__dict__["__dictoffset__"].__get__


class LibraryState:
    """``looked``: whether the code of a module, in a file of this name, is looked into."""

    def __init__(self, looked: Callable[[str, str], bool]) -> None:
        self._looked = looked
        #: Variables that were asked about -> what is told of them, None for those of the program.
        self._known: dict[str, str | None] = {}
        self._wanted: dict[int, str] = {}
        self._ran: set[str] = set()
        #: By identity: classes, and what gives the names below an object of each.
        self._below: dict[int, tuple[type, Callable[[Any], Mapping[str, Any]] | None]] = {}

    def changed(
        self,
        names: Any,
        ran: Sequence[tuple[CodeType, Mapping[str, Any]]],
        touched: Iterable[Touched],
    ) -> Iterator[tuple[str, str]]:
        """What workers have changed in this schedule, as the account tells it. ``ran``: code of the
        program that they ran; ``touched``: objects that they used unseen."""
        self._wanted.clear()
        before = len(self._ran)
        self._ran.update(code.co_qualname for code, _ in ran)
        if len(self._ran) > before:  # who has it may be known by now
            self._known = {name: told for name, told in self._known.items() if told is not None}
        written: list[str] = []
        used: dict[int, int] = {}
        depth = 0
        for address, known in [*names.objects.items()]:
            for variable in known.parts.values():
                if not (variable.shared or (variable.stamp == names.schedule and variable.writers)):
                    continue
                written.append(variable.name)
                if variable.name in self._known:
                    continue
                if not _is_had(known):
                    continue  # another one may be, in another schedule
                self._known[variable.name] = None
                if _may_be_kept(known.keep):
                    self._wanted[address] = variable.name
                    used[address] = -1 if variable.shared else variable.users
                    depth = depth if _from_setup(known.label) else _DEPTH
        for name, module in list(sys.modules.items()) if self._wanted else ():
            if is_standard(name) and root_of(name) not in _CONTROLLED:
                held = namespace(module)
                file = held.get("__file__")
                if type(file) is not str or not self._looked(name, file):
                    self._among(held, name, name, depth)
        self._below.clear()
        if self._wanted:
            objects = [each.keep for of in (names.objects, names.lasting) for each in of.values()]
            for address, what in kept(ran, objects):
                self._found(address, what)
            for address, by, what in behind(touched):
                users = by | used.get(address, 0)
                if users & (users - 1):
                    self._found(address, what)
        for variable_name in written:
            told = self._known.get(variable_name)
            if told is not None:
                yield told, _WHY

    def _found(self, address: int, told: str) -> None:
        variable = self._wanted.get(address)
        if variable is not None:
            self._known[variable] = self._known[variable] or told

    def _among(self, names: Mapping[str, Any], label: str, module: str, depth: int) -> None:
        """Look for them among what has these names in a module, a class or an object."""
        wanted = self._wanted
        if not depth and wanted.keys().isdisjoint(map(identity, list(names.values()))):
            return  # nearly always: most of what there is in a library is that far down
        below = self._below
        for name, value in list(names.items()):
            cls: Any = type(value)
            if cls in _ATOMS:
                continue
            if identity(value) in wanted:
                self._found(identity(value), f"{label}.{name}")
            elif depth:
                known = below.get(identity(cls))
                if known is None:
                    known = below[identity(cls)] = cls, _namespace_of(cls)
                look = known[1]
                if look is not None and (look is namespace or module_of(value) == module):
                    self._among(look(value), f"{label}.{name}", module, depth - 1)


def _namespace_of(cls: type) -> Callable[[Any], Mapping[str, Any]] | None:
    """What gives the names in which it is looked on below an object of this class, if it is."""
    if issubclass(cls, (*CONTAINERS, ModuleType)):
        return None
    if issubclass(cls, type):
        return class_names  # type: ignore[no-any-return]
    standard = bool(_place_of_namespace(cls)) and is_standard(module_of(cls))
    return namespace if standard else None


def _is_had(known: NamedObject) -> bool:
    """Whether anybody else has this object now."""
    if type(known.keep) is ref:
        return known.keep() is not None
    return getrefcount(known.keep) > OURS


def _may_be_kept(keep: Any) -> bool:
    """Whether a module of the standard library may have this object, or that of this weak
    reference, for itself: it is of no class of the program's, as most are."""
    obj = keep() if type(keep) is ref else keep
    return is_standard(module_of(type(obj)))


def _from_setup(label: str) -> bool:
    """Whether an object was named as a part of what ``setup`` returned: that it is one of an object
    of the standard library as well is not looked into so far."""
    return "#" in label.partition(".")[0] and "@" not in label
