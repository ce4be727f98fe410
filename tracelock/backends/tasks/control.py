"""Controlled runs of tasks: one baton goes from task to task.

Each worker is one real task, used for one schedule after the other. It drives the coroutine of a
real operation itself, step by step: where that is suspended, the worker decides with the
controller who goes on, wakes that one, and yields to the loop what the coroutine yielded, so that
the wait is a real one. When the wait is over the worker waits for the baton before it lets the
coroutine go on; so what an object does after a wake-up happens when the controller says so.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from tracelock.backends.base import Backend, agree, mismatch
from tracelock.backends.calls import run_call
from tracelock.backends.tasks.batch import Batch
from tracelock.backends.tasks.loop import AGAIN, DONE, REPLACE, Loop, Steps
from tracelock.engine.controller import Controller
from tracelock.engine.effects import perform, raised
from tracelock.errors import ScopeExpired
from tracelock.ops import (
    ATOMIC,
    CALL,
    CANCEL,
    CHECKPOINT,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    SLEEP,
    SPAWN,
    Op,
    Value,
)

#: What ``_wait`` says: the op is over; it is over and the worker has the baton again; the
#: schedule is over.
OVER, ONWARD, LEFT = range(3)


class GrantedTasks(Batch):
    """Workers that do what the controller grants, for real, and compare."""

    def __init__(
        self, backend: Backend, adapter: type[Loop], controller: Controller,
        done: Callable[[Controller], bool],
    ) -> None:  # fmt: skip
        super().__init__(backend, adapter, controller, done)
        #: By kind: the ops that concern workers, whose results there is nothing to compare with.
        self.ways: dict[int, Callable[[Op], None]] = {
            SPAWN: self._spawn, CANCEL: self._cancel, CALL: self._call,
        }  # fmt: skip

    def work(self, me: int) -> Steps:
        """One schedule of worker ``me``; to be run by its task, again while it gives ``AGAIN``.

        ``REPLACE``: the task has to end for real, and another to take its place.
        """
        try:
            if self.replaced == me:
                # the task before this one has ended, now the others may go on
                self.replaced = -1
                self._pass_on()
            caught = yield from self._stay_idle(me)
            if self.closing:
                return DONE
            yield from self._turns(me, caught)
            yield from self.loop.settle(me)
            self.in_schedule[me] = False
        except GeneratorExit:
            raise
        except BaseException as error:
            self.abort(error)
        if self.closing:
            self.leave_batch(me)
            return DONE
        return REPLACE if self.replaced == me else AGAIN

    def _turns(self, me: int, caught: BaseException | None) -> Steps:
        """One schedule of worker ``me``, which has the baton, up to its end."""
        controller = self.controller
        machine = self.machines[me]
        blocks = self.blocks[me]
        self.in_flight[me] = None
        if machine.scopes:
            # by the model the task has come to its first op, in its blocks, before anything else
            requests = self.loop.withdraw_requests(me)
            self._update_blocks(me, machine)
            caught = (yield from self.loop.repeat_requests(me, requests)) or caught
        while True:
            op = controller.op
            kind = op.kind
            how = OVER
            if controller.thrown is not None:
                if self.loop.level_triggered and self.can_wait(op):
                    how = yield from self._wait(me, op)
                else:
                    yield from self._cut_short(me, op, caught)
            elif caught is not None:
                raise mismatch(self.layout, me, op, controller.result, caught)
            elif self.can_wait(op):
                how = yield from self._wait(me, op)
            elif kind in (SLEEP, CHECKPOINT, JOIN):
                yield from self._pause(me, op)
            else:
                self._do(me, op, kind)
            if how == LEFT:
                return
            if how == OVER:
                controller.advance(machine, me)
            elif controller.ended[me]:
                how = OVER
            if blocks or machine.scopes:
                self._update_blocks(me, machine)
            if how == OVER:
                if controller.ended[me] and any(lock.owner == me for lock in self.locks):
                    # its locks notice its end, and tell those who wait for them
                    self.replaced = me
                    return
                self._pass_on()
                caught = None
                if controller.ended[me]:
                    return
                if self.holder != me:
                    caught = yield from self._gate(me)
                if self.leaving[me]:
                    self.let_go()
                    self._drop_blocks(me)
                    return

    # --- operations that wait ----------------------------------------------------------------
    def _wait(self, me: int, op: Op) -> Steps:
        """Drive the real coroutine of ``op`` to its end, as the controller grants it."""
        controller, loop = self.controller, self.loop
        kind = op.kind
        work = loop.start(op, self.objects[op.target])
        if op.timeout is not None:
            timer = self.timers[me] = loop.timer()
            work = loop.timed(work, timer)
            if controller.fired and not controller.parked:
                loop.fire(timer)  # it is due at the checkpoint that begins the operation
        first = kind in loop.first
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        while True:
            # an operation that is cut off is left to unwind as it likes: no other goes on
            cut = controller.thrown is not None or (controller.fired and not controller.parked)
            try:
                trap = send(arg)
            except StopIteration as stop:
                self._compare(me, op, loop.outcome(kind, stop.value))
                return OVER
            except loop.cancelled as error:
                self._note_cancellation(me, op, error)
                return OVER
            except Exception as error:
                self._compare(me, op, raised(error))
                return OVER
            if cut or (first and loop.shielded(trap)):
                first = False
                send, arg = work.send, (yield trap)
                continue
            if controller.parked:
                self._pass_on()
            elif kind != GET and kind != PUT and loop.shielded(trap):
                return (yield from self._finish(me, op, work, trap))
            else:
                loop.forget(trap)
                raise mismatch(self.layout, me, op, controller.result, "waits")
            if self.leaving[me]:
                self.loop.forget(trap)
            else:
                send, arg = yield from self._suspend(me, work, trap)
            if self.leaving[me]:
                return (yield from self._leave(me, op, work))

    def _suspend(self, me: int, work: Coroutine[Any, Any, Any], trap: Any) -> Steps:
        """Wait for real, then for the baton. How ``work`` is to go on then: a method, a value."""
        self.traps[me] = trap
        try:
            reply = yield trap
        except self.loop.cancelled as error:
            step: tuple[Callable[[Any], Any], Any] = (work.throw, error)
        else:
            step = (work.send, reply)
        self.traps[me] = None
        if self.holder != me:
            self.resumed[me] = True
            caught = yield from self._gate(me)
            self.resumed[me] = False
            if caught is not None:
                step = (work.throw, caught)
        return step

    def _finish(self, me: int, op: Op, work: Coroutine[Any, Any, Any], trap: Any) -> Steps:
        """The event of ``op`` has been, and others go on before its task does."""
        controller = self.controller
        result = controller.result
        controller.advance(self.machines[me], me)
        if controller.ended[me]:
            send, arg = work.send, (yield trap)
        else:
            self._pass_on()
            if not self.leaving[me]:
                send, arg = yield from self._suspend(me, work, trap)
            if self.leaving[me]:
                return (yield from self._leave(me, op, work))
        try:
            send(arg)
        except StopIteration as stop:
            real = self.loop.outcome(op.kind, stop.value)
            if not agree(real, result):
                raise mismatch(self.layout, me, op, result, real) from None
            return ONWARD
        raise mismatch(self.layout, me, op, result, "waits again")

    def _leave(self, me: int, op: Op, work: Coroutine[Any, Any, Any]) -> Steps:
        """The schedule is over in the middle of ``work``."""
        yield from self.give_up(me, op, work)
        self._drop_blocks(me)
        return LEFT

    def _compare(self, me: int, op: Op, real: Value) -> None:
        controller = self.controller
        model = controller.result
        if controller.parked or controller.thrown is not None or not agree(real, model):
            if controller.parked:
                model = "waits"
            elif controller.thrown is not None:
                model = controller.thrown
            raise mismatch(self.layout, me, op, model, real)

    def _note_cancellation(self, me: int, op: Op, error: BaseException) -> None:
        thrown = self.controller.thrown
        if thrown is None:
            raise mismatch(self.layout, me, op, self.controller.result, error)
        uid = thrown.uid if isinstance(thrown, ScopeExpired) else -1
        self.in_flight[me] = (error, uid)

    def _cut_short(self, me: int, op: Op, caught: BaseException | None) -> Steps:
        """A cancellation reaches ``me`` where it is in no real operation."""
        if caught is None:
            caught = yield from self.loop.take_cancellation()
        if caught is None:
            raise mismatch(self.layout, me, op, self.controller.thrown, "was not cancelled")
        self._note_cancellation(me, op, caught)

    def _pause(self, me: int, op: Op) -> Steps:
        """A sleep, checkpoint or join is over: nothing may have cancelled it."""
        caught = yield from self.loop.check_cancelled()
        if caught is not None:
            raise mismatch(self.layout, me, op, self.controller.result, caught)

    # --- operations that do not --------------------------------------------------------------
    def _do(self, me: int, op: Op, kind: int) -> None:
        """Do ``op`` for real and compare."""
        controller = self.controller
        if kind in self.ways:
            self.ways[kind](op)
            return
        real = perform(op, self.values) if kind <= ATOMIC else self.attempt(op)
        model = controller.result
        if kind == NOTIFY and real is None:
            return  # who wakes shows when they do
        if real is not model and not agree(real, model):
            raise mismatch(self.layout, me, op, model, real)

    def _spawn(self, op: Op) -> None:
        if self.controller.result is None:
            self.controller.start(self.machines[op.target], op.target)

    def _cancel(self, op: Op) -> None:
        if op.target in self.controller.active:
            self.loop.cancel(op.target)

    def _call(self, op: Op) -> None:
        self.controller.replace(run_call(op, self.allow_call))
