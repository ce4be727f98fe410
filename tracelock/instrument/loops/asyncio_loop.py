"""The stock event loop of asyncio, with its queue and its clock under a scheduler.

What is promised of a loop stays so: callbacks (``call_soon``, done callbacks, timers that have
fired) run first come, first served. What is chosen is when a task that could go on does so: a
wake-up may take any time. So a step of a task may come later than it stands in the line, but
never before a callback that was there first. The first steps of tasks that the program creates
stand in the line with the callbacks: nothing makes a loop begin them in another order.

All callbacks are the steps of one pseudo-worker and all timers those of another. Time is virtual.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events, futures
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, WeakValueDictionary

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import get_ident
from tracelock.instrument.loops.cancel_ways import finds, idle, redelivers
from tracelock.instrument.loops.registry import keep_apart
from tracelock.instrument.loops.tasks import EPOCH
from tracelock.instrument.network.polled import Polling
from tracelock.instrument.network.resolving import answer, resolved
from tracelock.instrument.shown_clock import ShownClock, beside
from tracelock.instrument.worker import here
from tracelock.ops import NOTIFY, Op

if TYPE_CHECKING:
    from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks

#: What the timer of a sleep does.
_AWAKE: Final[Any] = vars(futures)["_set_result_unless_cancelled"]
#: Who asks a loop what the time is to set its timers.
_OF_LOOPS: Final = frozenset({"asyncio", "anyio", "tracelock"})


class ControlledTask(asyncio.Task):  # type: ignore[type-arg]
    """A task with a number: sets of tasks are in the order of their creation.

    ``worker`` is its worker.
    """

    __slots__ = ("worker",)

    def __init__(self, coro: Any, worker: Any, **kwargs: Any) -> None:
        self.worker = worker  # first: the loop is asked to run it before ``__init__`` returns
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return int(self.worker.number)

    def cancel(self, msg: Any = None) -> bool:
        self.worker.tasks.cancelling(self)
        return super().cancel(msg)


class ControlledFuture(asyncio.Future):  # type: ignore[type-arg]
    """A future with a number, for the same reason."""

    __slots__ = ("count",)

    count: int

    def __hash__(self) -> int:
        return self.count

    def set_result(self, result: Any) -> None:
        tasks = self._loop.tasks  # type: ignore[attr-defined]
        if get_ident() != tasks.ident:
            tasks.on_another_thread("Future.set_result")
        super().set_result(result)

    def set_exception(self, exception: Any) -> None:
        tasks = self._loop.tasks  # type: ignore[attr-defined]
        if get_ident() != tasks.ident:
            tasks.on_another_thread("Future.set_exception")
        super().set_exception(exception)


# a program that shows one sees what it would see without us
for _class, _name in ((ControlledTask, "Task"), (ControlledFuture, "Future")):
    _class.__name__ = _class.__qualname__ = _name


def stepping(callback: Any) -> Any:
    """The task whose step a callback is; None for any other, also for one of the methods that a
    task has for everybody (``loop.call_later(1, task.cancel)``)."""
    owner = getattr(callback, "__self__", None)
    if not isinstance(owner, asyncio.Task):
        return None
    # asyncio's own two have no name, or one that is no attribute of tasks
    return None if hasattr(owner, getattr(callback, "__name__", "")) else owner


@dataclass(slots=True, eq=False)
class ControlledReadyQueue:
    """Stands in for the queue of a loop: steps of tasks apart from what keeps its place.

    ``line``: callbacks, and the first steps of tasks that the program has created (with the number
    of the worker; -1 of a callback). These are done first come, first served.

    ``asleep``: what other threads have put in by ``call_soon``, which does not wake a loop that
    has nothing to do (``call_soon_threadsafe`` does): it stays until something else wakes it.
    """

    tasks: AsyncioTasks
    steps: dict[int, events.Handle] = field(default_factory=dict)
    line: deque[tuple[int, events.Handle, int]] = field(default_factory=deque)
    resting: list[tuple[int, events.Handle]] = field(default_factory=list)  # see ``rouse``
    count: int = 0
    asleep: list[events.Handle] = field(default_factory=list)
    safely: bool = False  # by ``call_soon_threadsafe``

    def append(self, handle: events.Handle) -> None:
        tasks = self.tasks
        if get_ident() != tasks.ident and not self.safely:
            tasks.on_another_thread("call_soon")
            if tasks.sleeps():
                self.asleep.append(handle)
                return
        self.put(handle)

    def wake(self) -> None:
        """The loop looks at its queue."""
        while self.asleep:
            self.put(self.asleep.pop(0))

    def put(self, handle: events.Handle) -> None:
        place = self.count = self.count + 1
        owner = stepping(handle._callback)  # type: ignore[attr-defined]
        tasks = self.tasks
        if owner is not None:
            worker = tasks.worker_of(owner)
            if tasks.lost and worker in tasks.lost:
                return
            self.steps[worker.number] = handle
            if worker.begun or worker.given:
                tasks.gate.ready[worker.number] = place
            else:
                self._join(place, handle, worker.number)
        elif tasks.injections.told and redelivers(handle):
            self.resting.append((place, handle))
            self.rouse()
        else:
            self._join(place, handle)

    def _join(self, place: int, handle: events.Handle, number: int = -1) -> None:
        self.line.append((place, handle, number))
        if len(self.line) == 1:
            self.settle()

    def settle(self) -> None:
        """The first in the line can go on. Callbacks that were cancelled do not count."""
        line, tasks = self.line, self.tasks
        while line and line[0][1]._cancelled:
            line.popleft()
        if not line:
            tasks.callbacks_gone()
            return
        place, handle, number = line[0]
        if number < 0:
            tasks.callbacks_come(place, handle)
        else:
            tasks.callbacks_gone()
            tasks.gate.first = tasks.gate.ready[number] = place

    def begins(self, number: int) -> None:
        """A task makes a step: it may be the first in the line."""
        if self.line and self.line[0][2] == number:
            self.line.popleft()
            self.settle()

    def rouse(self) -> None:
        """Something has happened: those that rest join the line where they would do something, and
        whoever stood before them has gone on. A scope that is cancelled looks each time round its
        loop whether somebody is left to be cancelled: without this it alone could go on for ever,
        or with a task that waits again each time while another one never comes to its step."""
        places = [self.tasks.gate.ready.get(worker, 0) for worker in self.steps]
        resting, self.resting = self.resting, []
        for place, handle in resting:
            if idle(handle) or any(other < place for other in places):
                self.resting.append((place, handle))
            else:
                self.count += 1
                self._join(self.count, handle)

    def acts(self) -> bool:
        """Whether those in the line would do anything but look for whom a scope has to cancel, and
        find nobody: one that does not come any more could then come earlier, again and again, and
        never be an order of its own."""
        return any(
            number >= 0 or not redelivers(handle) or finds(handle)
            for _, handle, number in self.line
        )

    def __len__(self) -> int:
        return len(self.steps) + sum(number < 0 for _, _, number in self.line)

    def clear(self) -> None:
        self.asleep.clear()
        self.steps.clear()
        self.line.clear()
        self.resting.clear()


class ControlledLoop(asyncio.SelectorEventLoop):
    """One loop of one schedule. It is run by ``AsyncioTasks``, not by ``run_forever``."""

    if TYPE_CHECKING:  # what asyncio keeps to itself
        _ready: Any
        _scheduled: list[Any]
        _selector: Polling
        _task_factory: Any
        _timer_cancelled_count: int

        def _check_closed(self) -> None: ...
        def _process_events(self, events: Any) -> None: ...

    def __init__(self, tasks: AsyncioTasks) -> None:
        keep_apart()
        self.tasks = tasks
        self.futures = 0
        super().__init__(Polling(tasks))  # type: ignore[arg-type]
        self._ready = ControlledReadyQueue(tasks)
        self._clock_resolution = 1e-9

    # --- no pipe to itself --------------------------------------------------------------------
    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None
        self._internal_fds = 0

    def _nothing(self, *args: Any) -> None:
        pass

    stop = _close_self_pipe = _write_to_self = _check_callback = _nothing

    # --- what is asked of it -------------------------------------------------------------------
    def time(self) -> float:
        hub = self.tasks.hub
        if hub.known(ShownClock) is not None:
            asking = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0]
            if asking not in _OF_LOOPS:
                beside(hub, "read")
        return EPOCH + hub.controller.now

    def create_task(
        self, coro: Any, *, name: Any = None, context: Any = None, **kwargs: Any
    ) -> asyncio.Task[Any]:
        self._check_closed()
        if self._task_factory is not None:  # the program's own
            return super().create_task(coro, name=name, context=context, **kwargs)
        return self.tasks.create_task(coro, name, context, **kwargs)

    def create_future(self) -> Any:
        self.futures += 1
        future = ControlledFuture(loop=self)
        future.count = self.futures
        return future

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> events.Handle:
        worker = here()
        if worker is not None and (
            worker.own_thread or getattr(worker, "tasks", self.tasks) is not self.tasks
        ):
            worker.step(Op(NOTIFY, self.tasks.gate.number, caller(), 1))
        self._check_closed()
        self._ready.wake()
        self._ready.safely = True
        try:
            return self.call_soon(callback, *args, context=context)
        finally:
            self._ready.safely = False

    def _check_thread(self) -> None:
        """In debug mode, that only the thread of the loop calls ``call_soon``: what others call is
        made by that as well."""
        if not self._ready.safely:
            super()._check_thread()  # type: ignore[misc]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.tasks.reported(context):
            super().call_exception_handler(context)

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Any, *args: Any
    ) -> None:
        """Kept, and never called: no signal comes in while a schedule runs."""
        self._check_signal(sig)  # type: ignore[attr-defined]
        if asyncio.iscoroutine(callback) or asyncio.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._signal_handlers[sig] = events.Handle(callback, args, self)  # type: ignore

    def remove_signal_handler(self, sig: int) -> bool:
        return self._signal_handlers.pop(sig, None) is not None  # type: ignore[attr-defined]

    def run_forever(self) -> None:
        raise RuntimeError("This event loop is already running")

    def run_until_complete(self, future: Any) -> Any:
        if isinstance(future, Coroutine):
            future.close()
        raise RuntimeError("This event loop is already running")

    # --- timers ------------------------------------------------------------------------------
    def next_timer(self) -> events.TimerHandle | None:
        """The timer that fires next."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1
        return scheduled[0] if scheduled else None

    def fire_timers(self) -> None:
        """The timers whose time has come join the line."""
        self._ready.wake()
        end = self.time() + self._clock_resolution
        while (handle := self.next_timer()) is not None and handle._when < end:  # type: ignore
            heapq.heappop(self._scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]
            if handle._callback is not _AWAKE:  # type: ignore[attr-defined]
                beside(self.tasks.hub, "fired")
            self._ready.append(handle)

    def poll(self) -> None:
        """What has come in joins the line."""
        selector = self._selector
        if selector.hot or selector.outside:
            found = selector.select(0)
            if found:
                self._ready.wake()
                self._process_events(found)

    def heard(self) -> None:
        """Another thread has brought something in, for which the loop wakes."""
        self._ready.wake()
        self._ready.safely = True
        try:
            self.poll()
        finally:
            self._ready.safely = False

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0,
        flags: int = 0,
    ) -> Any:  # fmt: skip
        found = answer(host, port, family, type, proto, flags)
        if found is not None:
            return resolved(here(), host, found)
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )


