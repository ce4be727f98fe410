"""The events of a trace as columns of numbers.

An analysis looks at every event of a trace of a hundred thousand, so nothing here makes an object
for each.
"""

from __future__ import annotations

from array import array
from functools import cached_property
from typing import Any

from tracelock.ops import KIND_OF
from tracelock.trace import Trace

__all__ = ["Columns", "failed"]


class Columns:
    """The columns of one trace, by ``seq``.

    ``workers``; ``kinds``: numbers of ``ops``; ``targets``: names (None: no target); ``shapes``:
    the step it belongs to (two events of equal shape are one step on one target); ``results``.
    """

    def __init__(self, trace: Trace) -> None:
        events = trace.events
        self.trace = trace
        self.events = events
        self.names = trace.workers
        self.workers = events.workers
        self.shapes = events.shapes
        self.results = events.results
        kind_of_shape = [KIND_OF[shape.op] for shape in events.table]
        target_of_shape = [shape.target for shape in events.table]
        self.kinds: list[int] = [kind_of_shape[shape] for shape in self.shapes]
        self.targets: list[str | None] = [target_of_shape[shape] for shape in self.shapes]

    @cached_property
    def by_worker(self) -> list[array[int]]:
        """The ``seq`` of each worker's events."""
        found: list[array[int]] = [array("I") for _ in self.names]
        own = [seqs.append for seqs in found]
        for seq, worker in enumerate(self.workers):
            own[worker](seq)
        return found

    @cached_property
    def locals(self) -> array[int]:
        """Each event's number among those of its worker, from 1."""
        found = array("I", bytes(4 * len(self.workers)))
        for seqs in self.by_worker:
            for number, seq in enumerate(seqs, 1):
                found[seq] = number
        return found

    def __len__(self) -> int:
        return len(self.workers)


def failed(result: Any) -> bool:
    """Whether a result says that the step raised an error."""
    return isinstance(result, dict) and "error" in result
