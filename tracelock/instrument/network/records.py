"""Records of TLS in one direction of a connection (RFC 8446, 5.1).

What goes by TLS is other bytes in each run, and not always as many: a signature by an elliptic
curve has a length that is drawn. How many records there are follows from what the program says. So
a direction that carries TLS is counted in records, a trace tells of records, and no read is made
shorter, since whoever reads puts the records together again before anybody sees what is in them.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

#: So many records fit into one direction: less than a loop reads at once, so that this is the same
#: in each run.
RECORDS: Final = 15
_HEADER: Final = 5
#: What a record is of: changes of the cipher, alerts, handshakes, data, heartbeats.
_TYPES: Final = range(20, 25)
_HANDSHAKE: Final = b"\x16\x03"
#: The messages that begin a handshake: the client's and the server's hello.
_HELLO: Final = (1, 2)


def begins(data: Any) -> bool:
    """Whether these bytes begin a handshake of TLS."""
    return len(data) > _HEADER and data[:2] == _HANDSHAKE and data[_HEADER] in _HELLO


class Records:
    """Where the records begin that one direction holds (``starts``, as offsets). What is left of
    one whose beginning was read counts as one. ``broken``: what came is not TLS any more."""

    __slots__ = ("_head", "_left", "broken", "starts")

    def __init__(self, held: int) -> None:
        self.starts: deque[int] = deque([0] if held else [])
        self._head = b""
        self._left = 0
        self.broken = False

    def _scan(self, data: Any) -> tuple[list[int], bytes, int, bool]:
        """Where records begin in bytes that come next, and the state after them."""
        found: list[int] = []
        place, head, left = 0, self._head, self._left
        while place < len(data):
            if left:
                taken = min(left, len(data) - place)
                left -= taken
                place += taken
                continue
            if not head:
                found.append(place)
            piece = bytes(data[place : place + _HEADER - len(head)])
            head, place = head + piece, place + len(piece)
            if len(head) == _HEADER:
                if head[0] not in _TYPES or head[1] != _HANDSHAKE[1]:
                    return found, b"", 0, True
                left, head = int.from_bytes(head[3:], "big"), b""
        return found, head, left, False

    def count(self, data: Any) -> int:
        """How many records begin in bytes that come next."""
        return len(self._scan(data)[0])

    def fitting(self, data: Any, room: int) -> int:
        """How many bytes of ``data`` there are up to the record for which there is no room."""
        found = self._scan(data)[0]
        return found[room] if len(found) > room else len(data)

    def add(self, data: Any, held: int) -> None:
        """These come after ``held`` bytes."""
        found, self._head, self._left, self.broken = self._scan(data)
        self.starts.extend(held + place for place in found)
        if not held and data and (not self.starts or self.starts[0]):
            self.starts.appendleft(0)

    def remove(self, size: int, held: int) -> None:
        """The first ``size`` bytes were read; ``held`` are left."""
        self.starts = deque([place - size for place in self.starts if place >= size])
        if held and (not self.starts or self.starts[0]):
            self.starts.appendleft(0)

    def put_back(self, data: Any) -> None:
        """These, which begin with a record, come first again."""
        later = [place + len(data) for place in self.starts]
        self.starts = deque([*Records(0).scanned(data), *later])

    def scanned(self, data: Any) -> list[int]:
        return self._scan(data)[0]

    def within(self, size: int) -> int:
        """How many records begin in the first ``size`` bytes."""
        return sum(place < size for place in self.starts)
