"""Which event of a trace comes before which, for a reason: happens-before, as vector clocks.

The order is program order and a set of *edges* between events of different workers (see ``edges``
and ``must``), closed under transitivity (Lamport, CACM 21, 1978). Clocks after Fidge (1988) and
Mattern (1989).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tracelock.analysis.derived.edges import Edge
from tracelock.analysis.derived.steps import Steps

__all__ = ["Order", "order_of"]

#: For each worker how many of its first events are known of.
_Clock = tuple[int, ...]


class Order:
    """The order that program order and ``edges`` make: ``before`` in constant time.

    ``past[seq]``: for each worker the number of its first events that come before ``seq`` (its own
    entry is not kept up to date: ``locals`` is). Clocks are shared between events, so a worker
    without edges costs nothing.
    """

    __slots__ = ("_locals", "_workers", "past")

    def __init__(
        self,
        workers: Sequence[int],
        numbers: Sequence[int],
        edges: Iterable[Edge],
        count: int,
    ) -> None:
        """``workers`` and ``numbers`` (from 1, within the worker): of each event."""
        self._workers = workers
        self._locals = numbers
        into: dict[int, list[int]] = defaultdict(list)
        for source, dest, _ in edges:
            into[dest].append(source)
        clocks: list[_Clock] = [(0,) * count] * count
        past: list[_Clock] = []
        self.past = past
        for seq, worker in enumerate(workers):
            if seq in into:
                clock = list(clocks[worker])
                for source in into[seq]:
                    other = workers[source]
                    clock = list(map(max, clock, past[source]))
                    if clock[other] < numbers[source]:
                        clock[other] = numbers[source]
                clocks[worker] = tuple(clock)
            past.append(clocks[worker])

    def before(self, a: int, b: int) -> bool:
        """Whether event ``a`` happens before event ``b``."""
        worker = self._workers[a]
        if worker == self._workers[b]:
            return self._locals[a] < self._locals[b]
        return self.past[b][worker] >= self._locals[a]

    def concurrent(self, a: int, b: int) -> bool:
        """Whether neither of two events happens before the other."""
        return a != b and not self.before(a, b) and not self.before(b, a)


def order_of(steps: Steps, edges: Iterable[Edge]) -> Order:
    """The order of a trace under these edges."""
    return Order(steps.workers, steps.locals, edges, len(steps.names))
