"""Shared variables of processes: one append-only file in shared memory.

A write appends a block to the file, opened with ``O_APPEND``, in one ``write``: the kernel makes
that atomic and puts all writes of all processes in one order. A read is one ``pread`` of what is
new since the reader's last look, digested into its own table of newest versions. So every read
knows exactly which version it saw, and the whole is sequentially consistent by construction,
whatever the processor does with plain stores.

Blocks are of one size and aligned, so that a block never straddles a page. A value too long for
one block, and the writes of one indivisible step, are chains of blocks: a reader takes a chain
when it is whole, and skips one whose writer was killed in the middle.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import context, reduction
from typing import Any, Final

from tracelock.engine.linearise.history import Entry
from tracelock.errors import LimitReached
from tracelock.ops import Value

#: One block: variable, writer, blocks that follow in its chain, length of the value that begins
#: here (0: a value goes on), number of the event in the writer's log, bytes of the value.
BLOCK: Final = struct.Struct("<iHHIq44s")
ROOM: Final = 44
LONGEST: Final = 0xFFFF
CHUNK: Final = 1 << 16
#: The only version of marshal whose output is a function of the value alone (no references).
MARSHAL: Final = 2


class SharedFile:
    """A nameless file in memory that processes started from here share."""

    def __init__(self, append: bool = False) -> None:
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("tracelock")
        else:
            with tempfile.TemporaryFile() as file:
                self.fd = os.dup(file.fileno())
        if append:
            fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_APPEND)

    def __getstate__(self) -> Any:
        context.assert_spawning(self)
        return reduction.DupFd(self.fd)

    def __setstate__(self, state: Any) -> None:
        self.fd = state.detach()

    def empty(self) -> None:
        """Cut it to nothing."""
        os.ftruncate(self.fd, 0)

    def content(self, start: int = 0) -> bytes:
        """Everything in it from byte ``start`` on."""
        parts = []
        while part := os.pread(self.fd, 1 << 24, start):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give up this process's handle."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class VariableStore:
    """The variables as one process sees them. ``writer`` is the number of its worker."""

    def __init__(self, file: SharedFile, initial: Sequence[Value], writer: int) -> None:
        self.fd = file.fd
        self.writer = writer
        self.initial = [(value, -1, -1) for value in initial]
        self.reset()

    def reset(self) -> None:
        """Back to the initial values: the file has been emptied."""
        self.entries: list[Entry] = list(self.initial)
        #: How many versions of each variable have been seen, not counting the initial one.
        self.versions = [0] * len(self.entries)
        self.offset = 0

    def update(self, data: bytes | bytearray = b"") -> None:
        """Digest what is new; ``data`` is what has been read of it already."""
        while data or (data := os.pread(self.fd, CHUNK, self.offset)):
            used = 0
            for end, variable, entry in chains(data):
                self.entries[variable] = entry
                self.versions[variable] += 1
                used = end
            self.offset += used
            if len(data) < CHUNK and used:
                return
            if not used:  # a chain that is longer than a chunk, or not whole yet
                more = os.pread(self.fd, CHUNK, self.offset + len(data))
                if not more:
                    return
                data = data + more
            else:
                data = b""

    def read(self, variable: int) -> Value:
        """The newest value."""
        data = os.pread(self.fd, CHUNK, self.offset)
        if data:
            self.update(data)
        return self.entries[variable][0]

    def write(self, variable: int, value: Value, k: int) -> None:
        """Append one version, written by event ``k``. Raises LimitReached for a huge value."""
        data = marshal.dumps(value, MARSHAL)
        if len(data) <= ROOM:
            os.write(self.fd, BLOCK.pack(variable, self.writer, 0, len(data), k, data))
        else:
            self.write_all(((variable, value),), k)

    def write_all(self, writes: Iterable[tuple[int, Value]], k: int) -> None:
        """Append several versions that appear at once."""
        pieces: list[tuple[int, int, bytes]] = []
        for variable, value in writes:
            data = marshal.dumps(value, MARSHAL)
            length = len(data)
            for start in range(0, length, ROOM):
                pieces.append((variable, 0 if start else length, data[start : start + ROOM]))
        if len(pieces) > LONGEST:
            raise LimitReached(
                f"a write of more than {LONGEST * ROOM:,} bytes does not fit into shared memory"
            )
        more = len(pieces)
        blocks = []
        for variable, length, piece in pieces:
            more -= 1
            blocks.append(BLOCK.pack(variable, self.writer, more, length, k, piece))
        if blocks:
            os.write(self.fd, b"".join(blocks))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the one lock for indivisible changes.

        A lock of the file system: the kernel drops it when its holder is killed.
        """
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1)


def chains(data: bytes | bytearray) -> Iterator[tuple[int, int, Entry]]:
    """The versions in ``data``: (bytes used with the chain it ends, variable, entry).

    Stops before a chain that is not whole. One cut off by the death of its writer is recognised
    by what follows it, and left out.
    """
    size = BLOCK.size
    end = len(data) - len(data) % size
    at = 0
    while at < end:
        variable, writer, more, length, k, piece = BLOCK.unpack_from(data, at)
        if not more:
            at += size
            if length:
                yield at, variable, (marshal.loads(piece), writer, k)
            continue
        chain = [(variable, length, piece)]
        place = at + size
        while more and place < end:
            variable, other, left, length, number, piece = BLOCK.unpack_from(data, place)
            if (other, number, left) != (writer, k, more - 1):
                break  # the writer died in the middle of its chain
            chain.append((variable, length, piece))
            more = left
            place += size
        else:
            if more:
                return
            for variable, value in _values(chain):
                yield place, variable, (value, writer, k)
        at = place


def _values(chain: list[tuple[int, int, bytes]]) -> Iterator[tuple[int, Value]]:
    place = 0
    while place < len(chain):
        variable, length, _ = chain[place]
        count = -(-length // ROOM)
        data = b"".join(piece for _, _, piece in chain[place : place + count])
        yield variable, marshal.loads(data[:length])
        place += count
