"""What is patched of anyio on asyncio: its cancel scopes are kept in sets, which need an order, and
those of groups of tasks are told from a program's own."""

from __future__ import annotations

from typing import Any

from anyio._backends._asyncio import CancelScope, TaskGroup

from tracelock.instrument.contexts import identity
from tracelock.instrument.loops.recording import Recorder
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker

Recorder("anyio", __name__).numbers(CancelScope)


@patch("anyio.TaskGroup.__init__", SEEN, of=TaskGroup, attribute="__init__")
def group_made(worker: Worker, real: Any, self: Any) -> None:
    real(self)
    worker.hub.group_scopes[identity(self.cancel_scope)] = self.cancel_scope
