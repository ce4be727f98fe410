"""Free runs on threads: the operating system chooses, and nothing is serialised.

Each worker keeps its own record (``free_worker``); ``engine.linearise`` puts them in one true
order afterwards. The main thread watches: a deadlock ends the run instead of hanging it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from time import monotonic_ns as clock
from typing import Final

from tracelock.backends.base import Begun, nobody, stuck_thread
from tracelock.backends.threads.free_worker import ThreadWorkers
from tracelock.engine.limits import INTERRUPTED, seconds_reached, steps_reached
from tracelock.engine.linearise.history import FreeRun
from tracelock.ops import GET, JOIN, WAIT, Op
from tracelock.scenario.compile.rounds import no_more_rounds, rounds_until

STOPPING: Final = 1.0  # seconds that workers have to stop when a run is over
POLL: Final = 0.02  # seconds between two looks at the workers


@dataclass(slots=True)
class Suspicion:
    """What was seen when a deadlock was first suspected."""

    blocked: dict[int, Op]
    lengths: list[int]
    looks: list[int]
    confirmed: bool = False


class FreeThreads(ThreadWorkers):
    """One free run. Make a new one for each."""

    in_files = False

    def run(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        """Let the workers run until they end, are deadlocked, or a bound is reached."""
        with rounds_until(None, ""):
            return self._run(record, begun)

    def _run(self, record: bool, begun: Begun) -> FreeRun:
        self.recording = record
        for number, spec in enumerate(self.layout.workers):
            if not spec.manual:
                self.start(number)
        self.began = clock()
        begun(self)
        self.gate.set()
        blocked: dict[int, Op] = {}
        try:
            blocked = self.watch()
        except KeyboardInterrupt:
            self.limit = INTERRUPTED
        self.over = True
        no_more_rounds(self.limit or "the run is over")
        self.stop()
        limits = self.options.limits
        if (
            self.limit in (seconds_reached(limits.seconds), steps_reached(limits.steps))
            and not self.still
            and all(self.ended[n].is_set() for n in self.threads)
        ):
            self.limit = None  # each had come to its end before it was stopped
        lengths = [len(log) for log in self.logs]
        self.parted.set()
        self.end()
        if blocked or self.limit is not None:
            self.forget(lengths)
        if self.errors:
            raise self.errors[0]
        return FreeRun(
            self.logs, self.cells, self.began, failures=self.failures, blocked=blocked,
            limit=self.limit, recorded=record, waits=self.waits,
        )  # fmt: skip

    def recorded(self) -> int:
        return sum(map(len, self.logs))

    def so_far(self) -> FreeRun:
        for log in self.logs:
            log.cut(len(log))  # a record that was being made
        return FreeRun(self.logs, self.cells, self.began, waits=self.waits)

    def watch(self) -> dict[int, Op]:
        """Wait for the end. Returns what each worker waits for, if they wait for ever."""
        limits = self.options.limits
        progress: tuple[int, ...] = ()
        still = 0.0
        suspicion: Suspicion | None = None
        while True:
            live = [n for n in list(self.threads) if not self.ended[n].is_set()]
            if not live:
                return {}
            self.ended[live[0]].wait(POLL)
            if self.errors:
                return {}
            live = [n for n in list(self.threads) if not self.ended[n].is_set()]
            blocked = {n: op for n in live if (op := self.blocked[n]) is not None}
            if live and len(blocked) == len(live) and self.hopeless(blocked):
                suspicion = self.suspect(blocked, suspicion)
                if suspicion.confirmed:
                    return blocked
            else:
                suspicion = None
            seconds = (clock() - self.began) / 1e9
            if seconds > limits.seconds:
                self.limit = seconds_reached(limits.seconds)
                return {}
            if sum(map(len, self.logs)) > limits.steps:
                self.limit = steps_reached(limits.steps)
                return {}
            now = tuple(len(self.logs[n]) for n in live)
            still = still + POLL if now == progress and len(blocked) < len(live) else 0.0
            progress = now
            if still > limits.stall:
                self.limit = "\n".join(
                    stuck_thread(self.layout, n, self.threads[n].ident)
                    for n in live
                    if n not in blocked
                )
                return {}

    def suspect(self, blocked: dict[int, Op], before: Suspicion | None) -> Suspicion:
        """Strengthen the suspicion of a deadlock.

        A worker may have got its lock and not have said so yet. But if each tries anew and
        fails, while nobody gets on and all still wait for the same, then none of them has.
        """
        lengths = [len(log) for log in self.logs]
        if before is None or before.blocked != blocked or before.lengths != lengths:
            return Suspicion(blocked, lengths, list(self.looks))
        before.confirmed = all(
            self.looks[worker] >= before.looks[worker] + 2
            for worker, op in blocked.items()
            if op.kind != WAIT
        )
        return before

    def hopeless(self, blocked: dict[int, Op]) -> bool:
        """Whether these workers, who are all that live, really wait for ever.

        Each real object is looked at: a waiter that has been woken and has not run yet is no
        longer among its waiters, or finds its lock free.
        """
        at: dict[int, int] = {}
        for worker, op in blocked.items():
            if self.timed[worker]:
                return False
            if op.kind == JOIN:
                if self.ended[op.target].is_set():
                    return False
                continue
            real, kind = self.real[op.target], self.layout.spec(op.target).type
            if kind in ("condition", "event", "barrier"):
                at[op.target] = at.get(op.target, 0) + 1
            elif kind == "queue":
                if real.qsize() if op.kind == GET else not real.full():
                    return False
            elif kind in ("semaphore", "bounded_semaphore"):
                if real._value > 0:
                    return False
            elif real.acquire(False):
                real.release()
                return False
        for target, count in at.items():
            condition = getattr(self.real[target], "_cond", self.real[target])
            if len(condition._waiters) != count:
                return False
        # nothing may have changed meanwhile
        return all(self.blocked[worker] is op for worker, op in blocked.items())

    def forget(self, lengths: list[int]) -> None:
        """Strike out what workers did when they were unwound.

        A wait that has begun is noted only when it ends: that one event stays.
        """
        for log, length in zip(self.logs, lengths, strict=True):
            if len(log) > length and log[length][0] == WAIT and log[length][2] is None:
                length += 1
            log.cut(length)

    def stop(self) -> None:
        """Wait until each worker has stopped where it is: then their records fit together.

        One that waits at an object does nothing either; one that is in a long call or in a
        computation is given up after ``STOPPING`` seconds.
        """
        deadline = time.monotonic() + STOPPING
        while time.monotonic() < deadline and not self.errors:
            if all(
                self.ended[n].is_set()
                or n in self.still
                or ((op := self.blocked[n]) is not None and op.kind == WAIT)
                for n in list(self.threads)
            ):
                return
            time.sleep(0.001)

    def end(self) -> None:
        """Unwind every worker that still waits; those stuck elsewhere are left as daemons."""
        deadline = time.monotonic() + 2.0
        self.gate.set()
        while time.monotonic() < deadline:
            live = [n for n, thread in self.threads.items() if thread.is_alive()]
            if not live:
                return
            for real in self.real:
                condition = getattr(real, "_cond", real)
                for waiter in list(getattr(condition, "_waiters", ())):
                    with contextlib.suppress(RuntimeError):
                        waiter.release()
            self.threads[live[0]].join(0.01)
