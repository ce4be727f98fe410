"""The less frequent ops of a worker in a free run: done on the real objects, and recorded."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from time import monotonic_ns as clock
from typing import Any, Final

from tracelock.backends.calls import run_call
from tracelock.backends.processes import conditions
from tracelock.backends.processes import objects as process_objects
from tracelock.backends.processes.board import BUSY, FLUSHES, TIMED, WAITS, Board
from tracelock.backends.processes.journal import OWN, PENDING, SEEN, SIZE, Journal
from tracelock.backends.processes.objects import Sender
from tracelock.backends.processes.setup import WorkerSetup
from tracelock.backends.processes.store import VariableStore
from tracelock.backends.real import ERRORS
from tracelock.engine.effects import modified, raised, read_and_written, started_before
from tracelock.engine.recording import plain
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
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
)
from tracelock.scenario.language.usage import guarded, steps_of
from tracelock.scenario.program import Program

_HELD: Final = frozenset({"lock", "rlock", "condition_lock"})


class FreeOps:
    """The ops of one worker in a free run. ``FreeWorker`` drives it."""

    patience: float | None = None

    def __init__(
        self, setup: WorkerSetup, program: Program, me: int, store: VariableStore,
        out: dict[int, Sender], up: int,
    ) -> None:  # fmt: skip
        self.setup = setup
        self.program = program
        self.layout: Layout = program.layout
        self.me = me
        self.store = store
        self.out = out
        self.up = up
        self.objects = setup.objects
        self.types = [""] * self.layout.variables + [spec.type for spec in self.layout.objects]
        self.exact = [type_ in _HELD for type_ in self.types]
        # only a try could tell that a lock is held by one who died before recording so
        tries = any(
            step.verb == "acquire" and (not step.blocking or step.timeout is not None)
            for _, step in steps_of(program.scenario)
        )
        self.simple = [exact and not tries for exact in self.exact]
        self.guarded = guarded(program.scenario, self.layout)
        self.board = Board(setup.board)
        self.changes = 0
        self.waited = 0
        self.asked = 0
        self.waiting: Op | None = None
        self.began = -1
        self.notified = False
        self.record = True
        self.allow_call = False
        self.journal: Journal
        self.ways: dict[int, Callable[[Op], Value]] = {
            ACQUIRE: self._acquire, PUT: self._put, GET: self._get, WAIT: self._wait,
            CHECKPOINT: self._checkpoint, SLEEP: self._sleep, SPAWN: self._spawn,
            JOIN: self._join, CALL: self._call, CRASH: self._crash,
        }  # fmt: skip

    def _say(self, doing: int, op: Op | None = None) -> None:
        """Put on the board what this worker does."""
        self.changes += 1
        number = 0 if op is None else self.journal.number(op)
        self.board.put(self.me, doing, number, self.changes)

    @contextlib.contextmanager
    def _blocked(self, op: Op, doing: int = WAITS) -> Iterator[None]:
        """Around a call that may block."""
        asked = clock()
        self._say(TIMED if op.timeout is not None and doing == WAITS else doing, op)
        try:
            yield
        finally:
            self._say(BUSY)
            self.waited = clock() - asked

    # --- the less frequent ops ---------------------------------------------------------------
    def _add(self, op: Op, result: Value = None, t0: int = 0) -> Value:
        """Record an op that has just been done; returns its result."""
        if self.record:
            self.journal.add(op.kind, op, result, clock(), t0, self.waited)
        return result

    def _other(self, op: Op, kind: int) -> Value:
        """Do an op and record it; returns its result."""
        if kind <= ATOMIC:
            with self.store.alone():
                return self._modify(op, kind)
        if kind == WAIT or kind >= SLEEP:
            return self.ways[kind](op)
        t0 = clock()
        at = self.journal.at
        if self.record:
            self.journal.mark(kind, op, PENDING, 0, t0)
        try:
            result = self.ways.get(kind, self._attempt)(op)
        except ERRORS as error:
            result = raised(error)
        if kind == ACQUIRE and result is True and self.exact[op.target]:
            t0 = 0
        if self.record:  # the linearisation finds out which workers a notify woke
            self.journal.put(at, kind, op, result, clock(), t0, self.waited)
        return result

    def _attempt(self, op: Op) -> Value:
        return process_objects.attempt(self.layout, self.objects, self.out, op)

    def _acquire(self, op: Op) -> Value:
        return self._until(op, self.objects[op.target].acquire)

    def _put(self, op: Op) -> Value:
        out = self.out[op.target]
        done = self._until(op, lambda block, seconds: out.put(op.value, block, seconds))
        if done:
            with self._blocked(op, FLUSHES):
                out.flush()
        return done

    def _until(self, op: Op, call: Callable[[bool, float | None], Value]) -> Value:
        """Try, and then wait as long as ``op`` says."""
        result = call(False, None)
        if result is not False or not op.blocking:
            return result
        with self._blocked(op):
            return call(True, op.timeout)

    def _get(self, op: Op) -> Value:
        """Get an item. A queue also says "empty" where another is about to take an item out, or
        where one has been put and has not arrived, for which a bounded queue is full already:
        no order of puts and gets explains that, so "empty" is looked into.
        """
        real = self.objects[op.target]
        waited = not op.blocking
        while True:
            with contextlib.suppress(queue.Empty):
                return real.get(False)
            if not waited:
                waited = True
                with self._blocked(op), contextlib.suppress(queue.Empty):
                    return real.get(True, op.timeout)
            if process_objects.is_empty(real, self.layout.spec(op.target).maxsize):
                return EMPTY
            time.sleep(0)

    def _modify(self, op: Op, kind: int) -> Value:
        """An op on variables, alone with them: recorded first, then written."""
        journal, store = self.journal, self.store
        store.update()
        k = len(journal)
        if kind == ATOMIC:
            reads, writes = read_and_written(op.body.run, lambda number: store.entries[number][0])
            seen = {number: store.versions[number] for number in reads}
            if self.record:
                journal.add(ATOMIC, op, [seen, len(writes)], clock())
            store.write_all(writes.items(), k)
            return None
        target = op.target
        result: Value = None
        new, changes = op.value, True
        if kind != WRITE:
            result, new, changes = modified(op, store.entries[target][0])
        if self.record:
            journal.mark(kind, op, OWN if changes else SEEN, store.versions[target])
        if changes:
            store.write(target, new, k)
        return result

    # --- waiting -----------------------------------------------------------------------------
    def _hook(self) -> None:
        """Have waits say what no result does: an event's or barrier's when it really begins, a
        condition's when it is over but for taking the lock back, which has no timeout."""
        conditions.install(self._of_type("condition"), self)
        for event in self._of_type("event"):
            event._cond.wait = self._noting(event._cond.wait)
        for barrier in self._of_type("barrier"):
            barrier._wait = self._noting(barrier._wait)

    def _unhook(self) -> None:
        conditions.remove(self._of_type("condition"))
        for event in self._of_type("event"):
            del event._cond.wait
        for barrier in self._of_type("barrier"):
            del barrier._wait

    def _of_type(self, wanted: str) -> list[Any]:
        return [self.objects[n] for n, type_ in enumerate(self.types) if type_ == wanted]

    def _noting(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        def noting(timeout: float | None = None) -> Any:
            op, journal = self.waiting, self.journal
            assert op is not None
            self.began = journal.at - SIZE
            if self.record:
                journal.put(self.began, WAIT, op, None, clock(), self.asked)
            try:
                return wait(timeout)
            finally:
                self.asked = clock()
                if self.record:
                    journal.mark(WAKE, op, PENDING, 0, self.asked)

        return noting

    def sleep(self, real: Any, timeout: float | None) -> bool:
        """Sleep in a condition."""
        self.notified = bool(real.acquire(True, timeout))
        return self.notified

    def awake(self, real: Any) -> None:
        """A condition's waiter sleeps no longer, but has to take the lock back.

        Only now is one whose time is up no more among those that a notify counts.
        """
        real.release()
        op = self.waiting
        assert op is not None
        if not self.notified and self.record:
            now = clock()
            due = self.asked + int((op.timeout or 0.0) * 1e9)
            self.journal.add(TIMEOUT, op, None, now, min(due, now))
        self._say(WAITS, op)

    def _wait(self, op: Op) -> Value:
        """Wait at a condition, an event or a barrier: two events where it blocks."""
        type_ = self.types[op.target]
        t0 = self.asked = clock()
        self.waiting, self.began = op, -1
        at = self.journal.at
        if type_ == "condition" and self.record:
            self.journal.add(WAIT, op, None, t0)
        elif self.record:
            self.journal.mark(WAIT, op, PENDING, 0, t0)
        with self._blocked(op):
            result = process_objects.wait(self.objects[op.target], type_, op, op.timeout)
        if not self.record:
            return result
        now = clock()
        if type_ == "condition":
            if result.__class__ is Raised:
                self.journal.put(at, WAIT, op, result, now, t0)
                return result
            self.journal.add(WAKE, op, result, now, 0, self.waited)
        elif self.began < 0:
            self.journal.put(at, WAIT, op, result, now, t0)
        else:
            self.journal.put(at + SIZE, WAKE, op, result, now, self.asked, self.waited)
        return result

    # --- workers and time --------------------------------------------------------------------
    def _checkpoint(self, op: Op) -> Value:
        os.sched_yield()
        return self._add(op)

    def _sleep(self, op: Op) -> Value:
        with self._blocked(op, TIMED):
            time.sleep(max(0.0, op.value))
        self.waited = 0
        return self._add(op)

    def _spawn(self, op: Op) -> Value:
        setup, t0, at = self.setup, clock(), self.journal.at
        result = None
        if self.record:
            self.journal.mark(SPAWN, op, PENDING, 0, t0)
        if setup.taken[op.target].acquire(False):
            # said here, so that it is not taken for one that has not been started
            self.board.put(op.target, BUSY)
            setup.starts[op.target].release()
        else:
            result = started_before(self.layout, op.target)
        if self.record:
            self.journal.put(at, SPAWN, op, result, clock(), t0)
        return result

    def _join(self, op: Op) -> Value:
        t0, ended = clock(), self.setup.ends[op.target]
        result = self._until(op, ended.acquire)
        if result:
            ended.release()
        return self._add(op, result, 0 if result else t0)

    def _call(self, op: Op) -> Value:
        result = run_call(op, self.allow_call)
        self._add(op, result if result.__class__ is Raised else plain(result))
        return result

    def _crash(self, op: Op) -> Value:
        self.journal.add(CRASH, op, None, clock())
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
