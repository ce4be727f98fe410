"""The ends of connections and of datagrams, and what each operation comes to at once.

Nothing here waits or is a step: an operation that would have to wait raises BlockingIOError. What
an end does, and which errors it gives, is what Linux does for TCP (RFC 9293, whose resets come at
once here) and for Unix sockets; ``tests/unit/test_network_ends.py`` compares the two.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol

from tracelock.instrument.network.records import RECORDS, Records, begins
from tracelock.objects.streams import CAPACITY

#: The family of Unix sockets, which not every platform has.
UNIX: Final = int(getattr(socket, "AF_UNIX", -1))
#: What an end can be ready for: the numbers of ``selectors``.
READABLE: Final = 1
WRITABLE: Final = 2
#: The longest datagram (RFC 768, less the headers of IPv4), and how many wait at an address.
LONGEST: Final = 65_507
DATAGRAMS: Final = 256


def fail(code: int) -> NoReturn:
    """Raise the OSError of this number, with the words of the system."""
    raise OSError(code, os.strerror(code))


class Watcher(Protocol):
    """Who wants to know what an end is ready for."""

    def changed(self, worker: Any, end: End) -> None:
        """``worker`` has done something by which ``end`` may be ready for something else."""


class Direction:
    """One direction of a connection. ``ends``: where the sender's writes ended, as far as those
    bytes have not been read. ``ended``: by its sender; ``over``: which its reader can see;
    ``deaf``: its reader takes nothing any more; ``told``: which the sender has learnt. ``splits``:
    so many reads were made shorter; ``reader``: who has read last.

    ``cuts``: so many partitions and delays have begun in it, less those that are over; while it is
    ``cut`` so many bytes, the last ones, are ``hidden`` from the reader, and ``late`` is what the
    ends are to learn when it is healed.
    ``gone``: its reader's host has crashed, and runs again. ``records``: what it carries is TLS, or
    was (``mixed``), and is counted in records."""

    __slots__ = (
        "buffer", "capacity", "cuts", "deaf", "ended", "ends", "gone", "hidden", "late", "mixed",
        "name", "number", "over", "reader", "records", "splits", "told",
    )  # fmt: skip

    def __init__(self, name: str, capacity: int = CAPACITY) -> None:
        self.name = name
        self.number = -1
        self.capacity = capacity
        self.buffer = bytearray()
        self.ends: deque[int] = deque()
        self.ended = self.over = self.deaf = self.told = self.gone = False
        self.cuts = self.hidden = 0
        self.late: list[Callable[[], object]] = []
        self.splits = 0
        self.reader = ""
        self.records: Records | None = None
        self.mixed = False

    @property
    def held(self) -> int:
        """How much is in it, in bytes, or in records of TLS."""
        return len(self.buffer) if self.records is None else len(self.records.starts)

    @property
    def unseen(self) -> int:
        """How much of that is hidden from the reader."""
        if self.records is None:
            return self.hidden
        return self.held - self.records.within(self.arrived)

    def size_of(self, data: Any) -> int:
        """How much ``data`` would be in it, in the same measure."""
        if self.records is not None:
            return self.records.count(data)
        return Records(0).count(data) if begins(data) else len(data)

    @property
    def cut(self) -> bool:
        return self.cuts > 0

    @property
    def room(self) -> int:
        return max(0, self.capacity - self.held)  # its window may have shrunk

    @property
    def arrived(self) -> int:
        """How many bytes its reader could have."""
        return len(self.buffer) - self.hidden

    def add(self, data: Any) -> int:
        """Take in what fits of ``data``; how much that was."""
        if self.records is None and begins(data):
            self.records, self.mixed = Records(len(self.buffer)), True
            self.capacity = min(self.capacity, RECORDS)
        if self.records is None:
            taken = min(len(data), self.room)
        else:
            taken = self.records.fitting(data, self.room)
            self.records.add(data[:taken], len(self.buffer))
        self.buffer += data[:taken]
        if self.records is not None and self.records.broken:
            self.records = None
            self.capacity = CAPACITY if self.capacity == RECORDS else self.capacity
        self.ends.append(len(self.buffer))
        if self.cut:
            self.hidden += taken
        return taken

    def heal(self) -> None:
        """A partition is over: all that was sent arrives, in order, if there is no other."""
        self.cuts -= 1
        if self.cut:
            return
        self.hidden = 0
        late, self.late = self.late, []
        for learn in late:
            learn()

    def remove(self, size: int) -> bytes:
        """The first ``size`` bytes."""
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        if self.records is not None:
            self.records.remove(size, len(self.buffer))
        self.ends = deque([end - size for end in self.ends if end > size])
        return data

    def put_back(self, data: bytes) -> None:
        """These were not read after all: they come first again."""
        if data:
            self.buffer[:0] = data
            if self.records is not None:
                self.records.put_back(data)
            self.ends = deque([len(data), *(end + len(data) for end in self.ends)])


class End:
    """One socket in memory.

    ``address``: its own, None as long as it has none; ``other``: that of its peer. ``incoming`` and
    ``outgoing``: of a connection. ``port``: where it listens, or receives datagrams; ``arrived``:
    what has come there. ``error``: what the next operation fails with. ``uses``: operations that
    wait at it; ``refs``: descriptors that it has. ``host``: whose it is, "" for this machine;
    ``user``: who has sent or received something first; ``shared``: somebody else has, too;
    ``failed``: it has had an error. ``connecting``: to where, as long as a partition is in between,
    and what does so then (None: it is at work).
    """

    host = ""
    connecting: Any = None

    def __init__(self, family: int, kind: int, name: str = "") -> None:
        self.family = family
        self.stream = kind == socket.SOCK_STREAM
        self.tcp = family != UNIX
        self.name = name
        self.address: Any = None
        self.other: Any = None
        self.incoming: Direction | None = None
        self.outgoing: Direction | None = None
        self.peer: End | None = None
        self.port: Any = None
        self.listens = False
        self.arrived: deque[Any] = deque()
        self.error = 0
        self.failed = self.shared = False
        self.user = ""
        self.shut = False  # for reading
        self.done = False  # the peer has ended its direction in order
        self.refs = 1
        self.uses = 0
        self.closed = False
        self.version = 0
        self.watchers: list[Watcher] = []
        self.link: Any = None

    # --- a connection ------------------------------------------------------------------------
    def join(self, other: End, there: Direction, back: Direction) -> None:
        """Connect the two: bytes go ``there`` from this one, and ``back`` to it."""
        self.peer, other.peer = other, self
        self.outgoing = other.incoming = there
        self.incoming = other.outgoing = back

    def put(self, data: Any) -> int:
        """Send what fits of ``data``; how many bytes that was."""
        way = self.outgoing
        if way is None:
            fail(errno.EPIPE if self.tcp else errno.ENOTCONN)
        if self.tcp and self.error:
            self._raise()
        if way.ended or (way.deaf and (way.told or not self.tcp)):
            fail(errno.EPIPE)
        if way.deaf:  # the first send after the other end was closed: a reset is the answer
            way.told = self.failed = True
            self.error = errno.EPIPE if self.done else errno.ECONNRESET
            return len(data)
        if self.peer is not None and self.peer.shut:
            return len(data)  # nobody reads it
        if len(data) and not way.room:
            fail(errno.EAGAIN)
        return way.add(data) if len(data) else 0

    def take(self, size: int, peek: bool = False) -> bytes:
        """Receive up to ``size`` bytes; none at the end of the direction."""
        way = self.incoming
        if way is None:
            fail(errno.ENOTCONN if self.tcp else errno.EINVAL)
        if way.arrived or not size:
            size = min(size, way.arrived)
            return bytes(way.buffer[:size]) if peek else way.remove(size)
        if self.error and not (self.tcp and self.done):
            self._raise()
        if way.over or self.shut:
            return b""
        fail(errno.EAGAIN)

    def _raise(self) -> NoReturn:
        code, self.error = self.error, 0
        fail(code)

    def end_sending(self) -> None:
        """Nothing more is sent."""
        way = self.outgoing
        if way is not None and not way.ended:
            way.ended = True
            self.tell(way, self._finish)

    def _finish(self) -> None:
        """The other end learns that nothing more comes."""
        assert self.outgoing is not None
        self.outgoing.over = True
        if self.peer is not None and not self.peer.closed:
            self.peer.done = True

    def tell(self, way: Direction, learn: Callable[[], object]) -> None:
        """The other end learns something, at once or when the partition is healed."""
        if way.cut:
            way.late.append(learn)
        else:
            learn()

    def end_reading(self) -> None:
        """Nothing more is read here."""
        self.shut = True
        if not self.tcp and self.incoming is not None:
            self.incoming.deaf = True

    def leave(self) -> bool:
        """It is closed: whether the other end is reset, since there was something left to read."""
        self.closed = True
        way, peer = self.incoming, self.peer
        if way is None or peer is None:
            return False
        if way.cut:
            self.tell(way, self._go_deaf)
            return False
        way.deaf = True
        return bool(way.buffer) and not peer.closed

    def _go_deaf(self) -> None:
        """The other end learns that this one is closed, by a reset if something comes here."""
        way, peer = self.incoming, self.peer
        assert way is not None and peer is not None
        way.deaf = True
        if way.buffer and not peer.closed:
            peer.reset()

    def reset(self) -> None:
        """The other end has given the connection up."""
        assert self.incoming is not None and self.outgoing is not None
        self.failed = True
        self.error = errno.EPIPE if self.tcp and self.done else errno.ECONNRESET
        self.incoming.ended = self.incoming.over = True
        self.outgoing.deaf = self.outgoing.told = True

    # --- what it is ready for ----------------------------------------------------------------
    def ready(self) -> int:
        """The bits of what it is ready for."""
        if self.listens or not self.stream:
            return (READABLE if self.arrived else 0) | (0 if self.stream else WRITABLE)
        back, there = self.incoming, self.outgoing
        if self.connecting is not None:
            return 0
        if back is None or there is None:
            return READABLE | WRITABLE  # to wait for such a one gives its error
        found = 0
        if back.arrived or back.over or self.shut or self.error:
            found = READABLE
        if there.room > 0 or there.ended or there.deaf or self.error:
            found |= WRITABLE
        return found


def pair(family: int, names: tuple[str, str]) -> tuple[End, End]:
    """Two ends that are connected with each other."""
    one, other = End(family, socket.SOCK_STREAM), End(family, socket.SOCK_STREAM)
    one.join(other, Direction(names[0]), Direction(names[1]))
    return one, other
