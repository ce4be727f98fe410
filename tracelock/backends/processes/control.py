"""A worker's process in controlled runs: it does what it is granted, for real, and answers.

The machine of the scenario runs here. Each word of the parent lets one op happen on the real
object, which is known not to block; the answer carries its result and the machine's next op.

Waits run the library's own code. ``Condition.wait`` counts itself as a sleeper, releases its lock
and sleeps on a semaphore; two stand-ins for the condition's semaphores put the parent in charge
there: a sleeper goes for the real semaphore only once the parent has said that it is among those
notified, and then takes its lock back only when the parent grants the wake. ``Event`` and
``Barrier`` are built on conditions and so need nothing more.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Final

from tracelock.backends.calls import run_call
from tracelock.backends.processes import objects as processes_objects
from tracelock.backends.processes import wire as processes_wire
from tracelock.backends.processes.store import Store
from tracelock.backends.processes.wire import (
    ABANDON,
    ATOMICALLY,
    EXPIRED,
    FAILS,
    GRANT,
    NOTHING,
    NOTIFIED,
    SKIPPED,
    TIMED_OUT,
    WASTED,
    op_fields,
    pack,
    receive_payload,
    send,
    wrap,
)
from tracelock.engine.effects import modified, read_and_written
from tracelock.engine.recording import plain
from tracelock.errors import InternalError, LimitReached, StepFailure
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CHECKPOINT,
    CRASH,
    EMPTY,
    GET,
    JOIN,
    PUT,
    READ,
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

#: Seconds for a handshake between a notifier and those it wakes, who all run.
HANDSHAKE: Final = 10.0


class Abandoned(BaseException):
    """Unwinds a worker that is inside a real wait when its schedule is over."""


class Sleep:
    """Stands in for the semaphore on which a condition's waiters sleep."""

    def __init__(self, real: Any, worker: Controlled) -> None:
        self.real = real
        self.worker = worker

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """A try is the notifier's own; anything else sleeps until the parent says otherwise."""
        if not block:
            return bool(self.real.acquire(False))
        return self.worker.sleep(self.real)

    def release(self) -> None:
        """Wake one sleeper."""
        self.real.release()


class Woken:
    """Stands in for the semaphore with which waiters tell the notifier that they are awake."""

    def __init__(self, real: Any, worker: Controlled) -> None:
        self.real = real
        self.worker = worker

    def acquire(self, block: bool = True) -> bool:
        """Of the notifier: wait for one that it has woken."""
        if not block:
            return bool(self.real.acquire(False))
        if not self.real.acquire(True, HANDSHAKE):
            raise InternalError("a notified process did not wake")
        return True

    def release(self) -> None:
        """Of a waiter, after which it takes its lock back: that is the parent's to grant."""
        self.worker.awake(self.real)


