"""The tasks of one loop in one schedule, whichever library's loop it is: which of them can go on,
what is recorded of them, and which is cancelled.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable
from contextvars import Context
from typing import Any, ClassVar, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.clock import START
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.loops.aim import AIMED
from tracelock.instrument.loops.awaits import awaiting, stack
from tracelock.instrument.loops.cancelling import Injections, Way
from tracelock.instrument.loops.losing.closing import ended
from tracelock.instrument.loops.own_order import FIRST_COME
from tracelock.instrument.naming import SETUP
from tracelock.instrument.worker import Worker
from tracelock.ops import (
    ACQUIRE,
    CHECKPOINT,
    GET,
    PUT,
    REQUEST,
    SLEEP,
    SPAWN,
    WAIT,
    ObjectSpec,
    Op,
)
from tracelock.schedulers.base import LAST, Gate

#: What the clock of a loop shows when a schedule begins.
EPOCH: Final = START["monotonic"]
#: Names of the pseudo-workers, and of the loop as an object.
CALLBACKS: Final = "loop:callbacks"
TIMERS: Final = "loop:timers"
LOOP: Final = "loop"
#: What it is.
_LOOP: Final = ObjectSpec(LOOP, "awaited")
#: The event of an await that is suspended in an op of this kind.
_BEGUN: Final = {ACQUIRE: REQUEST, GET: REQUEST, PUT: REQUEST}
#: The op of an await that a handler of a signal may end; -1: nothing is known of it.
_ANYBODYS: Final = (WAIT, -1)


class LoopWorker(Worker):
    """A worker on the thread of a loop: all of these share its baton. ``host``: the worker whose
    thread that is, where the program started the loop itself."""

    __slots__ = ("host",)

    def __init__(self, hub: Hub, number: int, baton: Any) -> None:
        super().__init__(hub, number, baton)
        self.host = None
        self.own_thread = False
        self.ident = get_ident()

    def wait(self) -> None:
        self.baton.acquire()
        hub = self.hub
        if hub.over:  # it is in the middle of a step, and no worker can go on
            hub.phase = Phase.UNWIND
        if hub.phase is Phase.UNWIND:
            raise ScheduleOver


class TaskWorker(LoopWorker):
    """A worker that is a task.

    ``given``: one of those that the user passed in. ``at``: where it is suspended; ``begun``:
    it has made a step. ``scope``, ``result``: its cancel scope in trio, and its result there.
    ``context``: in which its code runs. ``since``: after how many events it was suspended.
    """

    __slots__ = (
        "at", "begun", "context", "coro", "given", "result", "scope", "since", "task",
        "tasks",
    )  # fmt: skip

    def __init__(self, hub: Hub, number: int, tasks: LoopTasks, coro: Any, given: bool) -> None:
        Worker.__init__(self, hub, number, tasks.baton)
        self.host = None
        self.own_thread = False
        self.tasks = tasks
        self.coro = coro
        self.given = given
        self.task: Any = None
        self.scope: Any = None
        self.result: Any = None
        self.at = ""
        self.begun = False
        self.since = 0
        self.context: Any = None
        self.ident = tasks.ident  # also where another thread creates it


class LoopTasks:
    """What runs on one controlled loop. Created in the thread of the loop, for one schedule.

    ``order``: the workers that are tasks, in the order of their creation. ``injections``: the
    cancellations that come in from outside. ``errors``: what the loop reported besides, for the
    verdict; ``raised``: the exceptions among that, which nobody has handled.
    ``members``: all workers of the loop, by number. ``prefix``: of the names, where it is not the
    one loop of all workers. ``open``: it runs, which the loops of backends always do.
    """

    open = True
    #: The order that the loop has of itself.
    own_name = FIRST_COME
    #: What ends a task that was cancelled, beside asyncio's own.
    cancelled_errors: tuple[type[BaseException], ...] = ()
    #: What leaves a block whose deadline has come.
    late_errors: tuple[type[BaseException], ...] = (TimeoutError,)
    #: What its workers are.
    loop_worker: ClassVar[type[LoopWorker]] = LoopWorker
    task_worker: ClassVar[type[TaskWorker]] = TaskWorker

    def __init__(self, hub: Hub, baton: Any, prefix: str = "") -> None:
        self.hub = hub
        self.baton = baton
        self.ident = get_ident()
        if hub.injections is None:
            hub.injections = Injections(hub.aim.budget)
        self.injections: Injections = hub.injections
        self.errors: list[str] = []
        self.raised: list[tuple[str, BaseException]] = []
        layout = hub.layout
        self.callbacks = self.loop_worker(hub, layout.worker(prefix + CALLBACKS), baton)
        self.timers = self.loop_worker(hub, layout.worker(prefix + TIMERS), baton)
        spec = ObjectSpec(prefix + LOOP, "awaited") if prefix else _LOOP
        self.gate = Gate(hub.number_for(spec))
        self.gate.timers, self.gate.callbacks = self.timers.number, self.callbacks.number
        if not prefix:
            hub.controller.gate = self.gate
        self.members: dict[int, Any] = {}
        self.order: list[TaskWorker] = []
        self.lost: list[TaskWorker] = []  # with a host that has crashed
        self._ops: dict[str, Op] = {}
        self._things: dict[int, tuple[Any, int]] = {}
        self.enter(self.callbacks)
        self.enter(self.timers)

    # --- what each kind of loop does in its own way --------------------------------------------
    def fire_timers(self) -> None:
        """The timers whose time has come fire."""
        raise NotImplementedError

    def run_callbacks(self) -> None:
        """What the loop does that is no task's step: one callback, or the library's own tasks."""
        raise NotImplementedError

    def callbacks_ran(self) -> None:
        """Say whether there is more of that."""
        raise NotImplementedError

    def run_step(self, worker: TaskWorker) -> None:
        """Let the task of ``worker`` make a step."""
        raise NotImplementedError

    def error_of(self, worker: TaskWorker) -> BaseException | None:
        """What ended the task of ``worker``."""
        raise NotImplementedError

    def waits(self, worker: TaskWorker) -> bool:
        """Whether the task of ``worker``, which is suspended, waits for something."""
        raise NotImplementedError

    def poll(self) -> None:
        """See what has come in from outside, and set the timer (``set_timer``)."""
        raise NotImplementedError

    def done(self, worker: TaskWorker) -> bool:
        """Whether the task of ``worker`` has ended."""
        raise NotImplementedError

    def ways(self, worker: TaskWorker) -> Iterable[Way]:
        """In which ways the task of ``worker``, which is suspended, may be cancelled now."""
        raise NotImplementedError

    def next_deadline(self) -> tuple[float, str] | None:
        """When the next timer fires, in seconds since the schedule began, and whose it is."""
        raise NotImplementedError

    def watches(self) -> bool:
        """Whether there is real input or output to wait for."""
        raise NotImplementedError

    def signals(self) -> bool:
        """Whether the program has a handler for a signal, which never comes in here."""
        return False

    def close(self) -> None:
        """End the coroutines that are in the middle of their code, and the loop."""
        raise NotImplementedError

    def wind_up(self, worker: TaskWorker) -> None:
        """Cancel ``worker``, which waits for what does not come."""
        raise NotImplementedError

    def unretrieved(self) -> list[tuple[str, BaseException]]:
        """Errors of tasks that no code has asked for, and what there is to say of each."""
        return []

    def unknown_wait(self, worker: TaskWorker, at: str) -> Op:
        """What the task of ``worker`` waits for, where it is no object with a name."""
        return self.wait_for(worker, "a wake-up", at)

    def now(self) -> float:
        """The time that the loop's clock shows."""
        return EPOCH + self.hub.controller.now

    # --- common to all -------------------------------------------------------------------------
    def enter(self, worker: Any) -> None:
        """``worker`` is one of this loop's from now on."""
        number, hub = worker.number, self.hub
        self.members[number] = hub.workers[number] = worker
        hub.batons[number] = worker.baton
        hub.controller.loops[number] = self.gate

    def _label(self, coro: Any, name: Any, parent: Any) -> str:
        base = str(name) if name is not None else getattr(coro, "__name__", type(coro).__name__)
        start = "task:" if parent.label == SETUP else f"{parent.label.removeprefix('loop:')}/"
        number = parent.count((start + base, "task"))
        return start + base if number == 1 else f"{start}{base}#{number}"

    def op(self, at: str) -> Op:
        """A step of the loop that begins at ``at``."""
        op = self._ops.get(at)
        if op is None:
            op = self._ops[at] = Op(CHECKPOINT, self.gate.number, at)
        return op

    def set_timer(self) -> None:
        """The next timer is a choice of the scheduler's."""
        number, controller = self.timers.number, self.hub.controller
        found = self.next_deadline()
        if found is None:
            if number in self.gate.ready:
                del self.gate.ready[number]
                controller.rest(number)
            return
        when, at = found
        if number in self.gate.ready and controller.timers.get(number) == when:
            return
        self.gate.ready[number] = -1
        controller.ask(number, Op(SLEEP, -1, at, max(0.0, round(when - controller.now, 9))))
        controller.timers[number] = when

    def run(self) -> None:
        """Go on until no worker can. In the thread of the loop. Raises ScheduleOver."""
        hub = self.hub
        controller = hub.controller
        members = self.members
        while True:
            if self.injections.left and hub.phase is Phase.RUN:
                self.injections.offer(self)
            self.poll()
            to = hub.decide()
            if to < 0:
                return
            if to not in members:
                hub.hand_over(to)
                self.baton.acquire()
                if hub.phase is Phase.UNWIND:
                    raise ScheduleOver
                if hub.over:
                    return
                to = controller.current
            self.advance(to)

    def spawned(self, coro: Any, name: Any, parent: Any) -> TaskWorker:
        """A worker for a task that ``parent`` starts."""
        number = self.hub.layout.worker(self._label(coro, name, parent))
        worker = self.task_worker(self.hub, number, self, coro, False)
        self.enter(worker)
        if self.hub.phase is Phase.RUN:
            try:
                parent.step(Op(SPAWN, number, caller()))
            except ScheduleOver:
                coro.close()  # which nobody will ever await
                raise
        return worker

    def advance(self, number: int) -> None:
        """Let ``number``, which was picked, make its step."""
        gate, controller = self.gate, self.hub.controller
        if number == self.timers.number:
            del gate.ready[number]
            controller.rest(number)
            self.fire_timers()
            return
        worker = self.members[number]
        gate.inside = number
        contexts[self.ident] = worker
        callbacks = number == self.callbacks.number
        if callbacks:
            worker.uncontrolled = 0
            self.run_callbacks()
        else:
            del gate.ready[number]
            worker.begun = True
            self.run_step(worker)
        if self.hub.over or self.hub.unwinding:  # a callback's is caught by asyncio
            raise ScheduleOver
        if not callbacks:
            if self.done(worker):
                self.ended(worker, self.error_of(worker))
            else:
                self.suspended(worker, self.waits(worker))
        self.leave()
        if callbacks:
            self.callbacks_ran()

    def leave(self) -> None:
        """No worker's code runs now: what the loop itself runs, and what dies in its hands, is no
        step of any."""
        self.gate.inside = -1
        self.callbacks.uncontrolled = 1
        contexts[self.ident] = self.callbacks

    def suspended(self, worker: TaskWorker, waits: bool) -> None:
        """``worker`` has made a step and is suspended; ``waits``: for something."""
        found = awaiting(worker.coro)
        worker.at = found.at
        worker.since = len(self.hub.controller.log)
        if waits and found.kind >= 0 and self.hub.phase is Phase.RUN:
            kind = _BEGUN.get(found.kind, found.kind)
            worker.step(Op(kind, self.thing(found.thing, worker), found.at))
        self.hub.controller.ask(worker.number, self.op(found.at))

    def ended(self, worker: TaskWorker, error: BaseException | None) -> None:
        """The task of ``worker`` has ended."""
        if isinstance(error, ScheduleOver):
            raise ScheduleOver
        if worker.given or worker.number in self.hub.controller.essential:
            worker.error = error
            self.hub.ended(worker)
        else:
            self.hub.controller.ask(worker.number, None)

    # --- cancellations -----------------------------------------------------------------------
    def aims(self, worker: TaskWorker) -> bool:
        """Whether ``worker`` may be cancelled because of who it is."""
        return worker.given and self.hub.aim.means(worker.number)

    def aimed(self, worker: TaskWorker, context: Context) -> Context:
        """The context of the task of ``worker``, which says whether it may be cancelled."""
        if self.aims(worker) and not context.get(AIMED, False):
            with contextlib.suppress(RuntimeError):  # it is the current one: of another's task
                context.run(AIMED.set, True)
        worker.context = context
        return context

    # --- the record --------------------------------------------------------------------------
    def record(self, kind: int, target: int, value: Any = None) -> None:
        """Put an event into the record that is no choice of the loop."""
        worker: Any = contexts.get(get_ident())
        if worker is None or worker.uncontrolled or self.hub.phase is not Phase.RUN:
            return
        worker.step(Op(kind, target, caller(None, 4), value))

    def thing(self, obj: Any, worker: Any) -> int:
        """The number of an object that tasks wait for."""
        known = self._things.get(identity(obj))
        if known is None:
            hub = self.hub
            name = getattr(obj, "_tracelock_name", None) or hub.names.identify(obj, worker).label
            number = hub.number_for(ObjectSpec(hub.bind(obj, name), "awaited"))
            known = self._things[identity(obj)] = (obj, number)
        return known[1]

    def wait_for(self, worker: TaskWorker, label: str, at: str, obj: Any = None) -> Op:
        """The op of waiting for something that is known by no name but ``label``."""
        hub = self.hub
        number = hub.number_for(ObjectSpec(hub.bind(obj or worker, label), "awaited"))
        return Op(WAIT, number, at)

    # --- the end -----------------------------------------------------------------------------
    def show_waits(self) -> None:
        """No worker can go on: what each task waits for takes the place of its next step."""
        controller = self.hub.controller
        left = [worker for worker in self.order if worker.number in controller.active]
        shown = "; ".join(f"{one.label} at\n{stack(one.coro)}" for one in left)
        if self.watches():
            controller.limit = f"only real input and output is left to wait for: {shown}"
            return
        if self.signals() and any(awaiting(one.coro).kind in _ANYBODYS for one in left):
            controller.limit = f"only a signal, or nothing at all, is left to wait for: {shown}"
            return
        for worker in left:
            # who is in the middle of a step waits for what that has come to
            if not self.done(worker) and worker.number != self.gate.inside:
                at, kind, thing = awaiting(worker.coro)
                controller.pending[worker.number] = (
                    self.unknown_wait(worker, at)
                    if thing is None
                    else Op(kind, self.thing(thing, worker), at)
                )

    def close_coroutine(self, worker: TaskWorker) -> None:
        """End the code of a task that is in the middle of it."""
        contexts[self.ident] = worker
        if not ended(worker.coro):
            # the interpreter must not try it, at its own end neither
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(worker.coro))

    def wake_all(self) -> None:
        """Another phase begins: all tasks that have not ended can be chosen again."""
        controller = self.hub.controller
        self.gate.inside = -1
        for worker in self.order:
            if not self.done(worker):
                controller.rest(worker.number)
                controller.ask(worker.number, self.op(worker.at))
        for number in (self.callbacks.number, self.timers.number):
            controller.rest(number)
            self.gate.ready.pop(number, None)
        self.gate.first = LAST

    def restore(self, controller: Any) -> None:
        """Tasks that were suspended when the last essential worker ended go on."""
        for number in controller.left:
            if controller.pending[number] is not None and number not in controller.active:
                controller.active.append(number)
        controller.active.sort()
        controller.left = []
