"""Loops that the code under test starts itself, in a worker or a thread of its own, whichever
library's they are.

The tasks of such a loop are workers, as those of the backends of loops are. The worker whose thread
it is does nothing while the loop runs. Several may run at a time, each on its thread.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.loops.starving import judge
from tracelock.instrument.loops.tasks import LOOP, LoopTasks
from tracelock.instrument.worker import Main, MainBlocked, Worker
from tracelock.ops import CHECKPOINT, NOTIFY, Op
from tracelock.schedulers.base import Gate


class ShutGate(Gate):
    """The gate of a loop that does not run: nobody can go on."""

    __slots__ = ()

    def admits(self, worker: int) -> bool:
        return False


class OwnLoopTasks(LoopTasks):
    """The tasks of one such loop, before the class of the library's tasks. ``worker``: the one
    that creates it. ``open``: it runs; ``host``: the worker on whose thread."""

    def __init__(self, hub: Hub, worker: Worker) -> None:
        if worker.elsewhere:
            refuse(worker, "a loop in another process is not under control")
        self.schedule = hub.schedule
        self.open = False
        self.host: Any = None
        self.shut = ShutGate(-1)
        number = worker.count(("own loop", "loop"))
        self.prefix = f"{worker.label}/" if number == 1 else f"{worker.label}#{number}/"
        self.aimed_at = hub.aim.means_label(worker.label)
        super().__init__(hub, worker.baton, self.prefix)
        hub.own_loops.append(self)
        self.shut.number = self.gate.number
        self.shut.timers = self.gate.timers

    # --- what each library does in its own way ---------------------------------------------------
    def entered(self, ident: int) -> contextlib.AbstractContextManager[None]:
        """While this is entered, the loop is the one that runs on this thread."""
        raise NotImplementedError

    def finished(self) -> bool:
        """Whether the loop is to stop."""
        raise NotImplementedError

    # --- common to all ---------------------------------------------------------------------------
    def enter(self, worker: Any) -> None:
        super().enter(worker)
        if not self.open:
            self.hub.controller.loops[worker.number] = self.shut
        worker.host = self.host

    def aims(self, worker: Any) -> bool:
        return self.aimed_at

    def drive(self) -> None:
        """Run the loop on this thread until it is stopped."""
        hub, ident = self.hub, get_ident()
        if hub.phase is Phase.UNWIND:
            raise ScheduleOver
        host: Worker | None = contexts.get(ident)
        if host is None or hub.phase is Phase.IDLE:
            raise RuntimeError("tracelock: this loop was made for a schedule that is over")
        if self.schedule != hub.schedule:
            refuse(host, "a loop that is left from an earlier schedule is not under control")
        if not may_run(host):
            raise RuntimeError("Cannot run the event loop while another loop is running")
        self._point(host)
        with self.entered(ident):
            self._begin(host, ident)
            try:
                with host.hosting():
                    self._run(host)
            except ScheduleOver:
                if isinstance(host, Main):
                    raise MainBlocked from None
                raise
            finally:
                contexts[ident] = host
                if not hub.unwinding:
                    self._end()
        self._point(host)

    def _point(self, host: Worker) -> None:
        """What the worker does comes before, or after, all that the loop does."""
        if self.hub.phase is Phase.RUN:
            host.step(Op(NOTIFY, self.gate.number, caller(host), 0))

    def _begin(self, host: Worker, ident: int) -> None:
        hub, self.host, self.open = self.hub, host, True
        self.baton, self.ident = host.baton, ident
        for number, member in self.members.items():
            member.baton, member.ident, member.host = host.baton, ident, host
            hub.batons[number] = host.baton
            hub.controller.loops[number] = self.gate
            hub.controller.shut_out.pop(number, None)
        hub.controller.rest(host.number)
        contexts[ident] = self.callbacks
        self.wake_all()

    def _run(self, host: Worker) -> None:
        hub, members = self.hub, self.members
        while not self.finished():
            if self.injections.left and hub.phase is Phase.RUN:
                self.injections.offer(self)
            self.poll()
            to = hub.decide()
            if to not in members:
                contexts[self.ident] = host
                hub.hand_over(to)
                host.wait()
                to = hub.controller.current
            self.advance(to)

    def _end(self) -> None:
        controller, self.open = self.hub.controller, False
        self.gate.inside = -1
        for number in self.members:
            op = controller.pending[number]
            void = self.gate.void and number == self.gate.callbacks
            if op is not None and number in self.gate.ready and not void:
                controller.shut_out[number] = op  # it might have come earlier
            controller.rest(number)
            controller.loops[number] = self.shut

    def abandon(self) -> None:
        """The schedule is over, and so are the workers: end the coroutines that are left. A loop
        that was cut before it ran puts back hooks of its own thread, which this is not."""
        self.ident = get_ident()
        before, hooks = contexts.get(self.ident), sys.get_asyncgen_hooks()
        try:
            self.close()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            contexts.pop(self.ident, None)
            if before is not None:
                contexts[self.ident] = before

    def starved(self, backend: Any) -> bool:
        """Whether all that waits, on all loops, waits for what a cancelled task would have given;
        see ``starving``."""
        return judge(backend, self.hub.controller, self.hub.own_loops)

    def blocked(self) -> None:
        """The schedule is over: what the tasks, and the worker whose thread it is, wait for."""
        if not self.open:
            return
        controller, host = self.hub.controller, self.host
        self.show_waits()
        if host.number not in controller.active and not controller.ended[host.number]:
            controller.active.append(host.number)
            controller.active.sort()
            controller.pending[host.number] = self.wait_for(
                host, f"{self.prefix}{LOOP}", self.callbacks.label, self
            )


def may_run(worker: Worker) -> bool:
    """Whether ``worker`` may start a loop: no task may, on whose thread one runs already."""
    return worker.own_thread or isinstance(worker, Main)


def refuse(worker: Worker, why: str) -> None:
    """The schedule cannot go on under control: it is unfinished, and the verdict says why."""
    hub = worker.hub
    if hub.phase is not Phase.RUN or worker.elsewhere:
        raise LimitReached(why)
    hub.controller.limit = hub.controller.limit or f"{worker.label}: {why}"
    worker.step(Op(CHECKPOINT, -1, caller(worker)))
