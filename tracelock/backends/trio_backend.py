"""The trio backend: the objects of anyio, tasks of an anyio task group that runs on trio."""

from __future__ import annotations

import math
import types
from collections.abc import Awaitable, Coroutine
from typing import Any

import anyio
import trio

from tracelock.backends.rules import TRIO_RULES
from tracelock.backends.tasks import LATE, Loop, Steps, TaskBackend, Trap
from tracelock.ops import ACQUIRE, EMPTY, GET, NOTIFY, PUT, RELEASE, SET, Op, Value


class TrioLoop(Loop):
    """The adapter to trio. A trap is one of trio's messages; a timer is a cancel scope.

    A message with an ``abort_func`` is a wait that somebody has to end; the other kind only lets
    the others run.
    """

    cancelled = trio.Cancelled
    level_triggered = True
    first = frozenset({PUT, GET})

    def __init__(self, crew: Any) -> None:
        super().__init__(crew)
        self.layout = crew.layout
        self.scopes: dict[int, trio.CancelScope] = {}
        self.tasks: dict[int, trio.lowlevel.Task] = {}
        self.asleep: dict[int, trio.lowlevel.Task] = {}

    # --- objects and operations --------------------------------------------------------------
    def objects(self) -> list[Any]:
        layout = self.layout
        real: list[Any] = [None] * len(layout.names)
        late = []
        for number, spec in enumerate(layout.objects, layout.variables):
            kind = spec.type
            if kind in ("lock", "condition_lock"):
                real[number] = anyio.Lock()
            elif kind == "semaphore":
                real[number] = anyio.Semaphore(spec.value)
            elif kind == "bounded_semaphore":
                real[number] = anyio.Semaphore(spec.value, max_value=spec.value)
            elif kind == "event":
                real[number] = anyio.Event()
            elif kind == "queue":
                size = spec.maxsize if spec.maxsize > 0 else math.inf
                real[number] = anyio.create_memory_object_stream[Any](size)
            else:
                late.append((number, spec.lock))
        for number, lock in late:
            real[number] = anyio.Condition(real[lock])
        return real

    def dispose(self, objects: list[Any]) -> None:
        for real in objects:
            if isinstance(real, tuple):
                for end in real:
                    end.close()

    def attempt(self, op: Op, target: Any) -> Value:
        kind = op.kind
        if kind == RELEASE:
            return release(op, target)
        if kind == NOTIFY:
            return target.notify_all() if op.value == -1 else target.notify(op.value)
        if kind == SET:
            return target.set()
        try:
            if kind == ACQUIRE:
                target.acquire_nowait()
                return True
            if kind == PUT:
                target[0].send_nowait(op.value)
                return True
            if kind == GET:
                return target[1].receive_nowait()
        except anyio.WouldBlock:
            return EMPTY if kind == GET else False
        return target.is_set()

    def start(self, op: Op, target: Any) -> Coroutine[Any, Any, Any]:
        kind = op.kind
        coroutine: Coroutine[Any, Any, Any]
        if kind == ACQUIRE:
            coroutine = target.acquire()
        elif kind == PUT:
            coroutine = target[0].send(op.value)
        elif kind == GET:
            coroutine = target[1].receive()
        else:
            coroutine = target.wait()
        return coroutine

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

    def recall(self, worker: int, trap: Trap) -> None:
        if not self.shielded(trap) and self._abort(trap):
            trio.lowlevel.reschedule(self.tasks[worker])

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

    def came(self, trap: Trap) -> bool:
        return True  # trio does not say

    def collect(self) -> Steps:
        return self._look(trio.lowlevel.checkpoint())

    def glance(self) -> Steps:
        return self._look(trio.lowlevel.checkpoint_if_cancelled())

    @staticmethod
    def _look(checkpoint: Coroutine[Any, Any, None]) -> Steps:
        try:
            yield from checkpoint.__await__()
        except trio.Cancelled as error:
            return error
        return None

    def settle(self, me: int) -> Steps:
        yield from ()

    async def work(self, me: int) -> None:
        crew = self.crew
        self.tasks[me] = trio.lowlevel.current_task()
        if crew.closing:
            crew.gone(me)
        while not crew.closing:
            with trio.CancelScope() as scope:
                self.scopes[me] = scope
                while not scope.cancel_called and not crew.closing:
                    if await life(crew, me):
                        # it ends while it holds a lock: another task takes its place
                        crew.group.start_soon(self.work, me)
                        return


def _nothing() -> None:
    """There is no error to raise in a task that is called home."""


def keep_asleep(_: Any) -> trio.lowlevel.Abort:
    """A worker that waits for the baton cannot be cancelled there."""
    return trio.lowlevel.Abort.FAILED


@types.coroutine
def life(crew: Any, me: int) -> Steps:
    """One schedule of a worker, as something to await."""
    return (yield from crew.work(me))


def release(op: Op, target: Any) -> None:
    """Release once, or a semaphore ``op.value`` times."""
    n = 1 if op.value is None else op.value
    if n.__class__ is not int or n < 1:
        raise ValueError("n must be one or more")
    for _ in range(n):
        target.release()


class TrioBackend(TaskBackend):
    """Tasks on trio."""

    rules = TRIO_RULES
    library = "trio"
    adapter = TrioLoop
