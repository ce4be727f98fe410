"""Controlled schedules on a pool of processes: the parent's side.

For each event that the controller grants one word goes to one worker, and one message comes back;
the real result in it is compared with the model's. See ``wire`` for the words, and ``control``
for the other end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from tracelock.backends.base import Options, agree, mismatch, stuck
from tracelock.backends.calls import refuse_call
from tracelock.backends.processes import wire
from tracelock.backends.processes.pool import ProcessPool
from tracelock.engine.controller import Controller
from tracelock.engine.effects import unwrap
from tracelock.errors import LimitReached, StepFailure
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
    Value,
    same,
)
from tracelock.scenario.compile.rounds import look, seconds_left
from tracelock.scenario.program import Program

#: Decoded messages kept per worker: schedules of one program say the same things again and again.
CACHE: Final = 4096
#: Seconds after the time of a run in which a worker may still answer.
GRACE: Final = 0.05
#: What follows a message that did not come.
DIED: Final = object()
#: Kinds that take no more than the word to do it, unless a timer fired.
SIMPLE: Final = frozenset(range(WRITE + 1)) | {ACQUIRE, RELEASE}


class Driver:
    """Runs schedules of one program, one after the other, on the pool that it is given."""

    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.layout = program.layout
        self.options = options
        #: Whether the pool cannot be brought back into order.
        self.unusable = False
        count = len(self.layout.workers)
        self._pool: ProcessPool
        self._controller: Controller
        self._cache: list[dict[bytes, tuple[Value, Op]]] = [{} for _ in range(count)]
        self._early: dict[int, Any] = {}  # answers that came while an atomic step was granted
        self._asleep: dict[int, list[int]] = {}  # by object: parked and not yet woken
        self._late: set[int] = set()  # whose time at a condition is up
        self._killed_sleepers = 0  # dead ones among those that the granted event wakes
        self._first: dict[int, Op | StepFailure | None] = {}
        #: By kind of event: makes ready for it, and returns the word for it (none: said already).
        self._words: dict[int, Callable[[Controller, int], bytes]] = {
            TIMEOUT: self._word_of_timeout, WAIT: self._word_of_wait, WAKE: self._word_of_wake,
            NOTIFY: self._word_of_notify, SET: self._word_of_set,
            JOIN: lambda run, _: wire.GRANT if run.result is True else wire.EXPIRED,
            SPAWN: self._word_of_spawn, CALL: self._word_of_call,
        }  # fmt: skip

    def schedule(self, controller: Controller, pool: ProcessPool) -> None:
        """Run one schedule, which ``controller`` has begun."""
        self._controller, self._pool = controller, pool
        before, look = controller.before, pool.deaths.poll

        def step_begins(controller: Controller) -> None:
            if look(0):
                self._notice_deaths(controller)
            if before is not None:
                before(controller)

        controller.before = step_begins
        try:
            self._run(controller, pool)
        finally:
            controller.before = before

    def _run(self, controller: Controller, pool: ProcessPool) -> None:
        os.ftruncate(pool.setup.store.fd, 0)
        self._asleep.clear()
        self._late.clear()
        down, write = pool.down, os.write
        step, ask, reply, caches = controller.next, controller.ask, self._reply, self._cache
        for number, spec in enumerate(self.layout.workers):
            if not spec.manual:
                self._start(controller, number)
        while True:
            worker = step()
            if worker < 0:
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

    def _begin(self, worker: int) -> Op | StepFailure | None:
        """What a worker comes to first. It depends on nothing shared, so it is asked here once."""
        try:
            op = self.program.machine(worker).begin()
        except StepFailure as error:
            return error
        return None if op is None else self._op(worker, wire.op_fields(op))

    def _start(self, controller: Controller, worker: int) -> None:
        try:
            if worker not in self._first:
                self._first[worker] = self._begin(worker)
        except LimitReached as limit:
            controller.stop(worker, limit)
            return
        first = self._first[worker]
        if isinstance(first, StepFailure):
            controller.fail(worker, first)
        else:
            controller.ask(worker, first)

    def _ended(
        self, controller: Controller, worker: int, error: StepFailure | LimitReached
    ) -> None:
        if isinstance(error, StepFailure):
            controller.fail(worker, error)
        else:
            controller.stop(worker, error)

    def _op(self, worker: int, fields: tuple[Any, ...]) -> Op:
        return wire.op_of(fields, lambda touches: self._rehearse(worker, touches))

    # --- words and answers -------------------------------------------------------------------
    def _say(self, worker: int, word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # its answer will be empty
            wire.send(self._pool.down[worker], word)

    def _reply(self, worker: int) -> bytes:
        """One message of a worker; empty where it is dead, or stuck, which ends the schedule."""
        patience = min(self.options.limits.stall, seconds_left() + GRACE)
        if not self._pool.pollers[worker].poll(1000.0 * patience):
            self.unusable = True
            try:
                look()
            except LimitReached as limit:  # it goes round a loop, and looks at no clock of ours
                self._controller.stop(worker, limit)
                return b""
            self._controller.limit = stuck(self.layout, worker)
            return b""
        return wire.receive(self._pool.up[worker])

    def _decode(self, worker: int, data: bytes) -> tuple[Value, Any]:
        """(result, what follows: an Op, None, an exception or a mark) of a message."""
        if not data:
            return None, DIED
        if data == wire.NOTHING:
            return None, wire.NOTHING
        result, follows = wire.receive_message(data)
        if follows is None:
            return unwrap(result), None
        if follows[0].__class__ is int:
            result, op = unwrap(result), self._op(worker, follows)
            cache = self._cache[worker]
            if len(cache) >= CACHE:
                cache.clear()
            cache[data] = (result, op)
            return result, op
        if follows[0] in (wire.FAILED, wire.LIMIT, wire.ERROR):
            return unwrap(result), wire.failure_of(follows)
        return unwrap(result), follows

    def _answered(self, controller: Controller, worker: int, message: tuple[Value, Any]) -> None:
        """Compare the result of the granted op with the model's, and ask for what follows."""
        real, follows = message
        if follows is DIED:
            self._died(controller, worker)
            return
        model, op = controller.result, controller.op
        mark = follows.__class__ is tuple
        if mark and follows[0] == wire.FULL:
            self.unusable = True
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

    # --- granting ----------------------------------------------------------------------------
    def _grant(self, controller: Controller, worker: int) -> None:
        """Let the granted event happen: all kinds that need more than one word."""
        kind = controller.kind
        if kind == ATOMIC:
            self._answered(controller, worker, self._early.pop(worker))
            return
        self._killed_sleepers = 0
        word = self._words.get(kind, self._word)(controller, worker)
        if word:
            self._say(worker, word)
            if self._killed_sleepers:
                self._complete_handshake(controller.op.target, self._killed_sleepers)
            self._answered(controller, worker, self._decode(worker, self._reply(worker)))

    def _word(self, controller: Controller, worker: int) -> bytes:
        """The word for an op that a timer may have ended."""
        if not controller.fired or controller.kind == SLEEP:
            return wire.GRANT
        model = controller.models[controller.op.target]
        free = controller.adversarial and model is not None and model.enabled(controller.op, worker)
        return wire.SKIPPED if free else wire.EXPIRED

    def _word_of_timeout(self, controller: Controller, worker: int) -> bytes:
        # of a condition: its lock is still to be taken back. Until then the worker stays where
        # it is, as a notify may be wasted on it.
        self._late.add(worker)
        return b""

    def _word_of_wait(self, controller: Controller, worker: int) -> bytes:
        op = controller.op
        if not controller.parked:
            if controller.result is True and self._is_barrier(op.target):
                self._wake_all(op.target)
            return wire.GRANT
        self._say(worker, wire.GRANT)  # it begins to wait in its real object
        real, follows = self._decode(worker, self._reply(worker))
        if follows is DIED:
            self._died(controller, worker)
        elif follows != wire.NOTHING:
            raise mismatch(self.layout, worker, op, "waits", real)
        else:
            self._asleep.setdefault(op.target, []).append(worker)
        return b""

    def _word_of_wake(self, controller: Controller, worker: int) -> bytes:
        target = controller.op.target
        if controller.fired:
            self._asleep[target].remove(worker)
            if self._is_barrier(target):  # which is broken from now on
                self._wake_all(target)
            return wire.TIMED_OUT + wire.GRANT
        if worker in self._late:
            self._late.remove(worker)
            if worker in self._asleep[target]:
                self._asleep[target].remove(worker)
                return wire.TIMED_OUT + wire.GRANT
        return wire.GRANT

    def _word_of_notify(self, controller: Controller, worker: int) -> bytes:
        if controller.result.__class__ is list:
            self._wake_sleepers(controller.op.target, controller.result)
        return wire.GRANT

    def _word_of_set(self, controller: Controller, worker: int) -> bytes:
        self._wake_all(controller.op.target)
        return wire.GRANT

    def _word_of_spawn(self, controller: Controller, worker: int) -> bytes:
        if controller.result is not None:
            return wire.EXPIRED
        self._start(controller, controller.op.target)
        return wire.GRANT

    def _word_of_call(self, controller: Controller, worker: int) -> bytes:
        if not self.options.allow_call:
            raise refuse_call()
        return wire.GRANT

    def _is_barrier(self, target: int) -> bool:
        return self.layout.spec(target).type == "barrier"

    def _wake_all(self, target: int) -> None:
        self._wake_sleepers(target, list(self._asleep.get(target, ())))

    def _wake_sleepers(self, target: int, workers: Sequence[int]) -> None:
        """Tell sleepers that they are about to be woken, and count those that are dead."""
        for worker in workers:
            self._asleep[target].remove(worker)
            self._say(worker, wire.WASTED if worker in self._late else wire.NOTIFIED)
        self._killed_sleepers += sum(not self._pool.alive(worker) for worker in workers)

    def _complete_handshake(self, target: int, count: int) -> None:
        """Do the handshake of a notifier with sleepers that were killed from outside."""
        real = self._pool.setup.objects[target]
        condition = getattr(real, "_cond", real)
        for _ in range(count):
            condition._wait_semaphore.acquire(True, 1.0)
            condition._woken_count.release()

    def _rehearse(
        self, worker: int, touches: frozenset[int]
    ) -> tuple[dict[int, Value], dict[int, Value]]:
        """Have ``worker`` do its atomic step: see ``wire.RemoteBody``."""
        values = self._controller.values
        self._say(worker, wire.ATOMICALLY + wire.pack({n: values[n] for n in touches}))
        message = self._early[worker] = self._decode(worker, self._reply(worker))
        if message[0].__class__ is not list:
            return {}, {}  # dead, or out of room: what follows says so
        reads, writes = message[0][:2]
        return reads, writes

    # --- deaths, and cleaning up -------------------------------------------------------------
    def _notice_deaths(self, controller: Controller) -> None:
        """Before a step: has something outside killed a worker meanwhile?"""
        for fd, _ in self._pool.deaths.poll(0):
            worker = self._pool.up.index(fd)
            self._pool.unwatch(fd)
            self.unusable = True
            if worker in controller.active:
                self._killed(controller, worker)

    def _killed(self, controller: Controller, worker: int) -> None:
        """Something outside has killed a worker: an event of its own, whose value says how."""
        self.unusable = True
        how = self._pool.exit_text(worker)
        op = controller.pending[worker]
        event = Op(CRASH, -1, op.at if op is not None else "", how)
        controller.log.append((worker, CRASH, event, None, None, controller.now))
        controller.crash(worker, how)
        controller.ended_outside(worker, how)

    def _died(self, controller: Controller, worker: int) -> None:
        """A granted worker did not answer, because it is dead or does not answer at all."""
        if controller.limit is not None:
            return
        self._pool.unwatch(self._pool.up[worker])
        if controller.kind == CRASH:
            self._pool.exit_text(worker)
            controller.crash(worker, "crash")
            return
        # whether it still did what the models say is unknown: the schedule ends
        controller.log.pop()
        self._killed(controller, worker)
        controller.limit = f"{self.layout.workers[worker].name} died in the middle of a step"

    def restore(self, pool: ProcessPool) -> bool:
        """Undo what was left behind, in the objects and in the processes; False if impossible."""
        self._pool = pool
        workers = range(len(pool.up))
        dead = [worker for worker in workers if not pool.alive(worker)]
        living = [worker for worker in workers if worker not in dead]
        if self.unusable:
            return False
        for worker in living:
            self._say(worker, wire.ABANDON)
        if not all(self._reply(worker) == wire.NOTHING for worker in living):
            return False
        if not pool.restore():
            return False
        pool.restart(dead)
        return True
