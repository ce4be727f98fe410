"""A controller whose objects and workers come into being while it runs: for real Python code.

A scenario declares everything beforehand. Python code makes locks, threads and objects as it goes,
so that here the layout grows. What a name stands for never changes: the same name has the same
number in every schedule, whether or not it comes up in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.open_layout import OpenLayout
from tracelock.engine.plain_steps import PlainSteps
from tracelock.engine.state import ALWAYS
from tracelock.engine.verdicts import spinning
from tracelock.objects import VARIABLE, Model, make_model
from tracelock.objects.waits import AwaitedModel
from tracelock.ops import (
    CANCEL,
    CHOOSE,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    Op,
    Value,
)
from tracelock.schedulers.base import INJECT, WORKER, Gate

#: Steps of other threads after which a loop that sleeps may wake: they may wait for it.
SLEPT: Final = 500
#: Steps that daemon threads may make to come to rest when the others have ended.
REST: Final = 1_000
#: Events with which a wait for somebody's signal ends.
RESCUES = frozenset({WAIT, WAKE})


class OpenController(PlainSteps):
    """A controller on an :class:`OpenLayout`.

    ``essential``: the workers that a schedule waits for. When they have ended so has the schedule,
    as a process ends whatever its daemon threads do; where it ``settles`` these come to rest first,
    until only time could let them go on. ``cut_daemons`` says that some of them could have gone
    on, so that not every order was looked at.

    Under the virtual clock time goes on only when nothing else can happen, as everywhere. But a
    timer whose time is up by then (of two that sleep for as long, the second) is *late*: it fires
    at any point from there on, as it does where the operating system runs several threads.
    """

    layout: OpenLayout
    #: Called with the kind of the last event and what it gave, when that is known.
    replaced: Callable[[int, Value], None] | None = None
    settles = False
    #: Of a replay: whether its trace is at its end. One of an older version has no such rest.
    at_end: Callable[[], bool] | None = None
    #: Of a replay: what was asked of the outside, and answered, by the names of workers.
    given: Any = None

    def __init__(self, layout: OpenLayout, *arguments: Any, **options: Any) -> None:
        if layout.short:
            layout.make_room(layout.wider())
        super().__init__(layout, *arguments, **options)
        sized = self.scheduler.sized
        object.__setattr__(layout, "widen", None if sized else self._widen)

    def _widen(self) -> None:
        """Make places for more workers in the middle of a schedule."""
        layout, more = self.layout, self.layout.wider() - self._workers
        layout.make_room(self._workers + more)
        self._workers += more
        self.pending += [None] * more
        self.waiting += [False] * more
        self.ended += [False] * more

    def _fresh(self) -> None:
        #: Waits that ended by their timeout when nothing else at all could happen.
        self.rescues: list[tuple[int, Op]] = []
        #: What there is to say of a thing that somebody waits for in vain.
        self.remarks: dict[int, str] = {}
        self.values: list[Value] = []
        self.sync()
        super()._fresh()
        self.values = [None] * len(self.layout.names)
        self.late = False
        self.goes_on = -1
        self.essential: set[int] = set()
        #: Workers that are gone in the middle of their code, and never come to another step.
        self.gone: set[int] = set()
        #: Nobody else comes to one either: these are ended now.
        self.closed = False
        self.unseen: set[int] = set()  # daemons that do nothing that anybody sees at the end
        self.cut_daemons = False
        self.held = False  # a timer of a loop waited although the loop had nothing else to do
        self.slept = 0  # steps of other threads since a loop has made one
        self.unrecorded = 0  # steps that are not in the log
        #: What each step of a task has touched, where that is known (see ``Run``).
        self.steps: list[Any] | None = None
        #: Threads of the executor of a loop, which it waits for at its end; whether that is now.
        self.lingering: set[int] = set()
        self.ending = False
        self.left: list[int] = []  # who had not ended when that was over
        #: While ``setup`` runs: the scheduler, the observer and the log of the schedule.
        self.aside: tuple[Any, Any, Any] | None = None
        self._settling = 0  # steps that daemons have made since then
        #: The tasks that share a thread, and what says which of them can go on.
        self.loops: dict[int, Gate] = {}
        #: The one loop that there is, and whether there are threads beside it.
        self.gate: Gate | None = None
        self.threads = False
        #: What was heard of besides (by the exception handler of a loop), for the verdict.
        self.heard: list[str] = []

    def sync(self) -> None:
        """Make models for what the layout has got since the last time."""
        models, objects = self.models, self.layout.objects
        if len(models) == len(objects):
            return
        values = self.values
        while len(models) < len(objects):
            spec = objects[len(models)]
            model = None if spec.type == VARIABLE else self._model(len(models))
            models.append(model)
            values.append(None)
            if model is not None:
                self._objects.append(model)

    def remake(self, number: int) -> None:
        """The specification of an object has changed: it has another initial state, or it was
        taken for a variable (a trace that only looks at it does not say what it is)."""
        old, fresh = self.models[number], self._model(number)
        self.models[number] = fresh
        if old is None:
            self._objects.append(fresh)
            return
        self._objects[next(k for k, model in enumerate(self._objects) if model is old)] = fresh

    def _model(self, number: int) -> Model:
        return make_model(self.rules, self.layout.objects[number], self.models)

    def next(self) -> int:
        if self.plain and self.essential and not (self.timers or self.loops or self.before):
            return self.plain_step()
        if not (self.essential or self.active or self.loops):
            self.left = []
            return -1
        if not self.essential and not self._inside():
            self.ending = bool(self.loops and self.lingering)
            self.ending = self.ending and not self.lingering.isdisjoint(self._options())
        if not (self.essential or self.ending or self._inside() or self._restless()):
            daemons = [one for one in self.active if not (one in self.loops or one in self.unseen)]
            if (self.loops or self.settles) and daemons:  # but not those who wait for others
                able = {*self._options(), *self.timers}
                daemons = [worker for worker in daemons if worker in able]
            self.cut_daemons = self.cut_daemons or bool(daemons)
            self.left = list(self.active)
            for worker in self.left:
                gate = self.loops.get(worker)
                if gate is None or not (gate.void and worker == gate.callbacks):
                    self.shut_out[worker] = self.pending[worker]  # type: ignore[assignment]
            self.active.clear()
            return -1
        worker = Controller.next(self)  # each step comes here: ``super`` would take longer
        if self.loops and worker >= 0:
            self.slept = 0 if worker in self.loops else self.slept + 1
        if worker >= 0 and self.forced and self.timed_out():
            pending = self.pending
            if not any(pending[other].kind == SLEEP for other in self.active):  # type: ignore
                self.rescues.append((worker, self.op))
        return worker

    def _over(self, seq: int) -> bool:
        over = super()._over(seq)
        if seq >= self.max_steps:
            loops = spinning(self.layout, self.log)
            if loops:
                self.limit = f"{self.limit}: a livelock, {loops}, and nothing changes for it"
        return over

    def _restless(self) -> bool:
        """Whether a daemon can go on by itself when the others have ended."""
        if not self.settles or self.failure is not None or self._settling >= REST:
            return False
        if self.at_end is not None and self.at_end():
            return False
        self._settling += 1
        return any(map(self._lives, self.active)) and bool(self._options())

    def _lives(self, worker: int) -> bool:
        """Whether this is a thread or a task, not what a loop does beside its tasks."""
        gate = self.loops.get(worker)
        return gate is None or worker not in (gate.timers, gate.callbacks)

    def _late(self) -> list[int]:
        """The workers whose timer is late. Who sleeps for no time at all only lets others on."""
        late = []
        for worker, deadline in self._pending_timers().items():
            if deadline <= self.now:
                op = self.pending[worker]
                assert op is not None
                if op.kind != SLEEP or op.value:
                    late.append(worker)
        return late

    def _timer(self, worker: int) -> bool:
        if not self.adversarial and worker not in self._late():
            return False
        return super()._timer(worker)

    def _inside(self) -> bool:
        """Whether a loop is in the middle of a step."""
        return any(gate.inside >= 0 for gate in self.loops.values())

    def timed_out(self) -> bool:
        """Whether the last event is that of a wait whose time is up."""
        kind = self.kind
        return kind == TIMEOUT or (kind in RESCUES and self.log[-1][3] is False)

    def _end(self, worker: int) -> None:
        super()._end(worker)
        self.essential.discard(worker)

    def ask(self, worker: int, op: Op | None, scopes: Sequence[Any] = ()) -> None:
        if worker not in self.gone and not (self.closed and op is not None):
            super().ask(worker, op, scopes)

    def lose(self, worker: int) -> None:
        """``worker`` is gone, with whatever it was about to do: nobody waits for it any more."""
        op = self.pending[worker]
        if op is not None and worker in self.active:
            self.shut_out[worker] = op  # it might have come earlier
        self.waiting[worker] = False
        self.gone.add(worker)
        self._end(worker)

    def inject(self, worker: int, at: str, about: int = -1, way: int = -1) -> bool:
        """Whether something that may come in anywhere does so at ``at``, where ``worker`` is.

        ``about``: the task that would be cancelled there, after a step of ``worker``; ``way``: by
        what, where it is not the task itself.
        """
        choice = self._choice
        choice.kind, choice.options, choice.worker, choice.at = INJECT, (0, 1), worker, at
        choice.about, choice.way = about, way
        choice.seq = len(self.log)
        return self.scheduler.pick(choice) == 1

    def step_before(self, worker: int, op: Op) -> Any:
        """``worker``, whose code runs before any worker begins and whose steps are no choices,
        asks for a value, which is one, or asks the outside: its only steps that are recorded."""
        assert self.aside is not None
        kept = self.scheduler, self.observer, self.log
        self.scheduler, self.observer, self.log = self.aside
        try:
            return self.choose_now(worker, op)
        finally:
            self.prelude = len(self.log)
            self.scheduler, self.observer, self.log = kept

    def choose_now(self, worker: int, op: Op) -> Any:
        """``worker`` asks for a value, or the outside, and nobody else comes in before it has what
        it asks for."""
        kept, seq = self.pending[worker], len(self.log)
        try:
            self.fired = False
            self.pending[worker] = op
            choice = self._choice
            choice.kind, choice.options, choice.current, choice.seq = WORKER, (worker,), -1, seq
            self.scheduler.pick(choice)
            result = self._chosen(worker, op) if op.kind == CHOOSE else None
            if self.observer is not None:
                self.observer(seq, worker, op.kind, op, result)
            self.log.append((worker, op.kind, op, result, (worker,), self.now))
        finally:
            self.pending[worker] = kept
        return result

    def _other(self, worker: int, op: Op, kind: int) -> Value:
        if kind == CANCEL and self._interrupts is None:
            return None  # of a process: what kills it reports it
        return super()._other(worker, op, kind)

    def rest(self, worker: int) -> None:
        """``worker`` has nothing to do for now; it has not ended."""
        if self.pending[worker] is not None:
            self.pending[worker] = None
            self.timers.pop(worker, None)
            if worker in self.active:
                self.active.remove(worker)

    def replace(self, result: Value) -> None:
        self.result = result
        log = self.log
        worker, kind, op, seen, options, now = log[-1]
        if seen is not result:
            log[-1] = (worker, kind, op, result, options, now)
        if self.replaced is not None:
            self.replaced(kind, result)

    def _options(self) -> list[int]:
        gate = self.gate
        if gate is not None and not self.threads and not self.adversarial:
            # nobody but the tasks of one loop: the same as below, without looking at each
            if gate.inside < 0:
                first, timers = gate.first, gate.timers
                return sorted(
                    [w for w, place in gate.ready.items() if place <= first and w != timers]
                )
            op = self.pending[gate.inside]
            model = self.models[op.target] if op is not None and op.kind < SLEEP else None
            if op is not None and (ALWAYS[op.kind] or type(model) is AwaitedModel):
                return [gate.inside]
        options = Controller._options(self)
        if not self.adversarial and not self._cooperative:
            late = self._late() if self.timers else []
            self.late = bool(late)
            if late:
                options = sorted({*options, *late})
        if self.loops:
            loops = self.loops
            options = [
                worker
                for worker in options
                if (gate := loops.get(worker)) is None or gate.admits(worker)
            ]
            if self.ending:
                options = [worker for worker in options if worker in self.lingering]
            elif options and self.timers and not self.adversarial:
                self._idle(options)
        if self.goes_on == len(self.log) and self.current in options:
            return [self.current]
        return options

    def _idle(self, options: list[int]) -> None:
        """A loop with nothing else to do waits for its next timer. Time stands still as long as
        another thread can go on, as for the timers of threads, but not for one that spins until
        the loop has done something."""
        early = self.slept < SLEPT
        if early and self.held:
            return
        due: dict[int, float] = {}
        for gate in set(self.loops.values()):
            timers = gate.timers
            if gate.inside >= 0 or len(gate.ready) != 1 or timers not in gate.ready:
                continue
            if early:
                self.held = True
                return
            due = due or self._pending_timers()
            if due.get(timers) == min(due.values()):
                options.append(timers)
                options.sort()

    def _pending_timers(self) -> dict[int, float]:
        due = super()._pending_timers()
        if self.loops:
            loops = self.loops
            due = {
                worker: deadline
                for worker, deadline in due.items()
                if (gate := loops.get(worker)) is None or gate.admits(worker)
            }
        return due
