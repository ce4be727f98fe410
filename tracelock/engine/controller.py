"""The controller: workers ask, it grants. No I/O, no threads, no clock of its own.

It keeps the models of all shared things, offers the scheduler each choice, applies what was
chosen, and keeps the record. A backend drives it in a fixed rhythm::

    controller.begin()
    controller.ask(worker, op)        # for each worker that starts by itself
    while (worker := controller.next()) >= 0:
        ...                           # do controller.op for real, compare with controller.result
        if not controller.parked:     # the op is over: its machine goes on to its next one
            controller.ask(worker, next_op)
    controller.verdict()

Only one caller may be inside at a time; in a controlled run the worker that has the baton.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from tracelock.engine.choosing import offered
from tracelock.engine.effects import change, op_failure, raised, run_atomic, started_before
from tracelock.engine.state import ALWAYS, Caller, Entry
from tracelock.engine.timing import Timing
from tracelock.errors import Cancelled, InternalError, LimitReached, ScopeExpired, StepFailure
from tracelock.objects import PARKED, Model
from tracelock.ops import (
    ATOMIC,
    CALL,
    CANCEL,
    CHECKPOINT,
    CHOOSE,
    COMPARE_EXCHANGE,
    FETCH_ADD,
    JOIN,
    NOTIFY,
    READ,
    REQUEST,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
    Op,
    Raised,
    Value,
)
from tracelock.schedulers.base import OPTION, WAITER, WORKER

__all__ = ["ALWAYS", "Caller", "Controller", "Entry"]


class Controller(Timing):
    """One object serves many schedules of one program under one set of rules.

    ``clock``: ``virtual`` (timers fire in the order of their deadlines when nothing else can
    happen) or ``adversarial`` (at any point). ``check(values)`` is called after each event that
    can change a variable and returns a failure or None (the ``always`` part). ``observer`` is
    called with each event (see ``replaying``); ``call`` runs a ``call`` step where no backend
    does.
    """

    # --- one schedule ------------------------------------------------------------------------
    def begin(self) -> bool:
        """Start a schedule from the initial state; False when the scheduler has no more."""
        if not self.scheduler.begin():
            return False
        self._fresh()
        choice = self._choice
        choice.pending = self.pending
        if self.check is not None:
            self._inspect(-1)
        return True

    def ask(self, worker: int, op: Op | None, scopes: Sequence[Any] = ()) -> None:
        """``worker`` has come to ``op`` and waits for it to be granted; None: it has ended.

        ``scopes``: the ``timeout`` blocks it is in, see ``Machine.scopes``.
        """
        if op is None:
            self._end(worker)
            return
        if self.pending[worker] is None and worker not in self.active:
            self.active.append(worker)
            self.active.sort()
        self.pending[worker] = op
        kind = op.kind
        if kind == SLEEP:
            self.timers[worker] = self.now + max(0.0, op.value)
        elif op.timeout is not None:
            self.timers[worker] = self.now + op.timeout
        if self._interrupts is not None:
            if worker == self.current and kind in self.rules.before and self._suspends(op):
                self.suspended = True
            if scopes or self._tasks:
                self._interrupts.enter(worker, op, scopes)

    def fail(self, worker: int, failure: StepFailure) -> None:
        """``worker`` has ended with ``failure``; the first one is the run's verdict."""
        if self.failure is None:
            self.failure = (worker, failure)
        self._end(worker)

    def _end(self, worker: int) -> None:
        if self._paused and worker == self.current:
            # it is not over before it has come through the checkpoint at the end of its last op
            self._paused = False
            self.ask(worker, Op(CHECKPOINT, -1, self.op.at))
            return
        self.ended[worker] = True
        self.pending[worker] = None
        if worker in self.active:
            self.active.remove(worker)
        self.timers.pop(worker, None)
        if self._tasks:
            self._interrupts.leave(worker)  # type: ignore[union-attr]
        if self.rules.leaves:
            for model in self._objects:
                model.leave(worker)
        if worker == self.current:
            self.suspended = True

    def stop(self, worker: int, limit: LimitReached) -> None:
        """``worker`` came to a bound of its own (a loop without visible steps)."""
        self.limit = self.limit or f"{self.layout.workers[worker].name}: {limit}"
        self._end(worker)

    def crash(self, worker: int, how: str) -> None:
        """The process of ``worker`` died, with whatever it held."""
        self.crashed.append((worker, how))
        self.waiting[worker] = False
        self._end(worker)

    def ended_outside(self, worker: int, how: str) -> None:
        """Something that no schedule does has ended the process of ``worker``."""
        name = self.layout.workers[worker].name
        self.killed = f"the process of {name} was ended from outside ({how})"

    # --- the step ----------------------------------------------------------------------------
    def next(self) -> int:
        """Decide who goes on and let it happen in the models.

        Returns the worker, -1 when the run is over. The grant is then in ``op`` (as asked for),
        ``kind`` (of the event: ``WAKE`` or ``REQUEST`` for a part of a longer op), ``result``,
        ``parked`` (the op is not over), ``fired`` (its timer ended it) and ``thrown`` (to be
        thrown into the machine instead of resuming it).
        """
        if self.before is not None:
            self.before(self)
        pending = self.pending
        options: Sequence[int] | None = None
        fired = forced = False
        if self.limit is not None:
            return -1
        seq = len(self.log)
        if seq >= self._look and self._over(seq):
            return -1
        if self._cooperative and not self.suspended:
            worker = self.current
        else:
            options = self._options()
            if not options:
                if not self.timers and not self._tasks:
                    return -1
                options = self._due()
                if not options:
                    return -1
                fired = forced = True
            choice = self._choice
            choice.kind = WORKER
            choice.options = options
            choice.current = self.current
            choice.seq = seq
            worker = self.scheduler.pick(choice)
            if (self.adversarial and (self.timers or self._tasks)) or (self.late and not forced):
                fired = self._timer(worker)
            elif not fired and self._interrupts is None:
                # a sleep that can go on is that of a loop with nothing else to do
                fired = pending[worker].kind == SLEEP  # type: ignore[union-attr]
        op = pending[worker]
        if op is None:
            raise InternalError(f"worker {worker} was picked with nothing to do")
        kind = op.kind
        thrown = None
        shown = op
        if fired or (self._cut_off and worker in self._cut_off and options is not None):
            kind, result, thrown, shown = self._cut(worker, op, fired)
            fired = thrown is None
        elif kind == READ:
            result = self.values[op.target]
        elif kind == WRITE:
            self.values[op.target] = op.value
            result = None
        elif self.waiting[worker]:
            model = self.models[op.target]
            result = model.finish(op, worker)  # type: ignore[union-attr]
            if kind == WAIT:
                kind = WAKE
            if result is PARKED:
                kind = REQUEST
            else:
                self.waiting[worker] = False
                if self._tasks:
                    kind, result, thrown = self._interrupts.unwound(  # type: ignore[union-attr]
                        worker, op, kind, result
                    )
        elif COMPARE_EXCHANGE <= kind <= ATOMIC or kind > SLEEP - 1:
            result = self._other(worker, op, kind)
        else:
            model = self.models[op.target]
            if kind == NOTIFY and self.rules.notify_any:
                self._whom(worker, op, model)  # type: ignore[arg-type]
            result = model.apply(op, worker)  # type: ignore[union-attr]
            if result is PARKED:
                self.waiting[worker] = True
                if kind != WAIT:
                    kind = REQUEST
        parked = self.waiting[worker] or kind == TIMEOUT
        if parked and self._tasks:
            self._interrupts.parked(worker)  # type: ignore[union-attr]
        if not parked and self.timers:
            self.timers.pop(worker, None)
        seen = None if result is PARKED else result
        if self.observer is not None:
            self.observer(seq, worker, kind, shown, seen)
        self.log.append((worker, kind, shown, seen, options, self.now))
        self.op = op
        self.kind = kind
        self.result = result
        self.parked = parked
        self.fired = fired
        self.forced = forced
        self.thrown = thrown
        self.current = worker
        self._paused = (
            kind in self.rules.after and not fired and self.models[op.target].paused  # type: ignore
        )
        self.suspended = parked or self._paused
        if self.check is not None and kind <= ATOMIC and kind != READ:
            self._inspect(worker)
        return worker

    def _over(self, seq: int) -> bool:
        """Whether a bound is reached; looked at every 1,024 steps, since a clock costs."""
        if seq >= self.max_steps:
            self.limit = f"the limit of {self.max_steps:,} steps was reached"
        elif not self._deadline:
            # the clock starts at the first look: a short schedule never reads it
            self._deadline = monotonic() + self.max_seconds
        elif monotonic() > self._deadline:
            self.limit = f"the limit of {self.max_seconds:g} seconds was reached"
        self._look = min(seq + 1024, self.max_steps)
        return self.limit is not None

    def can_go_on(self) -> bool:
        """Whether some worker can take its next step now, timers aside."""
        return (self._cooperative and not self.suspended) or bool(self._options())

    def _options(self) -> list[int]:
        pending = self.pending
        options = []
        for worker in self.active:
            op = pending[worker]
            kind = op.kind  # type: ignore[union-attr]
            if ALWAYS[kind]:
                options.append(worker)
            elif self.waiting[worker]:
                if self.models[op.target].ready(op, worker):  # type: ignore
                    options.append(worker)
            elif kind == SLEEP:
                continue
            elif kind == JOIN:
                if (
                    self.ended[op.target]  # type: ignore[union-attr]
                    or not op.blocking  # type: ignore[union-attr]
                    or (self._cooperative and not self._suspends(op))  # type: ignore[arg-type]
                ):
                    options.append(worker)
            elif self.models[op.target].enabled(op, worker):  # type: ignore
                options.append(worker)
        if self._cut_off:
            options = sorted(self._cut_off.union(options))
        if self.adversarial and (self.timers or self._tasks):
            extra = [w for w in self._pending_timers() if w not in options]
            if extra:
                options = sorted(options + extra)
        return options

    # --- the less frequent ops ---------------------------------------------------------------
    def _other(self, worker: int, op: Op, kind: int) -> Value:
        values = self.values
        target = op.target
        if COMPARE_EXCHANGE <= kind <= FETCH_ADD:
            return change(op, values)
        if kind == ATOMIC:
            return run_atomic(op.body.rehearse, values)
        if kind == JOIN:
            return self.ended[target]
        if kind == SPAWN:
            if self.ended[target] or target in self.active:
                return started_before(self.layout, target)
            return None
        if kind == CANCEL:
            if (
                self._interrupts is not None and target in self.active
            ):  # to cancel who has ended, or not begun, does nothing
                self._interrupts.cancel(target, worker)
            return None
        if kind == CHOOSE:
            return self._chosen(worker, op)
        if kind == CALL and self.call is not None:
            try:
                return self.call(op.body, op.value)
            except Exception as error:
                return raised(error)
        return None

    def _whom(self, worker: int, op: Op, model: Model) -> None:
        """Where any waiter may wake, the scheduler says which, one after the other."""
        left = list(model.candidates(op, worker))
        if not left:
            return
        chosen: list[int] = []
        choice = self._choice
        while len(chosen) < op.value:
            choice.kind, choice.options, choice.worker = WAITER, tuple(left), worker
            picked = self.scheduler.pick(choice)
            left.remove(picked)
            chosen.append(picked)
        model.choose(chosen)

    def _chosen(self, worker: int, op: Op) -> int:
        """Which of the values that the program asks for, by its number: the scheduler says."""
        choice, scheduler = self._choice, self.scheduler
        choice.kind, choice.worker = OPTION, worker
        choice.options = offered(op.body.count, scheduler.systematic)
        return scheduler.pick(choice)

    def _inspect(self, worker: int) -> None:
        if self.failure is None:
            assert self.check is not None
            failure = self.check(self.values)
            if failure is not None:
                self.failure = (worker, failure)

    def replace(self, result: Value) -> None:
        """The result of a ``call`` is what the real function gave: put it in the record."""
        self.result = result
        worker, kind, op, _, options, now = self.log[-1]
        self.log[-1] = (worker, kind, op, result, options, now)

    # --- machines that run where the controller does -----------------------------------------
    def start_automatic(self, machines: Sequence[Any]) -> None:
        """Start every worker that starts by itself; ``machines``: by worker."""
        for worker, spec in enumerate(self.layout.workers):
            if not spec.manual:
                self.start(machines[worker], worker)

    def start(self, machine: Any, worker: int) -> None:
        """Run ``machine`` to its first op and ask for it."""
        self.advance(machine, worker, first=True)

    def advance(self, machine: Any, worker: int, first: bool = False) -> None:
        """Resume ``machine`` with the result of its op, as granted, and ask for its next one."""
        result = self.result
        if self.stillborn and not first:
            self.stillborn = False
            self._end(worker)
            return
        try:
            if first:
                op = machine.begin()
            elif self.thrown is not None:
                op = machine.throw(self.thrown)
            elif result.__class__ is Raised:
                op = machine.throw(op_failure(result, self.op))
            else:
                op = machine.resume(result)
        except StepFailure as failure:
            self.fail(worker, failure)
        except (Cancelled, ScopeExpired):
            self._end(worker)
        except LimitReached as limit:
            self.stop(worker, limit)
        else:
            self.ask(worker, op, machine.scopes if op is not None else ())
