"""What a worker does in a free run: every op on the real thing, recorded as it is done.

Before it blocks it says so on the *board*, a small piece of memory shared with the parent: who is
blocked there, and asleep for the operating system too, waits for somebody else; where all do, they
do for ever.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import signal
import struct
import time
from collections.abc import Callable, Iterator
from time import monotonic_ns as clock
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends.calls import run_call
from tracelock.backends.processes import objects as processes_objects
from tracelock.backends.processes.journal import OWN, PENDING, SEEN, SIZE, Journal
from tracelock.backends.processes.objects import ERRORS, Sender, raised
from tracelock.backends.processes.store import Store
from tracelock.engine.effects import modified, read_and_written
from tracelock.engine.recording import plain
from tracelock.errors import InternalError
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

if TYPE_CHECKING:
    from tracelock.backends.processes.worker import Setup
    from tracelock.scenario.program import Program

#: What a worker is doing, on the board.
IDLE: Final = 0
BUSY: Final = 1
WAITS: Final = 2
TIMED: Final = 3  # waits, but not for ever
FLUSHES: Final = 4  # waits for room in the pipe of a queue
ENDED: Final = 5
#: One worker's place on the board: what it does, number of the op, how often it has changed.
PLACE: Final = struct.Struct("<BxxxII")
STEP: Final = 16
START: Final = 16  # the board begins with two flags: go, and the run is over
BOARD: Final = 1 << 16
_HELD: Final = frozenset({"lock", "rlock", "condition_lock"})


class Doing:
    """The ops of one worker in free runs. ``processes_running`` drives it."""

    def __init__(
        self, setup: Setup, program: Program, me: int, store: Store, out: dict[int, Sender], up: int
    ) -> None:
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
        self.board = mmap.mmap(setup.board.fd, BOARD)
        self.place = START + STEP * me
        self.changes = 0
        self.waited = 0
        self.asked = 0
        self.waiting: Op | None = None
        self.began = -1
        self.notified = False
        self.record = True
        self.allow_call = False
        self.journal: Journal

    def _say(self, doing: int, op: Op | None = None) -> None:
        """Put on the board what this worker does."""
        self.changes += 1
        number = 0 if op is None else self.journal.number(op)
        PLACE.pack_into(self.board, self.place, doing, number, self.changes)

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
    def _add(self, kind: int, op: Op, result: Value, t0: int = 0) -> None:
        if self.record:
            self.journal.add(kind, op, result, clock(), t0, self.waited)

    def _other(self, op: Op, kind: int) -> Value:
        """Do an op and record it; returns its result."""
        if kind <= ATOMIC:
            with self.store.alone():
                return self._modify(op, kind)
        if kind == WAIT:
            return self._wait(op)
        if kind >= SLEEP:
            return self._own(op, kind)
        t0 = clock()
        at = self.journal.at
        if self.record:
            self.journal.mark(kind, op, PENDING, 0, t0)
        result = self._try(op, kind)
        if kind == ACQUIRE and result is True and self.exact[op.target]:
            t0 = 0
        if self.record:  # whom a notify woke is for the linearisation to find out
            self.journal.put(at, kind, op, result, clock(), t0, self.waited)
        return result

    def _try(self, op: Op, kind: int) -> Value:
        try:
            if kind == ACQUIRE:
                lock = self.objects[op.target]
                return self._until(op, lock.acquire, False)
            if kind == PUT:
                out = self.out[op.target]
                done = self._until(
                    op, lambda block, seconds: out.put(op.value, block, seconds), False
                )
                if done:
                    with self._blocked(op, FLUSHES):
                        out.flush()
                return done
            if kind == GET:
                return self._get(op)
            return processes_objects.attempt(self.layout, self.objects, self.out, op)
        except ERRORS as error:
            return raised(error)

    def _until(self, op: Op, call: Callable[[bool, float | None], Value], failed: Value) -> Value:
        """Try, and then wait as long as ``op`` says."""
        result = call(False, None)
        if result is not failed or not op.blocking:
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
            if processes_objects.is_empty(real, self.layout.spec(op.target).maxsize):
                return EMPTY
            time.sleep(0)

    def _modify(self, op: Op, kind: int) -> Value:
        """An op on variables, alone with them: recorded first, then written."""
        journal, store = self.journal, self.store
        store.look()
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
        """Have waits tell what no result does: an event's or barrier's when it really begins, a
        condition's when it is over but for taking the lock back, which has no timeout."""
        for number, type_ in enumerate(self.types):
            if type_ == "condition":
                condition = self.objects[number]
                condition._wait_semaphore = _Sleeping(condition._wait_semaphore, self)
                condition._woken_count = _Waking(condition._woken_count, self)
            elif type_ == "event":
                condition = self.objects[number]._cond
                condition.wait = self._noting(condition.wait)
            elif type_ == "barrier":
                self.objects[number]._wait = self._noting(self.objects[number]._wait)

    def _unhook(self) -> None:
        for number, type_ in enumerate(self.types):
            if type_ == "condition":
                condition = self.objects[number]
                condition._wait_semaphore = condition._wait_semaphore.real
                condition._woken_count = condition._woken_count.real
            elif type_ == "event":
                del self.objects[number]._cond.wait
            elif type_ == "barrier":
                del self.objects[number]._wait

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

    def counted_out(self) -> None:
        """A condition's waiter sleeps no longer, but has to take the lock back.

        Only now is one whose time is up no more among those that a notify counts.
        """
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
            result = processes_objects.wait(self.objects[op.target], type_, op, op.timeout)
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
    def _own(self, op: Op, kind: int) -> Value:
        """Ops that concern workers and time, not objects."""
        setup = self.setup
        result: Value = None
        t0 = clock()
        if kind == CHECKPOINT:
            os.sched_yield()
        elif kind == SLEEP:
            with self._blocked(op, TIMED):
                time.sleep(max(0.0, op.value))
            self.waited = 0
        elif kind == SPAWN:
            at = self.journal.at
            if self.record:
                self.journal.mark(SPAWN, op, PENDING, 0, t0)
            if setup.taken[op.target].acquire(False):
                # said here, lest it be taken for one that nobody has started
                PLACE.pack_into(self.board, START + STEP * op.target, BUSY, 0, 0)
                setup.starts[op.target].release()
            else:
                name = self.layout.workers[op.target].name
                result = Raised("RuntimeError", f"{name} has been started before")
            if self.record:
                self.journal.put(at, SPAWN, op, result, clock(), t0)
            return result
        elif kind == JOIN:
            ended = setup.ends[op.target]
            result = self._until(op, ended.acquire, False)
            if result:
                ended.release()
            self._add(JOIN, op, result, 0 if result else t0)
            return result
        elif kind == CALL:
            if not self.allow_call:
                raise InternalError("a call step was reached though calls are not allowed")
            result = run_call(str(op.body), list(op.value))
        elif kind == CRASH:
            self.journal.add(CRASH, op, None, clock())
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        self._add(
            kind, op, plain(result) if kind == CALL and result.__class__ is not Raised else result
        )
        return result


class _Sleeping:
    """Stands in for the semaphore on which a condition's waiters sleep."""

    def __init__(self, real: Any, worker: Doing) -> None:
        self.real = real
        self.worker = worker
        self.release = real.release

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """A try is the notifier's own."""
        result = bool(self.real.acquire(block, timeout))
        if block:
            self.worker.notified = result
        return result


class _Waking:
    """Stands in for the semaphore with which waiters tell the notifier that they are awake."""

    def __init__(self, real: Any, worker: Doing) -> None:
        self.real = real
        self.worker = worker
        self.acquire = real.acquire

    def release(self) -> None:
        """Of a waiter."""
        self.real.release()
        self.worker.counted_out()
