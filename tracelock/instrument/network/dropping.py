"""Sockets in memory whose last reference dies: as in reality that closes them.

``socket.socket`` has no ``__del__`` of its own: its base in C closes the descriptor, of which the
peer of an end in memory would never learn.
"""

from __future__ import annotations

import _socket
import socket
from typing import Any, Final

from tracelock.instrument.network import connections
from tracelock.instrument.network.sockets import end_of
from tracelock.instrument.network.table import network_of
from tracelock.instrument.patching import CONTROLLED, replace
from tracelock.instrument.worker import here

_fileno: Final = _socket.socket.fileno
_finalize: Final[Any] = _socket.socket.__del__  # type: ignore[attr-defined]


def _dropped(self: Any) -> None:
    worker = here()
    end = None if worker is None else end_of(worker, self)
    if end is None or worker is None or worker.elsewhere:
        _finalize(self)
        return
    del network_of(worker.hub).ends[_fileno(self)]
    _finalize(self)  # which warns, and closes the descriptor
    connections.drop(worker, end)


replace("socket.socket.__del__", _dropped, CONTROLLED, socket.socket, "__del__", __name__)
