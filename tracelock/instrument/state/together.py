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


class HolderBatch:
    """Some holders of one kind: of cells, of modules that have a version, or of other boxes."""

    def __init__(self, holders: Iterable[tuple[Holder, Any]]) -> None:
        self._keep(holders)
        #: What was there as all was as it should be; None until that is known.
        self._then: tuple[Any, ...] | None = None
        self._picture = b""

    def _keep(self, holders: Iterable[tuple[Holder, Any]]) -> None:
        self._holders = [*holders]
        boxes = [box for _, box in self._holders]
        self._cells = boxes if boxes and type(boxes[0]) is CellType else []
        self._versions = [
            one.version for one, _ in self._holders if type(one) is ModuleNames and one.version
        ]
        self._numbers: list[int] = []
        self._views = [view for box in boxes if not self._cells for view in _VIEWS[type(box)](box)]

    def _now(self) -> tuple[Any, ...]:
        if self._cells:
            return tuple(map(_contents, self._cells))
        return tuple(chain.from_iterable(self._views))

    def _note(self) -> None:
        self._then = None
        # another thread may change one meanwhile; a cell may be empty
        with contextlib.suppress(RuntimeError, ValueError):
            self._then = self._now()
            self._picture = picture(self._then) if IS_SEEN else b""

    def _same(self) -> bool:
        if self._then is None:
            return False
        numbers = [version.value for version in self._versions]
        if numbers and numbers == self._numbers:
            return True
        try:
            now = self._now()
        except (RuntimeError, ValueError):
            return False
        if IS_SEEN:
            same = picture(now) == self._picture
        else:
            same = len(now) == len(self._then) and all(map(is_, now, self._then))
        if same:
            self._numbers = numbers
        return same

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
    by: dict[str, list[tuple[Holder, Any]]] = {}
    alone = []
    for holder in holders:
        box = _box(holder)
        if type(box) is CellType:
            by.setdefault("cells", []).append((holder, box))
        elif type(holder) is ModuleNames and holder.version is not None:
            by.setdefault("modules", []).append((holder, box))
        elif type(box) in _VIEWS:
            by.setdefault("others", []).append((holder, box))
        else:
            alone.append(holder)
    found = [
        HolderBatch(pairs[at : at + _BATCH])
        for pairs in by.values()
        for at in range(0, len(pairs), _BATCH)
    ]
    return found, alone
