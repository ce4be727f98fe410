"""The events of a trace as columns of numbers.

An analysis looks at every event of a trace of a hundred thousand, so nothing here makes an object
for each.
"""

from __future__ import annotations

from array import array
from typing import Any

from tracelock.ops import KIND_OF
from tracelock.trace import Trace

__all__ = ["Columns", "failed"]


class Columns:
    """The columns of one trace, by ``seq``.

    ``workers``; ``kinds``: numbers of ``ops``; ``targets``: names (None: no target); ``locals``:
    each event's number among those of its worker, from 1; ``shapes``: the step it belongs to (two
    events of equal shape are one step on one target); ``results``. ``by_worker``: the ``seq`` of
    each worker's events.
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
        self.by_worker: list[array[int]] = [array("I") for _ in trace.workers]
        own = [seqs.append for seqs in self.by_worker]
        for seq, worker in enumerate(self.workers):
            own[worker](seq)
        self.locals = array("I", bytes(4 * len(self.workers)))
        for seqs in self.by_worker:
            for number, seq in enumerate(seqs, 1):
                self.locals[seq] = number

    def __len__(self) -> int:
        return len(self.workers)


def failed(result: Any) -> bool:
    """Whether a result says that the step raised an error."""
    return isinstance(result, dict) and "error" in result
