"""How a loop waits for something real: others go on first, and again and again meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracelock.instrument.worker import Worker

#: What an answer from outside takes at least, in seconds of virtual time.
LATENCY: Final = 1e-4
#: For how long something real is waited for at first, in seconds.
_FIRST: Final = 0.05


def pauses(worker: Worker) -> Iterator[tuple[float, float]]:
    """For how long the loop does something else (in virtual time), and for how long something real
    is waited for then, again and again: both in seconds. Ends when that was as long as a worker may
    take for one step (``RunLimits.stall``)."""
    longest = float(worker.hub.stall)
    virtual, real, spent = LATENCY, _FIRST, 0.0
    while spent < longest:
        yield virtual, real
        spent += real
        virtual, real = real, max(_FIRST, min(2 * real, longest - spent))