#: Types of what a new loop contains: of these each has its own, empty; those cannot change.
_REMADE: Final = (list, dict, set, deque, WeakSet, WeakValueDictionary, Polling)
_SHARED: Final = (NoneType, bool, int, float, str)


class NewLoops:
    """Makes loops as ``ControlledLoop`` does, in a fifth of the time where nothing is in a new one
    that is not known here."""

    def __init__(
        self, loop_class: type[ControlledLoop] = ControlledLoop,
        queue_class: type[ControlledReadyQueue] = ControlledReadyQueue,
    ) -> None:  # fmt: skip
        self._class, self._queue = loop_class, queue_class
        self._shared: dict[str, Any] = {}
        self._remade: list[tuple[str, Callable[[], Any]]] = []
        self.known = True
        loop: Any = loop_class(None)  # type: ignore[arg-type]
        loop._closed = True  # it is not to warn
        for name, value in vars(loop).items():
            kind = type(value)
            if kind in _REMADE:
                self._remade.append((name, kind))
            elif kind in _SHARED:
                self._shared[name] = value
            elif name != "_ready":
                self.known = False
        self._shared["_closed"] = False

    def __call__(self, tasks: AsyncioTasks) -> ControlledLoop:
        """A new loop for these tasks."""
        keep_apart()
        if not self.known:
            loop = self._class(tasks)
            loop._ready = self._queue(tasks)
            return loop
        loop = self._class.__new__(self._class)
        space = vars(loop)
        space["_ready"] = self._queue(tasks)  # first: what dies half made is closed
        space.update(self._shared)
        for name, make in self._remade:
            space[name] = make()
        space["tasks"] = space["_selector"].tasks = tasks
        return loop
