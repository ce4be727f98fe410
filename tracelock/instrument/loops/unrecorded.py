"""The tasks of one asyncio loop in a schedule of which no record is kept.

While all that happens are steps of tasks and callbacks of the loop, a schedule is determined by
which of them came next: what they read and write, and for what they wait, is neither a choice nor
needed to tell that all went well. Here only that is decided. What is no such step (a thread, a lock
of threads, input and output) is *beyond* this: the schedule is given up, and run again with its
record from the beginning (see ``retelling``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from tracelock.engine.effects import run_atomic
from tracelock.engine.open import REST
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts
from tracelock.instrument.loops.asyncio_loop import ControlledLoop, ControlledTask
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.cancel_ways import redelivers
from tracelock.instrument.loops.tasks import EPOCH, LoopWorker, TaskWorker
from tracelock.instrument.naming import CONTAINERS
from tracelock.instrument.steps import PLAIN, shown
from tracelock.instrument.worker import Worker
from tracelock.ops import ATOMIC, READ, WRITE, Op, Value
from tracelock.schedulers.base import LAST, WORKER


class Unrecorded(Worker):
    """What a worker does without a record, before its class. Accesses change the values of what is
    shared, by which one end of a schedule is told from another."""

    tasks: Any
    #: The object and attribute that it reads next.
    place: tuple[object, str] | None = None

    def step(self, op: Op, parked: Any = None) -> Value:
        hub = self.hub
        if hub.phase is not Phase.RUN:
            return super().step(op, parked)
        values = hub.controller.values
        kind = op.kind
        if kind == READ:
            return values[op.target]
        if kind == WRITE:
            values[op.target] = op.value
            return None
        if kind == ATOMIC:
            return run_atomic(op.body.rehearse, values)
        self.give_up()

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        hub = self.hub
        if hub.phase is not Phase.RUN or self.uncontrolled or also:
            super().access(kind, obj, name, site, value, also)
            return
        names = hub.names
        if name is None or names.unsure or names.whole:
            super().access(kind, obj, name, site, value)
            return
        if kind == READ:  # only what is found there may have to be known: see ``saw``
            self.last = None
            self.place = (obj, name)
            return
        self.last = variable = names.variable(obj, name, self)
        if variable.shared:
            hub.controller.values[variable.number] = shown(value)
        else:
            names.used(variable, self.number, kind)
        if type(value) not in PLAIN:
            names.name_contents(variable, value, self)
        self.answered = True

    def saw(self, value: object) -> None:
        if self.hub.phase is not Phase.RUN:
            super().saw(value)
            return
        place, self.place = self.place, None
        if type(value) in PLAIN or self.uncontrolled:
            return
        names = self.hub.names
        if place is not None and issubclass(type(value), CONTAINERS) and not names.knows(value):
            self.last = names.variable(*place, self)
            self.answered = False
        if self.last is not None and not self.answered:
            self.answered = True
            names.name_contents(self.last, value, self)

    def give_up(self) -> NoReturn:
        """What comes next is beyond this. Raises ScheduleOver."""
        self.hub.unrecorded.beyond = True
        raise ScheduleOver

    def launch(self, child: Worker, start: Any) -> None:
        if self.hub.phase is not Phase.RUN:
            super().launch(child, start)
            return
        self.give_up()


class UnrecordedTask(Unrecorded, TaskWorker):
    """A task without a record."""


class UnrecordedLoop(Unrecorded, LoopWorker):
    """What a loop does beside its tasks, without a record."""


class UnrecordedTasks(AsyncioTasks):
    """What runs on one loop. ``beyond``: more has happened than steps of tasks and callbacks.
    ``failed``:
    a worker has failed, or waits for ever. ``picks``: what was chosen."""

    loop_worker: ClassVar[type[LoopWorker]] = UnrecordedLoop
    task_worker: ClassVar[type[TaskWorker]] = UnrecordedTask

    def __init__(self, hub: Hub, baton: Any, new_loop: Callable[[Any], ControlledLoop]) -> None:
        self.beyond = self.failed = False
        self.picks: list[int] = []
        hub.unrecorded = self
        super().__init__(hub, baton, new_loop=new_loop)
        self._step = self.op("")

    # --- what would be recorded, or asked for ------------------------------------------------
    def spawned(self, coro: Any, name: Any, parent: Any) -> TaskWorker:
        if self.hub.phase is not Phase.RUN:
            return super().spawned(coro, name, parent)
        number = self.hub.layout.worker(self._label(coro, name, parent))
        worker = self.task_worker(self.hub, number, self, coro, False)
        self.enter(worker)
        return worker

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
        hub.controller.pending[worker.number] = self._step
        return task

    def worker_of(self, task: Any) -> TaskWorker:
        if task.__class__ is ControlledTask:
            return task.worker  # type: ignore[no-any-return]
        self.beyond = True
        return super().worker_of(task)

    def on_another_thread(self, what: str) -> None:
        self.beyond = True

    def record(self, kind: int, target: int, value: Any = None) -> None:
        pass

    def callbacks_come(self, place: int, handle: Any) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_come(place, handle)
            return
        gate, number = self.gate, self.callbacks.number
        gate.first = gate.ready[number] = place
        if redelivers(handle):
            self.beyond = True
        self.hub.controller.pending[number] = self._step

    def callbacks_gone(self) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_gone()
            return
        gate = self.gate
        gate.first = LAST
        gate.ready.pop(self.callbacks.number, None)

    # --- the schedule ------------------------------------------------------------------------
    def go(self) -> bool:
        """Go on until no worker can. Whether all have ended, and well."""
        hub, gate, loop = self.hub, self.gate, self.loop
        controller: Any = hub.controller
        ready, members, pending = gate.ready, self.members, controller.pending
        essential: set[int] = controller.essential
        timers, callbacks = self.timers.number, self.callbacks.number
        for worker in self.order:
            pending[worker.number] = None if worker.task.done() else self._step
        pending[timers] = self._step
        choice, pick = controller._choice, controller.scheduler.pick
        choice.kind, choice.pending = WORKER, pending
        watched = vars(loop._selector)  # something, where real input and output is waited for
        current, settling, picks = -1, 0, self.picks
        while True:
            if self.beyond or watched or controller.limit is not None:
                return False
            first = gate.first
            options = [worker for worker, place in ready.items() if place <= first]
            if not essential:
                settling += 1
                if all(worker.task is None or worker.task.done() for worker in self.order):
                    return True
                if not options or settling > REST:
                    return False
            if len(options) > 1:
                options.sort()
            elif not options:
                handle: Any = loop.next_timer()
                if handle is None or handle._when == math.inf:
                    self.failed = not self.ready.asleep
                    return False
                controller.now = max(controller.now, handle._when - EPOCH)
                options = [timers]
            steps = len(picks)
            choice.options, choice.current, choice.seq = options, current, steps
            current = pick(choice)
            picks.append(current)
            controller.current = current
            controller.unrecorded = steps + 1
            if steps >= controller._look and controller._over(steps):
                return False
            if current == timers:
                loop.fire_timers()
                continue
            gate.inside = current
            worker = members[current]
            contexts[self.ident] = worker
            if current == callbacks:
                worker.uncontrolled = 0
                self.run_callbacks()
                self.leave()
                self.callbacks_ran()
                continue
            del ready[current]
            worker.begun = True
            self.run_step(worker)
            task = worker.task
            if task.done():
                pending[current] = None
                if current in essential:
                    if not task.cancelled() and not hub.excuses(task.exception()):
                        self.failed = not self.beyond
                        return False
                    essential.discard(current)
            self.leave()
