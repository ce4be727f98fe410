"""Controlled runs of tasks: one baton goes from task to task.

Each worker is one real task, used for one schedule after the other. It drives the coroutine of a
real operation itself, step by step: where that is suspended, the worker decides with the
controller who goes on, wakes that one, and yields to the loop what the coroutine yielded, so that
the wait is a real one. When the wait is over the worker waits for the baton before it lets the
coroutine go on; so what an object does after a wake-up happens when the controller says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import anyio

from tracelock.backends.base import mismatch
from tracelock.backends.calls import run_call
from tracelock.backends.simulated import start
from tracelock.engine.controller import Controller, same
from tracelock.errors import InternalError, ModelMismatch, ScopeExpired
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    EMPTY,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    NAMES,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAIT,
    WRITE,
    Op,
    Raised,
    Value,
)
from tracelock.scenario.program import Machine

if TYPE_CHECKING:
    from tracelock.backends.tasks import TaskBackend

Steps = Generator[Any, Any, Any]

#: What ``_wait`` says: the op is over; it is over and the worker has the baton again; the
#: schedule is over.
OVER, ONWARD, STRAY = range(3)
#: What becomes of a task at the end of ``work``.
AGAIN, REPLACE, DONE = range(3)


class Crew:
    """The workers of one batch of schedules."""

    def __init__(
        self, backend: TaskBackend, controller: Controller, done: Callable[[Controller], bool]
    ) -> None:
        self.backend = backend
        self.layout = backend.layout
        self.program = backend.program
        self.controller = controller
        self.done = done
        self.count = n = len(self.layout.workers)
        self.loop = backend.adapter(self)
        self.interrupted = False  # by the thread that waits for this one
        self.closing = False
        self.error: BaseException | None = None
        self.holder = -1  # who has the baton
        self.heir = -1  # whose next task passes it on
        self.home: set[int] = set()  # workers that are in no schedule
        self.over = True  # the schedule is: everybody goes home
        self.begun = False
        self.stray = [False] * n  # to leave its schedule, wherever it is
        self.away = [False] * n
        self.traps: list[Any] = [None] * n  # the real waits
        self.timers: list[Any] = [None] * n  # of the ops under way
        self.blocks: list[dict[int, Any]] = [{} for _ in range(n)]  # timers by uid, entered
        self.early: list[set[int]] = [set() for _ in range(n)]  # fired before they were entered
        self.flying: list[tuple[BaseException, int] | None] = [None] * n  # and whose block's
        self.objects: list[Any] = []
        self.values: list[Value] = []
        self.machines: list[Machine] = []
        #: Models of locks whose owner is somebody to them, by number.
        self.locks: list[tuple[int, Any]] = []
        self.mourning = 0  # strays that still have something to close
        self.released = False  # all strays have let go of their locks
        self.graves: list[tuple[Coroutine[Any, Any, Any], Any] | None] = [None] * n
        self.group: Any = None
        self.finished: anyio.Event

    # --- the batch ---------------------------------------------------------------------------
    async def run(self) -> None:
        """Run schedules until there are no more, or enough. Raises what a worker came to."""
        self.finished = anyio.Event()
        if self.backend.rules.leaves:
            self.locks = [
                (number, model)
                for number, model in enumerate(self.controller.models)
                if hasattr(model, "broken")
            ]
        async with anyio.create_task_group() as self.group:
            for worker in range(self.count):
                self.group.start_soon(self.loop.work, worker)
            try:
                await self._watch()
            except BaseException as error:
                self.abort(error)
                raise
        self.loop.dispose(self.objects)
        if self.error is not None:
            raise self.error

    async def _watch(self) -> None:
        seen: tuple[int, int] | None = None
        while not self.closing:
            with anyio.move_on_after(self.backend.options.limits.stall):
                await self.finished.wait()
            log = getattr(self.controller, "log", ())
            if not self.closing and seen == (id(log), len(log)):
                self.abort(self._stuck())
            seen = (id(log), len(log))

    def _stuck(self) -> InternalError:
        name = self.layout.workers[self.holder].name if self.holder >= 0 else "nobody"
        op = self.controller.op
        return ModelMismatch(
            f"{name} was to go on at {op.at} ({NAMES[op.kind]}) and did not: "
            f"the real object still waits, or a step takes very long"
        )

    def abort(self, error: BaseException) -> None:
        """The batch ends with ``error``."""
        if self.error is None:
            self.error = error
        self._close()

    def _close(self) -> None:
        self.closing = True
        self.finished.set()
        for worker in range(self.count):
            self.stray[worker] = True
            self._call_home(worker)

    def _call_home(self, worker: int) -> None:
        if self.traps[worker] is not None:
            self.loop.recall(worker, self.traps[worker])
        self.loop.wake(worker)

    def work(self, me: int) -> Steps:
        """One schedule of worker ``me``; to be run by its task, again while it gives ``AGAIN``.

        ``REPLACE``: the task has to end for real, and another to take its place.
        """
        try:
            if self.heir == me:
                # the task before this one has ended, now the others may go on
                self.heir = -1
                self._pass_on()
            caught = yield from self._stay_home(me)
            if self.closing:
                return DONE
            yield from self._turns(me, caught)
            if self.graves[me] is not None:
                yield from self._bury(me)
            yield from self.loop.settle(me)
            self.away[me] = False
        except GeneratorExit:
            raise
        except BaseException as error:
            self.abort(error)
        if self.closing:
            self.gone(me)
            return DONE
        return REPLACE if self.heir == me else AGAIN

    def gone(self, me: int) -> None:
        """The task of worker ``me`` ends with the batch."""
        self.home.add(me)
        self._check_released()

    def _stay_home(self, me: int) -> Steps:
        self.home.add(me)
        self.stray[me] = False
        self._check_released()
        while self.over and len(self.home) == self.count and not self.closing:
            self._turn_over()
        caught = None
        while self.holder != me and not self.closing:
            caught = (yield from self.loop.wait(me)) or caught
        if self.closing:
            return None
        self.home.discard(me)
        self.away[me] = True
        return caught

    def _turn_over(self) -> None:
        """Everybody is home: the next schedule begins."""
        controller = self.controller
        if self.begun:
            self.begun = False
            controller.scheduler.end(len(controller.log))
            if self.done(controller):
                self._close()
                return
        if self.interrupted or not controller.begin():
            self._close()
            return
        self.begun = True
        self.over = self.released = False
        self.holder = -1
        self.loop.dispose(self.objects)
        self.objects = self.loop.objects()
        self.values = list(self.layout.initial)
        self.machines = [self.program.machine(worker) for worker in range(self.count)]
        for worker, spec in enumerate(self.layout.workers):
            if not spec.manual:
                start(controller, self.machines[worker], worker)
        self._pass_on()

    # --- the baton ---------------------------------------------------------------------------
    def _pass_on(self) -> None:
        """Decide who goes on, and give that worker the baton; nobody when the run is over."""
        controller = self.controller
        while True:
            worker = controller.next()
            if worker < 0:
                break
            if controller.kind == TIMEOUT:
                self._fire(worker)
                continue
            self.holder = worker
            if self.traps[worker] is not None and not self.loop.came(self.traps[worker]):
                raise mismatch(
                    self.layout, worker, controller.op, controller.result, "still waits"
                )
            self.loop.wake(worker)
            return
        self.holder = -1
        self.over = True
        for worker in range(self.count):
            if self.away[worker] and not controller.ended[worker]:
                self.stray[worker] = True
                self._call_home(worker)

    def _fire(self, worker: int) -> None:
        uid = self.controller.fired_uid
        if uid < 0:
            self.loop.fire(self.timers[worker])
        elif uid in self.blocks[worker]:
            self.loop.fire(self.blocks[worker][uid])
        else:
            self.early[worker].add(uid)

    def _turns(self, me: int, caught: BaseException | None) -> Steps:
        """One schedule of worker ``me``, which has the baton, up to its end."""
        controller = self.controller
        machine = self.machines[me]
        blocks = self.blocks[me]
        self.flying[me] = None
        if machine.scopes:
            # by the model the task has come to its first op, in its blocks, before anything else
            requests = self.loop.take_back(me)
            self._update_blocks(me, machine)
            caught = (yield from self.loop.ask_again(me, requests)) or caught
        while True:
            op = controller.op
            kind = op.kind
            how = OVER
            if controller.thrown is not None:
                if self.loop.level_triggered and self._waits(op):
                    how = yield from self._wait(me, op)
                else:
                    yield from self._cut_short(me, op, caught)
            elif caught is not None:
                raise mismatch(self.layout, me, op, controller.result, caught)
            elif self._waits(op):
                how = yield from self._wait(me, op)
            elif kind == SLEEP or kind == CHECKPOINT or kind == JOIN:
                yield from self._pause(me, op)
            else:
                self._do(me, op, kind)
            if how == STRAY:
                return
            if how == OVER:
                controller.advance(machine, me)
            elif controller.ended[me]:
                how = OVER
            if blocks or machine.scopes:
                self._update_blocks(me, machine)
            if how == OVER:
                if controller.ended[me] and any(lock.owner == me for _, lock in self.locks):
                    # its end is an event to the lock: whoever waits for it is told
                    self.heir = me
                    return
                self._pass_on()
                caught = None
                if controller.ended[me]:
                    return
                if self.holder != me:
                    caught = yield from self._gate(me)
                if self.stray[me]:
                    self._let_go(me)
                    self._drop_blocks(me)
                    return

    def _gate(self, me: int) -> Steps:
        """Wait for the baton; the cancellation that came meanwhile, or None."""
        caught = None
        while self.holder != me and not self.stray[me]:
            caught = (yield from self.loop.wait(me)) or caught
        return caught

    def _waits(self, op: Op) -> bool:
        """Whether ``op`` is one that can wait in an object."""
        kind = op.kind
        if kind == WAIT:
            if self.layout.spec(op.target).type != "event":
                return True
        elif kind != ACQUIRE and kind != PUT and kind != GET:
            return False
        return op.blocking and (op.timeout is None or op.timeout > 0)

    # --- operations that wait ----------------------------------------------------------------
    def _wait(self, me: int, op: Op) -> Steps:
        """Drive the real coroutine of ``op`` to its end, as the controller grants it."""
        controller, loop = self.controller, self.loop
        kind = op.kind
        work = loop.start(op, self.objects[op.target])
        if op.timeout is not None:
            timer = self.timers[me] = loop.timer()
            work = loop.timed(work, timer)
            if controller.fired and not controller.parked:
                loop.fire(timer)  # it is due at the checkpoint that begins the operation
        first = kind in loop.first
        send: Callable[[Any], Any] = work.send
        arg: Any = None
        while True:
            # an operation that is cut off is left to unwind as it likes: nobody else goes on
            cut = controller.thrown is not None or (controller.fired and not controller.parked)
            try:
                trap = send(arg)
            except StopIteration as stop:
                self._compare(me, op, loop.outcome(kind, stop.value))
                return OVER
            except loop.cancelled as error:
                self._came_through(me, op, error)
                return OVER
            except Exception as error:
                self._compare(me, op, Raised(type(error).__name__, str(error)))
                return OVER
            if cut or (first and loop.shielded(trap)):
                first = False
                send, arg = work.send, (yield trap)
                continue
            if controller.parked:
                self._pass_on()
            elif kind != GET and kind != PUT and loop.shielded(trap):
                return (yield from self._finish(me, op, work, trap))
            else:
                raise mismatch(self.layout, me, op, controller.result, "waits")
            if self.stray[me]:
                self.loop.forget(trap)
            else:
                send, arg = yield from self._suspend(me, work, trap)
            if self.stray[me]:
                self._abandon(me, op, work)
                return STRAY

    def _suspend(self, me: int, work: Coroutine[Any, Any, Any], trap: Any) -> Steps:
        """Wait for real, then for the baton. How ``work`` is to go on then: a method, a value."""
        self.traps[me] = trap
        try:
            reply = yield trap
        except self.loop.cancelled as error:
            step: tuple[Callable[[Any], Any], Any] = (work.throw, error)
        else:
            step = (work.send, reply)
        self.traps[me] = None
        if self.holder != me:
            caught = yield from self._gate(me)
            if caught is not None:
                step = (work.throw, caught)
        return step

    def _finish(self, me: int, op: Op, work: Coroutine[Any, Any, Any], trap: Any) -> Steps:
        """The event of ``op`` has been, and others go on before its task does."""
        controller = self.controller
        result = controller.result
        controller.advance(self.machines[me], me)
        if controller.ended[me]:
            send, arg = work.send, (yield trap)
        else:
            self._pass_on()
            if not self.stray[me]:
                send, arg = yield from self._suspend(me, work, trap)
            if self.stray[me]:
                self._abandon(me, op, work)
                return STRAY
        try:
            send(arg)
        except StopIteration as stop:
            real = self.loop.outcome(op.kind, stop.value)
            if not agree(real, result):
                raise mismatch(self.layout, me, op, result, real) from None
            return ONWARD
        raise mismatch(self.layout, me, op, result, "waits again")

    def _compare(self, me: int, op: Op, real: Value) -> None:
        controller = self.controller
        model = controller.result
        if controller.parked or controller.thrown is not None or not agree(real, model):
            if controller.parked:
                model = "waits"
            elif controller.thrown is not None:
                model = controller.thrown
            raise mismatch(self.layout, me, op, model, real)

    def _came_through(self, me: int, op: Op, error: BaseException) -> None:
        thrown = self.controller.thrown
        if thrown is None:
            raise mismatch(self.layout, me, op, self.controller.result, error)
        uid = thrown.uid if isinstance(thrown, ScopeExpired) else -1
        self.flying[me] = (error, uid)

    def _cut_short(self, me: int, op: Op, caught: BaseException | None) -> Steps:
        """A cancellation reaches ``me`` where it is in no real operation."""
        if caught is None:
            caught = yield from self.loop.collect()
        if caught is None:
            raise mismatch(self.layout, me, op, self.controller.thrown, "was not cancelled")
        self._came_through(me, op, caught)

    def _pause(self, me: int, op: Op) -> Steps:
        """A sleep, checkpoint or join is over: nothing may have cancelled it."""
        caught = yield from self.loop.glance()
        if caught is not None:
            raise mismatch(self.layout, me, op, self.controller.result, caught)

    # --- leaving a schedule that is over -----------------------------------------------------
    def _abandon(self, me: int, op: Op, work: Coroutine[Any, Any, Any]) -> None:
        """``work`` will not be finished."""
        self._let_go(me)
        if self.locks and op.kind == WAIT and self.layout.spec(op.target).type == "condition":
            # on its way out it takes its lock, which may be another stray's still
            lock = self.objects[self.layout.spec(op.target).lock]
            self.graves[me] = (work, lock)
            return
        abandon(work)
        self._drop_blocks(me)

    def _let_go(self, me: int) -> None:
        for number, lock in self.locks:
            if lock.owner == me:
                with contextlib.suppress(RuntimeError):
                    self.objects[number].release()

    def _check_released(self) -> None:
        if self.mourning and len(self.home) + self.mourning == self.count:
            self.released = True
            for worker in range(self.count):
                if self.graves[worker] is not None:
                    self.loop.wake(worker)

    def _bury(self, me: int) -> Steps:
        """When every stray has let go of its locks, close what was left open."""
        grave = self.graves[me]
        assert grave is not None
        self.mourning += 1
        self._check_released()
        while not self.released:
            yield from self.loop.wait(me)
        self.graves[me] = None
        abandon(grave[0])
        with contextlib.suppress(RuntimeError):
            grave[1].release()
        self._drop_blocks(me)
        self.mourning -= 1

    # --- timeout blocks ----------------------------------------------------------------------
    def _update_blocks(self, me: int, machine: Machine) -> None:
        """Leave and enter real timers, so that they are those of the pending op."""
        blocks = self.blocks[me]
        scopes = () if self.controller.ended[me] else machine.scopes
        inside = {scope.uid for scope in scopes}
        error, whose = self.flying[me] or (None, -1)
        for uid in [uid for uid in reversed(blocks) if uid not in inside]:
            if self.loop.leave(blocks.pop(uid), error):
                if uid != whose:
                    raise ModelMismatch(
                        f"{self.layout.workers[me].name}: a timeout block took a cancellation "
                        "for its own that is another's by the model"
                    )
                error, whose = None, -1
                self.flying[me] = None
        for scope in scopes:
            if scope.uid not in blocks:
                blocks[scope.uid] = timer = self.loop.timer()
                self.loop.enter(timer)
        for uid in self.early[me]:
            if uid in blocks:
                self.loop.fire(blocks[uid])
        self.early[me].clear()

    def _drop_blocks(self, me: int) -> None:
        blocks = self.blocks[me]
        for uid in list(reversed(blocks)):
            self.loop.leave(blocks.pop(uid), None)
        self.flying[me] = None

    # --- operations that do not --------------------------------------------------------------
    def _do(self, me: int, op: Op, kind: int) -> None:
        """Do ``op`` for real and compare."""
        controller, values, target = self.controller, self.values, op.target
        real: Value = None
        if kind == READ:
            real = values[target]
        elif kind == WRITE:
            values[target] = op.value
        elif kind == ATOMIC:
            real = run_atomic(op, values)
        elif kind <= ATOMIC:
            real = exchange(op, kind, values)
        elif kind == SPAWN:
            if controller.result is None:
                start(controller, self.machines[target], target)
            return
        elif kind == CANCEL:
            if target in controller.active:
                self.loop.cancel(target)
            return
        elif kind == CALL:
            controller.replace(run_call(op.body, op.value))
            return
        else:
            try:
                real = self.loop.attempt(op, self.objects[target])
            except Exception as error:
                real = Raised(type(error).__name__, str(error))
            if kind == NOTIFY and real is None:
                # who wakes shows when they do
                real = controller.result
        model = controller.result
        if real is not model and not agree(real, model):
            raise mismatch(self.layout, me, op, model, real)


def agree(real: Value, model: Value) -> bool:
    """Whether a real result is the one that the model gave."""
    if real.__class__ is Raised or model.__class__ is Raised:
        return bool(real == model)
    if real is EMPTY or model is EMPTY:
        return real is model
    return same(real, model)


def exchange(op: Op, kind: int, values: list[Value]) -> Value:
    """A read-modify-write of a shared variable."""
    old = values[op.target]
    if kind == EXCHANGE:
        values[op.target] = op.value
        return old
    if kind == COMPARE_EXCHANGE:
        if not same(old, op.expect):
            return False
        values[op.target] = op.value
        return True
    try:
        values[op.target] = old + op.value
    except TypeError as error:
        return Raised("TypeError", str(error))
    return old


def run_atomic(op: Op, values: list[Value]) -> dict[str, dict[int, Value]]:
    """Run an ``atomic`` step on ``values``; the same form as the controller's rehearsal."""
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        value = values[number]
        if number not in writes:
            reads.setdefault(number, value)
        return value

    def write(number: int, value: Value) -> None:
        writes[number] = values[number] = value

    op.body.run(read, write)
    return {"reads": reads, "writes": writes}


def abandon(work: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that is in the middle of something.

    A condition's wait takes its lock back on the way out, which may suspend it again, or fail.
    """
    for _ in range(3):
        with contextlib.suppress(Exception):
            work.close()
            return
