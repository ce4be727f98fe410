"""The trio backend: the objects of anyio, tasks of an anyio task group that runs on trio."""

from __future__ import annotations

import heapq
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

import anyio
import trio
import trio.testing

from tracelock.backends.base import Options
from tracelock.backends.real import SIGNALS, Attempts, Makers, release_one_by_one, unless
from tracelock.backends.rules import TRIO_RULES
from tracelock.backends.tasks.backend import TaskBackend
from tracelock.backends.tasks.loop import (
    AGAIN,
    LATE,
    REPLACE,
    Coroutines,
    Crew,
    Loop,
    Steps,
    Trap,
    awaitable_work,
)
from tracelock.errors import UsageError
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, RELEASE, WAIT, ObjectSpec
from tracelock.scenario.program import Program


def make_queue(spec: ObjectSpec) -> Any:
    """A memory object stream, its two ends."""
    return anyio.create_memory_object_stream[Any](spec.maxsize if spec.maxsize > 0 else math.inf)


class TrioLoop(Loop):
    """The adapter to trio. A trap is one of trio's messages; a timer is a cancel scope.

    A message with an ``abort_func`` is a wait that somebody has to end; the other kind only lets
    the others run.
    """

    cancelled = trio.Cancelled
    level_triggered = True
    first = frozenset({PUT, GET})

    makers: ClassVar[Makers] = {
        "lock": lambda spec: anyio.Lock(),
        "condition_lock": lambda spec: anyio.Lock(),
        "semaphore": lambda spec: anyio.Semaphore(spec.value),
        "bounded_semaphore": lambda spec: anyio.Semaphore(spec.value, max_value=spec.value),
        "event": lambda spec: anyio.Event(),
        "queue": make_queue,
    }
    condition = anyio.Condition
    attempts: ClassVar[Attempts] = {
        **SIGNALS,
        RELEASE: release_one_by_one,
        ACQUIRE: unless(anyio.WouldBlock, False, lambda real, op: real.acquire_nowait() or True),
        PUT: unless(
            anyio.WouldBlock, False, lambda real, op: real[0].send_nowait(op.value) or True
        ),
        GET: unless(anyio.WouldBlock, EMPTY, lambda real, op: real[1].receive_nowait()),
        WAIT: lambda real, op: real.is_set(),
    }
    coroutines: ClassVar[Coroutines] = {
        ACQUIRE: lambda real, op: real.acquire(),
        PUT: lambda real, op: real[0].send(op.value),
        GET: lambda real, op: real[1].receive(),
        WAIT: lambda real, op: real.wait(),
    }

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self.scopes: dict[int, trio.CancelScope] = {}
        self.tasks: dict[int, trio.lowlevel.Task] = {}
        self.asleep: dict[int, trio.lowlevel.Task] = {}
        self._alarms: list[list[Any]] = []  # a heap: when, number, what to call
        self._count = 0
        self._sooner = trio.Event()

    def dispose(self, objects: list[Any]) -> None:
        for real in objects:
            if isinstance(real, tuple):
                for end in real:
                    end.close()

    def shielded(self, trap: Trap) -> bool:
        return not hasattr(trap, "abort_func")

    # --- timers ------------------------------------------------------------------------------
    def timer(self) -> trio.CancelScope:
        return trio.CancelScope()

    async def timed(self, work: Awaitable[Any], timer: trio.CancelScope) -> Any:
        with timer:
            return await work
        return LATE

    def fire(self, timer: trio.CancelScope) -> None:
        timer.cancel()

    def enter(self, timer: trio.CancelScope) -> None:
        timer.__enter__()

    def leave(self, timer: trio.CancelScope, error: BaseException | None) -> bool:
        if error is None:
            timer.__exit__(None, None, None)
            return False
        return bool(timer.__exit__(type(error), error, error.__traceback__))

    # --- tasks -------------------------------------------------------------------------------
    def wait(self, me: int) -> Steps:
        self.asleep[me] = trio.lowlevel.current_task()
        yield from trio.lowlevel.wait_task_rescheduled(keep_asleep).__await__()

    def wake(self, worker: int) -> None:
        task = self.asleep.pop(worker, None)
        if task is not None:
            trio.lowlevel.reschedule(task)

    def cancel(self, worker: int) -> None:
        self.scopes[worker].cancel()

    def recall(self, worker: int, trap: Trap) -> bool:
        if self.shielded(trap):
            return True
        if not self._abort(trap):
            return False
        trio.lowlevel.reschedule(self.tasks[worker])
        return True

    @staticmethod
    def _abort(trap: Trap) -> bool:
        """Take a task out of the line it waits in; False if it has been woken."""
        try:
            trap.abort_func(_nothing)
        except (AttributeError, KeyError):
            return False
        return True

    def forget(self, trap: Trap) -> None:
        if not self.shielded(trap):
            self._abort(trap)

    def take_cancellation(self) -> Steps:
        return self._look(trio.lowlevel.checkpoint())

    def check_cancelled(self) -> Steps:
        return self._look(trio.lowlevel.checkpoint_if_cancelled())

    @staticmethod
    def _look(checkpoint: Coroutine[Any, Any, None]) -> Steps:
        try:
            yield from checkpoint.__await__()
        except trio.Cancelled as error:
            return error
        return None

    # --- free runs ---------------------------------------------------------------------------
    def event(self) -> trio.Event:
        return trio.Event()

    async def join(self, event: trio.Event) -> None:
        await event.wait()
        await trio.lowlevel.checkpoint_if_cancelled()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return trio.sleep(seconds)

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        return trio.lowlevel.checkpoint()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        # deadlines of trio's own scopes pass unseen; these are kept by a task, which can tell
        self._count += 1
        entry = [trio.current_time() + seconds, self._count, call]
        heapq.heappush(self._alarms, entry)
        self._sooner.set()

        def cancel() -> None:
            entry[2] = None

        return cancel

    async def keep_time(self) -> None:
        """Call what is due, for ever."""
        while True:
            self._sooner = trio.Event()
            now = trio.current_time()
            while self._alarms and self._alarms[0][0] <= now:
                call = heapq.heappop(self._alarms)[2]
                if call is not None:
                    call()
            until = self._alarms[0][0] if self._alarms else math.inf
            with trio.move_on_at(until):
                await self._sooner.wait()

    async def quiet(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def stuck(self, trap: Trap) -> bool:
        return True

    def guarded(self, me: int, trap: Trap) -> Trap:
        if self.shielded(trap):
            return trap
        abort = trap.abort_func

        def noted(raise_cancel: Any) -> trio.lowlevel.Abort:
            answer: trio.lowlevel.Abort = abort(raise_cancel)
            if answer is trio.lowlevel.Abort.SUCCEEDED:
                self.aborted.add(me)
            return answer

        return type(trap)(noted)

    async def work(self, me: int) -> None:
        crew = self.crew
        self.tasks[me] = trio.lowlevel.current_task()
        then = AGAIN
        while then == AGAIN:
            with trio.CancelScope() as scope:
                self.scopes[me] = scope
                while then == AGAIN and not scope.cancel_called:
                    then = await awaitable_work(crew, me)
        if then == REPLACE:
            crew.group.start_soon(self.work, me)


def _nothing() -> None:
    """There is no error to raise in a task that is recalled."""


def keep_asleep(_: Any) -> trio.lowlevel.Abort:
    """A worker that waits for the baton cannot be cancelled there."""
    return trio.lowlevel.Abort.FAILED


class TrioBackend(TaskBackend):
    """Tasks on trio. Raises UsageError for versions of anyio and trio whose objects differ."""

    rules = TRIO_RULES
    library = "trio"
    adapter = TrioLoop

    def __init__(self, program: Program, options: Options) -> None:
        # before 4.16 a condition of anyio did not know that its lock had been taken directly;
        # before 0.27 a lock of trio did not notice that its owner had ended
        if hasattr(anyio.Condition, "_owner_task") or not hasattr(
            trio.lowlevel, "add_parking_lot_breaker"
        ):
            raise UsageError("the trio backend needs anyio 4.16 and trio 0.27, or newer")
        super().__init__(program, options)
