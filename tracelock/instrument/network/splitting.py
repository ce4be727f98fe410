"""A read may give less than has come: TCP is a stream of bytes, in which no write has an end
(RFC 9293, 3.8). How much it gives is a choice of the search.

Offered are all that there is, what the first write has sent, a single byte, and all but one. What
is recorded is which of these it was. In each direction of a connection so many reads are made
shorter as a schedule may have; which ones is tried, or drawn.
"""

from __future__ import annotations

from tracelock.instrument.hub import Phase
from tracelock.instrument.network.ends import Direction
from tracelock.instrument.network.table import network_of
from tracelock.instrument.worker import Worker
from tracelock.ops import CHOOSE, Alternatives, Op
from tracelock.trace.network import BYTES_READ, READ_SIZES


def shortened(worker: Worker, way: Direction, size: int, first: int, at: str) -> int:
    """How many of ``size`` bytes a read gives; ``first``: so many the first write has sent."""
    network = network_of(worker.hub)
    if way.reader not in ("", worker.label):
        worker.doubt(
            f"reads of {way.name} by several workers", "not all that each may get was looked at"
        )
    way.reader = worker.label
    if size < 2 or way.splits >= network.splits or worker.hub.phase is not Phase.RUN:
        return size
    found = {size: READ_SIZES[0]}
    for shorter, word in zip((first, 1, size - 1), READ_SIZES[1:], strict=True):
        if 0 < shorter < size:
            found.setdefault(shorter, word)
    sizes, told = list(found), list(found.values())  # without numbers: those of TLS differ
    op = Op(CHOOSE, -1, at, body=Alternatives(BYTES_READ, len(sizes), told))
    number: int = worker.do(op)
    op.remark = told[number]
    if number:
        way.splits += 1
    return sizes[number]
