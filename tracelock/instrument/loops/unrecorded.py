"""The tasks of one loop in a schedule of which no record is kept.

While all that happens are steps of tasks and callbacks of the loop, a schedule is determined by
which of them came next: what they read and write, and for what they wait, is neither a choice nor
needed to tell that all went well. Here only that is decided. What is no such step (a thread, a lock
of threads, input and output) is *beyond* this: the schedule is given up, and run again with its
record from the beginning (see ``retelling``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, NoReturn

from tracelock.engine.effects import perform
from tracelock.engine.open import REST
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts
from tracelock.instrument.loops.tasks import LoopTasks, LoopWorker, TaskWorker
from tracelock.instrument.steps import PLAIN, shown
from tracelock.instrument.worker import Worker
from tracelock.ops import ATOMIC, CHECKPOINT, READ, WRITE, Op, Value
from tracelock.schedulers.base import WORKER


@lru_cache(64)
def _plain_step(loop: int) -> Op:
    """What each task comes to next: a step of the loop of this number."""
    return Op(CHECKPOINT, loop, "")


class Unrecorded(Worker):
    """What a worker does without a record, before its class. Accesses change the values of what is
    shared, by which one end of a schedule is told from another."""

    tasks: Any

    def step(self, op: Op, parked: Any = None) -> Value:
        hub = self.hub
        if hub.phase is not Phase.RUN:
            return super().step(op, parked)
        if op.kind <= ATOMIC:
            return perform(op, hub.controller.values)
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
        self.last = variable = names.variable(obj, name, self)
        self.answered = kind == WRITE
        if kind == READ:
            return
        if variable.shared:
            hub.controller.values[variable.number] = shown(value)
        else:
            names.used(variable, self.number, kind)
        if type(value) not in PLAIN:
            names.name_contents(variable, value, self)

    def saw(self, value: object) -> None:
        if self.hub.phase is not Phase.RUN:
            super().saw(value)
        elif self.last is not None and not self.answered:
            self.answered = True
            if type(value) not in PLAIN:
                self.hub.names.name_contents(self.last, value, self)

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


class UnrecordedTasks(LoopTasks):
    """What runs on one loop, before the class of the library's tasks. ``beyond``: more has happened
    than steps of tasks and callbacks. ``failed``: a worker has failed, or waits for ever.
    ``well``: it has ended, and all went well. ``picks``: what was chosen."""

    loop_worker: ClassVar[type[LoopWorker]] = UnrecordedLoop
    task_worker: ClassVar[type[TaskWorker]] = UnrecordedTask

    #: Whether what they do to sockets in memory is made here too.
    sockets = False

    def __init__(self, hub: Hub, *arguments: Any, **options: Any) -> None:
        self.beyond = self.failed = self.well = False
        self.picks: list[int] = []
        hub.unrecorded = self
        super().__init__(hub, *arguments, **options)
        self.plain_step = _plain_step(self.gate.number)

    # --- what each kind of loop does in its own way --------------------------------------------
    def look(self) -> None:
        """Before a step: is there anything else than steps?"""
        raise NotImplementedError

    def next_time(self) -> float | None:
        """When the next timer fires, in seconds since the schedule began."""
        raise NotImplementedError

    def let_go(self, worker: TaskWorker) -> None:
        """A task has ended that nobody has to wait for: it lives as long as the program has it."""

    # --- what would be recorded ----------------------------------------------------------------
    def spawned(self, coro: Any, name: Any, parent: Any) -> TaskWorker:
        if self.hub.phase is not Phase.RUN:
            return super().spawned(coro, name, parent)
        number = self.hub.layout.worker(self._label(coro, name, parent))
        worker = self.task_worker(self.hub, number, self, coro, False)
        self.enter(worker)
        return worker

    def record(self, kind: int, target: int, value: Any = None) -> None:
        pass

    # --- the schedule ------------------------------------------------------------------------
    def go(self) -> bool:
        """Go on until no worker can. Whether all have ended, and well."""
        hub, gate = self.hub, self.gate
        controller: Any = hub.controller
        ready, members, pending = gate.ready, self.members, controller.pending
        essential: set[int] = controller.essential
        timers, callbacks = self.timers.number, self.callbacks.number
        for worker in self.order:
            pending[worker.number] = None if self.done(worker) else self.plain_step
        pending[timers] = pending[callbacks] = self.plain_step
        choice, pick = controller._choice, controller.scheduler.pick
        choice.kind, choice.pending = WORKER, pending
        current, settling, picks = -1, 0, self.picks
        while True:
            self.look()
            if self.beyond or controller.limit is not None:
                return False
            first = gate.first
            options = [number for number, place in ready.items() if place <= first]
            if not essential:
                settling += 1
                if all(map(self.done, self.order)):
                    return True
                if not options or settling > REST:
                    return False
            if len(options) > 1:
                options.sort()
            elif not options:
                when = self.next_time()
                if when is None:
                    self.failed = True
                    return False
                controller.now = max(controller.now, when)
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
                self.fire_timers()
                continue
            gate.inside = current
            member = members[current]
            contexts[self.ident] = member
            if current == callbacks:
                member.uncontrolled = 0
                self.run_callbacks()
                self.leave()
                self.callbacks_ran()
                continue
            del ready[current]
            member.begun = True
            self.run_step(member)
            if self.done(member):
                pending[current] = None
                if current in essential:
                    if not hub.excuses(self.error_of(member)):
                        self.failed = not self.beyond
                        return False
                    essential.discard(current)
                else:
                    self.let_go(member)
            self.leave()
