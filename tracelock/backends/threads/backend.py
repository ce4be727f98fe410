"""The threading backend: OS threads, and the objects of ``threading`` and ``queue``.

A controlled run passes a baton: the worker that comes to a scheduling point runs the controller
itself and wakes its successor directly, so that going on with the same worker costs no switch.
The threads are pooled across schedules and keep to one core while they live, since a hand-over
between cores costs several times as much.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from tracelock.backends.base import (
    Backend,
    Begun,
    Options,
    agree,
    mismatch,
    nobody,
    stuck_thread,
)
from tracelock.backends.calls import run_call
from tracelock.backends.real import ERRORS, build
from tracelock.backends.rules import THREADING_RULES
from tracelock.backends.threads.objects import ATTEMPTS, Turnstile, turnstile_makers
from tracelock.engine.controller import Controller
from tracelock.engine.cores import one_core
from tracelock.engine.effects import change, raised, run_atomic
from tracelock.engine.limits import INTERRUPTED
from tracelock.engine.linearise.history import FreeRun
from tracelock.errors import Unwind
from tracelock.ops import (
    ATOMIC,
    CALL,
    EMPTY,
    NOTIFY,
    READ,
    SLEEP,
    SPAWN,
    WAIT,
    WRITE,
    Op,
    Value,
)
from tracelock.scenario.compile.rounds import (
    Rounds,
    SharedRounds,
    no_more_rounds,
    rounds_here,
    rounds_until,
)
from tracelock.scenario.program import Machine, Program

#: How often the waiting main thread looks whether the workers still get on, in seconds.
LOOK = 0.5


class ThreadingBackend(Backend):
    """Threads. ``controlled`` pools them; ``free`` starts new ones for each run."""

    rules = THREADING_RULES

    def __init__(self, program: Program, options: Options) -> None:
        super().__init__(program, options)
        self._threads: list[threading.Thread] = []
        self._batons: list[threading.Lock] = []
        self._main = threading.Lock()
        self._main.acquire()
        self._closing = False
        self._abandon = False
        self._error: BaseException | None = None
        self._inside: list[bool] = []
        self._machines: list[Machine] = []
        self._real: list[Any] = []
        self._values: list[Value] = []
        self._controller: Controller
        self._rounds: Rounds
        self._makers = turnstile_makers(self._turnstile)

    # --- the pool ----------------------------------------------------------------------------
    def _start_pool(self) -> None:
        for number, spec in enumerate(self.layout.workers):
            baton = threading.Lock()
            baton.acquire()
            self._batons.append(baton)
            self._inside.append(False)
            thread = threading.Thread(
                target=self._serve, args=(number,), name=f"tracelock:{spec.name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        self._closing = True
        for baton in self._batons:
            with contextlib.suppress(RuntimeError):  # not waiting: stuck in trusted code
                baton.release()
        for thread in self._threads:
            thread.join(0.2)
        self._threads, self._batons = [], []

    def _serve(self, me: int) -> None:
        baton, pool = self._batons[me], self._threads
        while True:
            baton.acquire()
            # a pool that was given up because one of its threads got stuck is not this one
            if self._closing or pool is not self._threads:
                return
            try:
                with SharedRounds(self._rounds):
                    self._go(me)
            except BaseException as error:
                if self._closing or pool is not self._threads:
                    return
                if not isinstance(error, Unwind):
                    self._error = error
                self._inside[me] = False
                self._main.release()

    # --- one schedule ------------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        with one_core(), rounds_until(None, ""):
            self._rounds = rounds_here()
            if not self._threads:
                self._start_pool()
            self._controller = controller
            while controller.begin():
                self._schedule(controller)
                controller.scheduler.end(len(controller.log))
                if done(controller) or controller.limit is INTERRUPTED:
                    return

    def _schedule(self, controller: Controller) -> None:
        self._error = None
        self._values = list(self.layout.initial)
        self._real = build(self.layout, self._makers, self._condition)
        workers = range(len(self.layout.workers))
        self._machines = [self.program.machine(number, True) for number in workers]
        controller.start_automatic(self._machines)
        first = controller.next()
        if first >= 0:
            self._batons[first].release()
            self._await_end(controller)
        self._abandon = True
        for number, inside in enumerate(self._inside):
            if inside:
                self._batons[number].release()
                self._main.acquire()
        self._abandon = False
        if self._error is not None:
            raise self._error

    def _await_end(self, controller: Controller) -> None:
        """Wait for the baton to come back; a worker that got stuck ends the run instead."""
        limits = self.options.limits
        seen, still = -1, 0.0
        while True:
            try:
                if self._main.acquire(timeout=LOOK):
                    return
            except KeyboardInterrupt:
                # the controller sees it at its next step, and gives the baton back
                controller.limit = INTERRUPTED
                no_more_rounds(INTERRUPTED)
                continue
            steps = len(controller.log)
            still = still + LOOK if steps == seen else 0.0
            seen = steps
            if still >= min(limits.stall, limits.seconds):
                worker = controller.current
                where = stuck_thread(self.layout, worker, self._threads[worker].ident)
                controller.limit = controller.limit or where
                # the thread cannot be ended: it is left behind, the others go
                self._closing = True
                threads, batons = self._threads, self._batons
                for number, baton in enumerate(batons):
                    if number != worker:
                        baton.release()
                for number, thread in enumerate(threads):
                    if number != worker:
                        thread.join(1.0)
                self._threads, self._batons, self._inside = [], [], []
                self._main = threading.Lock()
                self._main.acquire()
                self._closing = False
                return

    def _turnstile(self, real: Any) -> Turnstile:
        return Turnstile(real, self._leave, self._enter)

    def _condition(self, lock: Any) -> threading.Condition:
        return threading.Condition(self._turnstile(lock))  # type: ignore[arg-type]

    def _go(self, me: int) -> None:
        """``me`` has the baton and a grant: do it, go on, and hand over at another's turn."""
        controller = self._controller
        machine = self._machines[me]
        pool = self._threads
        while True:
            self._perform(me, controller)
            if pool is not self._threads:
                raise Unwind
            controller.advance(machine, me)
            worker = controller.next()
            if worker != me:
                (self._batons[worker] if worker >= 0 else self._main).release()
                return

    def _leave(self) -> None:
        """Inside a real wait, its lock released: others go on until this worker is granted."""
        controller = self._controller
        me = controller.current
        if not controller.parked:
            raise mismatch(self.layout, me, controller.op, controller.result, "wait")
        worker = controller.next()
        if worker == me:
            return
        self._inside[me] = True
        (self._batons[worker] if worker >= 0 else self._main).release()
        self._batons[me].acquire()
        if self._abandon or self._closing:
            raise Unwind
        self._inside[me] = False

    def _enter(self) -> None:
        """A real wait is about to take its lock back: a timed-out one may have to wait for it."""
        if not self._abandon and not self._closing and self._controller.parked:
            self._leave()

    # --- one op ------------------------------------------------------------------------------
    def _perform(self, me: int, controller: Controller) -> None:
        """Do the granted op for real and compare its result with the model's."""
        op, kind, model = controller.op, controller.kind, controller.result
        values = self._values
        real: Value
        if kind == READ:
            real = values[op.target]
        elif kind == WRITE:
            values[op.target] = op.value
            return
        elif ATOMIC < kind < SLEEP:
            if controller.fired and kind != WAIT:
                self._fired(op, kind, controller)
                return
            try:
                real = ATTEMPTS[kind](self._real[op.target], op)
            except ERRORS as error:
                real = raised(error)
            # a wait has come back: others went on meanwhile, and this grant ended it
            model = controller.result
            if kind == NOTIFY and model.__class__ is list:
                return
        elif kind <= ATOMIC:
            real = run_atomic(op.body.run, values) if kind == ATOMIC else change(op, values)
        else:
            if kind == SPAWN and model is None:
                controller.start(self._machines[op.target], op.target)
            elif kind == CALL:
                controller.replace(run_call(op, self.options.allow_call))
            return
        if real is not model and not agree(real, model):
            raise mismatch(self.layout, me, op, model, real)

    def _fired(self, op: Op, kind: int, controller: Controller) -> None:
        """A timer ended a try. Where the object is not free the real one must refuse too."""
        model = controller.models[op.target]
        assert model is not None
        if controller.adversarial and model.enabled(op, controller.current):
            return
        real = ATTEMPTS[kind](self._real[op.target], op)
        if real is not False and real is not EMPTY:
            raise mismatch(self.layout, controller.current, op, controller.result, real)

    # --- free --------------------------------------------------------------------------------
    def free(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        from tracelock.backends.threads.free import FreeThreads

        return FreeThreads(self.program, self.options).run(record, begun)
