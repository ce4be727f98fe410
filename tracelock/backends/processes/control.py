"""A worker's process in controlled runs: it does what it is granted, for real, and answers.

The machine of the scenario runs here. Each word of the parent lets one op happen on the real
object, which is known not to block; the answer carries its result and the machine's next op.

Waits run the library's own code, with the parent in charge where a waiter sleeps: it goes for the
real semaphore only once the parent has said that it is among those notified, and then takes its
lock back only when the parent grants the wake (see ``conditions``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tracelock.backends.calls import run_call
from tracelock.backends.processes import conditions
from tracelock.backends.processes import objects as process_objects
from tracelock.backends.processes.store import VariableStore
from tracelock.backends.processes.wire import (
    ABANDON,
    ATOMICALLY,
    EXPIRED,
    FAILS,
    FULL,
    GRANT,
    NOTHING,
    NOTIFIED,
    RAISED,
    SKIPPED,
    TIMED_OUT,
    WASTED,
    failure_fields,
    message,
    op_fields,
    receive_payload,
    send,
)
from tracelock.engine.effects import modified, read_and_written
from tracelock.errors import InternalError, LimitReached, StepFailure, Unwind
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    CRASH,
    EMPTY,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    SLEEP,
    SPAWN,
    WAIT,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
)
from tracelock.scenario.program import Machine, Program


class GrantedWorker:
    """The controlled side of one worker's process."""

    patience: float | None = conditions.HANDSHAKE

    def __init__(
        self, program: Program, me: int, objects: list[Any], store: VariableStore,
        down: int, up: int,
    ) -> None:  # fmt: skip
        self.program = program
        self.me = me
        self.layout: Layout = program.layout
        self.objects = objects
        self.store = store
        self.down = down
        self.up = up
        self.machine: Machine | None = None
        self.op: Op | None = None
        self.writes = 0
        self.unwinding = False
        self.out = process_objects.senders(self.layout, objects)
        self.types = [""] * self.layout.variables + [spec.type for spec in self.layout.objects]
        #: By kind of op: how it is done once it is known not to block.
        self.ways: dict[int, Callable[[Op], Value]] = {
            READ: lambda op: store.read(op.target),
            WRITE: self._write,
            **dict.fromkeys((COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD), self._modify),
            **dict.fromkeys((ACQUIRE, RELEASE, NOTIFY, SET, CLEAR, PUT, GET), self._attempt),
            **dict.fromkeys((SLEEP, CHECKPOINT, SPAWN), lambda op: None),
            WAIT: self._wait,
            JOIN: lambda op: True,
            CALL: lambda op: run_call(op, True),  # the parent has seen to that it is allowed
            CRASH: self._crash,
        }

    # --- the stand-ins -----------------------------------------------------------------------
    def install(self) -> None:
        """Put the parent in charge of the conditions of this process."""
        found = self._conditions()
        conditions.install(found, self)
        for condition in found:
            condition.wait_for = conditions.untimed_wait_for(condition)  # which a barrier uses

    def remove(self) -> None:
        """Undo ``install``."""
        found = self._conditions()
        conditions.remove(found)
        for condition in found:
            del condition.wait_for

    def _conditions(self) -> list[Any]:
        return [
            getattr(self.objects[number], "_cond", self.objects[number])
            for number, type_ in enumerate(self.types)
            if type_ in ("condition", "event", "barrier")
        ]

    def sleep(self, real: Any, timeout: float | None) -> bool:
        """Asleep in a condition, its lock released: others go on until the parent says."""
        send(self.up, NOTHING)
        word = self._word()
        if word in (NOTIFIED, WASTED):
            # a wasted one would be taken back by the notifier; that this process takes it makes
            # sure that the notifier has counted on it
            if not real.acquire(True, conditions.HANDSHAKE):
                raise InternalError("a notification did not arrive")
            return word == NOTIFIED
        if word == TIMED_OUT:
            return False
        self.unwinding = True
        raise Unwind

    def awake(self, real: Any) -> None:
        """No longer asleep; the lock is taken back when the parent grants it."""
        if self.unwinding:
            raise Unwind
        real.release()
        if self._word() != GRANT:
            raise Unwind

    def _word(self) -> bytes:
        word = os.read(self.down, 1)
        if not word:
            os._exit(0)
        return word

    # --- the loop ----------------------------------------------------------------------------
    def handle(self, word: bytes) -> None:
        """Do what ``word`` says, and answer."""
        try:
            if word == GRANT:
                op = self._op()
                self._done(op, self.ways[op.kind](op))
            elif word in (EXPIRED, SKIPPED):
                op = self._op()
                self._done(op, self._expired(op, word))
            elif word == ATOMICALLY:
                self._atomic(receive_payload(self.down))
            elif word == ABANDON:
                self._unwind()
            else:
                raise InternalError(f"a worker was told {word!r} out of turn")
        except Unwind:
            self._unwind()
        except LimitReached as limit:
            self.machine = None
            send(self.up, message(None, (FULL, str(limit))))

    def _unwind(self) -> None:
        self.machine = None
        self.unwinding = False
        process_objects.forget(self.objects)
        send(self.up, NOTHING)

    def _op(self) -> Op:
        """The op that this worker stands at; the first grant of a schedule starts its machine."""
        if self.machine is None:
            self.machine = self.program.machine(self.me, True)
            self.store.reset()
            self.writes = 0
            # the parent has run a machine of its own to the first op: this cannot fail
            self.op = self.machine.begin()
        assert self.op is not None
        return self.op

    def _done(self, op: Op, result: Value) -> None:
        """``op`` has been done: go on, and tell its result and where that leads."""
        assert self.machine is not None
        if result.__class__ is not Raised:
            self._go_on(result, self.machine.resume, result)
            return
        send(self.up, message(result, (RAISED,)))
        if self._word() != FAILS:
            raise Unwind
        failure = StepFailure("error", receive_payload(self.down), op.at)
        self._go_on(None, self.machine.throw, failure)

    def _go_on(self, result: Value, step: Callable[[Any], Op | None], value: Any) -> None:
        follows: tuple[Any, ...] | None = None
        try:
            self.op = op = step(value)
        except (StepFailure, LimitReached) as error:
            op, follows = None, failure_fields(error)
        if op is None:
            self.machine = None
        else:
            follows = op_fields(op)
        send(self.up, message(result, follows))

    # --- one op ------------------------------------------------------------------------------
    def _write(self, op: Op) -> None:
        self.writes += 1
        self.store.write(op.target, op.value, self.writes)

    def _modify(self, op: Op) -> Value:
        result, new, wrote = modified(op, self.store.read(op.target))
        if wrote:
            self.writes += 1
            self.store.write(op.target, new, self.writes)
        return result

    def _atomic(self, values: dict[int, Value]) -> None:
        op = self._op()
        assert op.kind == ATOMIC
        model = read_and_written(op.body.rehearse, values.__getitem__)
        real = read_and_written(op.body.run, self.store.read)
        self.writes += 1
        self.store.write_all(real[1].items(), self.writes)
        self._done(op, [*model, *real])

    def _attempt(self, op: Op) -> Value:
        return process_objects.attempt(self.layout, self.objects, self.out, op)

    def _wait(self, op: Op) -> Value:
        result = process_objects.wait(
            self.objects[op.target], self.types[op.target], op, op.timeout
        )
        if self.unwinding:  # and the error is about the lock that was not taken back
            raise Unwind
        return result

    def _crash(self, op: Op) -> Value:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    def _expired(self, op: Op, word: bytes) -> Value:
        """The result of an op whose timer ended it, or which the model refuses."""
        kind = op.kind
        if kind == JOIN:
            return False
        if kind == SPAWN:
            return Raised("RuntimeError", "the worker has been started before")
        if word == SKIPPED:
            return EMPTY if kind == GET else False
        assert kind in (ACQUIRE, PUT, GET)
        return self._attempt(op)
