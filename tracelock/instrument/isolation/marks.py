"""How far a forked process has come: a few numbers in memory that it shares with its parent."""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

_LAYOUT = struct.Struct("<qqqq")
_BEATS = struct.Struct("<q")


class Mark(NamedTuple):
    """In which schedule of its batch (from 0), after how many events, who made the last one (-1:
    nobody), and in which phase (see ``hub.Phase``) a process is."""

    schedule: int
    events: int
    worker: int
    phase: int


class SharedMark:
    """Written by the child, before it runs any code that could end it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LAYOUT.size + _BEATS.size)

    def write(self, schedule: int, events: int, worker: int, phase: int) -> None:
        _LAYOUT.pack_into(self._memory, 0, schedule, events, worker, phase)

    def beat(self) -> None:
        """The child is at work, though its schedule does not go on."""
        _BEATS.pack_into(self._memory, _LAYOUT.size, self.beats() + 1)

    def beats(self) -> int:
        beats: int = _BEATS.unpack_from(self._memory, _LAYOUT.size)[0]
        return beats

    def read(self) -> Mark:
        return Mark(*_LAYOUT.unpack_from(self._memory))

    def close(self) -> None:
        self._memory.close()
