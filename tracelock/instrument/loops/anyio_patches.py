"""What is patched of anyio on asyncio: its cancel scopes are kept in sets, which need an order."""

from __future__ import annotations

from anyio._backends._asyncio import CancelScope

from tracelock.instrument.loops.recording import Recorder

Recorder("anyio", __name__).numbers(CancelScope)
