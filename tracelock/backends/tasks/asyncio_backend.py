"""The asyncio backend: the objects of the standard library, tasks of an anyio task group."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Final

from tracelock.backends.real import SIGNALS, Attempts, Makers, release_one_by_one, unless
from tracelock.backends.rules import ASYNCIO_RULES
from tracelock.backends.tasks.backend import TaskBackend
from tracelock.backends.tasks.loop import (
    AGAIN,
    LATE,
    Coroutines,
    Crew,
    Loop,
    Steps,
    Trap,
    awaitable_work,
)
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, RELEASE, WAIT

QUEUES: Final = {
    "fifo": asyncio.Queue, "lifo": asyncio.LifoQueue, "priority": asyncio.PriorityQueue,
}  # fmt: skip


def try_acquire(real: Any) -> bool:
    """Take a lock or semaphore if that needs no waiting."""
    if real.locked():
        return False
    # a lock that is free may still be promised to the first in line
    attempt = real.acquire()
    try:
        attempt.send(None)
    except StopIteration:
        return True
    attempt.close()
    return False


class AsyncioLoop(Loop):
    """The adapter to asyncio. A trap is a future; a timer is an ``asyncio.timeout``."""

    cancelled = asyncio.CancelledError

    makers: ClassVar[Makers] = {
        "lock": lambda spec: asyncio.Lock(),
        "condition_lock": lambda spec: asyncio.Lock(),
        "semaphore": lambda spec: asyncio.Semaphore(spec.value),
        "bounded_semaphore": lambda spec: asyncio.BoundedSemaphore(spec.value),
        "event": lambda spec: asyncio.Event(),
        "barrier": lambda spec: asyncio.Barrier(spec.parties),
        "queue": lambda spec: QUEUES[spec.order](spec.maxsize),
    }
    condition = asyncio.Condition
    attempts: ClassVar[Attempts] = {
        **SIGNALS,
        RELEASE: release_one_by_one,
        ACQUIRE: lambda real, op: try_acquire(real),
        PUT: unless(asyncio.QueueFull, False, lambda real, op: real.put_nowait(op.value) or True),
        GET: unless(asyncio.QueueEmpty, EMPTY, lambda real, op: real.get_nowait()),
        WAIT: lambda real, op: real.is_set(),
    }
    coroutines: ClassVar[Coroutines] = {
        ACQUIRE: lambda real, op: real.acquire(),
        PUT: lambda real, op: real.put(op.value),
        GET: lambda real, op: real.get(),
        WAIT: lambda real, op: real.wait(),
    }

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.gates: dict[int, asyncio.Future[None]] = {}
        self.loop: asyncio.AbstractEventLoop

    # --- timers ------------------------------------------------------------------------------
    def timer(self) -> asyncio.Timeout:
        return asyncio.timeout(None)

    async def timed(self, work: Awaitable[Any], timer: asyncio.Timeout) -> Any:
        try:
            async with timer:
                return await work
        except TimeoutError:
            return LATE

    def fire(self, timer: asyncio.Timeout) -> None:
        # what its timer handle calls; the public ``reschedule`` would call it one turn of the
        # loop later, when the next worker may be under way already
        timer._on_timeout()  # type: ignore[attr-defined]

    def enter(self, timer: asyncio.Timeout) -> None:
        at_once(timer.__aenter__())

    def leave(self, timer: asyncio.Timeout, error: BaseException | None) -> bool:
        try:
            at_once(timer.__aexit__(None if error is None else type(error), error, None))
        except TimeoutError:
            return True
        return False

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        return self.loop.call_later(seconds, call).cancel

    # --- tasks -------------------------------------------------------------------------------
    def wait(self, me: int) -> Steps:
        gate = self.gates[me] = self.loop.create_future()
        try:
            yield from gate
        except asyncio.CancelledError as error:
            return error
        return None

    def wake(self, worker: int) -> None:
        gate = self.gates.get(worker)
        if gate is not None and not gate.done():
            gate.set_result(None)

    def cancel(self, worker: int) -> None:
        self.tasks[worker].cancel()

    def recall(self, worker: int, trap: Trap) -> bool:
        return bool(trap.cancel())

    def wait_is_over(self, trap: Trap) -> bool:
        return bool(trap.done())

    def take_cancellation(self) -> Steps:
        try:
            yield
        except asyncio.CancelledError as error:
            return error
        return None

    def withdraw_requests(self, me: int) -> int:
        task = self.tasks[me]
        requests = task.cancelling()
        for _ in range(requests):
            task.uncancel()
        return requests

    def repeat_requests(self, me: int, requests: int) -> Steps:
        for _ in range(requests):
            self.tasks[me].cancel()
        if not requests:
            return None
        return (yield from self.take_cancellation())

    def settle(self, me: int) -> Steps:
        task = self.tasks[me]
        if task.cancelling():
            yield from self.take_cancellation()
            while task.cancelling():
                task.uncancel()

    # --- free runs ---------------------------------------------------------------------------
    def event(self) -> asyncio.Event:
        return asyncio.Event()

    async def join(self, event: asyncio.Event) -> None:
        await event.wait()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(seconds)

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)

    def stuck(self, trap: Trap) -> bool:
        return trap is not None and not trap.done()

    async def work(self, me: int) -> None:
        self.loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.tasks[me] = task
        while await awaitable_work(self.crew, me) == AGAIN:
            pass


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("asyncio.timeout waited")


class AsyncioBackend(TaskBackend):
    """Tasks on asyncio's loop."""

    rules = ASYNCIO_RULES
    library = "asyncio"
    adapter = AsyncioLoop
