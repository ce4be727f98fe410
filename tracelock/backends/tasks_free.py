"""Free runs of tasks: the event loop chooses, and what happened is written down as it happens.

One task runs at a time, so that the record of one run is one list in true order: an operation
that did not have to wait is one event, one that did is an event where it begins to wait and one
where it ends. Timers are kept apart from the library's own (``Loop.after``), as the moment at which
a deadline passes is an event too.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, Final

import anyio

from tracelock.backends.base import FreeRun, mismatch
from tracelock.backends.calls import run_call
from tracelock.backends.tasks_control import DONE, abandon, exchange, run_atomic
from tracelock.engine.interrupts import Task, cancellable
from tracelock.engine.limits import INTERRUPTED
from tracelock.errors import Cancelled, LimitReached, ModelMismatch, ScopeExpired, StepFailure
from tracelock.objects.lines import Line
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CANCELLED,
    CHECKPOINT,
    EMPTY,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    REQUEST,
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
from tracelock.scenario.program import Machine

if TYPE_CHECKING:
    from tracelock.backends.tasks import TaskBackend

Steps = Generator[Any, Any, Any]

#: How often the main task looks whether the workers still get on, in seconds.
LOOK: Final = 0.02


class _Stop(BaseException):
    """The run is over for a worker in the middle of something."""


class Alarm:
    """A deadline that is to pass, and the way to prevent it."""

    __slots__ = ("rung", "stop")

    def __init__(self) -> None:
        self.rung = False
        self.stop: Callable[[], None]


class FreeCrew:
    """The workers of one free run."""

    def __init__(self, backend: TaskBackend, record: bool) -> None:
        self.backend = backend
        self.layout = backend.layout
        self.limits = backend.options.limits
        self.recording = record
        self.count = n = len(self.layout.workers)
        self.loop = backend.adapter(self)
        self.level = self.loop.level_triggered
        self.interrupted = False  # by the thread that waits for this one
        self.closing = False
        self.error: BaseException | None = None
        self.values: list[Value] = list(self.layout.initial)
        self.objects: list[Any] = []
        self.machines: list[Machine] = [backend.program.machine(w, busy=True) for w in range(n)]
        self.left = FreeRun(
            [[] for _ in range(n)], [], 0, order=[], recorded=record, waits=[{} for _ in range(n)]
        )
        self.order: list[tuple[int, int]] = []
        self.lines: dict[int, Line] = {
            number: Line()
            for number, spec in enumerate(self.layout.objects, self.layout.variables)
            if spec.type == "condition"
        }
        self.home = self.live = self.timing = 0
        self.released = 0  # workers whose tasks are over
        self.mourning = 0  # those that have let go of everything, and have a wait to close
        self.all_released = False
        self.started = [False] * n
        self.ended = [False] * n
        self.blocked = [False] * n  # in a real wait, ``traps``
        self.ops: list[Op | None] = [None] * n
        self.tasks = [Task() for _ in range(n)]
        self.traps: list[Any] = [None] * n
        self.parked = [False] * n  # has begun to wait in its object
        self.between = [True] * n  # suspended, and not gone on to its pending op yet
        self.soft = [False] * n  # suspended where a cancellation is looked for afterwards
        self.cut = [False] * n
        self.missed = [False] * n  # the time of its op was up when it had been cut off already
        self.due = [False] * n  # has cancelled itself, and not been suspended since
        self.blocks: list[dict[int, tuple[Any, Alarm]]] = [{} for _ in range(n)]
        self.overdue: list[set[int]] = [set() for _ in range(n)]
        self.flying: list[tuple[BaseException, int] | None] = [None] * n
        self.ends: list[Any] = []
        self.ready: anyio.Event
        self.finished: anyio.Event
        self.empty: anyio.Event

    def result(self) -> FreeRun:
        """What the run left behind."""
        left = self.left
        left.order = self.order
        left.cells = [[(value, -1, -1)] for value in self.values]
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
            finally:
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
        self.left.limit = f"the limit of {self.limits.seconds:g} seconds was reached"

    def _deadlocked(self) -> bool:
        if self.timing or not self.live:
            return False
        for worker in range(self.count):
            if self.started[worker] and not self.ended[worker] and not (
                self.blocked[worker] and self.loop.stuck(self.traps[worker])
            ):
                return False
        return True

    def _close(self) -> None:
        """The run is over: whoever is left goes home."""
        if self.closing:
            return
        self.closing = True
        for worker in range(self.count):
            if self.started[worker] and not self.ended[worker]:
                self.loop.cancel(worker)
                if self.traps[worker] is not None and worker not in self.loop.aborted:
                    self.loop.recall(worker, self.traps[worker])
            self.loop.wake(worker)
        if self.home == 0:
            self.empty.set()

    def work(self, me: int) -> Steps:
        """The whole life of worker ``me``."""
        self.home += 1
        if self.home == self.count:
            self.ready.set()
        try:
            caught = None
            while not self.started[me] and not self.closing:
                caught = (yield from self.loop.wait(me)) or caught
            if not self.closing and not self.ended[me]:
                yield from self._live(me, caught)
        except _Stop:
            pass
        except GeneratorExit:
            raise
        except BaseException as error:
            if self.error is None:
                self.error = error
            self.finished.set()
        self._end(me)
        if self.blocks[me]:
            self._leave_blocks(me, ())
        try:
            yield from self.loop.settle(me)
        except BaseException as error:
            self.error = self.error or error
        self.released += 1
        self.home -= 1
        self._wake_released()
        if self.home == 0:
            self.empty.set()
        return DONE

    def _end(self, me: int) -> None:
        if self.started[me] and not self.ended[me]:
            self.ended[me] = True
            self.live -= 1
            self.ends[me].set()
            if not self.live:
                self.finished.set()

    # --- one worker --------------------------------------------------------------------------
    def _live(self, me: int, caught: BaseException | None) -> Steps:
        self.between[me] = False
        machine, values = self.machines[me], self.values
        record, resume = self._record, self.machines[me].resume
        op = self.ops[me]
        assert op is not None
        if caught is not None and not (
            op.kind in self.backend.rules.before and cancellable(op, self.layout)
        ):
            # a task that is cancelled before its first step never runs at all
            record(me, CANCELLED, op, None)
            return
        if machine.scopes:
            requests = self.loop.take_back(me)
            self._enter_blocks(me, machine.scopes)
            caught = (yield from self.loop.ask_again(me, requests)) or caught
        if caught is not None:
            self._cancelled(me, op, caught)
            op = self.ops[me]
        while op is not None:
            kind = op.kind
            if kind == READ:
                result = values[op.target]
                record(me, READ, op, result)
                self._advance(me, resume, (result,))
            elif kind == WRITE:
                values[op.target] = op.value
                record(me, WRITE, op, None)
                self._advance(me, resume, (None,))
            elif self._waits(op):
                yield from self._wait(me, op)
            elif kind == SLEEP or kind == CHECKPOINT or kind == JOIN:
                yield from self._pause(me, op)
            else:
                self._do(me, op, kind)
            op = self.ops[me]
            if self.blocks[me] or (op is not None and machine.scopes):
                self._leave_blocks(me, () if op is None else machine.scopes)
                if op is not None:
                    self._enter_blocks(me, machine.scopes)
            if self.closing:
                self._let_go()
                raise _Stop

    def _advance(self, me: int, go_on: Callable[..., Op | None], args: tuple[Any, ...]) -> None:
        """The machine of ``me`` goes on to its next op."""
        machine = self.machines[me]
        op: Op | None = None
        try:
            op = go_on(*args)
        except StepFailure as failure:
            self.left.failures.append((me, len(self.left.logs[me]), failure))
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
        order = self.order
        if self.recording:
            log = self.left.logs[me]
            order.append((me, len(log)))
            log.append((kind, op, result, monotonic_ns(), 0))
        else:
            order.append((me, 0))
        if not len(order) & 255 or len(order) >= self.limits.steps:
            self._check_limits()

    def _check_limits(self) -> None:
        if len(self.order) >= self.limits.steps:
            self.left.limit = f"the limit of {self.limits.steps:,} steps was reached"
        elif monotonic() > self.stop_at:
            self._over_time()
        elif self.interrupted:
            self.left.limit = INTERRUPTED
        if self.left.limit is not None:
            self.finished.set()
            self._close()

    def _give(self, me: int, kind: int, op: Op, result: Value) -> None:
        """The end of an op: its last event, and its result for the machine."""
        self._record(me, kind, op, result)
        machine = self.machines[me]
        if result.__class__ is Raised:
            failure = StepFailure("error", f"{result.kind}: {result.message}", op.at)
            self._advance(me, machine.throw, (failure,))
        else:
            self._advance(me, machine.resume, (result,))

    def _cancelled(self, me: int, op: Op, error: BaseException) -> None:
        """``error`` is what a cancellation raised in ``op``."""
        thrown = self.tasks[me].raised(self.level)
        if thrown is None:
            raise mismatch(self.layout, me, op, False, error)
        self._record(me, CANCELLED, op, None)
        uid = thrown.uid if isinstance(thrown, ScopeExpired) else -1
        self.flying[me] = (error, uid)
        self.cut[me] = self.due[me] = False
        self._advance(me, self.machines[me].throw, (thrown,))

    def _waits(self, op: Op) -> bool:
        kind = op.kind
        if kind != WAIT and kind != ACQUIRE and kind != PUT and kind != GET:
            return False
        return cancellable(op, self.layout)

    # --- operations that wait ----------------------------------------------------------------
    def _wait(self, me: int, op: Op) -> Steps:
        loop, kind, task = self.loop, op.kind, self.tasks[me]
        work = loop.start(op, self.objects[op.target])
        line = self.lines.get(op.target) if kind == WAIT else None
        alarm = timer = None
        if op.timeout is not None:
            timer = loop.timer()
            work = loop.timed(work, timer)
            alarm = self._alarm(op.timeout, partial(self._late, me, op, timer))
        passing = self.level and task.effective
        self.cut[me] = self.cut[me] or passing
        self.missed[me] = False
        first = kind in loop.first
        parked = unwinding = False
        asked = monotonic_ns()
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        error: BaseException | None = None
        real: Value = None
        while True:
            try:
                trap = send(arg)
            except StopIteration as stop:
                real = loop.outcome(kind, stop.value)
                break
            except loop.cancelled as cancelled:
                error = cancelled
                break
            except Exception as failure:
                real = Raised(type(failure).__name__, str(failure))
                break
            shielded = loop.shielded(trap)
            if passing or (first and shielded):
                self.soft[me] = first
                send, arg = work.send, (yield trap)
                self.soft[me] = first = False
                passing = passing or self.cut[me]
                if self.closing:
                    yield from self._abandon(me, op, work)
                continue
            if shielded and not unwinding and (kind == ACQUIRE or (line is not None and parked)):
                yield from self._finish(me, op, work, trap, alarm, asked if parked else 0)
                return
            self._record(me, WAIT if kind == WAIT and not parked else REQUEST, op, None)
            if self.overdue[me]:
                self._ring_again(me)
            if self.missed[me]:
                self.missed[me] = False
                alarm = self._alarm(0, partial(self._late, me, op, timer))
            if line is not None and not parked:
                line.join(me)
            parked = self.parked[me] = True
            self.soft[me] = shielded and line is None
            if self.due[me]:
                self.due[me] = False
                self._strike(me)
            self.traps[me], self.blocked[me] = trap, True
            try:
                reply = yield loop.guarded(me, trap)
            except loop.cancelled as cancelled:
                send, arg = work.throw, cancelled
            else:
                send, arg = work.send, reply
            self.blocked[me] = self.soft[me] = False
            self.traps[me] = None
            if self.closing:
                yield from self._abandon(me, op, work)
            cut, self.cut[me] = self.cut[me], False
            loop.aborted.discard(me)
            if line is not None:
                self._out_of_line(line, me, cut)
                unwinding = unwinding or cut
            else:
                # it is not out of it before the error has come through
                passing = self.cut[me] = cut
        self._silence(alarm)
        self.parked[me] = False
        if parked and self.recording:
            self.left.waits[me][len(self.left.logs[me])] = monotonic_ns() - asked
        if unwinding and line is not None and self.backend.rules.passes_notify_on:
            line.wake(1)
        if error is not None:
            self._cancelled(me, op, error)
            return
        if (real is False or real is EMPTY) and parked and task.raised(self.level) is not None:
            raise mismatch(self.layout, me, op, "cancelled", real)
        self.cut[me] = False
        self._give(me, WAKE if kind == WAIT and parked else kind, op, real)

    def _finish(
        self,
        me: int,
        op: Op,
        work: Coroutine[Any, Any, Any],
        trap: Any,
        alarm: Alarm | None,
        asked: int,
    ) -> Steps:
        """The event of ``op`` is now, and others go on before its task does."""
        self._silence(alarm)
        self.parked[me] = False
        if asked and self.recording:
            self.left.waits[me][len(self.left.logs[me])] = monotonic_ns() - asked
        self._give(me, WAKE if op.kind == WAIT else ACQUIRE, op, True)
        self.between[me] = True
        reply = yield trap
        self.between[me] = False
        try:
            work.send(reply)
        except StopIteration:
            if self.ops[me] is None:  # see ``Controller.ask``
                self._record(me, CHECKPOINT, Op(CHECKPOINT, -1, op.at), None)
            return
        raise mismatch(self.layout, me, op, True, "waits again")

    def _out_of_line(self, line: Line, me: int, cut: bool) -> None:
        """The condition's waiter ``me`` has been woken, or cut off."""
        if line.states.pop(me, None) is None and cut and self.level and line.states:
            # it was notified after it had been cancelled: the next is notified instead
            del line.states[next(iter(line.states))]

    def _pause(self, me: int, op: Op) -> Steps:
        """A sleep, a checkpoint or a join."""
        loop, kind, task = self.loop, op.kind, self.tasks[me]
        alarm = None
        if kind == JOIN:
            if not cancellable(op, self.layout):
                self._give(me, JOIN, op, self.ended[op.target])
                return
            work = loop.join(self.ends[op.target])
            if op.timeout is not None:
                timer = loop.timer()
                work = loop.timed(work, timer)
                alarm = self._alarm(op.timeout, partial(self._late, me, op, timer))
        elif kind == SLEEP:
            work = loop.sleep(op.value)
            self.timing += 1
        else:
            work = loop.checkpoint()
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        error: BaseException | None = None
        real: Value = None
        passing = self.level and task.effective
        self.cut[me] = self.cut[me] or passing
        while True:
            try:
                trap = send(arg)
            except StopIteration as stop:
                real = loop.outcome(JOIN, stop.value) if kind == JOIN else None
                break
            except loop.cancelled as cancelled:
                error = cancelled
                break
            if self.due[me]:
                self.due[me] = False
                self.cut[me] = True
            self.soft[me] = True
            if not passing and kind != CHECKPOINT:
                self.traps[me], self.blocked[me] = trap, True
            try:
                reply = yield loop.guarded(me, trap)
            except loop.cancelled as cancelled:
                send, arg = work.throw, cancelled
            else:
                send, arg = work.send, reply
            self.blocked[me] = self.soft[me] = False
            self.traps[me] = None
            loop.aborted.discard(me)
            if self.closing:
                abandon(work)
                self._let_go()
                raise _Stop
        if kind == SLEEP:
            self.timing -= 1
        self._silence(alarm)
        if error is not None:
            self._cancelled(me, op, error)
            return
        self.cut[me] = False
        self._give(me, kind, op, real)

    def _abandon(self, me: int, op: Op, work: Coroutine[Any, Any, Any]) -> Steps:
        """The run is over and ``work`` will not be finished."""
        self._let_go()
        if self.level and op.target in self.lines:
            # on its way out it takes its lock: not before everybody has let go of that
            self.mourning += 1
            self._wake_released()
            while self.released + self.mourning < self.count and not self.all_released:
                yield from self.loop.wait(me)
            self.all_released = True
            abandon(work)
            self._let_go()
            self.mourning -= 1
        else:
            abandon(work)
        raise _Stop

    def _let_go(self) -> None:
        if self.level:
            for real in self.objects:
                if isinstance(real, anyio.Lock):
                    try:
                        real.release()
                    except RuntimeError:
                        continue

    def _wake_released(self) -> None:
        if self.closing and self.released + self.mourning >= self.count:
            self.all_released = True
            for worker in range(self.count):
                self.loop.wake(worker)

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
        self.loop.fire(self.blocks[me][uid][0])
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
    def _leave_blocks(self, me: int, scopes: Any) -> None:
        blocks = self.blocks[me]
        inside = {scope.uid for scope in scopes}
        error, whose = self.flying[me] or (None, -1)
        for uid in [uid for uid in reversed(blocks) if uid not in inside]:
            timer, alarm = blocks.pop(uid)
            self._silence(alarm)
            if self.loop.leave(timer, error):
                if uid != whose and not self.closing:
                    raise ModelMismatch(
                        f"{self.layout.workers[me].name}: a timeout block took a cancellation "
                        "for its own that is another's by the model"
                    )
                error, whose = None, -1
                self.flying[me] = None

    def _enter_blocks(self, me: int, scopes: Any) -> None:
        blocks = self.blocks[me]
        for scope in scopes:
            uid = scope.uid
            if uid not in blocks:
                timer = self.loop.timer()
                self.loop.enter(timer)
                blocks[uid] = (timer, self._alarm(scope.seconds, partial(self._expire, me, uid)))
        if self.overdue[me]:
            self._ring_again(me)

    def _ring_again(self, me: int) -> None:
        """Deadlines of blocks that passed while ``me`` was cut off already: they count now."""
        blocks = self.blocks[me]
        for uid in sorted(self.overdue[me]):
            if uid in blocks:
                blocks[uid] = (blocks[uid][0], self._alarm(0, partial(self._expire, me, uid)))
        self.overdue[me].clear()

    # --- operations that do not wait ---------------------------------------------------------
    def _do(self, me: int, op: Op, kind: int) -> None:
        result: Value = None
        if kind == ATOMIC:
            result = run_atomic(op, self.values)
        elif kind < ATOMIC:
            result = exchange(op, kind, self.values)
        elif kind == CALL:
            result = run_call(op.body, op.value)
        elif kind == CANCEL:
            self._record(me, kind, op, None)
            self._cancel(me, op.target)
            self._advance(me, self.machines[me].resume, (None,))
            return
        elif kind == SPAWN:
            if self.started[op.target]:
                name = self.layout.workers[op.target].name
                result = Raised("RuntimeError", f"{name} has been started before")
            else:
                self._record(me, kind, op, None)
                self._start(op.target)
                self._advance(me, self.machines[me].resume, (None,))
                return
        else:
            try:
                result = self.loop.attempt(op, self.objects[op.target])
            except Exception as error:
                result = Raised(type(error).__name__, str(error))
            if kind == NOTIFY and result is None:
                result = self._notified(op)
        self._give(me, kind, op, result)

    def _notified(self, op: Op) -> list[int]:
        """Whom a notify woke, which the real object does not tell."""
        line = self.lines[op.target]
        n = len(line.states) if op.value == -1 else max(0, op.value)
        if not self.level:
            return line.wake(n)
        notified = [worker for worker in line.states][:n]
        for worker in notified:
            del line.states[worker]
        return notified

