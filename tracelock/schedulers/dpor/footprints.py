"""What an event has touched, and what an op could touch, as bit masks.

One bit for each worker, which every step of it writes, and every start, join or cancellation of it
touches; one for all ``call`` steps; one for each condition that is watched; and above ``base`` one
for each variable and object, by number: in real code there come to be more of them (``grow``). A
condition variable and its lock have the same bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracelock.ops import (
    ATOMIC,
    CANCEL,
    COMPARE_EXCHANGE,
    FETCH_ADD,
    SPAWN,
    TIMEOUT,
    Op,
    Value,
    accesses,
)
from tracelock.schedulers.base import Entry, Run


class Footprints:
    """The masks of one program. ``group``: of each thing, the number of its bit; ``bit``: that
    bit; ``life``: of each worker.

    ``watched``: sets of variables of which every pair of writes counts as dependent.
    """

    def __init__(self, run: Run, watched: Iterable[Iterable[int]] = ()) -> None:
        self.run = run
        workers = len(run.layout.workers)
        groups = [tuple(variables) for variables in watched]
        self.life = [1 << worker for worker in range(workers)]
        self.call = 1 << workers
        self.base = workers + 1 + len(groups)
        self.group: list[int] = []
        self.bit: list[int] = []
        #: The same and the bits of the conditions that are on it: what it is to change it.
        self.change: list[int] = []
        # by subject, see ``ops.accesses``
        self._looks = (self.bit, self.life, [self.call])
        self._changes = (self.change, self.life, [self.call])
        self.grow()
        for number, variables in enumerate(groups, workers + 1):
            for variable in variables:
                self.change[variable] |= 1 << number

    def grow(self) -> None:
        """Take in the things that the layout has got since the last time."""
        layout = self.run.layout
        for number in range(len(self.group), len(layout.names)):
            thing = layout.state_of(number)
            self.group.append(thing)
            self.bit.append(1 << self.base + thing)
            self.change.append(self.bit[number])

    def shared_thread(self, worker: int) -> int:
        """Mask of the loop that a task of real code shares with others, 0 for anybody else. All
        that such a task does counts as done to its loop: the loop's tasks go on one by one."""
        loops = self.run.loops
        gate = loops.get(worker) if loops else None
        return 0 if gate is None else self.bit[gate.number]

    def footprint(self, event: Entry, note: Any) -> tuple[int, int]:
        """Masks of what an event has read and written. ``note``: of its transition."""
        reads, writes = self._footprint(event, note)
        return reads, writes | self.shared_thread(event[0])

    def _footprint(self, event: Entry, note: Any) -> tuple[int, int]:
        worker, kind, op, result, _, _ = event
        if kind == COMPARE_EXCHANGE and result is False:
            return self.bit[op.target], 0
        if kind == ATOMIC:
            reads = writes = 0
            for variable in result["reads"]:
                reads |= self.bit[variable]
            for variable in result["writes"]:
                writes |= self.change[variable]
            return reads, writes
        reads, writes = self.static(op)
        if kind == SPAWN and result is not None:
            return writes, 0  # it has been started before
        if kind == CANCEL and note is None:
            return reads, writes  # of real code: its loop orders that
        if kind == CANCEL or (kind == TIMEOUT and op.target < 0):
            # whose wait is cut off is struck off at once
            struck = op.target if kind == CANCEL else worker
            waits = note[2][struck] if note and note[2] else None  # of tasks alone
            writes |= self.life[struck]
            if waits is not None:
                writes |= self.static(waits)[1]
        return reads, writes

    def static(self, op: Op) -> tuple[int, int]:
        """Masks of what an op can read and write, whatever the state: ``ops.accesses``."""
        reads, writes = accesses(op)
        read = written = 0
        for subject, number in reads:
            read |= self._looks[subject][number]
        for subject, number in writes:
            written |= self._changes[subject][number]
        return read, written

    def held(self, worker: int) -> int:
        """Mask of the objects that ``worker`` holds now."""
        mask = 0
        for thing, model in enumerate(self.run.models):
            if model is not None and worker in model.holders():
                mask |= self.bit[thing]
        return mask


def written(event: Entry, variable: int) -> Value:
    """What an event that has changed ``variable`` has put there."""
    _, kind, op, result, _, _ = event
    if kind == ATOMIC:
        return result["writes"][variable]
    if kind == FETCH_ADD:
        return result + op.value
    return op.value
