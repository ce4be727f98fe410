"""The objects of the process, looked through once as control begins.

Functions to be rewritten, names of originals and locks that exist already are searched for in
them. There may be a million, so that each is looked at once for all.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import compress, filterfalse
from types import CellType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.account.known import LRU
from tracelock.instrument.contexts import identity
from tracelock.instrument.threads.pool import LOCAL as THREAD_LOCAL

#: What looks after threads, imports and tests itself.
UNTOUCHED: Final = frozenset(
    {
        "threading", "importlib", "_pytest", "pytest", "pluggy", "_frozen_importlib", "asyncio",
        "trio",
    }
)  # fmt: skip
#: Whether the collector no longer lists what lives for ever. Once there has been a thread, the
#: free-threaded build of 3.13 makes functions, classes, modules and their names immortal, and the
#: next collection forgets them (``update_refs`` in ``Python/gc_free_threading.c``); 3.14 does not.
_FORGETS: Final = "t" in sys.abiflags and sys.version_info < (3, 14)
_flags: Final = vars(type)["__flags__"].__get__
_IN_PYTHON: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: those written in C are listed by no build
_FOR_EVER: Final = 0xFFFF_FFFF  # what counts its references then says
_NAMED: Final = (FunctionType, ModuleType, dict)
_MANY: Final = 1_000
_STANDARD: Final = sys.stdlib_module_names | UNTOUCHED | {"tracelock", "execnet", "xdist"}


class LiveObjects:
    """What there is, by kind: ``classes``, ``functions``, ``dicts``, ``cells`` of closures,
    ``factories`` (dictionaries with a default), ``caches`` (of ``lru_cache``), thread-local objects
    (``locals``), and objects of classes that are not the standard library's (``others``)."""

    def __init__(self, new: bool = False) -> None:
        """``new``: only what came into being since ``no_collections`` was entered."""
        self.classes: list[type] = []
        self.functions: list[FunctionType] = []
        self.dicts: list[dict[Any, Any]] = []
        self.cells: list[CellType] = []
        self.factories: list[defaultdict[Any, Any]] = []
        self.locals: list[Any] = []
        self.others: list[Any] = []
        self.caches: list[Any] = []
        self._take: dict[type, Any] = {
            FunctionType: self.functions.append, dict: self.dicts.append,
            CellType: self.cells.append, defaultdict: self.factories.append,
            LRU: self.caches.append,
        }  # fmt: skip
        if not new:
            gc.unfreeze()  # what is frozen is not listed
        take = self._take
        for obj in every_object():
            try:
                add = take[type(obj)]
            except KeyError:
                add = take[type(obj)] = self._list_of(type(obj))
            except TypeError:  # a metaclass whose classes cannot be hashed
                add = self._list_of(type(obj))
            if add is not None:
                add(obj)

    def _list_of(self, cls: type) -> Any:
        """What takes in objects of this class; None where they are of no interest."""
        if issubclass(cls, type):
            return self.classes.append
        if issubclass(cls, THREAD_LOCAL):
            return self.locals.append
        if is_foreign(cls.__module__) or cls is functools.cached_property:
            return self.others.append
        return None


def every_object() -> list[Any]:
    """All that the collector looks after, and what it has forgotten; not what is frozen."""
    found = gc.get_objects()
    left = found if _FORGETS else []
    met: set[int] = set()
    kinds: dict[int, bool] = {}
    while left:
        hidden: list[Any] = []
        for at in range(0, len(left), _MANY):
            some = _forgotten(gc.get_referents(*left[at : at + _MANY]), kinds)
            hidden += [obj for number, obj in some.items() if number not in met]
            met.update(some)
        found += hidden
        left = hidden
    return found


def _forgotten(objects: list[Any], kinds: dict[int, bool]) -> dict[int, Any]:
    """Those of them that live for ever and are forgotten, by identity. There are very many, and the
    thread may be one whose calls are recorded: none is made for each. ``kinds``: of types."""
    types = list(map(type, objects))
    numbers = list(map(identity, types))
    for number, cls in dict(zip(numbers, types, strict=True)).items():
        if number not in kinds:
            kinds[number] = any(cls is one for one in _NAMED) or issubclass(cls, type)
    lasting = compress(objects, map(kinds.__getitem__, numbers))
    some = list(filterfalse(gc.is_tracked, lasting))
    found = dict(zip(map(identity, some), some, strict=True))
    return {
        number: obj for number, obj in found.items()
        if sys.getrefcount(obj) >= _FOR_EVER
        and (not issubclass(type(obj), type) or _flags(obj) & _IN_PYTHON)
    }  # fmt: skip


def is_foreign(module: object) -> bool:
    """Whether a class of this module is not the standard library's, a test runner's or ours."""
    return type(module) is str and _is_foreign(module)


@functools.cache
def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in _STANDARD


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep the cyclic collector away: it would run finalizers at points that no scheduler chose.

    Inside, ``gc.get_objects()`` lists only what came into being since.
    """
    was = gc.isenabled()
    gc.disable()
    gc.freeze()  # a collection visits what the program creates, not all objects
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()
