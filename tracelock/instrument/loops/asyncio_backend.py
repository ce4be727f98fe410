"""The backend that runs coroutine functions as tasks of a controlled asyncio loop."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # or a worker would import it, at its first use
import inspect
import sys
from asyncio import events
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import StepFailure
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Phase, contexts
from tracelock.instrument.loops.asyncio_loop import NewLoops
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.asyncio_unrecorded import UnrecordedAsyncioTasks
from tracelock.instrument.loops.backend import LAST_STEPS, LoopBackend, call_work
from tracelock.instrument.loops.cancel_ways import in_scope
from tracelock.instrument.loops.sampled.queue import KeptLoops
from tracelock.instrument.loops.sampled.tasks import SampledAsyncioTasks
from tracelock.instrument.loops.tasks import TaskWorker
from tracelock.instrument.patches import COMMON, LOOPING
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.scanning.process import looking
from tracelock.instrument.worker import MainBlocked


class RunningLoop:
    """While this is entered, the loop of these tasks is the one that runs on this thread."""

    def __init__(self, tasks: AsyncioTasks) -> None:
        self._tasks = tasks
        self._hooks: Any = ()

    def __enter__(self) -> None:
        loop: Any = self._tasks.loop
        self._hooks = sys.get_asyncgen_hooks()
        loop._thread_id = self._tasks.ident
        sys.set_asyncgen_hooks(
            firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook
        )
        events._set_running_loop(loop)

    def __exit__(self, *exc: object) -> None:
        events._set_running_loop(None)
        sys.set_asyncgen_hooks(*self._hooks)


class AsyncioLoopBackend(LoopBackend[AsyncioTasks]):
    """Runs the schedules of one program on asyncio's stock loop."""

    patch_groups = (*COMMON, *LOOPING)

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        super().__init__(program, limits)
        self._new_loop = NewLoops()
        self._kept_loop = KeptLoops()
        self._new_collecting: Callable[..., UnrecordedAsyncioTasks]
        self._plain: dict[
            int, tuple[Any, bool]
        ] = {}  # functions, and whether they are no coroutine's

    def make_tasks(self) -> AsyncioTasks:
        return AsyncioTasks(self.hub, self._baton, new_loop=self._new_loop)

    def make_unrecorded(self) -> UnrecordedAsyncioTasks:
        if self.by_steps:
            return self._new_collecting(self.hub, self._baton)
        tasks = SampledAsyncioTasks(self.hub, self._baton, new_loop=self._kept_loop)
        tasks.sockets = self.retelling is not None and self.retelling.sockets
        return tasks

    def tells_steps(self) -> bool:
        # from 3.14 on tasks know one another in C
        known = sys.version_info < (3, 14) and self.account.account.apart and not self.afresh.drew
        # a condition that no schedule has made keeps the methods of its lock as they were then
        return known and not any(
            "_tracelock_name" not in vars(one) for one in looking.instances(asyncio.Condition)
        )

    def collecting(self) -> AbstractContextManager[None]:
        from tracelock.instrument.loops.footprints import loop, tasks

        loops = KeptLoops(loop.CollectingLoop, loop.CollectingQueue)
        self._new_collecting = partial(tasks.CollectingTasks, new_loop=loops)
        return tasks.collected(self.hub)

    def running(self, tasks: AsyncioTasks) -> AbstractContextManager[None]:
        return RunningLoop(tasks)

    def start(self, tasks: AsyncioTasks, worker: TaskWorker, work: Any, arguments: Any) -> None:
        known = self._plain.get(identity(work))
        if known is None or known[0] is not work:
            known = self._plain[identity(work)] = work, not inspect.iscoroutinefunction(work)
        plain = known[1]
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
