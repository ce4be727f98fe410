"""The backend that runs coroutine functions as tasks of a controlled asyncio loop."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # or a worker would import it, at its first use
import contextlib
import inspect
import math
import sys
from asyncio import events
from collections.abc import Iterator
from functools import partial
from typing import Any

from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import StepFailure
from tracelock.instrument.hub import Phase, contexts
from tracelock.instrument.loops.asyncio_loop import ControlledTask, NewLoops
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.backend import LAST_STEPS, LoopBackend, call_work
from tracelock.instrument.loops.cancel_ways import in_scope, redelivers
from tracelock.instrument.loops.tasks import EPOCH, TaskWorker
from tracelock.instrument.loops.unrecorded import UnrecordedTasks
from tracelock.instrument.patches import COMMON, LOOPING
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.worker import MainBlocked
from tracelock.schedulers.base import LAST


class UnrecordedAsyncioTasks(UnrecordedTasks, AsyncioTasks):
    """What runs on one loop of asyncio in a schedule of which no record is kept."""

    def close(self) -> None:
        super().close()
        # without circles all this goes at once, and not with a collection of many such
        for worker in self.order:
            worker.task = worker.coro = None
        self.order.clear()
        self.members.clear()
        self.loop = self.ready = None  # type: ignore[assignment]

    def reported(self, context: dict[str, Any]) -> bool:
        return self.loop is not None and super().reported(context)

    def look(self) -> None:
        if vars(self.loop._selector):  # real input and output is waited for
            self.beyond = True

    def next_time(self) -> float | None:
        handle: Any = self.loop.next_timer()
        if handle is not None and handle._when != math.inf:
            return float(handle._when - EPOCH)
        self.beyond = self.beyond or bool(self.ready.asleep)
        return None

    def let_go(self, worker: TaskWorker) -> None:
        self._ended = worker

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        hub = self.hub
        if hub.phase is not Phase.RUN:
            return super().start(worker, name, context, **kwargs)
        self._created += 1
        self.order.append(worker)
        task = ControlledTask(
            worker.coro, worker, loop=self.loop, context=context,
            name=f"Task-{self._created}" if name is None else name, **kwargs,
        )  # fmt: skip
        worker.task = task
        hub.controller.pending[worker.number] = self.plain_step
        return task

    def worker_of(self, task: Any) -> TaskWorker:
        if task.__class__ is ControlledTask:
            return task.worker  # type: ignore[no-any-return]
        self.beyond = True
        return super().worker_of(task)

    def on_another_thread(self, what: str) -> None:
        self.beyond = True

    def callbacks_come(self, place: int, handle: Any) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_come(place, handle)
            return
        gate, number = self.gate, self.callbacks.number
        gate.first = gate.ready[number] = place
        if redelivers(handle):
            self.beyond = True

    def callbacks_gone(self) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_gone()
            return
        self.gate.first = LAST
        self.gate.ready.pop(self.callbacks.number, None)


class AsyncioLoopBackend(LoopBackend[AsyncioTasks]):
    """Runs the schedules of one program on asyncio's stock loop."""

    patch_groups = (*COMMON, *LOOPING)

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        super().__init__(program, limits)
        self._new_loop = NewLoops()

    def make_tasks(self) -> AsyncioTasks:
        return AsyncioTasks(self.hub, self._baton, new_loop=self._new_loop)

    def make_unrecorded(self) -> UnrecordedAsyncioTasks:
        return UnrecordedAsyncioTasks(self.hub, self._baton, new_loop=self._new_loop)

    @contextlib.contextmanager
    def running(self, tasks: AsyncioTasks) -> Iterator[None]:
        loop: Any = tasks.loop
        hooks = sys.get_asyncgen_hooks()
        loop._thread_id = tasks.ident
        sys.set_asyncgen_hooks(
            firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook
        )
        events._set_running_loop(loop)
        try:
            yield
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def start(self, tasks: AsyncioTasks, worker: TaskWorker, work: Any, arguments: Any) -> None:
        plain = not inspect.iscoroutinefunction(work)
        if self.hub.aim.anyio and tasks.aims(worker):
            call = partial(call_work, work) if plain else work
            worker.coro = in_scope(worker, call, arguments)
        else:
            worker.coro = call_work(work, *arguments) if plain else work(*arguments)
        tasks.start(worker)

    def result(self, worker: TaskWorker) -> Any:
        worker.error = None
        return worker.task.result()

    def finish(self, controller: OpenController, tasks: AsyncioTasks) -> None:
        """What ``asyncio.run`` does when its main task is done: the other tasks are cancelled, and
        threads of the executor come to their end."""
        left = [worker for worker in tasks.order if not tasks.done(worker)]
        executor = tasks.loop._default_executor  # type: ignore[attr-defined]
        if not left and executor is None:
            return
        with self._aside(controller, Phase.CHECK) as main:
            tasks.restore(controller)
            most, controller.max_steps = controller.max_steps, LAST_STEPS
            try:
                if left:
                    tasks.gate.inside = -1
                    controller.essential.discard(main.number)
                    controller.essential.update(worker.number for worker in left)
                    for worker in left:
                        asyncio.Task.cancel(worker.task)
                    tasks.run()
                    controller.essential.add(main.number)
                    self.hub.over = False
                    contexts[tasks.ident] = main
                    tasks.gate.inside = main.number
                    tasks.restore(controller)
                if executor is not None:
                    self._call(main, tasks.loop.shutdown_default_executor)
            except MainBlocked as error:
                why = self._blocked(controller, error)
                message = f"what the executor does never ends: {why}"
                self.program.outcome.failure = StepFailure("finally", message, "")
            finally:
                controller.max_steps = most
