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

Only one caller may be inside at a time; in a controlled run that is whoever has the baton.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from time import monotonic
from typing import Any, Final

from tracelock.engine.interrupts import Interrupts, Task
from tracelock.engine.limits import DEFAULT_SECONDS, DEFAULT_STEPS
from tracelock.errors import Cancelled, InternalError, LimitReached, ScopeExpired, StepFailure
from tracelock.objects import PARKED, Model, Rules, frozen, make_models
from tracelock.ops import (
    ATOMIC,
    CALL,
    CANCEL,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    CRASH,
    EXCHANGE,
    FETCH_ADD,
    JOIN,
    NAMES,
    NOTIFY,
    READ,
    RELEASE,
    REQUEST,
    SET,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
    added,
)
from tracelock.schedulers.base import TIMER, WAITER, WORKER, Choice, Scheduler

#: Kinds that can always happen: nothing has to be true first.
ALWAYS: Final = tuple(
    kind <= ATOMIC
    or kind in (RELEASE, NOTIFY, SET, CLEAR, CHECKPOINT, SPAWN, CANCEL, CRASH, CALL)
    for kind in range(len(NAMES))
)
#: One event, as the hot path keeps it: worker, kind, op, result, the options there were (None:
#: no choice was made), virtual seconds.
Entry = tuple[int, int, Op, Value, Sequence[int] | None, float]

Caller = Callable[[str, list[Value]], Value]


