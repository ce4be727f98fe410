"""Free runs of tasks: the event loop chooses, and what happened is written down as it happens.

One task runs at a time, so that the record of one run is one list in true order: an operation
that did not have to wait is one event, one that did is an event where it begins to wait and one
where it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from typing import Any

from tracelock.backends.base import mismatch
from tracelock.backends.calls import run_call
from tracelock.backends.tasks.free_state import Alarm, FreeState
from tracelock.backends.tasks.loop import DONE, Steps
from tracelock.engine.effects import op_failure, perform, raised, started_before
from tracelock.engine.interrupts import cancellable
from tracelock.errors import ScopeExpired, Unwind
from tracelock.objects.lines import WaiterLine
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CANCELLED,
    CHECKPOINT,
    EMPTY,
    JOIN,
    NOTIFY,
    READ,
    REQUEST,
    SLEEP,
    SPAWN,
    WAIT,
    WAKE,
    WRITE,
    Op,
    Raised,
    Value,
)  # fmt: skip


class FreeTasks(FreeState):
    """The workers of one free run."""

    def work(self, me: int) -> Steps:
        """The whole life of worker ``me``."""
        self.present += 1
        if self.present == self.count:
            self.ready.set()
        try:
            caught = None
            while not self.started[me] and not self.closing:
                caught = (yield from self.loop.wait(me)) or caught
            if not self.closing and not self.ended[me]:
                yield from self._live(me, caught)
        except Unwind:
            pass
        except GeneratorExit:
            raise
        except BaseException as error:
            if self.error is None:
                self.error = error
            self.finished.set()
        self._end(me)
        if self.blocks[me]:
            self.leave_blocks(me, ())
        try:
            yield from self.loop.settle(me)
        except BaseException as error:
            self.error = self.error or error
        self.over += 1
        self.present -= 1
        self.check_released()
        if self.present == 0:
            self.empty.set()
        return DONE

    def _live(self, me: int, caught: BaseException | None) -> Steps:
        self.between[me] = False
        machine, values = self.machines[me], self.values
        record, resume = self._record, self.machines[me].resume
        op = self.ops[me]
        if op is None:  # it failed on the way to its first op, or has none
            return
        if caught is not None and not (
            op.kind in self.backend.rules.before and cancellable(op, self.layout)
        ):
            # a task that is cancelled before its first step never runs at all
            record(me, CANCELLED, op, None)
            return
        if machine.scopes:
            requests = self.loop.withdraw_requests(me)
            self._enter_blocks(me, machine.scopes)
            caught = (yield from self.loop.repeat_requests(me, requests)) or caught
        if caught is not None:
            self._cancelled(me, op, caught)
            op = self.ops[me]
        while op is not None:
            kind = op.kind
            if kind == READ:
                result = values[op.target]
                record(me, READ, op, result)
                self._advance(me, resume, (result,))
            elif kind == WRITE:
                values[op.target] = op.value
                record(me, WRITE, op, None)
                self._advance(me, resume, (None,))
            elif self.can_wait(op):
                yield from self._wait(me, op)
            elif kind in (SLEEP, CHECKPOINT, JOIN):
                yield from self._pause(me, op)
            else:
                self._do(me, op, kind)
            op = self.ops[me]
            if self.blocks[me] or (op is not None and machine.scopes):
                self.leave_blocks(me, () if op is None else machine.scopes)
                if op is not None:
                    self._enter_blocks(me, machine.scopes)
            if self.closing:
                self.let_go()
                raise Unwind

    def _give(self, me: int, kind: int, op: Op, result: Value) -> None:
        """The end of an op: its last event, and its result for the machine."""
        self._record(me, kind, op, result)
        machine = self.machines[me]
        if result.__class__ is Raised:
            self._advance(me, machine.throw, (op_failure(result, op),))
        else:
            self._advance(me, machine.resume, (result,))

    def _cancelled(self, me: int, op: Op, error: BaseException) -> None:
        """``error`` is what a cancellation raised in ``op``."""
        thrown = self.tasks[me].raised(self.level)
        if thrown is None:
            raise mismatch(self.layout, me, op, False, error)
        self._record(me, CANCELLED, op, None)
        uid = thrown.uid if isinstance(thrown, ScopeExpired) else -1
        self.in_flight[me] = (error, uid)
        self.cut[me] = self.due[me] = False
        self._advance(me, self.machines[me].throw, (thrown,))

    # --- operations that wait ----------------------------------------------------------------
    def _wait(self, me: int, op: Op) -> Steps:
        loop, kind, task = self.loop, op.kind, self.tasks[me]
        work = loop.start(op, self.objects[op.target])
        line = self.lines.get(op.target) if kind == WAIT else None
        alarm = timer = None
        if op.timeout is not None:
            timer = loop.timer()
            work = loop.timed(work, timer)
            alarm = self._alarm(op.timeout, partial(self._late, me, op, timer))
        passing = self.level and task.effective
        self.cut[me] = self.cut[me] or passing
        self.missed[me] = False
        first = kind in loop.first
        parked = unwinding = False
        asked = monotonic_ns()
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        error: BaseException | None = None
        real: Value = None
        while True:
            try:
                trap = send(arg)
            except StopIteration as stop:
                real = loop.outcome(kind, stop.value)
                break
            except loop.cancelled as cancelled:
                error = cancelled
                break
            except Exception as exception:
                real = raised(exception)
                break
            shielded = loop.shielded(trap)
            if passing or (first and shielded):
                self.soft[me] = first
                send, arg = work.send, (yield trap)
                self.soft[me] = first = False
                passing = passing or self.cut[me]
                if self.closing:
                    yield from self.give_up(me, op, work)
                    raise Unwind
                continue
            if shielded and not unwinding and (kind == ACQUIRE or (line is not None and parked)):
                yield from self._finish(me, op, work, trap, alarm, asked if parked else 0)
                return
            self._record(me, WAIT if kind == WAIT and not parked else REQUEST, op, None)
            if self.overdue[me]:
                self._ring_again(me)
            if self.missed[me]:
                self.missed[me] = False
                alarm = self._alarm(0, partial(self._late, me, op, timer))
            if line is not None and not parked:
                line.join(me)
            parked = self.parked[me] = True
            self.soft[me] = shielded and line is None
            if self.due[me]:
                self.due[me] = False
                self._strike(me)
            self.traps[me], self.blocked[me] = trap, True
            send, arg = yield from self._suspend(me, work, trap)
            if self.closing:
                yield from self.give_up(me, op, work)
                raise Unwind
            cut, self.cut[me] = self.cut[me], False
            if line is not None:
                self._out_of_line(line, me, cut)
                unwinding = unwinding or cut
            else:
                # it is not out of it before the error has come through
                passing = self.cut[me] = cut
        self._silence(alarm)
        self.parked[me] = False
        if parked and self.recording:
            self.waits[me][len(self.logs[me])] = monotonic_ns() - asked
        if unwinding and line is not None and self.backend.rules.passes_notify_on:
            line.wake(1)
        if error is not None:
            self._cancelled(me, op, error)
            return
        if (real is False or real is EMPTY) and parked and task.raised(self.level) is not None:
            raise mismatch(self.layout, me, op, "cancelled", real)
        self.cut[me] = False
        self._give(me, WAKE if kind == WAIT and parked else kind, op, real)

    def _suspend(self, me: int, work: Coroutine[Any, Any, Any], trap: Any) -> Steps:
        """Wait for real in ``trap``. How ``work`` is to go on then: a method, a value."""
        step: tuple[Callable[[Any], Any], Any]
        try:
            reply = yield self.loop.guarded(me, trap)
        except self.loop.cancelled as cancelled:
            step = (work.throw, cancelled)
        else:
            step = (work.send, reply)
        self.blocked[me] = self.soft[me] = False
        self.traps[me] = None
        self.loop.aborted.discard(me)
        return step

    def _finish(
        self,
        me: int,
        op: Op,
        work: Coroutine[Any, Any, Any],
        trap: Any,
        alarm: Alarm | None,
        asked: int,
    ) -> Steps:
        """The event of ``op`` is now, and others go on before its task does."""
        self._silence(alarm)
        self.parked[me] = False
        if asked and self.recording:
            self.waits[me][len(self.logs[me])] = monotonic_ns() - asked
        self._give(me, WAKE if op.kind == WAIT else ACQUIRE, op, True)
        self.between[me] = True
        reply = yield trap
        self.between[me] = False
        try:
            work.send(reply)
        except StopIteration:
            if self.ops[me] is None:  # see ``Controller.ask``
                self._record(me, CHECKPOINT, Op(CHECKPOINT, -1, op.at), None)
            return
        raise mismatch(self.layout, me, op, True, "waits again")

    def _out_of_line(self, line: WaiterLine, me: int, cut: bool) -> None:
        """The condition's waiter ``me`` has been woken, or cut off."""
        if line.states.pop(me, None) is None and cut and self.level and line.states:
            # it was notified after it had been cancelled: the next is notified instead
            del line.states[next(iter(line.states))]

    def _pause(self, me: int, op: Op) -> Steps:
        """A sleep, a checkpoint or a join."""
        loop, kind, task = self.loop, op.kind, self.tasks[me]
        alarm = None
        if kind == JOIN:
            if not cancellable(op, self.layout):
                self._give(me, JOIN, op, self.ended[op.target])
                return
            work = loop.join(self.ends[op.target])
            if op.timeout is not None:
                timer = loop.timer()
                work = loop.timed(work, timer)
                alarm = self._alarm(op.timeout, partial(self._late, me, op, timer))
        elif kind == SLEEP:
            work = loop.sleep(op.value)
            self.timing += 1
        else:
            work = loop.checkpoint()
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        error: BaseException | None = None
        real: Value = None
        passing = self.level and task.effective
        self.cut[me] = self.cut[me] or passing
        while True:
            try:
                trap = send(arg)
            except StopIteration as stop:
                real = loop.outcome(JOIN, stop.value) if kind == JOIN else None
                break
            except loop.cancelled as cancelled:
                error = cancelled
                break
            if self.due[me]:
                self.due[me] = False
                self.cut[me] = True
            self.soft[me] = True
            if not passing and kind != CHECKPOINT:
                self.traps[me], self.blocked[me] = trap, True
            send, arg = yield from self._suspend(me, work, trap)
            if self.closing:
                yield from self.give_up(me, op, work)
                raise Unwind
        if kind == SLEEP:
            self.timing -= 1
        self._silence(alarm)
        if error is not None:
            self._cancelled(me, op, error)
            return
        self.cut[me] = False
        self._give(me, kind, op, real)

    # --- operations that do not wait ---------------------------------------------------------
    def _do(self, me: int, op: Op, kind: int) -> None:
        if kind <= ATOMIC:
            self._give(me, kind, op, perform(op, self.values))
        elif kind == CALL:
            self._give(me, kind, op, run_call(op, self.allow_call))
        elif kind == SPAWN and self.started[op.target]:
            self._give(me, kind, op, started_before(self.layout, op.target))
        elif kind in (SPAWN, CANCEL):  # recorded before what it causes
            self._record(me, kind, op, None)
            if kind == SPAWN:
                self._start(op.target)
            else:
                self._cancel(me, op.target)
            self._advance(me, self.machines[me].resume, (None,))
        else:
            result = self.attempt(op)
            if kind == NOTIFY and result is None:
                result = self._notified(op)
            self._give(me, kind, op, result)

    def _notified(self, op: Op) -> list[int]:
        """Whom a notify woke, which the real object does not tell."""
        line = self.lines[op.target]
        n = len(line.states) if op.value == -1 else max(0, op.value)
        if not self.level:
            return line.wake(n)
        notified = list(line.states)[:n]
        for worker in notified:
            del line.states[worker]
        return notified
