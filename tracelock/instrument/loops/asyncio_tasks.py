"""The tasks of one asyncio loop in one schedule."""

from __future__ import annotations

import asyncio
import math
import re
import traceback
from _weakref import ref
from asyncio import events
from asyncio.log import logger
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from tracelock.instrument.callers import caller, file_label, place_of, place_of_function
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.loops.asyncio_loop import (
    ControlledLoop,
    ControlledReadyQueue,
    ControlledTask,
)
from tracelock.instrument.loops.awaits import awaiting, frames
from tracelock.instrument.loops.cancel_ways import deadlines, forget, redelivers, scopes
from tracelock.instrument.loops.cancelling import Way
from tracelock.instrument.loops.losing.of_asyncio import lose_tasks, start_on
from tracelock.instrument.loops.tasks import EPOCH, LoopTasks, TaskWorker
from tracelock.instrument.network.polled import Polling
from tracelock.instrument.worker import Uncontrolled, here
from tracelock.objects.waits import AwaitedModel
from tracelock.ops import CANCEL, GET, JOIN, NOTIFY, Op
from tracelock.schedulers.base import LAST


class AsyncioTasks(LoopTasks):
    """What runs on one controlled asyncio loop."""

    loop_class: type[ControlledLoop] = ControlledLoop

    def __init__(
        self, hub: Hub, baton: Any, prefix: str = "",
        new_loop: Callable[[Any], ControlledLoop] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(hub, baton, prefix)
        #: Tasks that the program created without the loop, by identity, and their workers.
        self._strays: dict[int, tuple[Any, TaskWorker]] = {}
        #: Weak references to tasks that have ended: they live as long as the program has them.
        self._over: list[Any] = []
        self._ended: TaskWorker | None = None
        self._lost: list[tuple[str, BaseException]] = []  # of those that have died
        self._created = 0
        self.loop = (new_loop or self.loop_class)(self)
        self.ready: ControlledReadyQueue = self.loop._ready
        self.polling: Polling = self.loop._selector

    # --- tasks -------------------------------------------------------------------------------
    def create_task(self, coro: Any, name: Any, context: Any, **kwargs: Any) -> ControlledTask:
        """A task that a worker starts is a worker too."""
        parent: Any = contexts.get(get_ident()) or self.callbacks
        return self.start(self.spawned(coro, name, parent), name, context, **kwargs)

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        """The task of ``worker``, which has been entered."""
        self._created += 1
        if name is None:
            name = f"Task-{self._created}"
        worker.at = awaiting(worker.coro).at
        self.order.append(worker)
        context = self.aimed(worker, copy_context() if context is None else context)
        task = ControlledTask(
            worker.coro, worker, loop=self.loop, name=name, context=context, **kwargs
        )
        worker.task = task
        if not task.done():
            self.hub.controller.ask(worker.number, self.op(worker.at))
        return task

    def worker_of(self, task: Any) -> TaskWorker:
        """The worker of a task; one that was created without the loop gets one here."""
        if task.__class__ is ControlledTask:
            return task.worker  # type: ignore[no-any-return]
        known = self._strays.get(identity(task))
        if known is None:
            coro = task.get_coro()
            number = self.hub.layout.worker(self._label(coro, None, self.callbacks))
            worker = TaskWorker(self.hub, number, self, coro, False)
            worker.task = task
            worker.at = awaiting(coro).at
            self.enter(worker)
            self.order.append(worker)
            known = self._strays[identity(task)] = (task, worker)
            self.hub.controller.ask(number, self.op(worker.at))
        return known[1]

    def sleeps(self) -> bool:
        """Whether the loop, which runs, has nothing to do and waits to be woken."""
        ready = self.ready
        busy = self.gate.inside >= 0 or ready.steps or ready.line
        return self.open and not busy and self.hub.phase is not Phase.UNWIND

    def on_another_thread(self, what: str) -> None:
        """What only the thread of the loop may do comes next: at any time, though it is no step."""
        worker = here()
        if worker is not None and worker.own_thread and self.hub.phase is Phase.RUN and self.open:
            worker.doubt(
                f"{what} of asyncio, which {worker.label} calls",
                "it is not safe between threads: not all that may come of it was looked at",
            )
            worker.step(Op(NOTIFY, self.gate.number, caller(None, 4), 1))

    def callbacks_come(self, place: int, handle: events.Handle) -> None:
        """``handle`` is the first of the callbacks now."""
        gate, number = self.gate, self.callbacks.number
        gate.first = gate.ready[number] = place
        gate.void = redelivers(handle) and (gate.inside >= 0 or not self.ready.acts())
        if gate.inside != number and self.hub.phase is not Phase.UNWIND:
            at = place_of_function(handle._callback)  # type: ignore[attr-defined]
            self.hub.controller.ask(number, self.op(at))

    def callbacks_gone(self) -> None:
        """There is no callback any more."""
        gate, number = self.gate, self.callbacks.number
        gate.first, gate.void = LAST, False
        gate.ready.pop(number, None)
        self.hub.controller.rest(number)

    def next_deadline(self) -> tuple[float, str] | None:
        handle = self.loop.next_timer()
        if handle is None or handle._when == math.inf:  # type: ignore[attr-defined]
            return None  # or none that ever fires
        at = place_of_function(handle._callback)  # type: ignore[attr-defined]
        return handle._when - EPOCH, at  # type: ignore[attr-defined]

    def poll(self) -> None:
        self.loop.poll()
        if self.loop._scheduled or self.timers.number in self.gate.ready:
            self.set_timer()

    def watches(self) -> bool:
        return self.polling.outside or (self.polling.listens and self._serves())

    def _serves(self) -> bool:
        """Whether all tasks that are left wait for somebody to connect, or for such tasks."""
        serving = False
        for worker in self.order:
            if self.done(worker):
                continue
            future = worker.task._fut_waiter
            if any(frame.f_code.co_name in _SERVING for frame in frames(worker.coro)):
                serving = True
            elif not isinstance(future, asyncio.Task) and not getattr(future, "_children", ()):
                return False
        return serving

    def signals(self) -> bool:
        return bool(getattr(self.loop, "_signal_handlers", None))

    def done(self, worker: TaskWorker) -> bool:
        return bool(worker.task is None or worker.task.done())

    def ways(self, worker: TaskWorker) -> Iterator[Way]:
        task = worker.task
        if not task.cancelling():
            yield Way("", partial(asyncio.Task.cancel, task))
        yield from deadlines(self.loop._scheduled, worker)
        yield from scopes(worker, self.hub.aim.scopes)

    # --- a host that crashes -----------------------------------------------------------------
    def keeps(self, gone: set[int]) -> str:
        """Why these tasks cannot be gone, with a host that has crashed; "" where they can."""
        return ""

    def lose(self, gone: set[int], host: str, buried: list[Any]) -> None:
        """Some of the tasks are gone (see ``losing``)."""
        lose_tasks(self, gone, host, buried)

    def start_on(self, main: Callable[..., Any], arguments: Any, context: Any) -> Any:
        """Start a task of a host again."""
        return start_on(self, main, arguments, context)

    # --- a step ------------------------------------------------------------------------------
    def fire_timers(self) -> None:
        self.loop.fire_timers()

    def ended(self, worker: TaskWorker, error: BaseException | None) -> None:
        asked = worker.given or worker.number in self.hub.controller.essential
        super().ended(worker, error)
        task = worker.task
        if task is not None and task.cancelling() and not task.cancelled() and error is None:
            self._swallowed(worker)
        if not asked:
            self._ended = worker

    def _swallowed(self, worker: TaskWorker) -> None:
        """A task that was cancelled has ended as if it had not been: the record tells it."""
        log = self.hub.controller.log
        for place in range(len(log) - 1, -1, -1):
            who, kind, op, *more = log[place]
            if kind == CANCEL and op.target == worker.number:
                log[place] = (who, kind, Op(CANCEL, op.target, op.at, remark="swallowed"), *more)
                return

    def leave(self) -> None:
        super().leave()
        if self._ended is not None:
            worker, self._ended = self._ended, None
            self._over.append((worker, ref(worker.task)))
            worker.task = None
        if self.ready.resting:
            self.ready.rouse()
        if self.gate.void:
            self.gate.void = not self.ready.acts()

    def run_callbacks(self) -> None:
        _, handle, _ = self.ready.line.popleft()
        if self.polling.queued:
            self.polling.queued.discard(handle)
        if not handle._cancelled:
            handle._run()

    def callbacks_ran(self) -> None:
        self.ready.settle()

    def run_step(self, worker: TaskWorker) -> None:
        self.ready.begins(worker.number)
        self.ready.steps.pop(worker.number)._run()

    def waits(self, worker: TaskWorker) -> bool:
        return worker.task._fut_waiter is not None

    def error_of(self, worker: TaskWorker) -> BaseException | None:
        """To have been cancelled is no error."""
        task = worker.task
        if task.cancelled():
            return None
        if worker.given or worker.number in self.hub.controller.essential:
            return task.exception()  # type: ignore[no-any-return]
        return task._exception if isinstance(task._exception, ScheduleOver) else None

    def cancelling(self, task: ControlledTask) -> None:
        """``task.cancel()`` is called."""
        if self.injections.told:
            self.injections.reached(self, task.worker)
        self.record(CANCEL, task.worker.number)

    def reported(self, context: dict[str, Any]) -> bool:
        """The loop's exception handler is called: whether the program's own is to be called."""
        error = context.get("exception")
        if self.hub.phase not in (Phase.SETUP, Phase.RUN, Phase.CHECK) or isinstance(
            error, ScheduleOver
        ):
            return False
        handled = self.loop._exception_handler is not None or self.hub.listens  # type: ignore
        worker = here()
        logs = logger.hasHandlers() and worker is not None and not worker.uncontrolled
        task = context.get("future")
        if error is not None and task.__class__ is ControlledTask and task.done():
            if not handled:
                self._lost.append(_never_retrieved(task.worker, error))
            return handled or logs
        shown = f"{type(error).__name__}: {error}" if error is not None else ""
        where = ""
        trace = getattr(error, "__traceback__", None)
        while trace is not None:
            where = (place_of(trace.tb_frame) and f" at {_line(trace)}") or where
            trace = trace.tb_next
        message = str(context.get("message", "")).partition("(")[0].partition("<")[0].strip()
        told = portable(f"{message}: {shown}{where}")
        self.errors.append(told)
        if error is not None and not handled and self.hub.phase is Phase.RUN:
            self.raised.append((told, error))
        return handled or logs

    def wind_up(self, worker: TaskWorker) -> None:
        asyncio.Task.cancel(worker.task)

    def unretrieved(self) -> list[tuple[str, BaseException]]:
        found, self._lost = self._lost, []
        left = [(worker, worker.task) for worker in self.order if not worker.given]
        if self._over:
            left += [(worker, look()) for worker, look in self._over]
        for worker, task in left:
            if task is not None and task.done() and task._log_traceback:
                task._log_traceback = False
                found.append(_never_retrieved(worker, task._exception))
        return found

    def unknown_wait(self, worker: TaskWorker, at: str) -> Op:
        future = worker.task._fut_waiter
        if isinstance(future, asyncio.Task):
            return Op(JOIN, self.worker_of(future).number, at)
        connection = self._connection(worker)
        if connection >= 0:
            return Op(GET, connection, at)
        children = [child for child in getattr(future, "_children", ()) if not child.done()]
        tasks = [self.worker_of(one) for one in children if isinstance(one, asyncio.Task)]
        names = [
            self.worker_of(child).label if isinstance(child, asyncio.Task) else "a future"
            for child in children
        ]
        label = f"gather({', '.join(names)})" if names else "a future" if future else "a wake-up"
        if self.ready.asleep:
            label += (
                " (another thread has called call_soon, or what calls it, which does not wake the "
                "loop: call_soon_threadsafe does)"
            )
        op = self.wait_for(worker, label, at, future)
        model = self.hub.controller.models[op.target]
        if isinstance(model, AwaitedModel):
            model.held = tuple(worker.number for worker in tasks)
        return op

    def _connection(self, worker: TaskWorker) -> int:
        """The direction of a connection in memory of whose bytes a task waits, -1 for none."""
        for frame in frames(worker.coro):
            if frame.f_code.co_qualname == "StreamReader._wait_for_data":
                transport = getattr(frame.f_locals["self"], "_transport", None)
                return self.polling.direction(getattr(transport, "_sock_fd", -1))
        return -1

    def wake_all(self) -> None:
        ready = self.ready
        if not (self.order or self.gate.ready or ready.line or ready.asleep):
            self.gate.inside = -1  # nobody has asked it for anything yet
            return
        super().wake_all()
        self.ready.wake()
        self.ready.settle()

    def close(self) -> None:
        """End the coroutines that are in the middle of their code."""
        for worker in self.lost:
            self.close_coroutine(worker)
        for worker in self.order:
            task = worker.task
            worker.fresh.clear()  # dies now: the worker does with a collection
            if task is None:
                continue
            if task.done():
                task._log_traceback = False
                if isinstance(task._exception, ScheduleOver):
                    # its step was cut: the frames may have the task, which has these, and what they
                    # have is to die now
                    traceback.clear_frames(task._exception.__traceback__)
                continue
            task._log_destroy_pending = False
            self.close_coroutine(worker)
            with Uncontrolled(worker):  # the schedule is over
                forget(task)
        for _, look in self._over:
            if (task := look()) is not None:
                task._log_traceback = False
        self.ready.clear()
        self.loop._closed = True  # type: ignore[attr-defined]
        selector = self.loop._selector
        if selector is not None and (selector.used or selector.queued):
            selector.close()  # the program has not


#: Coroutine functions of asyncio that wait for somebody to connect.
_SERVING: Final = frozenset({"serve_forever", "sock_accept"})
_PATHS: Final = re.compile(r"[^\s'\"<>=(]*[/\\\\]([^/\\\\\s]+\.py)")
_ADDRESSES: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def portable(text: str) -> str:
    """A message without what differs from process to process."""
    return _ADDRESSES.sub("", _PATHS.sub(r"\1", text))


def _never_retrieved(worker: TaskWorker, error: BaseException) -> tuple[str, BaseException]:
    told = f"Task exception was never retrieved: {worker.label} ended with "
    return portable(f"{told}{type(error).__name__}: {error}"), error


def _line(trace: Any) -> str:
    frame = trace.tb_frame
    label = file_label(frame.f_code.co_filename, frame.f_globals.get("__name__", ""))
    return f"{label}:{trace.tb_lineno}"
