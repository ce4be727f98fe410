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
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends import processes_wire as wire
from tracelock.backends.base import Backend, FreeRun, Options, mismatch
from tracelock.backends.rules import MULTIPROCESSING_RULES
from tracelock.engine.controller import Controller, same
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
        """The pool, started if need be."""
        if self.pool is None:
            from tracelock.backends.processes_pool import Pool

            self.pool = Pool(self.program, self.start_method, self.options.limits.steps)
            self._pollers = []
            for fd in self.pool.up:
                poller = select.poll()
                poller.register(fd, select.POLLIN)
                self._pollers.append(poller)
        return self.pool

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
        self._controller = controller
        objects = [model for model in controller.models if model is not None]
        try:
            with self.ready().one_core() as _:
                while controller.begin():
                    if not self._clean:
                        self._clean = [model.snapshot() for model in objects]
                    self._schedule(controller)
                    stale = controller.active or self._spoilt
                    if stale or [model.snapshot() for model in objects] != self._clean:
                        self._restore()
                    controller.scheduler.end(len(controller.log))
                    if done(controller):
                        return
        except BaseException:
            self.discard()
            raise

    def _schedule(self, controller: Controller) -> None:
        pool = self.ready()
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
        """One message of a worker, empty where it is dead. Raises LimitReached for a stuck one."""
        assert self.pool is not None
        if not self._pollers[worker].poll(1000.0 * self.options.limits.stall):
            raise LimitReached(
                f"{self.layout.workers[worker].name} is stuck outside tracelock's control"
            )
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
        if controller.kind == ATOMIC:
            real = self._early_result(real)
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
