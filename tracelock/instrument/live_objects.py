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
from types import CellType, FunctionType
from typing import Any, Final

from tracelock.instrument.account.known import LRU
from tracelock.instrument.threads.pool import LOCAL as THREAD_LOCAL

#: What looks after threads, imports and tests itself.
UNTOUCHED: Final = frozenset(
    {
        "threading", "importlib", "_pytest", "pytest", "pluggy", "_frozen_importlib", "asyncio",
        "trio",
    }
)  # fmt: skip
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
        for obj in gc.get_objects():
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
