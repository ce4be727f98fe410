"""The backend that runs each worker in a real process, forked for each schedule.

What ``setup`` makes is made in the process that explores, and inherited. The workers are forked
one after the other, from its main thread, and begin when they are told to; from then on each is
served by a thread of the pool (``relay``), so that all else is as for threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import UsageError
from tracelock.instrument.backend import LOOK
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.processes import forking
from tracelock.instrument.processes.relay import Relay, connect
from tracelock.instrument.processes.remote import enter, flush
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.threads.backend import ThreadBackend
from tracelock.instrument.worker import Worker

real_getpid: Final = os.getpid


class ProcessBackend(ThreadBackend):
    """Each worker in a process. Raises UsageError where there is no ``fork``."""

    settles = False  # a process that is left over is ended before the check
    noun = "process"

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        if not hasattr(os, "fork"):
            raise UsageError("the multiprocessing backend for Python code needs fork")
        import multiprocessing.synchronize  # noqa: F401  (so that it is patched)

        if program.invariants:
            raise UsageError(
                "always: what processes have of their own cannot be looked at between their steps"
            )
        super().__init__(program, limits)
        self.hub.gil = None  # each process has its own
        self._relays: list[Relay] = []

    def take_control(self, live: LiveObjects) -> None:
        super().take_control(live)
        self._stack.enter_context(forking.quietly())

    def _workers(self, state: Any) -> Iterator[tuple[Worker, Callable[[], object]]]:
        hub = self.hub
        flush()
        self._relays = []
        for number, work in enumerate(self.program.workers):
            worker = Worker(hub, number)
            relay = self._forked(worker, self._body(work, state))
            self._relays.append(relay)
            yield worker, partial(self._pooled(number).take, worker, relay.serve)

    def _forked(self, worker: Worker, run: Callable[[], Any]) -> Relay:
        """Fork the process of a worker, which waits until it is served."""
        hub = self.hub
        relay, channel = connect(hub, worker, reaps=True)
        base, parent = len(hub.layout.names), real_getpid()
        relay.pid = forking.real_fork()
        if not relay.pid:
            try:
                child = enter(hub, worker.number, channel, worker.label, base, parent)
                forking.pose_as(worker.label)
                child.live(run)
                child.exit()
            finally:
                forking.real_exit(1)
        channel.close()
        return relay

    def _await(self, baton: Any = None) -> None:
        """Wait for the baton. A process that gets stuck is ended by its relay."""
        hub = self.hub
        baton = baton or hub.main
        while True:
            try:
                while not baton.acquire(timeout=LOOK):
                    hub.controller.limit = self.bounds.why() or hub.controller.limit
                return
            except KeyboardInterrupt:
                self.bounds.interrupted()

    def _reap(self) -> None:
        for relay in self._relays:
            relay.reap()
            relay.channel.close()
        self._relays = []
        super()._reap()

    def _schedule(self, controller: OpenController) -> None:
        try:
            super()._schedule(controller)
        finally:
            for relay in self._relays:  # after an error they have not ended
                relay.kill()
            self._reap()
