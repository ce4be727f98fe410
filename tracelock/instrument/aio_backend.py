"""The backend that runs coroutine functions as tasks of one controlled asyncio loop.

The loop lives on a thread of its own, anew for each schedule. Threads that tasks start (executors,
``to_thread``) are workers of the same schedule. The thread that called ``explore`` waits meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
from asyncio import events
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import LimitReached, StepFailure, UsageError
from tracelock.instrument import aio_patches, awaits
from tracelock.instrument.aio_tasks import AsyncioTasks
from tracelock.instrument.loop_tasks import TaskWorker
from tracelock.instrument.backend import PythonBackend
from tracelock.instrument.failures import failure_of
from tracelock.instrument.hub import Abandon, Phase, contexts, get_ident, new_baton
from tracelock.instrument.own_order import OwnOrder
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.waits import waits_for
from tracelock.instrument.worker import Blocked, Main, Worker
from tracelock.ops import Op
from tracelock.schedulers.base import Scheduler

#: Steps that cancelled tasks may make at the end of a schedule.
LAST_STEPS: Final = 10_000


class AsyncioBackend(PythonBackend):
    """Runs the schedules of one program of coroutine functions."""

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        super().__init__(program, limits)
        self.own = OwnOrder()
        self.tasks: AsyncioTasks
        self._baton: Any = None

    def __enter__(self) -> PythonBackend:
        super().__enter__()
        awaits.learn()
        self._stack.enter_context(aio_patches.patched(tuple(self.program.instrument)))
        return self

    def own_order(self) -> Scheduler:
        """The order in which the loop itself would go on."""
        return OwnOrder()

    # --- one schedule ------------------------------------------------------------------------
    def _schedule(self, controller: OpenController) -> None:
        hub, program = self.hub, self.program
        self._sweep()
        hub.begin(controller)
        program.outcome.failure = None
        baton = self._baton = new_baton()
        baton.acquire()
        hub.batons[-1] = baton  # whoever finds the schedule over tells the loop
        keeper = Worker(hub, self.setup_number, baton)
        keeper.own_thread = False
        pooled = self._pooled(0)
        pooled.lend(keeper, partial(self._life, controller))
        try:
            self._await()
        finally:
            self._after(controller)

    def _after(self, controller: OpenController) -> None:
        hub = self.hub
        self.cut_daemons = self.cut_daemons or controller.cut_daemons
        stuck = hub.unwind()
        hub.phase = Phase.IDLE
        if stuck:
            self._give_up(controller, stuck[0])
        if hub.error is not None:
            raise hub.error

    def _life(self, controller: OpenController) -> None:
        """One schedule, in the thread of the loop."""
        hub = self.hub
        hub.phase = Phase.SETUP
        tasks = self.tasks = AsyncioTasks(hub, self._baton, self.program.cancellations)
        loop = tasks.loop
        hooks = sys.get_asyncgen_hooks()
        try:
            loop._thread_id = get_ident()  # type: ignore[attr-defined]
            sys.set_asyncgen_hooks(
                firstiter=loop._asyncgen_firstiter_hook,  # type: ignore[attr-defined]
                finalizer=loop._asyncgen_finalizer_hook,  # type: ignore[attr-defined]
            )
            events._set_running_loop(loop)
            self._phases(controller, tasks)
        except Abandon:
            pass
        except BaseException as error:
            hub.error = hub.error or error
        finally:
            hub.phase = Phase.UNWIND
            tasks.close()
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            contexts.pop(get_ident(), None)
            hub.main.release()

    def _phases(self, controller: OpenController, tasks: AsyncioTasks) -> None:
        hub, program = self.hub, self.program
        state = None
        if program.setup is not None:
            with self._apart(controller, Phase.SETUP) as main:
                try:
                    state = self._call(program.setup, main)
                except Blocked:
                    raise UsageError(f"setup never ends: {self._why(controller)}") from None
                except Exception as error:
                    raise UsageError(f"setup failed: {failure_of(error).message}") from error
        self.names.walk(state)
        hub.phase = Phase.RUN
        contexts[tasks.ident] = tasks.callbacks
        tasks.wake_all()
        for number, work in enumerate(program.workers):
            worker = TaskWorker(hub, number, tasks, self._coroutine(work, state), True)
            tasks.enter(worker)
            controller.essential.add(number)
            tasks.start(worker)
        tasks.run()
        hub.over = True
        if controller.active and controller.limit is None:
            waits_for(tasks, controller)
        controller.remarks.extend(tasks.errors)
        if controller.failure is None and controller.limit is None and not controller.active:
            self._cancel_the_rest(controller, tasks)
            if program.check is not None and program.outcome.failure is None:
                self._check_in_loop(controller, state)

    def _coroutine(self, work: Callable[..., Any], state: Any) -> Any:
        arguments = (state,) if self.program.takes_state(work) else ()
        if inspect.iscoroutinefunction(work):
            return work(*arguments)
        return _called(work, arguments)

    def _call(self, function: Callable[..., Any], main: Main, *arguments: Any) -> Any:
        """Call ``function``, and await what it gives where it is a coroutine."""
        result = function(*arguments)
        if not inspect.isawaitable(result):
            return result
        tasks = self.tasks
        hub = self.hub
        del hub.workers[main.number]
        worker = TaskWorker(hub, main.number, tasks, _awaited(result), False)
        tasks.enter(worker)
        task = tasks.start(worker, "setup")
        tasks.order.remove(worker)
        tasks.gate.inside = -1
        tasks.run()
        tasks.gate.inside = main.number
        hub.over = False
        del tasks.mine[main.number], hub.controller.loops[main.number]
        if not task.done():
            worker.coro.close()
            raise Blocked
        worker.error = None
        return task.result()

    # --- before and after --------------------------------------------------------------------
    @contextlib.contextmanager
    def _apart(self, controller: OpenController, phase: Phase) -> Iterator[Main]:
        """The loop's thread runs user code that is no worker's: in the loop's own order, and the
        record stays as it is."""
        hub, tasks = self.hub, self.tasks
        number = self.setup_number
        main = Main(hub, number, self._baton)
        main.own_thread = False
        kept = controller.scheduler, controller.observer, controller.log
        failure, limit = controller.failure, controller.limit
        controller.scheduler, controller.observer, controller.log = self.own, None, []
        self.own.attach(controller)
        controller.ended[number] = False
        controller.essential.add(number)
        controller.failure = None
        hub.enter(number, main)
        hub.over = False
        hub.phase = phase
        tasks.wake_all()
        tasks.gate.inside = number  # the loop's thread is busy with this
        main.attach()
        try:
            yield main
        finally:
            if controller.pending[number] is not None or number in controller.essential:
                controller.ask(number, None)
            controller.ended[number] = True
            hub.workers.pop(number, None)
            hub.batons.pop(number, None)
            hub.over = False
            controller.scheduler, controller.observer, controller.log = kept
            controller.failure = failure
            controller.limit = limit
            controller.current = -1
            contexts[tasks.ident] = tasks.callbacks
            tasks.gate.inside = -1

    def _cancel_the_rest(self, controller: OpenController, tasks: AsyncioTasks) -> None:
        """What ``asyncio.run`` does when its main task is done."""
        left = [worker for worker in tasks.order if not worker.task.done()]
        executor = tasks.loop._default_executor  # type: ignore[attr-defined]
        if not left and executor is None:
            return
        with self._apart(controller, Phase.CHECK) as main:
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
                    self._call(tasks.loop.shutdown_default_executor, main)
            except Blocked:
                message = f"what the executor does never ends: {self._why(controller)}"
                self.program.outcome.failure = StepFailure("finally", message, "")
            finally:
                controller.max_steps = most

    def _check_in_loop(self, controller: OpenController, state: Any) -> None:
        program = self.program
        check = program.check
        assert check is not None
        outcome = program.outcome
        with self._apart(controller, Phase.CHECK) as main:
            try:
                result = self._call(check, main, *((state,) if program.takes_state(check) else ()))
            except Blocked:
                message = f"the check never ends: {self._why(controller)}"
                outcome.failure = StepFailure("finally", message, outcome.at)
            except LimitReached as error:
                controller.limit = str(error)
            except Exception as error:
                failure = failure_of(error, "finally")
                failure.at = outcome.at
                outcome.failure = failure
            else:
                if result is False:
                    message = f"{outcome.text} returned False"
                    outcome.failure = StepFailure("finally", message, outcome.at)


async def _called(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A worker that is no coroutine function; what it gives may be awaitable."""
    result = work(*arguments)
    return await result if inspect.isawaitable(result) else result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


__all__ = ["AsyncioBackend", "Op", "contextvars"]
