"""Messages of the protocol on a socket: a header with their length, then JSON.

What comes in is from whoever has connected, so it is bounded, and anything that is not such a
message ends the connection: the request of a browser is none.
"""

from __future__ import annotations

import json
import re
import select
import socket
from time import monotonic
from typing import Any, Final

#: Bytes of the headers, and of the body, of a message that comes in.
MOST_HEADER: Final = 512
MOST_BODY: Final = 1_000_000
#: Seconds in which a message that has begun has to be here, and one that is sent to be gone.
WHOLE: Final = 10.0
_LENGTH: Final = re.compile(rb"Content-Length: ?([0-9]{1,9})")
_END: Final = b"\r\n\r\n"


class ClientGone(Exception):
    """The client has closed its end, or sends what is no message of the protocol."""


class Connection:
    """One client. Messages are dictionaries; those that go out get their ``seq`` here."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        client.settimeout(WHOLE)
        self._buffer = bytearray()
        self._seq = 0

    def read(self) -> dict[str, Any]:
        """Wait for the next message. Raises ClientGone."""
        while (end := self._buffer.find(_END)) < 0:
            if len(self._buffer) > MOST_HEADER:
                raise ClientGone("a header without an end")
            self._more(None if not self._buffer else WHOLE)
        length = _length(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_END)]
        by = monotonic() + WHOLE
        while len(self._buffer) < length:
            self._more(max(0.0, by - monotonic()))
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise ClientGone("a message that is no JSON") from None
        if not isinstance(message, dict):
            raise ClientGone("a message that is no object")
        return message

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message of this type. Raises ClientGone."""
        self._seq += 1
        body = json.dumps({"seq": self._seq, "type": kind, **fields}).encode("ascii")
        try:
            self._client.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            raise ClientGone("it does not take what it is sent") from None

    def check(self) -> None:
        """Raises ClientGone where the client has closed its end meanwhile."""
        if self._buffer or not select.select([self._client], [], [], 0)[0]:
            return
        try:
            here = self._client.recv(1, socket.MSG_PEEK)
        except OSError:
            here = b""
        if not here:
            raise ClientGone("it has closed the connection")

    def close(self) -> None:
        self._client.close()

    def _more(self, seconds: float | None) -> None:
        """Wait for further bytes; without a bound where a user is to think."""
        if not select.select([self._client], [], [], seconds)[0]:
            raise ClientGone("a message that does not end")
        try:
            data = self._client.recv(65_536)
        except OSError:
            data = b""
        if not data:
            raise ClientGone("it has closed the connection")
        self._buffer += data


def _length(header: bytes) -> int:
    """What the headers of a message say of its length. Raises ClientGone for any other header than
    those of the protocol."""
    length = -1
    for line in header.split(b"\r\n"):
        match = _LENGTH.fullmatch(line)
        if match is not None and length < 0:
            length = int(match[1])
        elif not line.startswith(b"Content-Type:"):
            raise ClientGone("what it sends is not the Debug Adapter Protocol")
    if not 0 <= length <= MOST_BODY:
        raise ClientGone("a message without a length, or too long")
    return length
