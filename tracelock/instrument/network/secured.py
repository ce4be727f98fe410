"""TLS over sockets of threads, whose code in C reads the descriptor itself: it is refused where
that stands for a socket in memory. Loops have TLS of their own, over their transports."""

from __future__ import annotations

import contextlib
from typing import Any

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.network.table import Network
from tracelock.instrument.patching import NOT_CONTROLLED, patch
from tracelock.instrument.worker import Worker
from tracelock.ops import CHECKPOINT, Op

with contextlib.suppress(ImportError):  # or there is no such class to be patched
    import ssl  # noqa: F401

_WHY = (
    "TLS over a socket between workers of one run is not under control, but for that of loops, and "
    "what is outside of the run is recorded without it alone: have both ends talk without it here"
)


@patch("ssl.SSLContext.wrap_socket", NOT_CONTROLLED, optional=True)
def wrap_socket(worker: Worker, real: Any, self: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
    hub = worker.hub
    network = hub.known(Network)
    if network is not None and network.keeps(sock):
        if hub.phase is not Phase.RUN or worker.elsewhere:
            raise LimitReached(_WHY)
        hub.controller.limit = hub.controller.limit or f"{worker.label}: {_WHY}"
        worker.step(Op(CHECKPOINT, -1, caller(worker)))
    return real(self, sock, *args, **kwargs)
