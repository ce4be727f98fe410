"""How the events of a trace tell of a network: who writes them, and who reads them, use this."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ANSWERED", "BUDGET", "BYTES_READ", "DIRECTIONS", "FAULT", "FAULTS", "OPPOSITE", "READ_SIZES",
    "SENT",
]  # fmt: skip

#: What the names of the two directions of a connection end in: from who has connected, and back.
SENT: Final = ".sent"
ANSWERED: Final = ".answered"
DIRECTIONS: Final = (SENT, ANSWERED)
OPPOSITE: Final = {SENT: ANSWERED, ANSWERED: SENT}
#: What the event of a read that may give less is a choice of, and how much it may give.
BYTES_READ: Final = "bytes of a read"
READ_SIZES: Final = ("all that has come", "the first write", "one byte", "all but one byte")
#: What the event of a fault is a choice of.
FAULT: Final = "fault of the network"
#: The kinds of faults, in the order in which tokens number them: a new one comes last.
FAULTS: Final = (
    "refused", "timed out", "reset", "unresolved", "half-closed", "slow reader", "delay",
    "partition", "crash", "lost", "doubled", "reordered",
)  # fmt: skip
#: What each step is at that asks whether one comes in: there is one budget for all.
BUDGET: Final = "faults of the network"