class Controller:
    """One object serves many schedules of one program under one set of rules.

    ``clock``: ``virtual`` (timers fire in the order of their deadlines when nothing else can
    happen) or ``adversarial`` (at any point). ``check(values)`` is called after each event that
    can change a variable and returns a failure or None (the ``always`` part). ``observer`` is
    called with each event (see ``replaying``); ``call`` runs a ``call`` step where no backend
    does.
    """

    def __init__(
        self,
        layout: Layout,
        rules: Rules,
        scheduler: Scheduler,
        *,
        clock: str = "virtual",
        max_steps: int = DEFAULT_STEPS,
        max_seconds: float = DEFAULT_SECONDS,
        check: Callable[[Sequence[Value]], StepFailure | None] | None = None,
        observer: Callable[[int, int, int, Op, Value], None] | None = None,
        call: Caller | None = None,
    ) -> None:
        self.layout = layout
        self.rules = rules
        self.scheduler = scheduler
        self.adversarial = clock == "adversarial"
        self.clock = clock
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.check = check
        self.observer = observer
        self.call = call
        #: Called before each step; a replay kills here whom something outside killed.
        self.before: Callable[[Controller], None] | None = None
        self.models: list[Model | None] = make_models(layout, rules)
        self._objects = [model for model in self.models if model is not None]
        self._workers = len(layout.workers)
        self._choice = Choice()
        self._cooperative = rules.cooperative
        self._interrupts = Interrupts(self, rules.level_triggered) if rules.cooperative else None
        none: tuple[dict[int, Task], set[int]] = ({}, set())
        interrupts = self._interrupts
        #: Workers in ``timeout`` blocks or cancelled, and those who are cut off where they wait.
        self._tasks, self._cut_off = (
            none if interrupts is None else (interrupts.tasks, interrupts.cut)
        )
        #: The cancelled worker has not made its first step, so that its machine never runs.
        self.stillborn = False
        # The grant: what the last ``next`` decided.
        self.op: Op
        self.kind = 0
        self.result: Value = None
        self.parked = False
        self.fired = False
        self.thrown: BaseException | None = None
        #: Whose timer fired: the uid of a ``timeout`` block, -1 for that of the op.
        self.fired_uid = -1
        self._fires: tuple[float, int, str] | None = None  # the timer that was chosen
        scheduler.attach(self)

    # --- one schedule ------------------------------------------------------------------------
    def begin(self) -> bool:
        """Start a schedule from the initial state; False when the scheduler has no more."""
        if not self.scheduler.begin():
            return False
        for model in self._objects:
            model.reset()
        n = self._workers
        self.values: list[Value] = list(self.layout.initial)
        self.pending: list[Op | None] = [None] * n
        self.waiting = [False] * n  # parked in an object
        self.active: list[int] = []  # started and not ended, in order
        self.ended = [False] * n
        self.timers: dict[int, float] = {}
        if self._interrupts is not None:
            self._interrupts.reset()
        self.crashed: list[tuple[int, str]] = []
        self.failure: tuple[int, StepFailure] | None = None
        self.limit: str | None = None
        self.now = 0.0
        self._deadline = 0.0
        self._look = min(1024, self.max_steps)
        self.current = -1
        self._paused = False  # others go on though the last event was the end of its op
        self.suspended = True
        self.log: list[Entry] = []
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

    def _suspends(self, op: Op) -> bool:
        """Whether a task that comes to ``op``, one of ``Rules.before``, is suspended in it."""
        if not op.blocking or (op.timeout is not None and op.timeout <= 0):
            return False
        return op.kind != JOIN or self.rules.level_triggered or not self.ended[op.target]

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
        self.limit = f"{self.layout.workers[worker].name}: {limit}"
        self._end(worker)

    def crash(self, worker: int, how: str) -> None:
        """The process of ``worker`` died, with whatever it held."""
        self.crashed.append((worker, how))
        self.waiting[worker] = False
        self._end(worker)

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
        fired = False
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
                fired = True
            choice = self._choice
            choice.kind = WORKER
            choice.options = options
            choice.current = self.current
            choice.seq = seq
            worker = self.scheduler.pick(choice)
            if self.adversarial and (self.timers or self._tasks):
                fired = self._timer(worker)
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

    # --- timers and cancellation -------------------------------------------------------------
    def _pending_timers(self) -> dict[int, float]:
        """The next deadline of each worker that has one that still matters."""
        due: dict[int, float] = {}
        if self._interrupts is not None:
            for worker in self.active:
                if worker in self.timers or worker in self._tasks:
                    timers = self._interrupts.timers(worker)
                    if timers:
                        due[worker] = min(timers)[0]
            return due
        for worker, deadline in self.timers.items():
            op = self.pending[worker]
            assert op is not None
            if op.kind in (SLEEP, JOIN):
                due[worker] = deadline
                continue
            model = self.models[op.target]
            assert model is not None
            if model.may_expire(op, worker, self.waiting[worker]):
                due[worker] = deadline
        return due

    def _due(self) -> list[int]:
        """Nothing else can happen: the workers whose timer is the next to fire."""
        due = self._pending_timers()
        if not due:
            return []
        first = min(due.values())
        return sorted(worker for worker, deadline in due.items() if deadline == first)

    def _timer(self, worker: int) -> bool:
        """Whether a timer of ``worker`` fires: asked of the scheduler where it need not."""
        op = self.pending[worker]
        assert op is not None
        if self._interrupts is not None:
            timers = self._interrupts.timers(worker)
        elif worker in self._pending_timers():
            timers = [(self.timers[worker], -1, op.at)]
        else:
            return False
        must = op.kind == SLEEP or not self._could(worker, op)
        choice = self._choice
        for left, timer in enumerate(timers, 1 - len(timers)):
            if not must or left:
                choice.kind, choice.options, choice.worker = TIMER, (0, 1), worker
                choice.at = timer[2]
                if not self.scheduler.pick(choice):
                    continue
            self._fires = timer
            return True
        return False

    def _could(self, worker: int, op: Op) -> bool:
        if ALWAYS[op.kind]:
            return True
        if op.kind == JOIN:
            return self.ended[op.target] or (self._cooperative and not self._suspends(op))
        if op.kind == SLEEP:
            return False
        model = self.models[op.target]
        assert model is not None
        return model.ready(op, worker) if self.waiting[worker] else model.enabled(op, worker)

    def _cut(
        self, worker: int, op: Op, fired: bool
    ) -> tuple[int, Value, BaseException | None, Op]:
        """A timer or a cancellation ends ``op``: event kind, result, what is thrown, event op."""
        if self._interrupts is not None:
            if not fired:
                return self._interrupts.deliver(worker, op)
            timer = self._fires
            if timer is None:
                timer = min(self._interrupts.timers(worker), key=itemgetter(0))
            self._fires = None
            self.fired_uid = timer[1]
            return self._interrupts.fire(worker, op, timer)
        kind = op.kind
        model = self.models[op.target] if kind < SLEEP and kind > ATOMIC else None
        self._fires = None
        self.now = max(self.now, self.timers.pop(worker))
        if kind == SLEEP:
            return SLEEP, None, None, op
        if model is None:
            return kind, False, None, op
        result = model.expire(op, worker, self.waiting[worker])
        if result is PARKED:
            self.waiting[worker] = True
            return TIMEOUT, result, None, op
        if self.waiting[worker]:
            self.waiting[worker] = False
            if kind == WAIT:
                kind = WAKE
        return kind, result, None, op

    # --- the less frequent ops ---------------------------------------------------------------
    def _other(self, worker: int, op: Op, kind: int) -> Value:
        values = self.values
        target = op.target
        if kind == FETCH_ADD:
            old = values[target]
            new = added(old, op.value)
            if new.__class__ is Raised:
                return new
            values[target] = new
            return old
        if kind == COMPARE_EXCHANGE:
            if same(values[target], op.expect):
                values[target] = op.value
                return True
            return False
        if kind == EXCHANGE:
            old, values[target] = values[target], op.value
            return old
        if kind == ATOMIC:
            return rehearse(op, values)
        if kind == JOIN:
            return self.ended[target]
        if kind == SPAWN:
            if self.ended[target] or target in self.active:
                name = self.layout.workers[target].name
                return Raised("RuntimeError", f"{name} has been started before")
            return None
        if kind == CANCEL:
            if target in self.active:  # to cancel who has ended, or not begun, does nothing
                self._interrupts.cancel(target, worker)  # type: ignore[union-attr]
            return None
        if kind == CALL and self.call is not None:
            try:
                return self.call(op.body, op.value)
            except Exception as error:
                return Raised(type(error).__name__, str(error))
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

    # --- going back in time ------------------------------------------------------------------
    def snapshot(self) -> tuple[Any, ...]:
        """The whole state but the log, the worker machines and the scheduler; see ``restore``."""
        return (
            self.values.copy(),
            [model.snapshot() for model in self._objects],
            self.pending.copy(),
            self.waiting.copy(),
            self.active.copy(),
            self.ended.copy(),
            self.timers.copy(),
            None if self._interrupts is None else self._interrupts.snapshot(),
            self.crashed.copy(),
            self.failure,
            self.limit,
            self.now,
            self.current,
            self.suspended,
            len(self.log),
        )

    def restore(self, state: tuple[Any, ...]) -> None:
        """Back to a state that ``snapshot`` gave, on this path of the search or an earlier one.

        The log is cut to its length then, which is right as long as it has only grown since.
        """
        (values, objects, pending, waiting, active, ended, timers, interrupts,
         crashed, self.failure, self.limit, self.now, self.current, self.suspended, seq,
         ) = state  # fmt: skip
        self.values = values.copy()
        for model, kept in zip(self._objects, objects, strict=True):
            model.restore(kept)
        self.pending = pending.copy()
        self._choice.pending = self.pending
        self.waiting = waiting.copy()
        self.active = active.copy()
        self.ended = ended.copy()
        self.timers = timers.copy()
        if self._interrupts is not None:
            self._interrupts.restore(interrupts)
        self.crashed = crashed.copy()
        del self.log[seq:]

    def key(self) -> Hashable:
        """What decides the future, the machines aside: equal keys, equal futures.

        Deadlines count from now, so that two moments that differ only in time are one state.
        """
        now = self.now
        return (
            frozen(tuple(self.values)),
            tuple([frozen(model.snapshot()) for model in self._objects]),
            tuple(self.waiting),
            tuple(self.active),
            tuple(self.ended),
            tuple(sorted((worker, when - now) for worker, when in self.timers.items())),
            self._interrupts.key(now) if self._tasks else None,  # type: ignore[union-attr]
            tuple(self.crashed),
            self.failure is not None,
            # only where a switch needs a suspension does it matter who ran last
            (self.current, self.suspended) if self._cooperative else None,
        )

    def advance(self, machine: Any, worker: int) -> None:
        """Resume ``machine`` with the result of its op, as granted, and ask for its next one.

        For backends whose machine runs where the controller does.
        """
        result = self.result
        if self.stillborn:
            self.stillborn = False
            self._end(worker)
            return
        try:
            if self.thrown is not None:
                op = machine.throw(self.thrown)
            elif result.__class__ is Raised:
                op = machine.throw(
                    StepFailure("error", f"{result.kind}: {result.message}", self.op.at)
                )
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


def same(a: Value, b: Value) -> bool:
    """Equality of JSON values: like Python's, but 1 and True are not the same."""
    return bool(a == b) and (a is b or (a.__class__ is bool) == (b.__class__ is bool))


def rehearse(op: Op, values: list[Value]) -> dict[str, dict[int, Value]]:
    """Run an atomic step on the model's values: ``{"reads": {id: first value}, "writes": ...}``."""
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        value = values[number]
        if number not in writes:
            reads.setdefault(number, value)
        return value

    def write(number: int, value: Value) -> None:
        writes[number] = values[number] = value

    op.body.rehearse(read, write)
    return {"reads": reads, "writes": writes}
