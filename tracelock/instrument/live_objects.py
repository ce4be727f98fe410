"""The objects of the process, looked through once as control begins.

Functions to be rewritten, names of originals and locks that exist already are searched for in
them. There may be a million, so that each is looked at once for all; ``scanning`` does with those
that are new, where it can.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import gc
import queue
import sys
import threading
from _weakref import ref
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import compress, filterfalse
from operator import attrgetter
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
_IMMUTABLE: Final = 1 << 8
_IN_PYTHON: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: those written in C are listed by no build
_FOR_EVER: Final = 0xFFFF_FFFF  # what counts its references then says
_NAMED: Final = (FunctionType, ModuleType, dict)
_MANY: Final = 1_000
#: Locks, by the identity of their types; what gets names; where the classes are of what processes
#: share that is put under control or gets names (``processes.sync.adopt``).
RAW: Final = frozenset(map(identity, (_thread.LockType, _thread.RLock)))
NAMED: Final = (threading.Condition, threading.Semaphore, threading.Event, queue.Queue)
SHARED: Final = tuple(
    f"multiprocessing.{module}" for module in ("queues", "sharedctypes", "synchronize")
)
_STANDARD: Final = sys.stdlib_module_names | UNTOUCHED | {"tracelock", "execnet", "xdist"}


class LiveObjects:
    """What there is, by kind: ``classes``, ``functions``, ``dicts``, ``cells`` of closures,
    ``factories`` (dictionaries with a default), ``caches`` (of ``lru_cache``), thread-local objects
    (``locals``), objects of classes that are not the standard library's (``others``), and of those
    that are and are written in Python (``standard``); of all, locks and the like (``special``)."""

    #: Whether some that are old are left out, see ``scanning``; the objects that are new then.
    partial = False
    new_instances: Sequence[Any] = ()
    #: Who has ``special`` ones (``scanning.references``), where that is known.
    having: Any = None

    def __init__(self, new: bool = False, objects: list[Any] | None = None) -> None:
        """``new``: only what came into being since all was frozen. ``objects``: these alone."""
        self.classes: list[type] = []
        self.functions: list[FunctionType] = []
        self.dicts: list[dict[Any, Any]] = []
        self.cells: list[CellType] = []
        self.factories: list[defaultdict[Any, Any]] = []
        self.locals: list[Any] = []
        self.others: list[Any] = []
        self.standard: list[Any] = []
        self.caches: list[Any] = []
        self.special: list[Any] = []
        self._take: dict[type, Any] = {
            FunctionType: self.functions.append, dict: self.dicts.append,
            CellType: self.cells.append, defaultdict: self.factories.append,
            LRU: self.caches.append,
        }  # fmt: skip
        if objects is None and not new:
            gc.unfreeze()  # what is frozen is not listed
        self._sort(every_object() if objects is None else objects)
        self._take.clear()  # it has methods of this object, which is to die with its last reference

    def take_instances(self, objects: list[Any]) -> None:
        """Objects of classes that are written in Python, whatever their classes are now."""
        types = list(map(type, objects))
        numbers = list(map(identity, types))
        each = dict(zip(numbers, types, strict=True))
        other = {number: is_other(cls) for number, cls in each.items()}
        known = {*map(identity, self.others)}
        found = compress(objects, map(other.__getitem__, numbers))
        self.others += [one for one in found if identity(one) not in known]

    def functions_of(self, names: Sequence[dict[str, Any]]) -> list[FunctionType]:
        """The functions that have these globals."""
        return [*functions_with(self.functions, {*map(identity, names)})]

    def ask(self, *objects: Any) -> list[Any]:
        """Who refers to these."""
        return gc.get_referrers(*objects)

    def originals(self, rows: Sequence[Any]) -> Any:
        """Those that refer to the originals of these rows (``scanning.references``); None where it
        is not known and all are to be asked."""
        return None

    def in_order(self, objects: Iterable[Any]) -> list[Any]:
        """These in the order in which all are listed."""
        return [*objects]

    def leave_out(self, lock: Any) -> None:
        """This lock is our own."""
        self.special = [one for one in self.special if one is not lock]

    def complete(self) -> None:
        """Put in all ``classes`` and ``others`` that may have ``special`` ones."""

    def _sort(self, objects: list[Any]) -> None:
        take = self._take
        for obj in objects:
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
        if identity(cls) in RAW:
            return self.special.append
        if issubclass(cls, NAMED) or str(cls.__module__).startswith(SHARED):
            return self._take_special
        if is_other(cls):
            return self.others.append
        if _flags(cls) & _IN_PYTHON and not _flags(cls) & _IMMUTABLE:
            return self.standard.append
        return None

    def _take_special(self, obj: Any) -> None:
        self.special.append(obj)
        (self.others if is_other(type(obj)) else self.standard).append(obj)


def is_other(cls: type) -> bool:
    return is_foreign(cls.__module__) or cls is functools.cached_property


def weak(obj: Any) -> Callable[[], Any] | None:
    """A weak reference, None where there is none to such objects."""
    try:
        return ref(obj)
    except TypeError:
        return None


def foreign_classes(classes: Sequence[type]) -> list[type]:
    """Those that are not the standard library's."""
    modules = [cls.__module__ for cls in classes]
    foreign = {one for one in {each for each in modules if type(each) is str} if _is_foreign(one)}
    return [
        cls for cls, module in zip(classes, modules, strict=True)
        if type(module) is str and module in foreign
    ]  # fmt: skip


def functions_with(
    functions: Sequence[FunctionType], wanted: Container[int]
) -> Iterator[FunctionType]:
    """Those that have one of these globals, by identity: a few of tens of thousands, which are
    asked without a step of Python's for each."""
    of = map(identity, map(attrgetter("__globals__"), functions))
    return compress(functions, map(wanted.__contains__, of))


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
    What is frozen inside is so no more afterwards."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()
