"""Time that passes because nothing else can happen, or because the scheduler says so."""

from __future__ import annotations

from operator import itemgetter

from tracelock.engine.state import ALWAYS, RunState
from tracelock.objects import PARKED
from tracelock.ops import (
    ATOMIC,
    JOIN,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    Op,
    Value,
)
from tracelock.schedulers.base import TIMER


class Timing(RunState):
    """Timers, deadlines of blocks, and what becomes of an op that one of them ends."""

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

    def _suspends(self, op: Op) -> bool:
        """Whether a task that comes to ``op``, one of ``Rules.before``, is suspended in it."""
        if not op.blocking or (op.timeout is not None and op.timeout <= 0):
            return False
        return op.kind != JOIN or self.rules.level_triggered or not self.ended[op.target]

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

    def _cut(self, worker: int, op: Op, fired: bool) -> tuple[int, Value, BaseException | None, Op]:
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
