"""The workers of a free run on threads: each runs its machine on the real objects and records.

A shared variable is an append-only list of versions: appending to a list is atomic, so the writes
of one variable have a true order, and each read knows which version it saw. Python has no
lock-free read-modify-write: the variables that some step changes indivisibly are kept behind one
lock, plain reads and writes of them included. Every wait is bounded: a worker that blocks says
what for, and waits in slices (or in a wait that the main thread can end).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from time import monotonic_ns as clock
from typing import Any, Final

from tracelock.backends.base import Options
from tracelock.backends.calls import run_call
from tracelock.backends.real import ERRORS, build, release, wait
from tracelock.backends.threads.objects import ATTEMPTS, noting_makers
from tracelock.engine.effects import modified, op_failure, raised, read_and_written, started_before
from tracelock.engine.linearise.history import SEEN, Entry, Log
from tracelock.errors import Cancelled, LimitReached, StepFailure, Unwind
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
from tracelock.scenario.compile.rounds import Rounds, SharedRounds, rounds_here
from tracelock.scenario.language.usage import guarded
from tracelock.scenario.program import Program

SLICE: Final = 0.05  # seconds a blocked worker sleeps before it looks whether the run is over
PATIENCE: Final = 10.0  # seconds one that has stopped waits at most before it lets go


class ThreadWorkers:
    """The workers of one free run, and all that they share."""

    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.layout = program.layout
        self.options = options
        count = len(self.layout.workers)
        self.noted: dict[int, int] = {}
        self.real = build(self.layout, noting_makers(self.noted), threading.Condition)
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
        #: How often a blocked worker has tried in vain: see ``FreeThreads.suspect``.
        self.looks = [0] * count
        self.gate = threading.Event()
        #: Who has stopped because the run is over, and holds what it held until ``parted`` is set:
        #: what others did with a lock that was let go of before would be no part of this run.
        self.still: set[int] = set()
        self.parted = threading.Event()
        self.recording = True
        self.holder: dict[int, int] = {}  # who took a lock last, where nothing is recorded

    def start(self, number: int) -> None:
        """Start the thread of a worker."""
        name = f"tracelock:{self.layout.workers[number].name}"
        thread = threading.Thread(
            target=self._begin, args=(number, rounds_here()), name=name, daemon=True
        )
        self.threads[number] = thread
        thread.start()

    def _begin(self, me: int, rounds: Rounds) -> None:
        with SharedRounds(rounds):
            self.worker(me)

    # --- a worker ----------------------------------------------------------------------------
    def worker(self, me: int) -> None:
        """The body of a worker's thread."""
        try:
            self.gate.wait()
            self.drive(me)
        except StepFailure as error:
            self.failures.append((me, len(self.logs[me]), error))
        except LimitReached as limit:
            self.limit = self.limit or f"{self.layout.workers[me].name}: {limit}"
            self.still.add(me)  # it has not come to its end
        except (Unwind, Cancelled):
            self.still.add(me)
            self.parted.wait(PATIENCE)
            self.let_go(me)
        except BaseException as error:
            self.errors.append(error)
            self.let_go(me)
        finally:
            self.blocked[me] = None
            self.ended[me].set()

    def let_go(self, me: int) -> None:
        """Release the locks that an unwound worker holds, so that others can unwind too."""
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
        """Run the machine of ``me`` to its end.

        Where nothing is recorded, nothing is kept of the common ops but the last values.
        """
        machine = self.program.machine(me, True)
        log, cells, guarded, real = self.logs[me], self.cells, self.guarded, self.real
        resume, recording, holder = machine.resume, self.recording, self.holder
        ops, results, times = log.ops.append, log.results.append, log.times.append
        op = machine.begin()
        while op is not None:
            kind = op.kind
            result: Value = None
            if kind <= WRITE and op.target not in guarded:
                if kind == READ:
                    entry = cells[op.target][-1]
                    result = entry[0]
                elif recording:
                    entry = (op.value, me, len(log.times))
                    cells[op.target].append(entry)
                else:
                    cells[op.target][0] = (op.value, -1, -1)
                if recording:
                    ops(op)
                    results(entry)
                    times(clock())
                op = resume(result)
                continue
            if kind == ACQUIRE and op.blocking and op.timeout is None:
                lock = real[op.target]
                if not lock.acquire(False):
                    self.block(me, op, lock)
                result = True
                if recording:
                    ops(op)
                    results(True)
                    times(clock())
                else:
                    holder[op.target] = me
            elif kind == RELEASE:
                if recording:
                    ops(op)
                    results(None)
                    times(clock())
                else:
                    holder.pop(op.target, None)
                try:
                    release(real[op.target], op)
                except ERRORS as error:
                    result = raised(error)
                    if recording:
                        earliest = log.times[-1]
                        log.cut(len(log) - 1)
                        log.add(RELEASE, op, result, clock(), earliest)
            else:
                result = self.other(me, op, kind)
                if not recording:
                    self.drop_record(me, op, result)
            if self.over:
                raise Unwind
            op = (
                machine.throw(op_failure(result, op))
                if result.__class__ is Raised
                else resume(result)
            )

    def drop_record(self, me: int, op: Op, result: Value) -> None:
        """Keep nothing of an op that has been recorded but what is needed to go on."""
        self.logs[me].cut(0)
        if op.kind <= ATOMIC:
            for cell in self.cells:
                del cell[:-1]
        elif op.kind == ACQUIRE and result is True:
            self.holder[op.target] = me

    def block(self, me: int, op: Op, lock: Any) -> None:
        """Wait for a lock or a semaphore for as long as the run lasts."""
        asked = clock()
        self.blocked[me] = op
        while not lock.acquire(True, SLICE):
            self.look(me)
        self.blocked[me] = None
        if self.recording:
            self.waits[me][len(self.logs[me])] = clock() - asked

    def look(self, me: int) -> None:
        """A blocked worker has tried in vain: it goes on trying unless the run is over."""
        self.looks[me] += 1
        if self.over:
            raise Unwind

    @contextlib.contextmanager
    def waiting(self, me: int, op: Op, timed: bool) -> Iterator[None]:
        """Around a call that may block; ``timed``: it ends by itself."""
        self.timed[me], self.blocked[me] = timed, op
        try:
            yield
        finally:
            self.blocked[me] = None
            self.timed[me] = False

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
        if kind in _OWN:
            return _OWN[kind](self, me, op)
        earliest = clock()
        try:
            if kind in (ACQUIRE, PUT, GET):
                result = self.until(me, op)
            else:
                result = ATTEMPTS[kind](self.real[op.target], op)
        except ERRORS as error:
            result = raised(error)
        exact = kind == ACQUIRE and result is True
        log.add(kind, op, result, clock(), 0 if exact else earliest)
        return result

    def modify(self, me: int, op: Op, kind: int) -> tuple[Value, Any]:
        """An op on guarded variables: its result, and the versions it saw or wrote."""
        cells = self.cells
        number = len(self.logs[me])
        if kind == ATOMIC:  # nobody else is in one, nor at its variables, meanwhile
            reads, values = read_and_written(op.body.run, lambda variable: cells[variable][-1][0])
            seen = {variable: cells[variable][-1] for variable in reads}
            writes = {variable: (value, me, number) for variable, value in values.items()}
            for variable, version in writes.items():
                cells[variable].append(version)
            return None, (seen, writes)
        cell = cells[op.target]
        old = cell[-1]
        if kind == READ:
            return old[0], old
        result: Value = None
        new = op.value
        if kind != WRITE:
            result, new, wrote = modified(op, old[0])
            if not wrote:
                return result, old
        entry = (new, me, number)
        cell.append(entry)
        return result, entry

    def until(self, me: int, op: Op) -> Value:
        """Try, and wait as long as ``op`` says, in slices."""
        attempt, real = ATTEMPTS[op.kind], self.real[op.target]
        result = failed = attempt(real, op)
        if (result is not False and result is not EMPTY) or not op.blocking:
            return result
        asked = time.monotonic()
        with self.waiting(me, op, op.timeout is not None):
            while True:
                left = SLICE
                if op.timeout is not None:
                    left = min(SLICE, asked + op.timeout - time.monotonic())
                    if left <= 0:
                        return failed
                self.looks[me] += 1
                result = attempt(real, op, left)
                if result is not False and result is not EMPTY:
                    self.waits[me][len(self.logs[me])] = int((time.monotonic() - asked) * 1e9)
                    return result
                if self.over:
                    raise Unwind

    def wait(self, me: int, op: Op) -> Value:
        """Wait at a condition, an event or a barrier.

        A wait that blocks is two events. Where it began is seen exactly: a condition's when it
        is called (its lock is held), the others' where the real object notes it.
        """
        log = self.logs[me]
        condition = self.layout.spec(op.target).type == "condition"
        thread = threading.get_ident()
        self.noted.pop(thread, None)
        earliest = clock()
        at = len(log)
        if condition:
            log.add(WAIT, op, None, earliest)
        with self.waiting(me, op, op.timeout is not None):
            result = wait(self.real[op.target], op, op.timeout)
        if condition and result.__class__ is Raised:
            log.cut(at)
        began = self.noted.get(thread)
        if not condition and began is not None:
            log.add(WAIT, op, None, began)
        if self.over:
            raise Unwind
        now = clock()
        if len(log) == at:
            log.add(WAIT, op, result, now, earliest)
            return result
        if condition and result is False:
            due = earliest + int((op.timeout or 0.0) * 1e9)
            log.add(TIMEOUT, op, None, now, min(due, now))
        log.add(WAKE, op, result, now, 0 if condition else log[at][3])
        return result

    # --- workers and time --------------------------------------------------------------------
    def note(self, me: int, op: Op, result: Value = None, earliest: int = 0) -> Value:
        """Record an op that has just been done; returns its result."""
        self.logs[me].add(op.kind, op, result, clock(), earliest)
        return result

    def checkpoint(self, me: int, op: Op) -> Value:
        """Let other threads run."""
        time.sleep(0)
        return self.note(me, op)

    def sleep(self, me: int, op: Op) -> Value:
        """Sleep in slices."""
        end = time.monotonic() + max(0.0, op.value)
        with self.waiting(me, op, True):
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, SLICE))
                if self.over:
                    raise Unwind
        return self.note(me, op)

    def spawn(self, me: int, op: Op) -> Value:
        """Start a worker."""
        if op.target in self.threads:
            return self.note(me, op, started_before(self.layout, op.target))
        self.note(me, op)
        self.start(op.target)
        return None

    def call(self, me: int, op: Op) -> Value:
        """Run a function of the user's."""
        return self.note(me, op, run_call(op, self.options.allow_call))

    def join(self, me: int, op: Op) -> Value:
        """Wait for the end of a worker."""
        earliest, ended = clock(), self.ended[op.target]
        end = None if op.timeout is None else time.monotonic() + op.timeout
        with self.waiting(me, op, end is not None):
            while True:
                left = SLICE if end is None else end - time.monotonic()
                if ended.wait(max(0.0, min(SLICE, left))):
                    return self.note(me, op, True)
                self.look(me)
                if left <= 0:
                    return self.note(me, op, False, earliest)


#: The operations of a worker that are none on a real object. No attribute: an object that is in a
#: circle with its own methods keeps the record in memory until the collector comes.
_OWN: Final[dict[int, Callable[[ThreadWorkers, int, Op], Any]]] = {
    CHECKPOINT: ThreadWorkers.checkpoint, SLEEP: ThreadWorkers.sleep, SPAWN: ThreadWorkers.spawn,
    JOIN: ThreadWorkers.join, CALL: ThreadWorkers.call, WAIT: ThreadWorkers.wait,
}  # fmt: skip
