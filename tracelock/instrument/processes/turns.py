"""One thread serves the workers of a schedule that are in other processes, one after the other.

No two of them are ever under way at a time, so that none needs a thread of its own here: who is
picked gets its answer, and its next message is awaited. That is the same rhythm as that of
``Worker.step``, without handing a baton from thread to thread. Where a worker launches another, all
go on with threads, since who launches waits for the first op of the new one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from tracelock.instrument.hub import Phase
from tracelock.instrument.processes.relay import Relay

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Steps between two looks at the clock.
_STEPS: Final = 256


class Turns:
    """The turns of one schedule."""

    def __init__(self, backend: PythonBackend, relays: list[Relay]) -> None:
        self.backend = backend
        self.hub = backend.hub
        self.relays = relays

    def run(self) -> bool:
        """Let the workers begin and take turns until nobody can go on. False where they are
        to go on with threads, which then have the baton."""
        hub, relays = self.hub, self.relays
        controller = hub.controller
        controller.threads = True
        for relay in relays:
            relay.glance = self._glance
            hub.enter(relay.worker.number, relay.worker)
            controller.essential.add(relay.worker.number)
        for relay in relays:
            self._begin(relay)
        by_number = {relay.worker.number: relay for relay in relays}
        steps = 0
        while (to := hub.decide()) >= 0:
            relay = by_number[to]
            steps += 1
            if not steps % _STEPS:
                self._glance()
            try:
                if controller.parked:
                    relay.parked()
                    continue
                relay.grant()
            except (EOFError, OSError):
                pass  # it is told where its next message is awaited
            except Exception as error:
                relay.worker.error = error
                relay.over = True
                hub.ended(relay.worker)
                continue
            if relay.come() and relay.launches:
                self._with_threads(relay)
                return False
        return True

    def _begin(self, relay: Relay) -> None:
        with contextlib.suppress(OSError):  # it is told where its first message is awaited
            relay.begin()
        relay.come()

    def _glance(self) -> None:
        """Whether the time is up, or Ctrl-C was pressed."""
        controller = self.hub.controller
        controller.limit = self.backend.bounds.why() or controller.limit

    def _with_threads(self, launching: Relay) -> None:
        for relay in self.relays:
            if relay is launching or relay.over:
                continue
            self._on_a_thread(relay, relay.go_on)
        self._on_a_thread(launching, launching.go_on_launching)

    def _on_a_thread(self, relay: Relay, run: object) -> None:
        relay.glance = lambda: None  # the main thread looks
        self.hub.pool(relay.worker.number).take(relay.worker, run)

    def dismiss(self) -> None:
        """The schedule is over: end those that are in the middle of their code."""
        self.hub.phase = Phase.UNWIND
        for relay in self.relays:
            if not relay.over:
                relay.dismiss()
