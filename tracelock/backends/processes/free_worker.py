"""A worker's process in a free run: nothing is granted or serialised, everything is recorded.

The worker runs its machine on the real objects as fast as it can, and keeps a journal (see
``journal``). The common ops are done here, in one loop; all others in ``free_ops``.
"""

from __future__ import annotations

import os
from time import monotonic_ns as clock
from typing import Any

from tracelock.backends.processes.board import BUSY, ENDED
from tracelock.backends.processes.free_ops import FreeOps
from tracelock.backends.processes.journal import OWN, RECORD, SEEN, SIZE, Journal
from tracelock.backends.processes.store import CHUNK
from tracelock.backends.processes.wire import NOTHING, failure_fields, pack, send
from tracelock.backends.real import ERRORS
from tracelock.engine.effects import op_failure, raised
from tracelock.engine.limits import steps_reached
from tracelock.errors import LimitReached, StepFailure
from tracelock.ops import ACQUIRE, READ, RELEASE, WRITE, Raised, Value


class FreeWorker(FreeOps):
    """One free run in one worker's process."""

    def run(self, settings: dict[str, Any]) -> None:
        """Take part in a run, and tell how it ended for this worker."""
        self.record = settings["record"]
        self.allow_call = settings["allow_call"]
        self.store.reset()
        self.journal = Journal(self.setup.journals[self.me], self.setup.notes[self.me])
        self._hook()
        fields: tuple[Any, ...] | None = None
        if not self.layout.workers[self.me].manual:
            self._say(BUSY)
        send(self.up, NOTHING)
        try:
            if self._gate():
                self.drive()
        except (StepFailure, LimitReached) as error:
            fields = failure_fields(error)
        self._unhook()
        self._say(ENDED)
        self.setup.ends[self.me].release()
        self.journal.close()
        send(self.up, pack((None, fields)))

    def _gate(self) -> bool:
        """Wait for the start; all begin at once, so that short workers meet too."""
        board = self.board
        if self.layout.workers[self.me].manual:
            self.setup.starts[self.me].acquire()
        else:
            while not board.begun:
                os.sched_yield()
        return not board.over

    def drive(self) -> None:
        """Run the machine to its end."""
        machine = self.program.machine(self.me, True)
        resume, store, journal, record = machine.resume, self.store, self.journal, self.record
        objects, guarded = self.objects, self.guarded
        exact, simple = self.exact, self.simple
        pread, fd, steps, number = os.pread, store.fd, self.setup.steps, journal.number
        pack_into, written = RECORD.pack_into, 0
        entries, versions = store.entries, store.versions
        op = machine.begin()
        while op is not None:
            kind = op.kind
            at = journal.at
            if at >= steps * SIZE:
                raise LimitReached(steps_reached(steps))
            if kind == READ:
                data = pread(fd, CHUNK, store.offset)
                if data:
                    store.update(data)
                target = op.target
                if record:
                    pack_into(
                        journal.view, at, clock(), 0, versions[target], 0, number(op), b"", 0,
                        READ, SEEN,
                    )  # fmt: skip
                    journal.step()
                op = resume(entries[target][0])
                continue
            if kind == WRITE and op.target not in guarded:
                if record:
                    pack_into(journal.view, at, clock(), 0, 0, 0, number(op), b"", 0, WRITE, OWN)
                    journal.step()
                    written = at // SIZE
                store.write(op.target, op.value, written)
                op = resume(None)
                continue
            result: Value
            if kind == ACQUIRE and simple[op.target]:
                lock = objects[op.target]
                self.waited = 0
                if not lock.acquire(False):
                    with self._blocked(op):
                        lock.acquire()
                if record:
                    journal.add(ACQUIRE, op, True, clock(), 0, self.waited)
                result = True
            elif kind == RELEASE and exact[op.target]:
                t = clock()
                if record:
                    journal.add(RELEASE, op, None, t)
                try:
                    result = objects[op.target].release()
                except ERRORS as error:
                    result = raised(error)
                    if record:
                        journal.put(at, RELEASE, op, result, clock(), t)
            else:
                self.waited = 0
                result = self._other(op, kind)
            if result.__class__ is Raised:
                op = machine.throw(op_failure(result, op))
            else:
                op = resume(result)
