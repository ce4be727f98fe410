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
    NamesHeld,
)
from tracelock.instrument.state.identities import IS_SEEN, picture

#: Holders of a batch.
_BATCH: Final = 256

#: What gives the parts of many boxes, by their type; a box of another type is looked at alone.
_Parts = Callable[[list[Any]], Iterable[Any]]
_flat: Final = chain.from_iterable


def _by_name(values: Any) -> _Parts:
    def parts(boxes: list[Any]) -> list[Any]:
        found: list[Any] = []
        for box in boxes:
            found += box
            found += values(box)
        return found

    return parts


_PARTS: Final[dict[type, _Parts]] = {
    dict: _by_name(dict.values), OrderedDict: _by_name(OrderedDict.values),
    MappingProxyType: _by_name(MappingProxyType.values),
    list: _flat, deque: _flat, set: _flat,
    CellType: lambda cells: map(attrgetter("cell_contents"), cells),
}  # fmt: skip


def _box(holder: Holder) -> Any:
    """What a holder looks at, where that is an object that says all; else None."""
    kind = type(holder)
    if kind is ClassNames:
        return class_names(holder.cls)  # type: ignore[attr-defined]
    if kind is NamesHeld:
        return holder.names  # type: ignore[attr-defined]
    if kind is Contents:
        return holder.box  # type: ignore[attr-defined]
    return holder.cell if kind is CellHeld else None  # type: ignore[attr-defined]


def _lengths(boxes: list[Any]) -> list[int]:
    return [*map(len, boxes)]


class HolderBatch:
    """Some holders with boxes of one type."""

    def __init__(self, kind: type, holders: Iterable[tuple[Holder, Any]]) -> None:
        self._parts = _PARTS[kind]
        self._lengths = (lambda boxes: []) if kind is CellType else _lengths
        self._holders, self._boxes = map(list, zip(*holders, strict=True))
        #: What was there as all was as it should be; None until that is known.
        self._then: tuple[Any, ...] | None = None
        self._picture = b""
        self._long: list[int] = []

    def _note(self) -> None:
        self._then = None
        # another thread may change one meanwhile; a cell may be empty
        with contextlib.suppress(RuntimeError, ValueError):
            self._then = tuple(self._parts(self._boxes))
            self._picture = picture(self._then) if IS_SEEN else b""
        self._long = self._lengths(self._boxes)

    def _same(self) -> bool:
        if self._then is None or self._lengths(self._boxes) != self._long:
            return False
        try:
            if IS_SEEN:
                return picture(tuple(self._parts(self._boxes))) == self._picture
            return all(map(is_, self._parts(self._boxes), self._then))
        except (RuntimeError, ValueError):
            return False

    def changed(self) -> list[Holder]:
        """Those that have changed: they leave the batch."""
        if not self._boxes or self._same():
            return []
        found = [holder for holder in self._holders if holder.changed()]
        if found:
            gone = set(found)
            left = [
                (holder, box)
                for holder, box in zip(self._holders, self._boxes, strict=True)
                if holder not in gone
            ]
            self._holders, self._boxes = [one for one, _ in left], [box for _, box in left]
        self._note()
        return found


def batches(holders: Iterable[Holder]) -> tuple[list[HolderBatch], list[Holder]]:
    """The holders in batches, and those that are looked at one by one."""
    by: dict[type, list[tuple[Holder, Any]]] = {}
    alone = []
    for holder in holders:
        box = _box(holder)
        if type(box) in _PARTS:
            by.setdefault(type(box), []).append((holder, box))
        else:
            alone.append(holder)
    found = [
        HolderBatch(kind, pairs[at : at + _BATCH])
        for kind, pairs in by.items()
        for at in range(0, len(pairs), _BATCH)
    ]
    return found, alone
