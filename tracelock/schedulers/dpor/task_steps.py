"""What a step of a task has touched, and how the steps of one execution depend on one another.

A *step* is what a task does from one suspension to the next, one callback of the loop, or the
firing of its timers. Two steps of different workers depend on each other where one has written a
key that the other has read or written. Happens-before is the transitive closure of that, of each
worker's own order, and of what the loop itself orders: who is woken comes after who woke it, and
who stands in the line behind a callback comes after that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

#: Who has put a step into the line before the first step of all.
NOBODY: Final = -1
#: In place of who has written a key before: it was read.
_READ: Final = -2


@dataclass(slots=True, eq=False)
class TaskStep:
    """One step.

    ``touched``: key -> whether it was written. A key has the same meaning in all executions that
    agree up to here, but for those of objects that were met in this step for the first time, which
    may be called after whoever meets them: ``met`` has what is sure of those, their kind, and
    ``kinds`` the same of all objects that were touched. ``posted``: number of the step that put it
    into the line. ``behind``: of the step in the line that it had to wait for. ``last``: nothing
    else could happen then (timers), so it comes after all before it.
    """

    worker: int
    posted: int = NOBODY
    behind: int = NOBODY
    last: bool = False
    touched: dict[Hashable, bool] = field(default_factory=dict)
    met: dict[Hashable, bool] = field(default_factory=dict)
    kinds: dict[Hashable, bool] = field(default_factory=dict)

    def touch(self, key: Hashable, write: bool) -> None:
        """``key`` is read, or written."""
        if write or key not in self.touched:
            self.touched[key] = write


def _apart(one: dict[Hashable, bool], other: dict[Hashable, bool]) -> bool:
    if len(other) < len(one):
        one, other = other, one
    return not any(key in other and (write or other[key]) for key, write in one.items())


def commute(asleep: TaskStep, other: TaskStep) -> bool:
    """Whether a step that was made before, from the state in which ``other`` or one before it was
    made now, does not depend on ``other``."""
    return _apart(asleep.touched, other.touched) and _apart(asleep.met, other.kinds)


class TaskHistory:
    """Happens-before over the steps of one execution, which are added one by one, and can be taken
    back from the last on: what executions have in common is looked at once.

    ``before``: of each step a bit mask of the steps that happen before it, and of itself.
    """

    def __init__(self) -> None:
        self.before: list[int] = []
        self._line: dict[int, int] = {}
        self._writes: dict[Hashable, int] = {}
        self._reads: dict[Hashable, list[int]] = {}
        #: Of each step its worker, the step of that before it, and what was there of what it wrote.
        self._undo: list[tuple[int, int, list[tuple[Hashable, int, list[int] | None]]]] = []

    def cut(self, length: int) -> None:
        """Take back all steps from this number on."""
        del self.before[length:]
        writes, reads = self._writes, self._reads
        while len(self._undo) > length:
            worker, last, touched = self._undo.pop()
            self._line[worker] = last
            for key, wrote, readers in touched:
                if wrote == _READ:
                    reads[key].pop()
                    continue
                if wrote == NOBODY:
                    del writes[key]
                else:
                    writes[key] = wrote
                if readers is not None:
                    reads[key] = readers

    def add(self, step: TaskStep) -> list[int]:
        """The next step. Those that it races with, the latest first: that it depends on, with
        nothing in between."""
        here, before = len(self.before), self.before
        known = 0
        for number in (self._line.get(step.worker, -1), step.posted, step.behind):
            if number >= 0:
                known |= before[number]
        if step.last:
            known = (1 << here) - 1
        races = []
        for number in sorted(self._conflicts(step), reverse=True):
            if not known >> number & 1:
                races.append(number)
                known |= before[number]
        before.append(known | 1 << here)
        writes, reads = self._writes, self._reads
        touched: list[tuple[Hashable, int, list[int] | None]] = []
        for key, write in step.touched.items():
            if write:
                touched.append((key, writes.get(key, NOBODY), reads.pop(key, None)))
                writes[key] = here
            else:
                touched.append((key, _READ, None))
                reads.setdefault(key, []).append(here)
        self._undo.append((step.worker, self._line.get(step.worker, NOBODY), touched))
        self._line[step.worker] = here
        return races

    def _conflicts(self, step: TaskStep) -> set[int]:
        found = set()
        for key, write in step.touched.items():
            number = self._writes.get(key)
            if number is not None:
                found.add(number)
            if write:
                found.update(self._reads.get(key, ()))
        return found

    def initials(self, steps: Sequence[TaskStep], e: int, here: int) -> list[int]:
        """The workers of which one makes the first step of what does not happen after step ``e``,
        then step ``here``: the set ``I`` of the paper."""
        before = self.before
        sequence = [k for k in range(e + 1, here) if not before[k] >> e & 1]
        sequence.append(here)
        mask = sum(1 << k for k in sequence)
        first: dict[int, bool] = {}
        for k in sequence:
            first.setdefault(steps[k].worker, not before[k] & mask & ~(1 << k))
        return [worker for worker, free in first.items() if free]


class Line:
    """The places in the line of a loop, and which step each of them has become.

    ``posted``: place -> number of the step that has taken it.
    """

    def __init__(self) -> None:
        self.posted: dict[int, int] = {}
        self._places: list[int] = []
        self._steps: list[int] = []

    def behind(self, place: int) -> int:
        """The last step of the line that stood before ``place``; ``NOBODY`` where none did."""
        at = bisect_left(self._places, place)
        return self._steps[at - 1] if at else NOBODY

    def made(self, place: int, number: int) -> None:
        """The step of ``place``, which lets nobody pass, is step ``number``."""
        self._places.append(place)
        self._steps.append(number)
