"""Steps of threads between which no time passes: what ``Controller.next`` comes to for those.

Nearly all steps of real code on threads are such: nobody sleeps or waits with a time limit, there
is no loop of tasks and nothing that looks on between steps. It is the same step, asked in one
function and without the questions of which the answer is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracelock.engine.controller import Controller
from tracelock.engine.state import ALWAYS
from tracelock.errors import InternalError
from tracelock.objects import PARKED
from tracelock.objects.locks import LockModel, RLockModel
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    COMPARE_EXCHANGE,
    JOIN,
    NOTIFY,
    READ,
    RELEASE,
    REQUEST,
    SLEEP,
    WAIT,
    WAKE,
    WRITE,
)
from tracelock.schedulers.base import WORKER, Choice


class PlainSteps(Controller):
    """``plain``: whether steps of this controller are such where there is no timer, no loop and no
    ``before``. Whoever asks for one sees to that."""

    plain = False
    #: What picks, and where that is kept; None: ``scheduler`` does both. See ``picking``.
    _picking: tuple[Callable[[Choice], int], list[int]] | None = None

    def begin(self) -> bool:
        self.plain = not (
            self.adversarial or self._interrupts is not None or self.check is not None
            or self.rules.after
        )  # fmt: skip
        return super().begin()

    def picking(self, workers_run: bool) -> None:
        """From now on only workers make steps, for which ``scheduler`` picks; or no more. In
        between the way to what picks is kept, which leads back to here."""
        self._picking = self.scheduler.taking() if workers_run else None

    def plain_step(self) -> int:
        """See ``Controller.next``. The models of locks, the most frequent ones, are not called:
        what they say of an acquire or a release is said here."""
        if self.limit is not None:
            return -1
        log = self.log
        seq = len(log)
        if seq >= self._look and self._over(seq):
            return -1
        pending, waiting, models = self.pending, self.waiting, self.models
        model: Any
        op: Any
        options = []
        for worker in self.active:
            op = pending[worker]
            kind = op.kind
            if ALWAYS[kind]:
                options.append(worker)
            elif waiting[worker]:
                if models[op.target].ready(op, worker):
                    options.append(worker)
            elif kind == SLEEP:
                continue  # its timer was taken away
            elif kind == JOIN:
                if self.ended[op.target] or not op.blocking:
                    options.append(worker)
            else:
                model = models[op.target]
                if model.__class__ is LockModel or model.__class__ is RLockModel:
                    owner = model.owner
                    if owner < 0 or kind != ACQUIRE or not op.blocking or (
                        owner == worker and model.__class__ is RLockModel
                    ):  # fmt: skip
                        options.append(worker)
                elif model.enabled(op, worker):
                    options.append(worker)
        current = self.current
        if self.goes_on == seq and current in options:
            options = [current]
        if not options:
            return -1
        choice = self._choice
        choice.kind = WORKER
        choice.options = options
        choice.current = current
        choice.seq = seq
        if self._picking is None:
            worker = self.scheduler.pick(choice)
        else:
            pick, picks = self._picking
            worker = pick(choice)
            picks.append(worker)
        op = pending[worker]
        if op is None:
            raise InternalError(f"worker {worker} was picked with nothing to do")
        kind = op.kind
        parked = False
        if kind == READ:
            result = self.values[op.target]
        elif kind == WRITE:
            self.values[op.target] = op.value
            result = None
        elif waiting[worker]:
            result = models[op.target].finish(op, worker)
            if kind == WAIT:
                kind = WAKE
            if result is PARKED:
                kind = REQUEST
                parked = True
            else:
                waiting[worker] = False
        elif COMPARE_EXCHANGE <= kind <= ATOMIC or kind >= SLEEP:
            result = self._other(worker, op, kind)
        else:
            model = models[op.target]
            if kind == ACQUIRE and model.__class__ is LockModel:
                result = model.owner < 0
                if result:
                    model.owner = worker
            elif kind == RELEASE and model.__class__ is LockModel and model.owner >= 0:
                model.owner = -1
                result = None
            else:
                if kind == NOTIFY and self.rules.notify_any:
                    self._whom(worker, op, model)
                result = model.apply(op, worker)
                if result is PARKED:
                    parked = waiting[worker] = True
                    if kind != WAIT:
                        kind = REQUEST
        seen = None if parked else result
        if self.observer is not None:
            self.observer(seq, worker, kind, op, seen)
        log.append((worker, kind, op, seen, options, self.now))
        self.op = op
        self.kind = kind
        self.result = result
        self.parked = self.suspended = parked
        self.fired = self.forced = False
        self.thrown = None
        self.current = worker
        return worker
