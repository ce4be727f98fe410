"""One client on a port of this machine, for one replay."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracelock.debugger.console import place_of
from tracelock.debugger.dap.adapter import Adapter
from tracelock.debugger.dap.framing import Connection
from tracelock.debugger.reversible import Reversible
from tracelock.errors import UsageError

if TYPE_CHECKING:
    from tracelock.session.target import Target
    from tracelock.trace import Trace

#: Nobody but this machine can connect.
HOST: Final = "127.0.0.1"
#: Seconds in which a client has to connect.
PATIENCE: Final = 600.0


def serve(
    target: Target, trace: Trace, port: int, at: str | None, tell: Callable[[str], object]
) -> None:
    """Serve the Debug Adapter Protocol on ``port`` of 127.0.0.1 (0: a free one) to the first client
    that connects, until that goes. ``tell`` is called with a line that says where.

    Raises UsageError for a port that cannot be had, a place that there is not, and where nobody
    connects within ten minutes.
    """
    place = place_of(trace, at)
    with Reversible(target, trace) as replay:
        connection = _connected(port, tell)
        replay.idle = connection.check
        try:
            Adapter(replay, connection, place).serve()
        finally:
            connection.close()


def _connected(port: int, tell: Callable[[str], object]) -> Connection:
    if port > 65_535:
        raise UsageError(f"--dap {port}: a port is a number up to 65535")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError as error:
            raise UsageError(f"--dap {port}: {error.strerror}") from error
        server.listen(1)
        server.settimeout(PATIENCE)
        tell(f"waiting for a client of the Debug Adapter Protocol on {HOST}:{_port(server)}")
        try:
            client, _ = server.accept()
        except TimeoutError:
            raise UsageError("--dap: nobody has connected within ten minutes") from None
    return Connection(client)


def _port(server: socket.socket) -> int:
    return int(server.getsockname()[1])
