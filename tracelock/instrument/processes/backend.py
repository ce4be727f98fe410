"""The backend that runs each worker in a real process.

What ``setup`` makes is made in the process that explores, and inherited. The workers are forked
one after the other, from its main thread, and begin when they are told to; from then on they are
served by that thread (``turns``), or by threads of the pool where they launch others. Where that
comes to the same, they go on to the next schedule (``team``); else they are forked for each.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import UsageError
from tracelock.instrument.backend import LOOK
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.processes import forking
from tracelock.instrument.processes.likeness import Likeness
from tracelock.instrument.processes.relay import Relay, connect
from tracelock.instrument.processes.remote import enter, flush
from tracelock.instrument.processes.staying import Stay, bars
from tracelock.instrument.processes.team import Team, see_off
from tracelock.instrument.processes.turns import Turns
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
        if program.crashes.on:
            raise UsageError(
                "crash_consistency: what processes do to files is seen by each of them alone, so "
                "that nobody knows what a crash may leave: let threads or tasks do it"
            )
        super().__init__(program, limits)
        self.hub.gil = None  # each process has its own
        self._relays: list[Relay] = []
        self._team = Team(self)
        self._turns: Turns | None = None

    def take_control(self, live: LiveObjects) -> None:
        super().take_control(live)
        self._stack.enter_context(forking.quietly())
        if not self.hub.collections and not self.names.mortal and not gc.get_freeze_count():
            # what is there already is neither looked at by collections nor, for that, copied
            self._stack.callback(gc.unfreeze)
            gc.freeze()

    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        try:
            super().controlled(controller, done)
        finally:
            self._team.end()

    def _set_up(self, controller: OpenController) -> Any:
        self._team.before()
        return super()._set_up(controller)

    def _run(self, state: Any) -> None:
        hub, team = self.hub, self._team
        flush()
        self._relays = relays = []
        alike = team.look(state)
        for number, work in enumerate(self.program.workers):
            worker = Worker(hub, number)
            if team.ready:
                relays.append(team.relay(worker))
            else:
                relays.append(self._forked(worker, self._body(work, state), alike))
        if not team.ready:
            team.forked()
        if self.names.mortal or hub.collections:  # who takes a step does something besides
            hub.launch_all(
                (relay.worker, partial(self._pooled(number).take, relay.worker, relay.serve))
                for number, relay in enumerate(relays)
            )
            self._await()
            return
        self._turns = turns = Turns(self, relays)
        try:
            if turns.run():
                return
        except KeyboardInterrupt:  # nobody knows what came of the last message
            self.bounds.interrupted()
            hub.controller.limit = self.bounds.why()
            for relay in relays:
                relay.kill()
            return
        self._turns = None
        self._await()

    def _forked(
        self, worker: Worker, run: Callable[[], Any], alike: Likeness | None
    ) -> Relay:  # fmt: skip
        """Fork the process of a worker, which waits until it is served. It may stay if what
        ``setup`` has returned has a likeness."""
        hub = self.hub
        relay, channel = connect(hub, worker, reaps=True)
        base, parent = len(hub.layout.names), real_getpid()
        relay.pid = forking.real_fork()
        if not relay.pid:
            try:
                child = enter(hub, worker.number, channel, worker.label, base, parent)
                forking.pose_as(worker.label)
                child.bars = partial(bars, hub, self.kept.owns)
                if alike is not None:
                    child.stay = Stay(hub, self.kept, alike, self._locals)
                child.live_on(run)
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

    def _unwind(self, controller: OpenController) -> None:
        self._team.ran()
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.dismiss()
        super()._unwind(controller)

    def _reap(self) -> None:
        relays, self._relays = self._relays, []
        if relays and not self._team.take(relays):
            see_off(relays)
        super()._reap()

    def _schedule(self, controller: OpenController) -> None:
        try:
            super()._schedule(controller)
        finally:
            for relay in self._relays:  # after an error they have not ended
                relay.kill()
            self._reap()
