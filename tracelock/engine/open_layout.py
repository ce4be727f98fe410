"""A layout of workers and objects that grows as they come into being."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from tracelock.errors import LimitReached
from tracelock.ops import Layout, ObjectSpec, WorkerSpec

#: Threads and tasks of one schedule at most: each step looks at all of them.
MOST: Final = 4_000
#: How many times as many there are places for, when those that there are turn out to be too few.
_MORE: Final = 6


class OpenLayout(Layout):
    """A layout that grows. Variables and objects share one numbering, in the order of their coming.

    ``objects`` has an entry for each, of type ``VARIABLE`` for a variable; ``initial`` is empty.
    ``workers`` has a fixed length, ``capacity``: schedulers keep lists by worker. Places that
    nobody has taken yet have no name. Where they are too few ``widen`` makes more, if the schedule
    allows for that; else it cannot go on: the layout is ``short`` of them, and the next controller
    has more.
    """

    grows: ClassVar[bool] = True
    names: list[str]  # type: ignore[assignment]
    objects: list[ObjectSpec]  # type: ignore[assignment]
    workers: list[WorkerSpec]  # type: ignore[assignment]
    _numbers: dict[str, int]
    _places: dict[str, int]
    short: bool
    widen: Callable[[], None] | None

    def __init__(self, workers: Sequence[str], capacity: int) -> None:
        super().__init__((), (), (), (), {})
        put = object.__setattr__
        put(self, "names", [])
        put(self, "objects", [])
        specs = [WorkerSpec(name, name, 0, 1) for name in workers]
        put(self, "workers", [*specs])
        self.make_room(capacity)
        put(self, "short", False)
        put(self, "widen", None)
        put(self, "_numbers", {})
        put(self, "_places", {spec.name: number for number, spec in enumerate(specs)})

    def add(self, spec: ObjectSpec) -> int:
        """Take in a new thing; its number."""
        number = self._numbers[spec.name] = len(self.names)
        self.names.append(spec.name)
        self.objects.append(spec)
        return number

    def number_of(self, name: str) -> int | None:
        """The number of a thing, None for one that is not known."""
        return self._numbers.get(name)

    def worker(self, name: str, group: str = "") -> int:
        """The number of the worker of this name, which is new or known. Raises LimitReached."""
        number = self._places.get(name)
        if number is None:
            number = len(self._places)
            if number >= len(self.workers):
                self._no_place()
            self._places[name] = number
            self.workers[number] = WorkerSpec(name, group or name, 0, 1, manual=True)
        return number

    def _no_place(self) -> None:
        most = len(self.workers)
        if most < MOST and self.widen is not None:
            self.widen()
            return
        object.__setattr__(self, "short", most < MOST)
        raise LimitReached(f"more than {most:,} threads and tasks were started")

    def wider(self) -> int:
        """How many places there are to be where those that there are were too few."""
        return min(MOST, _MORE * len(self.workers))

    def make_room(self, capacity: int) -> None:
        """Have places for so many workers."""
        more = max(0, capacity - len(self.workers))
        self.workers.extend(WorkerSpec("", "", 0, 1, manual=True) for _ in range(more))
        object.__setattr__(self, "short", False)

    def close(self) -> None:
        """No further schedule follows."""
        object.__setattr__(self, "widen", None)

    def known(self) -> list[str]:
        """The names of all workers that there have been, by number."""
        return list(self._places)
