"""Ways to objects that cannot be kept in mind themselves, and who refers to some objects."""

from __future__ import annotations

import gc
import sys
from _weakref import ref
from collections.abc import Callable, Container, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from tracelock.instrument.contexts import class_line, identity
from tracelock.instrument.rewrite.sites import all_loaded, globals_of

_Getter = Callable[[], Any]
#: How many objects are looked at together.
_MANY: Final = 64


def module_names() -> dict[int, tuple[dict[str, Any], str]]:
    """The names that modules have, and the module's, by identity; under the first of its names
    where one has several."""
    found = [(globals_of(module), name) for name, module in reversed(all_loaded())]
    return {identity(one[0]): one for one in found if type(one[0]) is dict}


def holding(objects: Sequence[Any], wanted: Container[int]) -> list[Any]:
    """Those that refer to what is wanted. Modules are not asked, only their names: from those that
    are written in C the collector may be given objects that are dead (of ``_asyncio`` in CPython
    3.12 and 3.13, which keeps them in a row to be used again), and these are then there twice."""
    found: list[Any] = []
    for at in range(0, len(objects), _MANY):
        some = [one for one in objects[at : at + _MANY] if type(one) is not ModuleType]
        if any(map(wanted.__contains__, map(identity, gc.get_referents(*some)))):
            found += [
                one
                for one in some
                if any(map(wanted.__contains__, map(identity, gc.get_referents(one))))
            ]
    return found


def is_kept_copy(holder: Any) -> bool:
    """Whether this is what the import system has of the names of an extension module, to make it
    anew from: it is never dropped, and nobody else has it."""
    name = holder.get("__name__") if type(holder) is dict else None
    module = sys.modules.get(name) if type(name) is str else None
    path = getattr(module, "__file__", None)
    return module is not None and (path is None or not path.endswith((".py", ".pyc", ".pyw")))


def same(obj: Any) -> Any:
    return obj


class Trail:
    """Leads from ``start``, a module by its name or what gives an object, over what objects refer
    to, by identity, to the last of them. ``ours``: that holds something for tracelock itself."""

    __slots__ = ("numbers", "ours", "start")

    def __init__(self, start: _Getter | str, numbers: tuple[int, ...], ours: bool = False) -> None:
        self.start = start
        self.numbers = numbers
        self.ours = ours

    def end(self, modules: Mapping[str, dict[str, Any]]) -> tuple[Any, Any]:
        """Where it leads to, None where it does so no more; and what has that."""
        obj = modules.get(self.start) if isinstance(self.start, str) else self.start()
        owner: Any = None
        for number in self.numbers:
            if obj is None:
                break
            owner = obj
            obj = next((one for one in gc.get_referents(owner) if identity(one) == number), None)
        return owner, obj


def _alone() -> int:
    """How many references there are to what one object alone has, as they are counted."""
    _, held = Trail(ref(_Sample), (identity(class_line(_Sample)),)).end({})
    return sys.getrefcount(held)


class _Sample:
    pass


ALONE: Final = _alone()
