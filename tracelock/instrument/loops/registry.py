"""asyncio's own list of all tasks, which is no part of the program.

It is a ``WeakSet`` of the process, which loops in several threads share: looked at like a program's
own, each task that is made or dies would be an access, and those that an earlier schedule has left
behind would die in the middle of a later one.
"""

from __future__ import annotations

import asyncio
from _weakref import ref
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from tracelock.instrument.mortality import UNTOLD


class TaskRegistry(WeakSet):  # type: ignore[type-arg]
    """The same with code that is never looked into."""

    data: set[Any]
    _remove: Any

    def add(self, item: Any) -> None:
        self.data.add(ref(item, self._remove))

    def discard(self, item: Any) -> None:
        self.data.discard(ref(item))

    def remove(self, item: Any) -> None:
        self.data.remove(ref(item))

    def __iter__(self) -> Iterator[Any]:
        for reference in list(self.data):
            item = reference()
            if item is not None:
                yield item

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, item: Any) -> bool:
        return ref(item) in self.data


def keep_apart() -> None:
    """Make asyncio's registries such ones. They stay so, which nobody can tell."""
    for name in ("_all_tasks", "_scheduled_tasks"):
        found = getattr(asyncio.tasks, name, None)
        if type(found) is not WeakSet:
            continue
        known: Any = found
        items, data = list(known), known.data

        gone = data.discard
        known.__class__ = TaskRegistry
        known._remove = gone
        data.clear()
        for item in items:
            known.add(item)
        UNTOLD.append(gone)
