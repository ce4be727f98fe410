"""The board of a free run: a small piece of memory in which each worker says what it does.

A worker says so before it blocks. One that is blocked by the board, and asleep by the operating
system, waits for another worker; where all do, they do so for ever.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

from tracelock.backends.processes.store import SharedFile

#: What a worker does.
IDLE: Final = 0
BUSY: Final = 1
WAITS: Final = 2
TIMED: Final = 3  # waits, but not for ever
FLUSHES: Final = 4  # waits for room in the pipe of a queue
ENDED: Final = 5
#: One worker's place: what it does, number of the op, how often it has changed.
_PLACE: Final = struct.Struct("<BxxxIIxxxx")
_FLAGS: Final = 16  # the board begins with two flags: the run has begun, it is over
_SIZE: Final = 1 << 16

#: What a worker does, the number of its op in its journal, how often that has changed.
Place = tuple[int, int, int]


class Board:
    """One process's view of the board."""

    def __init__(self, file: SharedFile, fresh: bool = False) -> None:
        if fresh:
            file.empty()
            os.ftruncate(file.fd, _SIZE)
        self.memory = mmap.mmap(file.fd, _SIZE)

    def begin(self) -> None:
        """The run begins."""
        self.memory[0] = 1

    def end(self) -> None:
        """The run is over for those that have not been started."""
        self.memory[1] = 1

    @property
    def begun(self) -> bool:
        """Whether the run has begun."""
        return bool(self.memory[0])

    @property
    def over(self) -> bool:
        """Whether the run is over for those that have not been started."""
        return bool(self.memory[1])

    def put(self, worker: int, doing: int, number: int = 0, changes: int = 0) -> None:
        """Say what ``worker`` does."""
        _PLACE.pack_into(self.memory, _FLAGS + _PLACE.size * worker, doing, number, changes)

    def place(self, worker: int) -> Place:
        """What ``worker`` does."""
        doing, number, changes = _PLACE.unpack_from(self.memory, _FLAGS + _PLACE.size * worker)
        return doing, number, changes

    def close(self) -> None:
        """Give up this view."""
        self.memory.close()