class Controlled:
    """The controlled side of one worker's process."""

    def __init__(
        self, program: Program, me: int, objects: list[Any], store: Store, down: int, up: int
    ) -> None:
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
        self.abandoned = False
        self.out = processes_objects.senders(self.layout, objects)
        self.types = [""] * self.layout.variables + [spec.type for spec in self.layout.objects]

    # --- the stand-ins -----------------------------------------------------------------------
    def install(self) -> None:
        """Put the stand-ins into the conditions of this process."""
        for condition in self._conditions():
            if condition._wait_semaphore.__class__ is not Sleep:
                condition._wait_semaphore = Sleep(condition._wait_semaphore, self)
                condition._woken_count = Woken(condition._woken_count, self)
                condition.wait_for = _wait_for(condition)  # which a barrier uses

    def remove(self) -> None:
        """Give the conditions their own semaphores back."""
        for condition in self._conditions():
            if condition._wait_semaphore.__class__ is Sleep:
                condition._wait_semaphore = condition._wait_semaphore.real
                condition._woken_count = condition._woken_count.real
                vars(condition).pop("wait_for", None)

    def _conditions(self) -> list[Any]:
        return [
            getattr(self.objects[number], "_cond", self.objects[number])
            for number, type_ in enumerate(self.types)
            if type_ in ("condition", "event", "barrier")
        ]

    def sleep(self, real: Any) -> bool:
        """Asleep in a condition, its lock released: others go on until the parent says."""
        send(self.up, NOTHING)
        word = self._word()
        if word in (NOTIFIED, WASTED):
            # a wasted one would be taken back by the notifier; that this process takes it makes
            # sure that the notifier has counted on it
            if not real.acquire(True, HANDSHAKE):
                raise InternalError("a notification did not arrive")
            return word == NOTIFIED
        if word == TIMED_OUT:
            return False
        self.abandoned = True
        raise Abandoned

    def awake(self, real: Any) -> None:
        """No longer asleep; the lock is taken back when the parent grants it."""
        if self.abandoned:
            raise Abandoned
        real.release()
        if self._word() != GRANT:
            raise Abandoned

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
                self._granted()
            elif word == ABANDON:
                self._unwind()
            elif word == ATOMICALLY:
                self._atomic(receive_payload(self.down))
            elif word in (EXPIRED, SKIPPED):
                self._granted(word)
            else:
                raise InternalError(f"a worker was told {word!r} out of turn")
        except Abandoned:
            self._unwind()
        except LimitReached as limit:
            self.machine = None
            send(self.up, pack((None, (processes_wire.FULL, str(limit)))))

    def _unwind(self) -> None:
        self.machine = None
        self.abandoned = False
        processes_objects.forget(self.objects)
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

    def _granted(self, word: bytes = GRANT) -> None:
        op = self._op()
        kind = op.kind
        result: Value
        if word != GRANT:
            result = self._expired(op, word)
        elif kind == READ:
            result = self.store.read(op.target)
        elif kind == WRITE:
            self.writes += 1
            self.store.write(op.target, op.value, self.writes)
            result = None
        elif kind == WAIT:
            result = processes_objects.wait(
                self.objects[op.target], self.types[op.target], op, op.timeout
            )
            if self.abandoned:  # and the error is about the lock that was not taken back
                raise Abandoned
        elif ACQUIRE <= kind < SLEEP:
            result = processes_objects.attempt(self.layout, self.objects, self.out, op)
        else:
            result = self._other(op, kind)
        if result.__class__ is Raised:
            send(self.up, pack((wrap(result), (processes_wire.RAISED,))))
            if self._word() != FAILS:
                raise Abandoned
            failure = StepFailure("error", receive_payload(self.down), op.at)
            self._next(None, failure)
        else:
            self._answer(result)

    def _answer(self, result: Value) -> None:
        """Go on from the op with its result, and tell both the result and the next op."""
        machine = self.machine
        assert machine is not None
        try:
            op = machine.resume(result)
        except (StepFailure, LimitReached) as error:
            self._last(result, error)
            return
        self.op = op
        if op is None:
            self.machine = None
            fields = None
        else:
            fields = op_fields(op)
        if result is EMPTY:
            result = processes_wire.EMPTY_MARK
        try:
            data = pack((result, fields))
        except ValueError:  # what a call gave is not JSON
            data = pack((plain(result), fields))
        send(self.up, data)

    def _next(self, result: Value, error: BaseException) -> None:
        """Throw ``error`` into the machine, and tell where that leads."""
        machine = self.machine
        assert machine is not None
        try:
            self.op = machine.throw(error)
        except (StepFailure, LimitReached) as failure:
            self._last(result, failure)
            return
        if self.op is None:
            self.machine = None
        send(self.up, pack((result, None if self.op is None else op_fields(self.op))))

    def _last(self, result: Value, error: StepFailure | LimitReached) -> None:
        """The machine has ended with ``error``."""
        self.machine = None
        fields: tuple[Any, ...]
        if isinstance(error, StepFailure):
            fields = (processes_wire.FAILED, error.failure, error.message, error.at)
        else:
            fields = (processes_wire.LIMIT, str(error))
        send(self.up, pack((wrap(result), fields)))

    # --- the less frequent ops ---------------------------------------------------------------
    def _expired(self, op: Op, word: bytes) -> Value:
        """The result of an op whose timer ended it, or which the model refuses."""
        kind = op.kind
        if kind == JOIN:
            return False
        if kind == SPAWN:
            return Raised("RuntimeError", "the worker has been started before")
        refused: Value = EMPTY if kind == GET else False
        if word == SKIPPED:
            return refused
        assert kind in (ACQUIRE, PUT, GET)
        return processes_objects.attempt(self.layout, self.objects, self.out, op)

    def _other(self, op: Op, kind: int) -> Value:
        if kind in (SLEEP, CHECKPOINT, SPAWN):
            return None
        if kind == JOIN:
            return True
        if kind == CALL:
            return run_call(str(op.body), list(op.value))
        if kind == CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
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
        self._answer([*model, *real])


def _wait_for(condition: Any) -> Any:
    """``Condition.wait_for`` without a clock: time under control is virtual."""

    def wait_for(predicate: Any, timeout: float | None = None) -> Any:
        result = predicate()
        while not result:
            if not condition.wait(timeout):
                return predicate()
            result = predicate()
        return result

    return wait_for
