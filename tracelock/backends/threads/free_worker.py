"""One worker of a free run on threads: its machine, on the real objects, with its own record.

A shared variable is an append-only list of versions: appending to a list is atomic, so the writes
of one variable have a true order, and each read knows which version it saw. Every wait is
bounded: a worker that blocks says what for, and waits in slices (or in a wait that the main thread
can end).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from time import monotonic_ns as clock
from typing import Any, Final

from tracelock.backends.base import Entry, Options
from tracelock.backends.threads import objects as thread_objects
from tracelock.backends.threads.cells import Guarded
from tracelock.engine.linearise.history import SEEN, Log
from tracelock.errors import Cancelled, LimitReached, StepFailure
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CHECKPOINT,
    EMPTY,
    GET,
    JOIN,
    PUT,
    READ,
    RELEASE,
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
from tracelock.scenario.language.usage import guarded
from tracelock.scenario.program import Program

ERRORS = (RuntimeError, ValueError, TypeError, AssertionError)
SLICE: Final = 0.05  # seconds a blocked worker sleeps before it looks whether the run is over


class Abandon(BaseException):
    """Unwinds a blocked worker when the run is over."""


class Workers(Guarded):
    """The workers of one free run, and all that they share."""

    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.layout = program.layout
        self.options = options
        count = len(self.layout.workers)
        self.noted: dict[int, int] = {}
        self.real = thread_objects.make_real(self.layout, noted=self.noted)
        self.cells: list[list[Entry]] = [[(value, -1, -1)] for value in self.layout.initial]
        self.logs = [Log() for _ in range(count)]
        self.waits: list[dict[int, int]] = [{} for _ in range(count)]
        self.guarded = guarded(program.scenario, self.layout)
        self.guard = threading.Lock()
        self.blocked: list[Op | None] = [None] * count
        self.timed = [False] * count  # the blocked op ends by itself
        self.ended = [threading.Event() for _ in range(count)]
        self.threads: dict[int, threading.Thread] = {}
        self.failures: list[tuple[int, int, StepFailure]] = []
        self.errors: list[BaseException] = []
        self.limit: str | None = None
        self.over = False
        #: How often a blocked worker has tried in vain: see ``certain``.
        self.looks = [0] * count
        self.gate = threading.Event()
        self.recording = True
        self.holder: dict[int, int] = {}  # who took a lock last, where nothing is recorded

    def start(self, number: int) -> None:
        """Start the thread of a worker."""
        name = f"tracelock:{self.layout.workers[number].name}"
        thread = threading.Thread(target=self.worker, args=(number,), name=name, daemon=True)
        self.threads[number] = thread
        thread.start()

    # --- a worker ----------------------------------------------------------------------------
    def worker(self, me: int) -> None:
        """The body of a worker's thread."""
        try:
            self.gate.wait()
            if self.recording:
                self.drive(me)
            else:
                self.drive_unrecorded(me)
        except StepFailure as failure:
            self.failures.append((me, len(self.logs[me]), failure))
        except LimitReached as limit:
            self.limit = f"{self.layout.workers[me].name}: {limit}"
        except (Abandon, Cancelled):
            self.let_go(me)
        except BaseException as error:
            self.errors.append(error)
            self.let_go(me)
        finally:
            self.blocked[me] = None
            self.ended[me].set()

    def let_go(self, me: int) -> None:
        """Release the locks that an abandoned worker holds, so that others can unwind too."""
        depth: dict[int, int] = {}
        for kind, op, result, _, _ in self.logs[me]:
            if kind == ACQUIRE and result is True:
                depth[op.target] = depth.get(op.target, 0) + 1
            elif kind == RELEASE and result is None:
                depth[op.target] = depth.get(op.target, 0) - 1
        for number, worker in self.holder.items():
            if worker == me:
                depth[number] = 1
        for number, levels in depth.items():
            for _ in range(levels):
                with contextlib.suppress(RuntimeError, ValueError):
                    self.real[number].release()

    def drive(self, me: int) -> None:
        """Run the machine of ``me`` to its end."""
        machine = self.program.machine(me, True)
        log, cells, guarded, real = self.logs[me], self.cells, self.guarded, self.real
        resume = machine.resume
        ops, results, times = log.ops.append, log.results.append, log.times.append
        op = machine.begin()
        while op is not None:
            kind = op.kind
            if kind <= WRITE and op.target not in guarded:
                if kind == READ:
                    entry = cells[op.target][-1]
                    ops(op)
                    results(entry)
                    times(clock())
                    op = resume(entry[0])
                else:
                    entry = (op.value, me, len(log.times))
                    cells[op.target].append(entry)
                    ops(op)
                    results(entry)
                    times(clock())
                    op = resume(None)
                continue
            result: Value
            if kind == ACQUIRE and op.blocking and op.timeout is None:
                lock = real[op.target]
                if not lock.acquire(False):
                    self.block(me, op, lock)
                ops(op)
                results(True)
                times(clock())
                result = True
            elif kind == RELEASE:
                ops(op)
                results(None)
                times(clock())
                try:
                    thread_objects.release(real[op.target], op)
                    result = None
                except ERRORS as error:
                    result = Raised(type(error).__name__, str(error))
                    earliest = log.times[-1]
                    log.cut(len(log) - 1)
                    log.add(RELEASE, op, result, clock(), earliest)
            else:
                result = self.other(me, op, kind)
            if self.over:
                raise Abandon
            if result.__class__ is Raised:
                failure = StepFailure("error", f"{result.kind}: {result.message}", op.at)
                op = machine.throw(failure)
            else:
                op = resume(result)

    def drive_unrecorded(self, me: int) -> None:
        """Like ``drive``, keeping nothing of the common ops but the variables' last values."""
        machine = self.program.machine(me, True)
        log, cells, guarded, real = self.logs[me], self.cells, self.guarded, self.real
        resume, holder = machine.resume, self.holder
        op = machine.begin()
        while op is not None:
            kind = op.kind
            result: Value = None
            if kind <= WRITE and op.target not in guarded:
                if kind == READ:
                    op = resume(cells[op.target][0][0])
                else:
                    cells[op.target][0] = (op.value, -1, -1)
                    op = resume(None)
                continue
            if kind == ACQUIRE and op.blocking and op.timeout is None:
                lock = real[op.target]
                if not lock.acquire(False):
                    self.block(me, op, lock)
                holder[op.target] = me
                result = True
            elif kind == RELEASE:
                holder.pop(op.target, None)
                try:
                    thread_objects.release(real[op.target], op)
                except ERRORS as error:
                    result = Raised(type(error).__name__, str(error))
            else:
                result = self.other(me, op, kind)
                log.cut(0)
                if kind <= ATOMIC:
                    for cell in cells:
                        del cell[:-1]
                elif kind == ACQUIRE and result is True:
                    holder[op.target] = me
            if self.over:
                raise Abandon
            if result.__class__ is Raised:
                op = machine.throw(StepFailure("error", f"{result.kind}: {result.message}", op.at))
            else:
                op = resume(result)

    def block(self, me: int, op: Op, lock: Any) -> None:
        """Wait for a lock or a semaphore for as long as the run lasts."""
        asked = clock()
        self.blocked[me] = op
        while not lock.acquire(True, SLICE):
            self.looks[me] += 1
            if self.over:
                raise Abandon
        self.blocked[me] = None
        if self.recording:
            self.waits[me][len(self.logs[me])] = clock() - asked

    # --- the less frequent ops ---------------------------------------------------------------
    def other(self, me: int, op: Op, kind: int) -> Value:
        """Do an op and record it; returns its result."""
        log = self.logs[me]
        if kind <= ATOMIC:
            with self.guard:
                result, seen = self.modify(me, op, kind)
                reads_only = kind != ATOMIC and seen.__class__ is tuple and seen[2] != len(log)
                log.add(kind, op, seen, clock(), SEEN if reads_only and kind > WRITE else 0)
            return result
        if kind in (SLEEP, JOIN, SPAWN, CHECKPOINT, CALL):
            return self.own(me, op, kind)
        if kind == WAIT:
            return self.wait(me, op)
        earliest = clock()
        try:
            if kind == ACQUIRE:
                result = self.until(me, op, self.real[op.target].acquire)
            elif kind in (PUT, GET):
                result = self.until(me, op, self.exchange(op, kind))
            else:
                result = thread_objects.perform(self.real[op.target], op, kind, None)
        except ERRORS as error:
            result = Raised(type(error).__name__, str(error))
        exact = kind == ACQUIRE and result is True
        log.add(kind, op, result, clock(), 0 if exact else earliest)
        return result

    def exchange(self, op: Op, kind: int) -> Callable[[bool, float], Value]:
        """A put or a get as something to call with (blocking, seconds)."""
        real = self.real[op.target]

        def put(blocking: bool, seconds: float) -> Value:
            try:
                real.put(op.value, blocking, seconds)
            except queue.Full:
                return False
            return True

        def get(blocking: bool, seconds: float) -> Value:
            try:
                return real.get(blocking, seconds)
            except queue.Empty:
                return EMPTY

        return put if kind == PUT else get

    def until(self, me: int, op: Op, attempt: Callable[..., Value]) -> Value:
        """Try, and wait as long as ``op`` says, in slices."""
        result = attempt(False) if op.kind == ACQUIRE else attempt(False, 0.0)
        if (result is not False and result is not EMPTY) or not op.blocking:
            return result
        asked = time.monotonic()
        self.blocked[me] = op
        self.timed[me] = op.timeout is not None
        failed = result
        try:
            while True:
                left = SLICE
                if op.timeout is not None:
                    left = min(SLICE, asked + op.timeout - time.monotonic())
                    if left <= 0:
                        return failed
                self.looks[me] += 1
                result = attempt(True, left)
                if result is not False and result is not EMPTY:
                    self.waits[me][len(self.logs[me])] = int((time.monotonic() - asked) * 1e9)
                    return result
                if self.over:
                    raise Abandon
        finally:
            self.blocked[me] = None
            self.timed[me] = False

    def wait(self, me: int, op: Op) -> Value:
        """Wait at a condition, an event or a barrier.

        A wait that blocks is two events. Where it began is seen exactly: a condition's when it
        is called (its lock is held), the others' where the real object notes it.
        """
        log, real = self.logs[me], self.real[op.target]
        condition = self.layout.spec(op.target).type == "condition"
        thread = threading.get_ident()
        self.noted.pop(thread, None)
        earliest = clock()
        at = len(log)
        if condition:
            log.add(WAIT, op, None, earliest)
        self.timed[me] = op.timeout is not None
        self.blocked[me] = op
        result: Value
        try:
            result = real.wait(op.timeout)
        except threading.BrokenBarrierError as error:
            result = False if op.soft else Raised("BrokenBarrierError", str(error))
        except ERRORS as error:
            result = Raised(type(error).__name__, str(error))
            log.cut(at)
            log.add(WAIT, op, result, clock(), earliest)
            return result
        finally:
            self.blocked[me] = None
            self.timed[me] = False
            began = self.noted.get(thread)
            if not condition and began is not None:
                log.add(WAIT, op, None, began)
        if self.over:
            raise Abandon
        now = clock()
        if result.__class__ is int:  # a barrier's: the number of the arrival
            result = True
        if len(log) == at:
            log.add(WAIT, op, result, now, earliest)
            return result
        if condition and result is False:
            due = earliest + int((op.timeout or 0.0) * 1e9)
            log.add(TIMEOUT, op, None, now, min(due, now))
        log.add(WAKE, op, result, now, 0 if condition else log[at][3])
        return result

    def own(self, me: int, op: Op, kind: int) -> Value:
        """Ops that concern workers and time, not objects."""
        log = self.logs[me]
        result: Value = None
        if kind == CHECKPOINT:
            time.sleep(0)
        elif kind == SLEEP:
            self.timed[me], self.blocked[me] = True, op
            end = time.monotonic() + max(0.0, op.value)
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, SLICE))
                if self.over:
                    raise Abandon
            self.timed[me], self.blocked[me] = False, None
        elif kind == SPAWN:
            if op.target in self.threads:
                name = self.layout.workers[op.target].name
                result = Raised("RuntimeError", f"{name} has been started before")
            log.add(SPAWN, op, result, clock())
            if result is None:
                self.start(op.target)
            return result
        elif kind == JOIN:
            earliest = clock()
            result = self.join(me, op)
            log.add(JOIN, op, result, clock(), 0 if result else earliest)
            return result
        else:
            from tracelock.backends.threads.backend import call

            result = call(op, self.options.allow_call)
        log.add(kind, op, result, clock())
        return result

    def join(self, me: int, op: Op) -> bool:
        """Wait for the end of a worker."""
        ended = self.ended[op.target]
        end = None if op.timeout is None else time.monotonic() + op.timeout
        self.timed[me], self.blocked[me] = end is not None, op
        try:
            while True:
                left = SLICE if end is None else end - time.monotonic()
                if ended.wait(max(0.0, min(SLICE, left))):
                    return True
                self.looks[me] += 1
                if self.over:
                    raise Abandon
                if left <= 0:
                    return False
        finally:
            self.timed[me], self.blocked[me] = False, None
