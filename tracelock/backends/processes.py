"""The multiprocessing backend: real processes, real ``multiprocessing`` objects.

Controlled runs: the controller is here, in the parent, and each worker's machine in a process of
its own. For each event the parent says one word to one worker, which does the op on the real
object and answers with the result and its next op; the result is compared with the model's. See
``processes_wire`` for the words, ``processes_control`` for the other end, ``processes_free`` for
free runs.

As processes are pooled, ``spawn`` lets a waiting process begin and ``join`` waits for the end of
a worker's part, not of its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends import processes_wire as wire
from tracelock.backends.base import Backend, FreeRun, Options, mismatch
from tracelock.backends.rules import MULTIPROCESSING_RULES
from tracelock.engine.controller import Controller, same
from tracelock.engine.limits import INTERRUPTED
from tracelock.errors import InternalError, LimitReached, StepFailure, UsageError
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CRASH,
    JOIN,
    NOTIFY,
    RELEASE,
    SET,
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

if TYPE_CHECKING:
    from tracelock.backends.processes_pool import Pool
    from tracelock.scenario.program import Program

#: Decoded messages kept per worker: schedules of one program say the same things again and again.
CACHE: Final = 4096
DIED: Final = object()
#: Kinds that take no more than the word to do it, unless a timer fired.
SIMPLE: Final = frozenset(range(WRITE + 1)) | {ACQUIRE, RELEASE}


class MultiprocessingBackend(Backend):
    """Processes, pooled. Raises UsageError where there is no such start method.

    ``start_method`` is the one in use; see ``processes_pool.start_method`` for the default.
    """

    rules = MULTIPROCESSING_RULES

    def __init__(self, program: Program, options: Options) -> None:
        super().__init__(program, options)
        if os.name != "posix":
            raise UsageError("the multiprocessing backend needs a POSIX system")
        from tracelock.backends.processes_pool import start_method

        self.start_method = start_method(options.start_method)
        self.pool: Pool | None = None
        count = len(self.layout.workers)
        self._cache: list[dict[bytes, tuple[Value, Op]]] = [{} for _ in range(count)]
        self._early: dict[int, Any] = {}
        self._asleep: dict[int, list[int]] = {}
        self._spoilt = False
        self._controller: Controller
        self._clean: list[Any] = []
        self._first = [self._begin(number) for number in range(count)]

    # --- the pool ----------------------------------------------------------------------------
    def ready(self) -> Pool:
        """The pool, started if need be, all its processes alive."""
        if self.pool is not None and len(self.pool.pids()) < len(self.pool.up):
            self.discard()
        if self.pool is None:
            from tracelock.backends.processes_pool import Pool

            self.pool = Pool(self.program, self.start_method, self.options.limits.steps)
        return self.pool

    def _processes(self) -> list[int]:
        return [] if self.pool is None else self.pool.pids()

    def discard(self) -> None:
        """Kill the pool; the next run starts another."""
        if self.pool is not None:
            self.pool.kill()
            self.pool = None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    # --- controlled runs ---------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        from tracelock.backends.processes_pool import one_core

        self._controller = controller
        objects = [model for model in controller.models if model is not None]
        try:
            self.ready()
            with one_core(self._processes):
                while controller.begin():
                    if not self._clean:
                        self._clean = [model.snapshot() for model in objects]
                    try:
                        self._schedule(controller)
                    except KeyboardInterrupt:
                        controller.limit = INTERRUPTED
                        self._spoilt = True
                    stale = controller.active or controller.crashed or self._spoilt
                    if stale or [model.snapshot() for model in objects] != self._clean:
                        self._restore()
                    controller.scheduler.end(len(controller.log))
                    if done(controller) or controller.limit is INTERRUPTED:
                        return
        except BaseException:
            self.discard()
            raise

    def _schedule(self, controller: Controller) -> None:
        pool = self.pool
        assert pool is not None
        os.ftruncate(pool.setup.store.fd, 0)
        self._asleep.clear()
        down, write = pool.down, os.write
        step, ask, reply, caches = controller.next, controller.ask, self._reply, self._cache
        for number, spec in enumerate(self.layout.workers):
            if not spec.manual:
                self._start(controller, number)
        while True:
            worker = step()
            if worker < 0:
                if self._bury(controller):
                    continue
                return
            if controller.kind not in SIMPLE or controller.fired:
                self._grant(controller, worker)
                continue
            try:
                write(down[worker], wire.GRANT)
            except BrokenPipeError:
                data = b""
            else:
                data = reply(worker)
            known = caches[worker].get(data)
            if known is None:
                self._answered(controller, worker, self._decode(worker, data))
                continue
            real, op = known
            model = controller.result
            if real is not model and not same(real, model):
                raise mismatch(self.layout, worker, controller.op, model, real)
            ask(worker, op)

    def _begin(self, worker: int) -> Op | StepFailure | LimitReached | None:
        """What a worker comes to first. It depends on nothing shared, so it is asked here once."""
        try:
            op = self.program.machine(worker).begin()
        except (StepFailure, LimitReached) as error:
            return error
        return None if op is None else self._op(worker, wire.op_fields(op))

    def _start(self, controller: Controller, worker: int) -> None:
        first = self._first[worker]
        if first.__class__ is Op or first is None:
            controller.ask(worker, first)  # type: ignore[arg-type]
        else:
            self._ended(controller, worker, first)  # type: ignore[arg-type]

    def _ended(
        self, controller: Controller, worker: int, error: StepFailure | LimitReached
    ) -> None:
        if isinstance(error, StepFailure):
            controller.fail(worker, StepFailure(error.failure, error.message, error.at))
        else:
            controller.stop(worker, error)

    def _op(self, worker: int, fields: tuple[Any, ...]) -> Op:
        kind, target, at, value, timeout, blocking, expect, body, soft = fields
        if kind == ATOMIC:
            body = wire.RemoteBody(
                frozenset(body), lambda touches: self._rehearse(worker, touches)
            )
        return Op(kind, target, at, value, timeout, blocking, expect, body, soft)

    # --- words and answers -------------------------------------------------------------------
    def _say(self, worker: int, word: bytes) -> None:
        assert self.pool is not None
        try:
            wire.send(self.pool.down[worker], word)
        except BrokenPipeError:
            pass  # its answer will be empty

    def _reply(self, worker: int) -> bytes:
        """One message of a worker; empty where it is dead, or stuck, which ends the schedule."""
        assert self.pool is not None
        if not self.pool.pollers[worker].poll(1000.0 * self.options.limits.stall):
            name = self.layout.workers[worker].name
            self._controller.limit = f"{name} is stuck outside tracelock's control"
            self._spoilt = True
            return b""
        return wire.receive(self.pool.up[worker])

    def _decode(self, worker: int, data: bytes) -> tuple[Value, Any]:
        """(result, what follows: an Op, None, an exception or a mark) of a message."""
        if not data:
            return None, DIED
        if data == wire.NOTHING:
            return None, wire.NOTHING
        result, follows = wire.receive_message(data)
        if follows is None:
            return wire.unwrap(result), None
        if follows[0].__class__ is int:
            result, op = wire.unwrap(result), self._op(worker, follows)
            cache = self._cache[worker]
            if len(cache) >= CACHE:
                cache.clear()
            cache[data] = (result, op)
            return result, op
        if follows[0] == wire.ERROR:
            raise InternalError(f"in the process of a worker:\n{follows[1]}")
        if follows[0] in (wire.FAILED, wire.LIMIT):
            return wire.unwrap(result), wire.failure_of(follows)
        return wire.unwrap(result), follows

    def _answered(
        self, controller: Controller, worker: int, message: tuple[Value, Any]
    ) -> None:
        """Compare the result of the granted op with the model's, and ask for what follows."""
        real, follows = message
        if follows is DIED:
            self._died(controller, worker)
            return
        model, op = controller.result, controller.op
        mark = follows.__class__ is tuple
        if mark and follows[0] == wire.FULL:
            self._spoilt = True
            controller.stop(worker, LimitReached(follows[1]))
            return
        if controller.kind == ATOMIC and real.__class__ is list:
            real = {"reads": real[2], "writes": real[3]}
        elif controller.kind == CALL:
            controller.replace(real)
            model = real
        elif controller.kind == NOTIFY and model.__class__ is list:
            model = None  # whom it woke shows when they wake
        if follows == wire.NOTHING or not agree(real, model):
            raise mismatch(self.layout, worker, op, model, real)
        if mark:  # the object raised: the machine fails with the model's words
            self._say(worker, wire.FAILS + wire.pack(f"{model.kind}: {model.message}"))
            _, follows = self._decode(worker, self._reply(worker))
            if follows is DIED:
                self._died(controller, worker)
                return
        if isinstance(follows, (StepFailure, LimitReached)):
            self._ended(controller, worker, follows)
        else:
            controller.ask(worker, follows)

    def _grant(self, controller: Controller, worker: int) -> None:
        """Let the granted event happen: all kinds that need more than one word."""
        op, kind, target = controller.op, controller.kind, controller.op.target
        if kind == ATOMIC:
            self._answered(controller, worker, self._early.pop(worker))
            return
        word = wire.GRANT
        dead: list[int] = []
        if kind == TIMEOUT:  # of a condition: its lock is still to be taken back
            self._asleep[target].remove(worker)
            self._say(worker, wire.TIMED_OUT)
            return
        if kind == WAIT:
            if controller.parked:
                self._park(controller, worker)
                return
            if controller.result is True and self.layout.spec(target).type == "barrier":
                dead = self._rouse(target, list(self._asleep.get(target, ())))
        elif kind == WAKE:
            if controller.fired:
                self._asleep[target].remove(worker)
                if self.layout.spec(target).type == "barrier":  # which is broken from now on
                    dead = self._rouse(target, list(self._asleep[target]))
                word = wire.TIMED_OUT + wire.GRANT
        elif kind == NOTIFY:
            if controller.result.__class__ is list:
                dead = self._rouse(target, controller.result)
        elif kind == SET:
            dead = self._rouse(target, list(self._asleep.get(target, ())))
        elif kind == JOIN:
            word = wire.GRANT if controller.result is True else wire.EXPIRED
        elif kind == SPAWN:
            if controller.result is None:
                self._start(controller, target)
            else:
                word = wire.EXPIRED
        elif kind == CALL and not self.options.allow_call:
            raise InternalError("a call step was reached though calls are not allowed")
        elif controller.fired and kind != SLEEP:
            model = controller.models[target]
            free = controller.adversarial and model is not None and model.enabled(op, worker)
            word = wire.SKIPPED if free else wire.EXPIRED
        self._say(worker, word)
        if dead:
            self._stand_in(target, len(dead))
        self._answered(controller, worker, self._decode(worker, self._reply(worker)))

    def _park(self, controller: Controller, worker: int) -> None:
        """``worker`` begins to wait in its real object."""
        op = controller.op
        self._say(worker, wire.GRANT)
        real, follows = self._decode(worker, self._reply(worker))
        if follows is DIED:
            self._died(controller, worker)
        elif follows != wire.NOTHING:
            raise mismatch(self.layout, worker, op, "waits", real)
        else:
            self._asleep.setdefault(op.target, []).append(worker)

    def _rouse(self, target: int, workers: list[int]) -> list[int]:
        """Tell sleepers that they are about to be woken. Returns those that are dead."""
        assert self.pool is not None
        for worker in workers:
            self._asleep[target].remove(worker)
            self._say(worker, wire.NOTIFIED)
        return [worker for worker in workers if not self.pool.alive(worker)]

    def _stand_in(self, target: int, count: int) -> None:
        """Do the handshake of a notifier with sleepers that were killed from outside."""
        assert self.pool is not None
        real = self.pool.setup.objects[target]
        condition = getattr(real, "_cond", real)
        for _ in range(count):
            condition._wait_semaphore.acquire(True, 1.0)
            condition._woken_count.release()

    def _rehearse(
        self, worker: int, touches: frozenset[int]
    ) -> tuple[dict[int, Value], dict[int, Value]]:
        """Have ``worker`` do its atomic step: see ``processes_wire.RemoteBody``."""
        values = self._controller.values
        self._say(worker, wire.ATOMICALLY + wire.pack({n: values[n] for n in touches}))
        message = self._early[worker] = self._decode(worker, self._reply(worker))
        if message[0].__class__ is not list:
            return {}, {}  # dead, or out of room: what follows says so
        reads, writes = message[0][:2]
        return reads, writes

    # --- the dead, and cleaning up -----------------------------------------------------------
    def _died(self, controller: Controller, worker: int) -> None:
        """A granted worker did not answer, because it is dead (or is as good as dead)."""
        assert self.pool is not None
        if controller.limit is not None:
            return
        if controller.kind == CRASH:
            self.pool.how(worker)
            controller.crash(worker, "crash")
        else:
            self._killed(controller, worker)

    def _killed(self, controller: Controller, worker: int) -> None:
        """Something outside has killed a worker: an event of its own, whose value says how."""
        assert self.pool is not None
        self._spoilt = True
        how = self.pool.how(worker)
        op = controller.pending[worker]
        event = Op(CRASH, -1, op.at if op is not None else "", how)
        controller.log.append((worker, CRASH, event, None, None, controller.now))
        controller.crash(worker, how)

    def _bury(self, controller: Controller) -> bool:
        """Nothing can happen any more: have some of those who wait been killed from outside?"""
        assert self.pool is not None
        if controller.limit is not None:
            return False
        dead = [worker for worker in controller.active if not self.pool.alive(worker)]
        for worker in dead:
            self._killed(controller, worker)
        return bool(dead)

    def _restore(self) -> None:
        """Undo what a schedule has left behind, in the objects and in the processes."""
        pool = self.pool
        assert pool is not None
        dead = [worker for worker in range(len(pool.up)) if not pool.alive(worker)]
        if not self._spoilt:
            living = [worker for worker in range(len(pool.up)) if worker not in dead]
            for worker in living:
                self._say(worker, wire.ABANDON)
            if all(self._reply(worker) == wire.NOTHING for worker in living) and pool.restore():
                pool.revive(dead)
                return
        self._spoilt = False
        self.discard()
        self.ready()

    # --- free runs ---------------------------------------------------------------------------
    def free(self, record: bool = True) -> FreeRun:
        from tracelock.backends.processes_free import FreeProcesses

        pool = self.ready()
        try:
            run = FreeProcesses(self.program, self.options, pool)
            result = run.run(record)
        except BaseException:
            self.discard()
            raise
        if run.spoilt:
            self.discard()
        else:
            self._restore()
        return result


def agree(real: Value, model: Value) -> bool:
    """Whether a real result is the one that the model said."""
    if real.__class__ is Raised or model.__class__ is Raised:
        return bool(real == model)
    return same(real, model)
