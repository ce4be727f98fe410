"""The tasks of one loop in one schedule: which can go on, and what each of them does next."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections.abc import Callable
from typing import Any, Final

from tracelock.engine.open import LAST, Gate
from tracelock.instrument.aio_loop import EPOCH, ControlledLoop, ControlledTask, Line
from tracelock.instrument.awaits import Awaiting, awaiting
from tracelock.instrument.callers import caller, place_of_function
from tracelock.instrument.hub import Abandon, Hub, Phase, contexts, get_ident
from tracelock.instrument.worker import Worker
from tracelock.ops import (
    ACQUIRE,
    CANCEL,
    CANCELLED,
    CHECKPOINT,
    GET,
    PUT,
    REQUEST,
    SLEEP,
    SPAWN,
    ObjectSpec,
    Op,
)

#: Names of the pseudo-workers, and of the loop as a thing.
CALLBACKS: Final = "loop:callbacks"
TIMERS: Final = "loop:timers"
LOOP: Final = "loop"
#: What is told of an await that is suspended in an op of this kind.
_BEGUN: Final = {ACQUIRE: REQUEST, GET: REQUEST, PUT: REQUEST}


class LoopWorker(Worker):
    """Whoever works on the thread of a loop: all have its baton."""

    __slots__ = ()

    def wait(self) -> None:
        self.baton.acquire()
        hub = self.hub
        if hub.over:  # it is in the middle of a step, and nobody can go on
            hub.phase = Phase.UNWIND
        if hub.phase is Phase.UNWIND:
            raise Abandon


class TaskWorker(LoopWorker):
    """A worker that is a task.

    ``given``: one of the workers that the user gave. ``at``: where it is suspended; ``begun``:
    it has made a step.
    """

    __slots__ = ("at", "begun", "coro", "given", "task", "tasks")

    def __init__(self, hub: Hub, number: int, tasks: Tasks, coro: Any, given: bool) -> None:
        super().__init__(hub, number, tasks.baton)
        self.own_thread = False
        self.tasks = tasks
        self.coro = coro
        self.given = given
        self.task: Any = None
        self.at = ""
        self.begun = False
        self.ident = tasks.ident


class Tasks:
    """What runs on one controlled loop. Made in the thread of the loop, for one schedule."""

    def __init__(self, hub: Hub, baton: Any, cancellations: int) -> None:
        self.hub = hub
        self.baton = baton
        self.ident = get_ident()
        self.left = cancellations
        self.stopped = False
        self.heard_errors: list[str] = []
        layout = hub.layout
        self.callbacks = LoopWorker(hub, layout.worker(CALLBACKS), baton)
        self.timers = LoopWorker(hub, layout.worker(TIMERS), baton)
        self.callbacks.own_thread = self.timers.own_thread = False
        self.callbacks.ident = self.timers.ident = self.ident
        self.gate = Gate(hub.thing(ObjectSpec(LOOP, "awaited")))
        self.gate.timers = self.timers.number
        self.mine: dict[int, Any] = {}
        self.order: list[TaskWorker] = []
        self._strays: dict[int, tuple[Any, TaskWorker]] = {}
        self._ops: dict[str, Op] = {}
        self._made = 0
        self._things: dict[int, tuple[Any, int]] = {}
        self.enter(self.callbacks)
        self.enter(self.timers)
        self.loop = ControlledLoop(self)
        self.line: Line = self.loop._ready  # type: ignore[attr-defined]

    def enter(self, worker: Any) -> None:
        """``worker`` is one of this loop's from now on."""
        self.mine[worker.number] = worker
        self.hub.enter(worker.number, worker)
        self.hub.controller.loops[worker.number] = self.gate

    # --- making tasks ------------------------------------------------------------------------
    def make(self, coro: Any, name: Any, context: Any, **kwargs: Any) -> ControlledTask:
        """``loop.create_task``: a task that a worker starts is a worker too."""
        parent: Any = contexts.get(get_ident()) or self.callbacks
        number = self.hub.layout.worker(self._label(coro, name, parent))
        worker = TaskWorker(self.hub, number, self, coro, False)
        self.enter(worker)
        if self.hub.phase is Phase.RUN:
            parent.step(Op(SPAWN, number, caller()))
        return self.start(worker, name, context, **kwargs)

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        """The task of ``worker``, which has been entered."""
        self._made += 1
        if name is None:
            name = f"Task-{self._made}"
        worker.at = awaiting(worker.coro).at
        self.order.append(worker)
        task = ControlledTask(
            worker.coro, worker, loop=self.loop, name=name, context=context, **kwargs
        )
        worker.task = task
        if not task.done():
            self.hub.controller.ask(worker.number, self.op(worker.at))
        return task

    def _label(self, coro: Any, name: Any, parent: Any) -> str:
        base = str(name) if name is not None else getattr(coro, "__name__", type(coro).__name__)
        if parent.label == "setup":
            base = f"task:{base}"
        else:
            base = f"{parent.label.removeprefix('loop:')}/{base}"
        number = parent.made[base, "task"] = parent.made.get((base, "task"), 0) + 1
        return base if number == 1 else f"{base}#{number}"

    def worker_of(self, task: Any) -> TaskWorker:
        """The worker of a task; one that the program made past the loop gets one here."""
        if task.__class__ is ControlledTask:
            return task.worker  # type: ignore[no-any-return]
        known = self._strays.get(id(task))
        if known is None:
            coro = task.get_coro()
            number = self.hub.layout.worker(self._label(coro, None, self.callbacks))
            worker = TaskWorker(self.hub, number, self, coro, False)
            worker.task = task
            worker.at = awaiting(coro).at
            self.enter(worker)
            self.order.append(worker)
            known = self._strays[id(task)] = (task, worker)
            self.hub.controller.ask(number, self.op(worker.at))
        return known[1]

    # --- what there is to do -----------------------------------------------------------------
    def op(self, at: str) -> Op:
        """A step of the loop that begins at ``at``."""
        op = self._ops.get(at)
        if op is None:
            op = self._ops[at] = Op(CHECKPOINT, self.gate.number, at)
        return op

    def callbacks_come(self, place: int, handle: events.Handle) -> None:
        """``handle`` is the first of the callbacks now."""
        gate, number = self.gate, self.callbacks.number
        gate.first = gate.ready[number] = place
        if gate.inside != number:
            at = place_of_function(handle._callback)  # type: ignore[attr-defined]
            self.hub.controller.ask(number, self.op(at))

    def callbacks_gone(self) -> None:
        """There is no callback any more."""
        gate, number = self.gate, self.callbacks.number
        gate.first = LAST
        gate.ready.pop(number, None)
        self.hub.controller.rest(number)

    def _wind(self) -> None:
        """Set the clock for the next timer."""
        number, controller = self.timers.number, self.hub.controller
        handle = self.loop.next_timer()
        if handle is None:
            if number in self.gate.ready:
                del self.gate.ready[number]
                controller.rest(number)
            return
        when = handle._when - EPOCH  # type: ignore[attr-defined]
        if number in self.gate.ready and controller.timers.get(number) == when:
            return
        self.gate.ready[number] = -1
        at = place_of_function(handle._callback)  # type: ignore[attr-defined]
        controller.ask(number, Op(SLEEP, -1, at, max(0.0, round(when - controller.now, 9))))
        controller.timers[number] = when

    # --- running -----------------------------------------------------------------------------
    def run(self) -> None:
        """Go on until nobody can. In the thread of the loop. Raises Abandon."""
        hub = self.hub
        controller = hub.controller
        mine = self.mine
        while True:
            if self.left and hub.phase is Phase.RUN:
                self._inject()
            self.loop.poll()
            if self.loop._scheduled or self.timers.number in self.gate.ready:  # type: ignore
                self._wind()
            to = hub.decide()
            if to < 0:
                return
            if to not in mine:
                hub.hand_over(to)
                self.baton.acquire()
                if hub.phase is Phase.UNWIND:
                    raise Abandon
                if hub.over:
                    return
                to = controller.current
            self._step(to)

    def _step(self, number: int) -> None:
        gate, line = self.gate, self.line
        if number == self.timers.number:
            del gate.ready[number]
            self.hub.controller.rest(number)
            self.loop.fire()
            return
        worker = self.mine[number]
        gate.inside = number
        contexts[self.ident] = worker
        if number == self.callbacks.number:
            _, handle = line.callbacks.popleft()
            if not handle._cancelled:  # type: ignore[attr-defined]
                handle._run()
            if self.hub.over:
                raise Abandon
            self._inside(-1)
            line.settle()
            return
        handle = line.steps.pop(number)
        del gate.ready[number]
        worker.begun = True
        handle._run()
        if self.hub.over:
            raise Abandon
        if worker.task.done():
            self._ended(worker)
        else:
            self._suspended(worker)
        self._inside(-1)

    def _inside(self, number: int) -> None:
        self.gate.inside = number
        contexts[self.ident] = self.callbacks

    def _suspended(self, worker: TaskWorker) -> None:
        found = awaiting(worker.coro)
        worker.at = found.at
        if found.kind >= 0 and worker.task._fut_waiter is not None and self.hub.phase is Phase.RUN:
            kind = _BEGUN.get(found.kind, found.kind)
            worker.step(Op(kind, self.thing(found.thing, worker), found.at))
        self.hub.controller.ask(worker.number, self.op(found.at))

    def _ended(self, worker: TaskWorker) -> None:
        task = worker.task
        if worker.given or worker.number in self.hub.controller.essential:
            if not task.cancelled():
                worker.error = task.exception()
                if isinstance(worker.error, Abandon):
                    raise Abandon
            self.hub.ended(worker)
        else:
            self.hub.controller.ask(worker.number, None)

    # --- cancellations -----------------------------------------------------------------------
    def _inject(self) -> None:
        """Whether one of the given workers is cancelled where it is suspended, is a choice."""
        controller = self.hub.controller
        if not controller.log:
            return
        by = controller.log[-1][0]
        for worker in self.order:
            if not worker.given or not worker.begun or worker.task.done() or not self.left:
                continue
            if worker.task.cancelling() or not controller.inject(by, worker.at, worker.number):
                continue
            self.left -= 1
            self.gate.inside = worker.number
            contexts[self.ident] = worker
            worker.step(Op(CANCELLED, -1, worker.at))
            asyncio.Task.cancel(worker.task)
            controller.ask(worker.number, self.op(worker.at))
            self._inside(-1)

    def cancelling(self, task: ControlledTask) -> None:
        """``task.cancel()`` is called."""
        self.note(CANCEL, task.worker.number)

    # --- what is told ------------------------------------------------------------------------
    def note(self, kind: int, target: int, value: Any = None) -> None:
        """Something that is no choice of the loop happens: for the story."""
        worker: Any = contexts.get(get_ident())
        if worker is None or worker.through or self.hub.phase is not Phase.RUN:
            return
        worker.step(Op(kind, target, caller(), value))

    def thing(self, obj: Any, worker: Any) -> int:
        """The number of an object that tasks wait for."""
        known = self._things.get(id(obj))
        if known is None:
            hub = self.hub
            name = getattr(obj, "_tracelock_name", None) or hub.names.meet(obj, worker).label
            number = hub.thing(ObjectSpec(hub.bind(obj, name), "awaited"))
            known = self._things[id(obj)] = (obj, number)
        return known[1]

    def place(self, depth: int) -> str:
        """The place in the user's code that led here."""
        return caller(None, depth + 2)

    def heard(self, context: dict[str, Any]) -> bool:
        """The loop's exception handler is called: whether the program's own is to hear of it."""
        error = context.get("exception")
        if self.hub.phase not in (Phase.SETUP, Phase.RUN, Phase.CHECK) or isinstance(
            error, Abandon
        ):
            return False
        shown = f"{type(error).__name__}: {error}" if error is not None else ""
        where = ""
        trace = getattr(error, "__traceback__", None)
        while trace is not None:
            from tracelock.instrument.callers import place_of

            where = place_of(trace.tb_frame) and f" at {_line(trace)}" or where
            trace = trace.tb_next
        message = str(context.get("message", "")).partition("(")[0].partition("<")[0].strip()
        self.heard_errors.append(f"{message}: {shown}{where}")
        return self.loop._exception_handler is not None  # type: ignore[attr-defined]

    # --- the end -----------------------------------------------------------------------------
    def wake_all(self) -> None:
        """Another phase begins: all that have not ended are there to be chosen again."""
        controller = self.hub.controller
        self.gate.inside = -1
        for worker in self.order:
            if worker.task is not None and not worker.task.done():
                controller.rest(worker.number) if worker.number in controller.active else None
                controller.pending[worker.number] = None
                controller.ask(worker.number, self.op(worker.at))
        controller.pending[self.callbacks.number] = None
        controller.pending[self.timers.number] = None
        self.gate.ready.pop(self.timers.number, None)
        self.line.settle()

    def restore(self, controller: Any) -> None:
        """Those that were in the middle of something when all that counts was over go on."""
        for number in controller.left:
            if controller.pending[number] is not None and number not in controller.active:
                controller.active.append(number)
        controller.active.sort()
        controller.left = []

    def close(self) -> None:
        """End the coroutines that are in the middle of their code."""
        for worker in self.order:
            task = worker.task
            if task is None:
                continue
            if task.done():
                task._log_traceback = False
                continue
            contexts[self.ident] = worker
            task._log_destroy_pending = False
            try:
                worker.coro.close()
            except BaseException as error:  # whatever its finally clauses make of it
                del error
        self.line.clear()
        self.loop._closed = True  # type: ignore[attr-defined]
        self.loop._selector.close()  # type: ignore[attr-defined]


def _line(trace: Any) -> str:
    from tracelock.instrument.callers import file_label

    frame = trace.tb_frame
    label = file_label(frame.f_code.co_filename, frame.f_globals.get("__name__", ""))
    return f"{label}:{trace.tb_lineno}"


__all__ = ["Awaiting", "Callable", "TaskWorker", "Tasks", "sys"]
