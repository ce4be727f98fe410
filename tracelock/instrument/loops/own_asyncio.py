"""Loops of asyncio that the code under test starts itself, in a worker or a thread of its own.

The tasks of such a loop are workers, as those of the asyncio backend are. The worker whose thread
it is does nothing while the loop runs. Several may run at a time, each on its thread.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import base_events, events
from typing import Any

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.loops import awaits
from tracelock.instrument.loops.asyncio_loop import ControlledLoop, Polling
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.starving import Starving
from tracelock.instrument.loops.tasks import LOOP
from tracelock.instrument.patching import CONTROLLED, listed, patch
from tracelock.instrument.worker import Main, MainBlocked, Worker
from tracelock.ops import CHECKPOINT, NOTIFY, Op
from tracelock.schedulers.base import Gate


class ShutGate(Gate):
    """The gate of a loop that does not run: nobody can go on."""

    __slots__ = ()

    def admits(self, worker: int) -> bool:
        return False


class OwnLoop(ControlledLoop):
    """A loop that runs when the program says so, on whatever thread."""

    tasks: OwnTasks
    _stopping: bool
    run_until_complete = asyncio.SelectorEventLoop.run_until_complete

    def stop(self) -> None:
        self._stopping = True

    def run_forever(self) -> None:
        self._check_closed()
        self._check_running()  # type: ignore[attr-defined]
        self.tasks.drive()


class OwnTasks(AsyncioTasks):
    """The tasks of one such loop. ``worker``: the one that creates it."""

    loop: OwnLoop
    loop_class = OwnLoop

    def __init__(self, hub: Hub, worker: Worker) -> None:
        self.schedule = hub.schedule
        self.open = False
        self.host: Any = None
        self.shut = ShutGate(-1)
        number = worker.count(("own loop", "loop"))
        self.prefix = f"{worker.label}/" if number == 1 else f"{worker.label}#{number}/"
        self.aimed_at = hub.aim.means_label(worker.label)
        super().__init__(hub, worker.baton, self.prefix)
        self.shut.number = self.gate.number
        awaits.learn(keep=True)
        hub.own_loops.append(self)

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
        if not host.own_thread and not isinstance(host, Main):
            raise RuntimeError("Cannot run the event loop while another loop is running")
        self._point(host)
        loop, hooks = self.loop, sys.get_asyncgen_hooks()
        loop._thread_id = ident  # type: ignore[attr-defined]
        sys.set_asyncgen_hooks(
            firstiter=loop._asyncgen_firstiter_hook,  # type: ignore[attr-defined]
            finalizer=loop._asyncgen_finalizer_hook,  # type: ignore[attr-defined]
        )
        events._set_running_loop(loop)
        self._begin(host, ident)
        try:
            self._run(host)
        except ScheduleOver:
            if isinstance(host, Main):
                raise MainBlocked from None
            raise
        finally:
            contexts[ident] = host
            loop._stopping = False
            loop._thread_id = None  # type: ignore[attr-defined]
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
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
        hub.controller.rest(host.number)
        contexts[ident] = self.callbacks
        self.wake_all()

    def _run(self, host: Worker) -> None:
        hub, members, loop = self.hub, self.members, self.loop
        while not loop._stopping:
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
            controller.rest(number)
            controller.loops[number] = self.shut

    def starved(self) -> bool:
        """Whether all that waits, on all loops, waits for what a cancelled task would have given;
        see ``starving``."""
        starving = Starving(self.hub, self.hub.own_loops)
        expected = starving.expected()
        self.hub.controller.heard.extend(starving.lost)
        return expected

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
                host, f"{self.prefix}{LOOP}", self.callbacks.label, self.loop
            )


def refuse(worker: Worker, why: str) -> None:
    """The schedule cannot go on under control: it is unfinished, and the verdict says why."""
    hub = worker.hub
    if hub.phase is not Phase.RUN:
        raise LimitReached(why)
    hub.controller.limit = hub.controller.limit or f"{worker.label}: {why}"
    worker.step(Op(CHECKPOINT, -1, caller(worker)))


def _name(loop: Any) -> str:
    return f"{type(loop).__module__}.{type(loop).__qualname__}"


@patch(
    "asyncio.DefaultEventLoopPolicy.new_event_loop",
    of=events.BaseDefaultEventLoopPolicy, attribute="new_event_loop",
)  # fmt: skip
def new_event_loop(worker: Worker, real: Any, self: Any) -> Any:
    if type(self) is not asyncio.DefaultEventLoopPolicy or worker.hub.phase is Phase.IDLE:
        return real(self)
    return OwnTasks(worker.hub, worker).loop


@patch("asyncio.Runner.run")
def runner_run(worker: Worker, real: Any, self: Any, coro: Any, **kwargs: Any) -> Any:
    self._lazy_init()  # which makes the loop
    if not isinstance(self._loop, base_events.BaseEventLoop):
        coro.close()
        refuse(worker, f"the loop {_name(self._loop)} is not under control")
    return real(self, coro, **kwargs)


@patch("asyncio.BaseEventLoop.run_forever", of=base_events.BaseEventLoop)
def run_forever(worker: Worker, real: Any, self: Any) -> None:
    """Only a stock loop can be taken under control when it exists already."""
    if not worker.own_thread and not isinstance(worker, Main):
        real(self)  # raises: another loop runs
        return
    if type(self) is not asyncio.SelectorEventLoop:
        refuse(worker, f"the loop {_name(self)} is not under control")
    _take_over(worker, self)
    self.run_forever()


def _take_over(worker: Worker, loop: Any) -> None:
    """A stock loop that was made by its class, or before control began, becomes one of ours."""
    made = OwnTasks(worker.hub, worker)
    before, selector = list(loop._ready), loop._selector
    loop._close_self_pipe()
    loop._selector = Polling()
    if selector.get_map():
        loop._selector.real = selector
    else:
        selector.close()
    ready, made.loop = made.loop._ready, loop
    loop.__class__ = OwnLoop
    loop.tasks, loop.futures = made, 0
    loop._ready = ready
    loop._clock_resolution = 1e-9
    for handle in before:
        ready.append(handle)


listed(__name__, CONTROLLED, "asyncio.run", "asyncio.AbstractEventLoop.run_until_complete")
