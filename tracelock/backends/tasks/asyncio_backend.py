"""The asyncio backend: the objects of the standard library, tasks of an anyio task group."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from tracelock.backends.rules import ASYNCIO_RULES
from tracelock.backends.tasks.backend import LATE, Loop, Steps, TaskBackend, Trap, life
from tracelock.backends.tasks.control import AGAIN
from tracelock.ops import ACQUIRE, CLEAR, EMPTY, GET, NOTIFY, PUT, RELEASE, SET, Op, Value

QUEUES: Final = {
    "fifo": asyncio.Queue, "lifo": asyncio.LifoQueue, "priority": asyncio.PriorityQueue,
}  # fmt: skip


class AsyncioLoop(Loop):
    """The adapter to asyncio. A trap is a future; a timer is an ``asyncio.timeout``."""

    cancelled = asyncio.CancelledError

    def __init__(self, crew: Any) -> None:
        super().__init__(crew)
        self.layout = crew.layout
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.gates: dict[int, asyncio.Future[None]] = {}
        self.loop: asyncio.AbstractEventLoop

    # --- objects and operations --------------------------------------------------------------
    def objects(self) -> list[Any]:
        layout = self.layout
        real: list[Any] = [None] * len(layout.names)
        late = []
        for number, spec in enumerate(layout.objects, layout.variables):
            kind = spec.type
            if kind in ("lock", "condition_lock"):
                real[number] = asyncio.Lock()
            elif kind == "semaphore":
                real[number] = asyncio.Semaphore(spec.value)
            elif kind == "bounded_semaphore":
                real[number] = asyncio.BoundedSemaphore(spec.value)
            elif kind == "event":
                real[number] = asyncio.Event()
            elif kind == "barrier":
                real[number] = asyncio.Barrier(spec.parties)
            elif kind == "queue":
                real[number] = QUEUES[spec.order](spec.maxsize)
            else:
                late.append((number, spec.lock))
        for number, lock in late:
            real[number] = asyncio.Condition(real[lock])
        return real

    def dispose(self, objects: list[Any]) -> None:
        """There is nothing to close."""

    def attempt(self, op: Op, target: Any) -> Value:
        kind = op.kind
        if kind == RELEASE:
            return release(op, target)
        if kind == NOTIFY:
            return target.notify_all() if op.value == -1 else target.notify(op.value)
        if kind == SET:
            return target.set()
        if kind == CLEAR:
            return target.clear()
        if kind == ACQUIRE:
            return try_acquire(target)
        if kind == PUT:
            try:
                target.put_nowait(op.value)
            except asyncio.QueueFull:
                return False
            return True
        if kind == GET:
            try:
                return target.get_nowait()
            except asyncio.QueueEmpty:
                return EMPTY
        return target.is_set()

    def start(self, op: Op, target: Any) -> Coroutine[Any, Any, Any]:
        kind = op.kind
        coroutine: Coroutine[Any, Any, Any]
        if kind == ACQUIRE:
            coroutine = target.acquire()
        elif kind == PUT:
            coroutine = target.put(op.value)
        elif kind == GET:
            coroutine = target.get()
        else:
            coroutine = target.wait()
        return coroutine

    def shielded(self, trap: Trap) -> bool:
        return False

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

    def forget(self, trap: Trap) -> None:
        """A future nobody waits for is nobody's business."""

    def came(self, trap: Trap) -> bool:
        return bool(trap.done())

    def collect(self) -> Steps:
        try:
            yield
        except asyncio.CancelledError as error:
            return error
        return None

    def glance(self) -> Steps:
        yield from ()

    def take_back(self, me: int) -> int:
        task = self.tasks[me]
        requests = task.cancelling()
        for _ in range(requests):
            task.uncancel()
        return requests

    def ask_again(self, me: int, requests: int) -> Steps:
        for _ in range(requests):
            self.tasks[me].cancel()
        if not requests:
            return None
        return (yield from self.collect())

    def settle(self, me: int) -> Steps:
        task = self.tasks[me]
        if task.cancelling():
            yield from self.collect()
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

    async def keep_time(self) -> None:
        """The loop itself does."""

    async def quiet(self) -> None:
        """``came`` tells all there is to know."""

    def stuck(self, trap: Trap) -> bool:
        return trap is not None and not trap.done()

    async def work(self, me: int) -> None:
        self.loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.tasks[me] = task
        while await life(self.crew, me) == AGAIN:
            pass


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("asyncio.timeout waited")


def release(op: Op, target: Any) -> None:
    """Release once, or a semaphore ``op.value`` times."""
    n = 1 if op.value is None else op.value
    if n.__class__ is not int or n < 1:
        raise ValueError("n must be one or more")
    for _ in range(n):
        target.release()


def try_acquire(target: Any) -> bool:
    """Take a lock or semaphore if that needs no waiting."""
    if target.locked():
        return False
    # a lock that is free may still be promised to who was first in line
    attempt = target.acquire()
    try:
        attempt.send(None)
    except StopIteration:
        return True
    attempt.close()
    return False


class AsyncioBackend(TaskBackend):
    """Tasks on asyncio's loop."""

    rules = ASYNCIO_RULES
    library = "asyncio"
    adapter = AsyncioLoop
