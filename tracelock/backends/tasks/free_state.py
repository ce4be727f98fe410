"""The state of a free run of tasks: who is where, what was recorded, which deadlines are pending.

Timers are kept apart from the library's own (``Loop.after``), as the moment at which a deadline
passes is an event too. What the workers do is in ``free``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic, monotonic_ns
from typing import Any, Final

import anyio

from tracelock.backends.base import Backend
from tracelock.backends.tasks.loop import Loop
from tracelock.backends.tasks.workers import TaskWorkers
from tracelock.engine.interrupts import Task, cancellable
from tracelock.engine.limits import INTERRUPTED, seconds_reached, steps_reached
from tracelock.engine.linearise.history import FreeRun, Record
from tracelock.errors import Cancelled, LimitReached, ScopeExpired, StepFailure
from tracelock.objects.lines import WaiterLine
from tracelock.ops import TIMEOUT, WAIT, Op, Value

#: How often the main task looks whether the workers still get on, in seconds.
LOOK: Final = 0.02


class Alarm:
    """A deadline under way; ``stop`` prevents it, unless it has ``rung``."""

    __slots__ = ("rung", "stop")

    def __init__(self) -> None:
        self.rung = False
        self.stop: Callable[[], None]


class FreeState(TaskWorkers):
    """One free run, without what its workers do."""

    in_files = False

    def __init__(self, backend: Backend, adapter: type[Loop], record: bool) -> None:
        super().__init__(backend, adapter)
        n = self.count
        self.recording = record
        self.machines = [backend.program.machine(w, busy=True) for w in range(n)]
        self.logs: list[list[Record]] = [[] for _ in range(n)]
        self.waits: list[dict[int, int]] = [{} for _ in range(n)]
        self.left = FreeRun(self.logs, [], 0, recorded=record, waits=self.waits)
        self.order: list[tuple[int, int]] = []
        self.events = 0
        self.lines: dict[int, WaiterLine] = {
            number: WaiterLine()
            for number, spec in enumerate(self.layout.objects, self.layout.variables)
            if spec.type == "condition"
        }
        self.present = 0  # workers whose tasks run
        self.live = 0  # workers that have been started and have not ended
        self.timing = 0  # sleeps and deadlines under way
        self.over = 0  # workers whose tasks are over
        self.started = [False] * n
        self.ended = [False] * n
        self.blocked = [False] * n  # in a real wait, ``traps``
        self.ops: list[Op | None] = [None] * n
        self.tasks = [Task() for _ in range(n)]
        self.parked = [False] * n  # has begun to wait in its object
        self.between = [True] * n  # suspended, and not gone on to its pending op yet
        self.soft = [False] * n  # suspended where a cancellation is looked for afterwards
        self.cut = [False] * n  # a cancellation has been asked for that reaches its op
        self.missed = [False] * n  # the time of its op was up when it had been cut off already
        self.due = [False] * n  # has cancelled itself, and not been suspended since
        self.alarms: list[dict[int, Alarm]] = [{} for _ in range(n)]  # of blocks, by uid
        #: By uid, the blocks whose deadline passed when the worker had been cut off already.
        self.overdue: list[set[int]] = [set() for _ in range(n)]
        self.ends: list[Any] = []
        self.ready: anyio.Event
        self.finished: anyio.Event
        self.empty: anyio.Event

    def workers_out(self) -> int:
        return self.over

    def result(self) -> FreeRun:
        """What the run left behind."""
        left = self.left
        left.order = self.order if self.recording else None
        left.cells = [[(value, -1, -1)] for value in self.values]
        return left

    def recorded(self) -> int:
        return self.events

    def so_far(self) -> FreeRun:
        left = self.result()
        left.start = left.start or monotonic_ns()
        # an event is in the order before it is in the log of its worker
        left.order = [one for one in self.order if one[1] < len(self.logs[one[0]])]
        return left

    # --- the run -----------------------------------------------------------------------------
    async def run(self) -> None:
        """Start the workers, and wait until they have ended or cannot go on."""
        self.ready, self.finished, self.empty = anyio.Event(), anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self.loop.keep_time)
            for worker in range(self.count):
                group.start_soon(self.loop.work, worker)
            try:
                await self.ready.wait()
                self._begin()
                await self._watch()
            except BaseException as error:
                # raised when the group has ended, so that it is not wrapped in a group of errors
                self.error = self.error or error
            self._close()
            with anyio.CancelScope(shield=True):
                await self.empty.wait()
            group.cancel_scope.cancel()
        self.loop.dispose(self.objects)
        if self.error is not None:
            raise self.error

    def _begin(self) -> None:
        self.objects = self.loop.objects()
        self.ends = [self.loop.event() for _ in range(self.count)]
        self.left.start = monotonic_ns()
        self.stop_at = monotonic() + self.limits.seconds
        for worker, spec in enumerate(self.layout.workers):
            if not spec.manual:
                self._start(worker)
        if not self.live:
            self.finished.set()

    def _start(self, worker: int) -> None:
        """Start a worker: it comes to its first op, and its task is told to go on."""
        self.started[worker] = True
        self.live += 1
        self._advance(worker, self.machines[worker].begin, ())
        self.loop.wake(worker)

    async def _watch(self) -> None:
        with anyio.move_on_after(self.limits.seconds) as limit:
            while not self.finished.is_set():
                with anyio.move_on_after(LOOK):
                    await self.finished.wait()
                if self.interrupted:
                    self.left.limit = INTERRUPTED
                if self.finished.is_set() or self.closing or self.left.limit is not None:
                    return
                await self.loop.quiet()
                if self._deadlocked():
                    self.left.blocked = {
                        worker: op
                        for worker, op in enumerate(self.ops)
                        if self.started[worker] and not self.ended[worker] and op is not None
                    }
                    return
        if limit.cancelled_caught:
            self._over_time()

    def _over_time(self) -> None:
        self.left.limit = seconds_reached(self.limits.seconds)

    def _deadlocked(self) -> bool:
        if self.timing or not self.live:
            return False
        for worker in range(self.count):
            if (
                self.started[worker]
                and not self.ended[worker]
                and not (self.blocked[worker] and self.loop.stuck(self.traps[worker]))
            ):
                return False
        return True

    def _close(self) -> None:
        """The run is over: the workers that are left leave it."""
        if self.closing:
            return
        self.closing = True
        for worker in range(self.count):
            if self.started[worker] and not self.ended[worker]:
                self.loop.cancel(worker)
                if self.traps[worker] is not None and worker not in self.loop.aborted:
                    self.loop.recall(worker, self.traps[worker])
            self.loop.wake(worker)
        if self.present == 0:
            self.empty.set()

    def _end(self, me: int) -> None:
        if self.started[me] and not self.ended[me]:
            self.ended[me] = True
            self.live -= 1
            self.ends[me].set()
            if not self.live:
                self.finished.set()

    def _advance(self, me: int, go_on: Callable[..., Op | None], args: tuple[Any, ...]) -> None:
        """The machine of ``me`` goes on to its next op."""
        machine = self.machines[me]
        op: Op | None = None
        try:
            op = go_on(*args)
        except StepFailure as failure:
            self.left.failures.append((me, len(self.logs[me]), failure))
        except (Cancelled, ScopeExpired):
            pass
        except LimitReached as limit:
            self.left.limit = f"{self.layout.workers[me].name}: {limit}"
            self.finished.set()
        self.ops[me] = op
        task = self.tasks[me]
        scopes = () if op is None else machine.scopes
        if scopes or task.requests or task.blocks:
            task.enter(scopes, 0.0)

    def _record(self, me: int, kind: int, op: Op, result: Value) -> None:
        if self.recording:
            log = self.logs[me]
            self.order.append((me, len(log)))
            log.append((kind, op, result, monotonic_ns(), 0))
        self.events += 1
        if not self.events & 255 or self.events >= self.limits.steps:
            self._check_limits()

    def _check_limits(self) -> None:
        if self.events >= self.limits.steps:
            self.left.limit = steps_reached(self.limits.steps)
        elif monotonic() > self.stop_at:
            self._over_time()
        elif self.interrupted:
            self.left.limit = INTERRUPTED
        if self.left.limit is not None:
            self.finished.set()
            self._close()

    # --- deadlines and cancellations ---------------------------------------------------------
    def _alarm(self, seconds: float, call: Callable[[], None]) -> Alarm:
        alarm = Alarm()

        def ring() -> None:
            alarm.rung = True
            self.timing -= 1
            if not self.closing:
                call()

        self.timing += 1
        alarm.stop = self.loop.after(seconds, ring)
        return alarm

    def _silence(self, alarm: Alarm | None) -> None:
        if alarm is not None and not alarm.rung:
            alarm.rung = True
            alarm.stop()
            self.timing -= 1

    def _late(self, me: int, op: Op, timer: Any) -> None:
        """The time of ``op``, in which ``me`` is suspended, is up."""
        if self.ops[me] is not op:
            return
        if self.cut[me]:
            self.missed[me] = True
            return
        if not self.parked[me]:
            self.loop.fire(timer)
            self.cut[me] = True
            return
        self.loop.fire(timer)
        if not self._reached(me):
            return
        self._record(me, TIMEOUT, op, None)
        self.tasks[me].late = True
        self.tasks[me].requests += 1
        self._strike(me)

    def _expire(self, me: int, uid: int) -> None:
        """The deadline of a timeout block passes."""
        task = self.tasks[me]
        block = task.blocks.get(uid)
        if block is None or block.fired or self.ended[me]:
            return
        if self.cut[me]:
            self.overdue[me].add(uid)
            return
        block.fired = True
        task.requests += 1
        self._record(me, TIMEOUT, Op(TIMEOUT, -1, block.at), None)
        self.loop.fire(self.blocks[me][uid])
        if self._reached(me):
            self._strike(me)

    def _reached(self, me: int) -> bool:
        """Whether a cancellation that was just asked for gets ``me`` out of where it is."""
        if not self.level:
            return True
        op = self.ops[me]
        if self.between[me]:
            return op is not None and cancellable(op, self.layout)
        return self.soft[me] or me in self.loop.aborted

    def _strike(self, me: int) -> None:
        self.cut[me] = True
        op = self.ops[me]
        if not self.level and op is not None and self.parked[me]:
            line = self.lines.get(op.target) if op.kind == WAIT else None
            if line is not None:
                line.strike(me)

    def _cancel(self, me: int, target: int) -> None:
        if not self.started[target] or self.ended[target]:
            return
        task = self.tasks[target]
        task.requests += 1
        task.cancelled = True
        self.loop.cancel(target)
        if target == me:
            self.due[me] = not self.level
        elif self._reached(target):
            self._strike(target)

    # --- timeout blocks ----------------------------------------------------------------------
    def block_left(self, me: int, uid: int) -> None:
        self._silence(self.alarms[me].pop(uid))

    def block_entered(self, me: int, scope: Any) -> None:
        self._alarm_of_block(me, scope.uid, scope.seconds)

    def _alarm_of_block(self, me: int, uid: int, seconds: float) -> None:
        self.alarms[me][uid] = self._alarm(seconds, partial(self._expire, me, uid))

    def _enter_blocks(self, me: int, scopes: Any) -> None:
        self.enter_blocks(me, scopes)
        if self.overdue[me]:
            self._ring_again(me)

    def _ring_again(self, me: int) -> None:
        """Deadlines of blocks that passed while ``me`` was cut off already: they count now."""
        for uid in sorted(self.overdue[me]):
            if uid in self.blocks[me]:
                self._alarm_of_block(me, uid, 0)
        self.overdue[me].clear()
