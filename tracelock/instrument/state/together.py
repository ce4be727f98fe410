"""Holders that have not been seen to change, looked at many at a time.

A program's modules may hold 100,000 parts, and nearly all stay what they are. Whether any of a
batch has changed is asked without a step of Python's for each part; only where one has are its
holders looked at one by one.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter, is_
from types import CellType, MappingProxyType
from typing import Any, Final

from tracelock.instrument.contexts import class_names
from tracelock.instrument.state.holders import (
    CellHeld,
    ClassNames,
    Contents,
    Holder,
    ModuleNames,
    NamesHeld,
)
from tracelock.instrument.state.identities import IS_SEEN, picture

#: Holders of a batch.
_BATCH: Final = 256

#: As many parts are compared one by one in the time that their picture takes.
_FEW: Final = 48

#: What stands behind the parts of each box: where one ends and the next begins.
_END: Final = (object(),)

#: What gives the parts of a box, however they change: by its type; a box of another type is looked
#: at alone.
_VIEWS: Final[dict[type, Callable[[Any], tuple[Iterable[Any], ...]]]] = {
    kind: lambda box: (box, box.values(), _END) for kind in (dict, OrderedDict, MappingProxyType)
} | {kind: lambda box: (box, _END) for kind in (list, deque, set)}
_contents: Final = attrgetter("cell_contents")


def _box(holder: Holder) -> Any:
    """What a holder looks at, where that is an object that says all; else None."""
    kind = type(holder)
    if kind is ClassNames:
        return class_names(holder.cls)  # type: ignore[attr-defined]
    if kind is NamesHeld or kind is ModuleNames:
        return holder.names  # type: ignore[attr-defined]
    if kind is Contents:
        return holder.box  # type: ignore[attr-defined]
    return holder.cell if kind is CellHeld else None  # type: ignore[attr-defined]


class HeldParts:
    """The parts of some boxes at one moment, which stay alive with this."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self._parts = parts
        self._picture = picture(parts) if IS_SEEN and len(parts) > _FEW else b""

    def are(self, now: tuple[Any, ...]) -> bool:
        """Whether these are the same objects, in the same order."""
        if self._picture:
            return picture(now) == self._picture
        return len(now) == len(self._parts) and all(map(is_, now, self._parts))


class HolderBatch:
    """Some holders: of cells, of modules that have a version, and of other boxes.

    Of modules the parts are looked at only where their versions are others.
    """

    def __init__(self, holders: Iterable[tuple[Holder, Any]]) -> None:
        self._keep(holders)
        #: What was there as all was as it should be; None until that is known.
        self._then: HeldParts | None = None
        self._modules_then: HeldParts

    def _keep(self, holders: Iterable[tuple[Holder, Any]]) -> None:
        self._holders = [*holders]
        self._cells: list[CellType] = []
        self._versions: list[Any] = []
        self._views: list[Iterable[Any]] = []
        self._modules: list[Iterable[Any]] = []  # the same of those with a version
        self._numbers: list[int] = []
        for holder, box in self._holders:
            if type(box) is CellType:
                self._cells.append(box)
            elif type(holder) is ModuleNames and holder.version is not None:
                self._versions.append(holder.version)
                self._modules += _VIEWS[type(box)](box)
            else:
                self._views += _VIEWS[type(box)](box)

    def _note(self) -> None:
        self._then = None
        # another thread may change one meanwhile; a cell may be empty
        with contextlib.suppress(RuntimeError, ValueError):
            self._modules_then = HeldParts(tuple(chain.from_iterable(self._modules)))
            now = (*chain.from_iterable(self._views), *map(_contents, self._cells))
            self._then = HeldParts(now)

    def _same(self) -> bool:
        if self._then is None:
            return False
        numbers = [version.value for version in self._versions]
        try:
            now = (*chain.from_iterable(self._views), *map(_contents, self._cells))
            if not self._then.are(now):
                return False
            if numbers != self._numbers:
                if not self._modules_then.are(tuple(chain.from_iterable(self._modules))):
                    return False
                self._numbers = numbers
        except (RuntimeError, ValueError):
            return False
        return True

    def changed(self) -> list[Holder]:
        """Those that have changed: they leave the batch."""
        if self._same():
            return []
        found = [holder for holder, _ in self._holders if holder.changed()]
        if found:
            gone = set(found)
            self._keep(pair for pair in self._holders if pair[0] not in gone)
        self._note()
        return found


def batches(holders: Iterable[Holder]) -> tuple[list[HolderBatch], list[Holder]]:
    """The holders in batches, and those that are looked at one by one."""
    pairs, alone = [], []
    for holder in holders:
        box = _box(holder)
        if type(box) is CellType or type(box) in _VIEWS:
            pairs.append((holder, box))
        else:
            alone.append(holder)
    return [HolderBatch(pairs[at : at + _BATCH]) for at in range(0, len(pairs), _BATCH)], alone
