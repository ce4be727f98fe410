"""What modules of the standard library keep for the process: caches, registries, defaults.

``linecache.cache``, ``sys.path``, ``warnings.filters``, ``decimal.DefaultContext``: where a worker
changes one of these by hand, the code that uses it makes no access that is seen.
"""

from __future__ import annotations

import sys
from _weakref import ref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.account.extensions import module_of
from tracelock.instrument.account.keepers import behind, kept
from tracelock.instrument.account.known import is_standard, root_of
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.account.touched import Touched
from tracelock.instrument.contexts import class_names, identity

#: Packages whose objects are under control.
_CONTROLLED: Final = frozenset(
    {"_thread", "asyncio", "concurrent", "multiprocessing", "queue", "threading"}
)
#: So far down it is looked into objects that a module keeps: ``logging.root.manager``.
_DEPTH: Final = 2
_WHY: Final = "a worker changes it, and code that is not looked into uses it"
#: Types of most of what there is in modules and classes: nothing is changed there by hand.
_ATOMS: Final = frozenset({str, int, FunctionType, type(None), bool, tuple, property, type(len)})


class LibraryState:
    """``looked``: whether the code of a module, in a file of this name, is looked into."""

    def __init__(self, looked: Callable[[str, str], bool]) -> None:
        self._looked = looked
        #: Variables that were asked about -> what is told of them, None for those of the program.
        self._known: dict[str, str | None] = {}
        self._wanted: dict[int, str] = {}
        self._ran: set[str] = set()

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
        if self._wanted:
            objects = [each.keep for of in (names.objects, names.lasting) for each in of.values()]
            for address, what in kept(ran, objects):
                self._found(address, what)
            for address, by, what in behind(touched):
                users = by | used.get(address, 0)
                if users & (users - 1):
                    self._found(address, what)
        for variable_name in written:
            told = self._known[variable_name]
            if told is not None:
                yield told, _WHY

    def _found(self, address: int, told: str) -> None:
        variable = self._wanted.get(address)
        if variable is not None:
            self._known[variable] = self._known[variable] or told

    def _among(self, names: Mapping[str, Any], label: str, module: str, depth: int) -> None:
        """Look for them among what has these names in a module, a class or an object."""
        wanted = self._wanted
        for name, value in list(names.items()):
            cls: Any = type(value)
            if cls in _ATOMS:
                continue
            if identity(value) in wanted:
                self._found(identity(value), f"{label}.{name}")
            elif depth and not issubclass(cls, CONTAINERS) and not issubclass(cls, ModuleType):
                if issubclass(cls, type):
                    of = module_of(value)
                    below = class_names(value)
                else:
                    of = module if is_standard(module_of(cls)) else ""
                    below = namespace(value)
                if of == module:
                    self._among(below, f"{label}.{name}", module, depth - 1)


def _may_be_kept(keep: Any) -> bool:
    """Whether a module of the standard library may have this object, or that of this weak
    reference, for itself: it is of no class of the program's, as most are."""
    obj = keep() if type(keep) is ref else keep
    return is_standard(module_of(type(obj)))


def _from_setup(label: str) -> bool:
    """Whether an object was named as a part of what ``setup`` returned: that it is one of an object
    of the standard library as well is not looked into so far."""
    return "#" in label.partition(".")[0] and "@" not in label
