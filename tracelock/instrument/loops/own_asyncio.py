"""Loops of asyncio that the code under test starts itself (see ``own``)."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import base_events, events
from collections.abc import Iterator
from typing import Any, Final

from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.loops import awaits
from tracelock.instrument.loops.asyncio_loop import ControlledLoop
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.own import OwnLoopTasks, may_run, refuse
from tracelock.instrument.network.polled import Polling
from tracelock.instrument.patching import CONTROLLED, NOT_CONTROLLED, listed, patch
from tracelock.instrument.worker import Worker


class OwnLoop(ControlledLoop):
    """A loop that runs when the program says so, on whatever thread."""

    tasks: OwnAsyncioTasks
    _stopping: bool
    run_until_complete = asyncio.SelectorEventLoop.run_until_complete

    def stop(self) -> None:
        self._stopping = True

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        await super().shutdown_default_executor()  # its threads may take any time

    def run_forever(self) -> None:
        self._check_closed()
        self._check_running()  # type: ignore[attr-defined]
        self.tasks.drive()


class OwnAsyncioTasks(OwnLoopTasks, AsyncioTasks):
    """The tasks of one such loop."""

    loop: OwnLoop
    loop_class = OwnLoop

    def __init__(self, hub: Hub, worker: Worker) -> None:
        super().__init__(hub, worker)
        awaits.learn(keep=True)

    @contextlib.contextmanager
    def entered(self, ident: int) -> Iterator[None]:
        loop: Any = self.loop
        hooks = sys.get_asyncgen_hooks()
        loop._thread_id = ident
        sys.set_asyncgen_hooks(
            firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook
        )
        events._set_running_loop(loop)
        try:
            yield
        finally:
            loop._stopping = False
            loop._thread_id = None
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def finished(self) -> bool:
        return self.loop._stopping


def _policy(kind: str) -> Any:
    """A class of policies; from 3.14 on all have an underscore before their names."""
    name = f"{kind}DefaultEventLoopPolicy"
    room: Any = events if kind else sys.modules[asyncio.SelectorEventLoop.__module__]
    return getattr(room, f"_{name}", None) or getattr(room, name)


#: What makes loops where the program has said nothing.
_DEFAULT: Final = _policy("")


def _name(loop: Any) -> str:
    return f"{type(loop).__module__}.{type(loop).__qualname__}"


@patch(
    "asyncio.DefaultEventLoopPolicy.new_event_loop", of=_policy("Base"), attribute="new_event_loop"
)
def new_event_loop(worker: Worker, real: Any, self: Any) -> Any:
    if type(self) is not _DEFAULT or worker.hub.phase is Phase.IDLE:
        return real(self)
    return OwnAsyncioTasks(worker.hub, worker).loop


@patch("asyncio.Runner.run")
def runner_run(worker: Worker, real: Any, self: Any, coro: Any, **kwargs: Any) -> Any:
    self._lazy_init()  # which makes the loop
    _expect_stock(worker, self._loop, coro)
    return real(self, coro, **kwargs)


@patch("asyncio.AbstractEventLoop.run_until_complete", subclasses=True)
def run_until_complete(worker: Worker, real: Any, self: Any, future: Any) -> Any:
    _expect_stock(worker, self, future)
    return real(self, future)


@patch("asyncio.AbstractEventLoop.run_forever", NOT_CONTROLLED, subclasses=True)
def run_another_forever(worker: Worker, real: Any, self: Any) -> None:
    _expect_stock(worker, self)
    real(self)


def _expect_stock(worker: Worker, loop: Any, work: Any = None) -> None:
    """A loop that has nothing of asyncio's own, as that of uvloop, is refused."""
    if not isinstance(loop, base_events.BaseEventLoop):
        if asyncio.iscoroutine(work):
            work.close()
        refuse(worker, f"the loop {_name(loop)} is not under control")


@patch("asyncio.BaseEventLoop.run_forever", of=base_events.BaseEventLoop)
def run_forever(worker: Worker, real: Any, self: Any) -> None:
    """Only a stock loop can be taken under control when it exists already."""
    if not may_run(worker):
        real(self)  # raises: another loop runs
        return
    if type(self) is not asyncio.SelectorEventLoop:
        refuse(worker, f"the loop {_name(self)} is not under control")
    _take_over(worker, self)
    self.run_forever()


def _take_over(worker: Worker, loop: Any) -> None:
    """A stock loop that was made by its class, or before control began, becomes one of ours."""
    made = OwnAsyncioTasks(worker.hub, worker)
    before, selector = list(loop._ready), loop._selector
    loop._close_self_pipe()
    loop._selector = made.polling = Polling(made)
    if selector.get_map():
        loop._selector.take(selector)
    else:
        selector.close()
    ready, made.loop = made.loop._ready, loop
    loop.__class__ = OwnLoop
    loop.tasks, loop.futures = made, 0
    loop._ready = ready
    loop._clock_resolution = 1e-9
    for handle in before:
        ready.append(handle)


listed(__name__, CONTROLLED, "asyncio.run")
