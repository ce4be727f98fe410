"""The parent's side of a free run: start it, watch it, and gather what the workers recorded."""

from __future__ import annotations

import contextlib
import os
import select
import time
from time import monotonic_ns as clock
from typing import Any, Final

from tracelock.backends.base import Begun, Options, nobody
from tracelock.backends.processes import wire
from tracelock.backends.processes.board import BUSY, FLUSHES, IDLE, WAITS, Board, Place
from tracelock.backends.processes.journal import SIZE, Notes, cells_of, read_journal
from tracelock.backends.processes.pool import ProcessPool
from tracelock.backends.processes.settle import settle
from tracelock.engine.limits import INTERRUPTED, seconds_reached, steps_reached
from tracelock.engine.linearise.history import FreeRun, Log
from tracelock.errors import StepFailure
from tracelock.ops import CRASH, Op
from tracelock.scenario.program import Program

POLL: Final = 0.02  # seconds between two looks at the workers
#: Looks at which all workers must be found waiting, and nothing have changed.
LOOKS: Final = 3
#: The same where the operating system does not say whether a process is asleep.
BLIND_LOOKS: Final = 20
#: Seconds without progress that are enough once a worker was killed from outside, perhaps
#: inside an object.
GRACE: Final = 2.0


class FreeProcesses:
    """One free run. ``unusable`` afterwards: the pool is not fit for another."""

    in_files = True

    def __init__(self, program: Program, options: Options, pool: ProcessPool) -> None:
        self.layout = program.layout
        self.options = options
        self.pool = pool
        self.setup = pool.setup
        count = len(self.layout.workers)
        self.live = set(range(count))
        self.failures: list[tuple[int, StepFailure]] = []
        self.crashed: dict[int, str] = {}
        self.died: dict[int, int] = {}
        self.limit: str | None = None
        self.unusable = False
        self.blocked: dict[int, int] = {}  # number of the op
        self.progress = [0] * count
        self.moved = time.monotonic()
        self.start = 0

    def run(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        """Let the workers run until they end, are deadlocked, or a bound is reached."""
        setup = self.setup
        for file in (setup.store, *setup.journals, *setup.notes):
            file.empty()
        self.board = Board(setup.board, fresh=True)
        settings = {"record": record, "allow_call": self.options.allow_call}
        for worker in sorted(self.live):
            with contextlib.suppress(BrokenPipeError):  # dead: its message will be empty
                wire.send(self.pool.down[worker], wire.RUN + wire.pack(settings))
        try:
            for worker in sorted(self.live):
                self._receive(worker)
            self.start = clock()
            begun(self)
            self.board.begin()
            self._watch()
        except KeyboardInterrupt:
            self.limit = INTERRUPTED
        finally:
            if self.live:
                self.unusable = True
                self.pool.stop()
        result = self._gather(record)
        self.board.close()
        return result

    def recorded(self) -> int:
        return 0  # what workers record is shared memory: any copy of this process sees all of it

    def so_far(self) -> FreeRun:
        self.pool.abandon()
        return self._gather(True)

    # --- watching ----------------------------------------------------------------------------
    def _watch(self) -> None:
        poller = select.poll()
        for worker in self.live:
            poller.register(self.pool.up[worker], select.POLLIN)
        workers = {self.pool.up[worker]: worker for worker in self.live}
        limits = self.options.limits
        looks, before = 0, None
        while True:
            for fd, _ in poller.poll(POLL * 1000):
                poller.unregister(fd)
                self._receive(workers[fd])
                looks = 0
            if self.limit is not None:
                return
            places = {worker: self.board.place(worker) for worker in self.live}
            acting = {w: place for w, place in places.items() if place[0] != IDLE}
            if not acting:
                self._release_unstarted()
                return
            if (clock() - self.start) / 1e9 > limits.seconds:
                self.limit = seconds_reached(limits.seconds)
                return
            if all(place[0] in (WAITS, FLUSHES) for place in acting.values()):
                asleep = self._asleep(acting)
                looks = looks + 1 if places == before and asleep is not False else 0
                before = places
                if looks >= (BLIND_LOOKS if asleep is None else LOOKS):
                    self._give_up(acting)
                    return
            else:
                looks = 0
                if any(place[0] == BUSY for place in acting.values()):
                    self._check_progress(acting)
                else:
                    self.moved = time.monotonic()

    def _asleep(self, workers: Any) -> bool | None:
        """Whether these processes are asleep; None where the system does not say.

        One that another has just woken is not: that is what makes a deadlock certain, and not
        a matter of time.
        """
        try:
            for worker in workers:
                with open(f"/proc/{self.pool.processes[worker].pid}/stat", "rb") as file:
                    if file.read().rpartition(b")")[2].split()[0] != b"S":
                        return False
        except OSError:
            return None if not os.path.exists("/proc/self/stat") else False
        return True

    def _give_up(self, acting: dict[int, Place]) -> None:
        """No worker will ever get on."""
        full = [worker for worker, place in acting.items() if place[0] == FLUSHES]
        if full:
            name = self.layout.workers[full[0]].name
            self.limit = f"{name}: the pipe of a queue is full, and nobody takes anything out"
            return
        self.blocked = {worker: number for worker, (_, number, _) in acting.items()}

    def _check_progress(self, acting: Any) -> None:
        """Whether a worker that neither waits nor ends still gets on."""
        moved = False
        for worker in acting:
            fd, last = self.setup.journals[worker].fd, self.progress[worker]
            while os.pread(fd, SIZE, last * SIZE)[-1:] not in (b"", b"\0"):
                moved = True
                last = last * 2 + 1
            self.progress[worker] = last
        now = time.monotonic()
        if moved:
            self.moved = now
        places = [self.board.place(worker) for worker in sorted(acting)]
        if places != getattr(self, "_places", None):
            self._places, self.moved = places, now
        killed = any(how != "crash" for how in self.crashed.values())
        if now - self.moved > (GRACE if killed else self.options.limits.stall):
            stuck = [w for w in acting if self.board.place(w)[0] != WAITS]
            names = ", ".join(self.layout.workers[worker].name for worker in sorted(stuck))
            object_ = "in an object that a killed process was using"
            why = object_ if killed else "outside tracelock's control"
            self.limit = f"{names}: stuck {why}"

    def _receive(self, worker: int) -> None:
        """A message of a worker: that it is ready, has ended, or (none at all) is dead."""
        data = wire.receive(self.pool.up[worker])
        if data == wire.NOTHING:
            return
        self.live.discard(worker)
        if not data:
            self.crashed[worker] = self.pool.exit_text(worker)
            self.died[worker] = clock()
            self.setup.ends[worker].release()
            return
        _, fields = wire.receive_message(data)
        if fields is None:
            return
        error = wire.failure_of(fields)
        if isinstance(error, StepFailure):
            self.failures.append((worker, error))
        elif self.limit is None:
            text = str(error)
            whole = text.startswith("the limit")
            self.limit = text if whole else f"{self.layout.workers[worker].name}: {text}"

    def _release_unstarted(self) -> None:
        """The workers that none has spawned are not needed any more."""
        self.board.end()
        for worker in sorted(self.live):
            self.setup.starts[worker].release()
        for worker in sorted(self.live):
            self._receive(worker)

    # --- gathering ---------------------------------------------------------------------------
    def _gather(self, record: bool) -> FreeRun:
        layout, setup = self.layout, self.setup
        cells, own = cells_of(layout, setup.store)
        notes = [Notes(file.content()) for file in setup.notes]
        blocked: dict[int, Op] = {
            worker: notes[worker].ops[number] for worker, number in self.blocked.items()
        }
        logs = [Log() for _ in layout.workers]
        waits: list[dict[int, int]] = [{} for _ in layout.workers]
        pending = []
        for worker, file in enumerate(setup.journals):
            logs[worker], waits[worker], open_ = read_journal(
                file, notes[worker], cells, own[worker]
            )
            if open_:
                pending.append(worker)
        settle(layout, logs, pending, setup.objects)
        if not record:
            cells = [cell[-1:] for cell in cells]
        total = sum(map(len, logs))
        if total > self.options.limits.steps and self.limit is None:
            self.limit = steps_reached(self.options.limits.steps)
        crashed = []
        for worker, how in self.crashed.items():
            log = logs[worker]
            if log and log[-1][0] == CRASH:
                crashed.append((worker, "crash"))
                continue
            # something outside killed it: an event of its own, whose value says how
            self.unusable = True
            crashed.append((worker, how))
            at = log[-1][1].at if log else ""
            last = log[-1][3] if log else 0
            log.add(CRASH, Op(CRASH, -1, at, how), None, max(last, self.died[worker]))
        failures = [(worker, len(logs[worker]), error) for worker, error in self.failures]
        return FreeRun(
            logs, cells, self.start, failures=failures, blocked=blocked, crashed=crashed,
            limit=self.limit, recorded=record, waits=waits,
        )  # fmt: skip
