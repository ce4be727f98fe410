"""What came to a worker over connections, backwards: a failure in one worker has its cause in
another one that sent it something.

From the last bytes that the failing worker has received it goes back to who sent them, to what that
one had read and received before, and so on; and to what was sent and never received, which may be
what came too late. On a loop of asyncio its callbacks receive: bytes are those of the worker that
sends in the other direction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tracelock.trace import Events
from tracelock.trace.network import OPPOSITE

__all__ = ["exchanged"]

#: How many messages back, and how many that nobody has received.
_MOST: Final = 4
_LOST: Final = 2


def exchanged(
    events: Events, worker: int, by_worker: Mapping[int, Sequence[int]],
    by_target: Mapping[str, Sequence[int]],
) -> Iterator[tuple[int, bool]]:  # fmt: skip
    """The events of messages that lead to the end of ``worker``, and whether each is one of a
    message itself (otherwise what the sender read before). ``by_worker``, ``by_target``: the
    numbers of the events of each, in their order."""
    found = _Messages(events, by_worker, by_target)
    end = len(events)
    for _ in range(_MOST):
        got = found.received(worker, end)
        sent = found.sent(got)
        if sent < 0:
            break
        yield got, True
        yield sent, True
        worker, end = events.workers[sent], sent
        read = found.read(worker, found.received(worker, end), end)
        if read >= 0:
            yield read, False
    yield from ((seq, True) for seq in found.on_their_way()[-_LOST:])


class _Messages:
    def __init__(
        self, events: Events, by_worker: Mapping[int, Sequence[int]],
        by_target: Mapping[str, Sequence[int]],
    ) -> None:  # fmt: skip
        self.events = events
        self.by_worker = by_worker
        self.lines = {name: line for name, line in by_target.items() if _other(name)}
        #: By worker the directions in which bytes come to it.
        self.comes: defaultdict[int, set[str]] = defaultdict(set)
        for name, line in self.lines.items():
            for seq in line:
                if self._op(seq) == "put":
                    self.comes[events.workers[seq]].add(_other(name))
                elif self._gives(seq):
                    self.comes[events.workers[seq]].add(name)

    def received(self, worker: int, end: int) -> int:
        """The last event before ``end`` in which bytes came to ``worker``, -1 for none."""
        lines = (self.lines.get(name, ()) for name in self.comes[worker])
        return max((self._last(line, end, self._gives) for line in lines), default=-1)

    def sent(self, got: int) -> int:
        """Who sent last what came in the event ``got``, -1 for nobody."""
        if got < 0:
            return -1
        target = self.events.table[self.events.shapes[got]].target or ""
        return self._last(self.lines[target], got, lambda seq: self._op(seq) == "put")

    def read(self, worker: int, begin: int, end: int) -> int:
        """The last variable that ``worker`` has used between these, -1 for none."""
        own = self.by_worker[worker]
        seq = self._last(own, end, lambda seq: self._op(seq) in ("read", "write"))
        return seq if seq > begin else -1

    def on_their_way(self) -> list[int]:
        """What was sent last in a direction, and never received."""
        used = (
            [seq for seq in line if self._op(seq) == "put" or self._gives(seq)]
            for line in self.lines.values()
        )
        return sorted(seqs[-1] for seqs in used if seqs and self._op(seqs[-1]) == "put")

    def _last(self, line: Sequence[int], end: int, wanted: Callable[[int], bool]) -> int:
        before = reversed(line[: bisect_left(line, end)])
        return next((seq for seq in before if wanted(seq)), -1)

    def _op(self, seq: int) -> str:
        return self.events.table[self.events.shapes[seq]].op

    def _gives(self, seq: int) -> bool:
        result = self.events.results[seq]
        return self._op(seq) == "get" and type(result) is int and result > 0


def _other(name: str) -> str:
    """The other direction of a connection, "" where the name is not that of one."""
    head, point, end = name.rpartition(".")
    other = OPPOSITE.get(f".{end}", "")
    return f"{head}{other}" if point and other else ""
