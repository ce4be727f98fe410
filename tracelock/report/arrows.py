"""Arrows of a picture: who handed something over to whom.

Over a network that is a message: from each event that sent bytes to the event that received the
last of them, from a connect to its accept, from the end of a direction to who saw it, from a
datagram to who received it. A datagram that was lost has an event and no receiver.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from tracelock.analysis.derived.edges import observed_edges
from tracelock.trace import Trace
from tracelock.trace.network import BYTES_READ, DIRECTIONS, FAULT, READ_SIZES

if TYPE_CHECKING:
    from tracelock.analysis.derived.steps import Steps

__all__ = ["Message", "arrows", "messages"]

#: What the names of addresses begin with, and what comes there.
_ADDRESSES: Final = {
    "tcp": "connection", "unix socket ": "connection", "udp": "datagram"
}  # fmt: skip
_LOST: Final = "lost"


class Message(NamedTuple):
    """From event ``source`` to event ``dest`` (-1: it was lost). ``what``: ``3 bytes``,
    ``connection``, ``end`` or ``datagram``."""

    source: int
    dest: int
    what: str


def messages(trace: Trace) -> list[Message]:
    """The messages of a trace between different workers, in the order of their arrival; those that
    were lost where they were sent."""
    events = trace.events
    lines: defaultdict[str, list[int]] = defaultdict(list)
    found: list[Message] = []
    for seq, shape in enumerate(events.shapes):
        one = events.table[shape]
        if one.op in ("put", "get", "set"):
            lines[one.target or ""].append(seq)
    for seq, extra in events.extras.items():
        choice = events.table[events.shapes[seq]]
        if choice.op == "choose" and choice.target == FAULT and extra.get("chosen") == _LOST:
            found.append(Message(seq, -1, "datagram"))
    for name, line in lines.items():
        if name.endswith(DIRECTIONS):
            found += _bytes(trace, line)
        else:
            kind = next((what for begin, what in _ADDRESSES.items() if name.startswith(begin)), "")
            found += _arrivals(trace, line, kind) if kind else ()
    own = events.workers
    between = (one for one in found if one.dest < 0 or own[one.source] != own[one.dest])
    return sorted(between, key=lambda one: (max(one.source, one.dest), one))


def _bytes(trace: Trace, line: list[int]) -> Iterator[Message]:
    """Of one direction of a connection: bytes are received in the order of their sending. Of a
    read that gives less than has come the others stay."""
    events = trace.events
    left: deque[list[int]] = deque()  # event, and how many of its bytes nobody has received
    ended, told = -1, True
    for seq in line:
        event = events[seq]
        size = event.result
        if event.op == "put" and size is True and type(event.value) is int:
            left.append([seq, event.value])
        elif event.op == "set" and ended < 0 and "to" not in event.extra:
            ended, told = seq, False
        elif event.op == "get" and type(size) is int and size > 0:
            size = _given(trace, seq, size, left[0][1] if left else size)
            while left and size:
                taken = min(size, left[0][1])
                size -= taken
                left[0][1] -= taken
                if not left[0][1] or not size:
                    yield Message(left[0][0], seq, _counted(taken))
                if not left[0][1]:
                    left.popleft()
        elif not told and event.op in ("get", "put") and event.worker != events.workers[ended]:
            yield Message(ended, seq, "end")
            told = True


def _given(trace: Trace, seq: int, size: int, first: int) -> int:
    """How many bytes a read gave of ``size``: less, if the next event of its worker says so."""
    events = trace.events
    worker = events.workers[seq]
    try:
        after = events[events.workers.index(worker, seq + 1)]
    except ValueError:
        return size
    if after.op != "choose" or after.target != BYTES_READ:
        return size
    sizes = dict(zip(READ_SIZES, (size, first, 1, size - 1), strict=True))
    return sizes.get(str(after.extra.get("chosen")), size)


def _counted(size: int) -> str:
    return "1 byte" if size == 1 else f"{size:,} bytes"


def _arrivals(trace: Trace, line: list[int], what: str) -> Iterator[Message]:
    """At one address: who comes first is taken first."""
    events = trace.events
    waiting: deque[int] = deque()
    for seq in line:
        event = events[seq]
        if event.op == "put" and event.result is True:
            waiting.append(seq)
        elif event.op == "get" and waiting and not isinstance(event.result, dict):
            yield Message(waiting.popleft(), seq, what)


def arrows(
    trace: Trace, steps: Steps, wanted: Collection[str], shown: Collection[int]
) -> list[list[int | str]]:
    """Number of event, number of event (-1: lost on its way), what: of the edges of the kinds
    ``wanted`` and of messages, where both events are ``shown``."""
    sent = messages(trace)
    known = {one.dest for one in sent}
    found: list[tuple[int, int, str]] = [
        (source, dest, why) for source, dest, why in observed_edges(steps)
        if why in wanted and not (why == "item" and dest in known)
    ]  # fmt: skip
    found += sent
    return [[*one] for one in sorted(found) if one[0] in shown and (one[1] in shown or one[1] < 0)]
