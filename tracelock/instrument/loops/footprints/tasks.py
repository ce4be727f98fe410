"""The tasks of one asyncio loop in a schedule of which it is known what each step touches."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, ClassVar, Final

from tracelock.instrument.hub import Hub
from tracelock.instrument.loops.asyncio_loop import (
    ControlledFuture,
    ControlledLoop,
    ControlledReadyQueue,
    ControlledTask,
    stepping,
)
from tracelock.instrument.loops.asyncio_unrecorded import UnrecordedAsyncioTasks
from tracelock.instrument.loops.footprints.collecting import (
    END,
    LINE,
    Collecting,
    Collector,
    NamesTold,
)
from tracelock.instrument.loops.footprints.rows import COLLECTORS, GATHERING, WAKES, TellingRows
from tracelock.instrument.loops.tasks import EPOCH, LoopWorker, TaskWorker
from tracelock.instrument.loops.unrecorded import UnrecordedLoop, UnrecordedTask

#: What a task may wait for.
_KNOWN: Final = frozenset({NoneType, ControlledFuture, ControlledTask, GATHERING})


@dataclass(slots=True, eq=False)
class CollectingQueue(ControlledReadyQueue):
    """The line of the loop: who takes a place in it is told. ``places``: of tasks that could go
    on."""

    places: dict[int, int] = field(default_factory=dict)

    def put(self, handle: events.Handle) -> None:
        ControlledReadyQueue.put(self, handle)
        collector, place = self.tasks.hub.collector, self.count
        owner = stepping(handle._callback)  # type: ignore[attr-defined]
        collector.posted(place)
        starts = True
        if owner is not None:
            worker = self.tasks.worker_of(owner)
            self.places[worker.number] = place
            starts = not (worker.begun or worker.given)
            collector.touch(("pc", worker.number), True)
        collector.touch(LINE, starts)


class CollectingLoop(ControlledLoop):
    """A loop that tells what is asked of it."""

    def __init__(self, tasks: Any) -> None:
        super().__init__(tasks)
        self._ready = CollectingQueue(tasks)

    def get_debug(self) -> bool:
        """Every future and every handle asks this when it is made, also one that code of the
        program makes without the loop: of such it is not seen what happens to it."""
        collector = self.tasks.hub.collector
        if collector is not None and not collector.ours.inside:
            collector.beyond = True
        return super().get_debug()

    def _making(self, make: Callable[..., Any], *args: Any, **named: Any) -> Any:
        collector: Collector = self.tasks.hub.collector
        with collector.ours:
            made = make(*args, **named)
        collector.made(made)
        return made

    def create_future(self) -> Any:
        return self._making(super().create_future)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        return self._making(super().call_soon, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        self.tasks.hub.collector.timer(when - EPOCH, callback in WAKES)
        return self._making(super().call_at, when, callback, *args, context=context)

    def _beyond(self, *args: Any, **kwargs: Any) -> None:
        self.tasks.hub.collector.beyond = True

    def set_exception_handler(self, handler: Any) -> None:
        self._beyond()
        super().set_exception_handler(handler)

    def set_task_factory(self, factory: Any) -> None:
        self._beyond()
        super().set_task_factory(factory)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        self._beyond()
        return super().run_in_executor(executor, func, *args)


class CollectingTask(Collecting, UnrecordedTask):
    """A task whose accesses are told."""


class CollectingCallbacks(Collecting, UnrecordedLoop):
    """What a loop does beside its tasks, whose accesses are told."""


class CollectingTasks(UnrecordedAsyncioTasks):
    """What runs on one loop. ``collector.steps`` are those of the picks, in their order."""

    loop_class = CollectingLoop
    loop_worker: ClassVar[type[LoopWorker]] = CollectingCallbacks
    task_worker: ClassVar[type[TaskWorker]] = CollectingTask
    ready: CollectingQueue

    def __init__(self, hub: Hub, *arguments: Any, **options: Any) -> None:
        self.collector = hub.collector = Collector(hub)
        super().__init__(hub, *arguments, **options)
        self.collector.lined = self._lined
        #: Whether steps are made that the scheduler chooses, which those of fixtures are not.
        self.collects = False
        #: Whether it is known what each step of the schedule has touched.
        self.complete = False
        #: Of the calls that steps make; what is between two steps is our own.
        self.profile = hub.recorder.profile
        COLLECTORS[self.ident] = self.collector
        hub.controller.steps = self.collector.steps

    def close(self) -> None:
        COLLECTORS.pop(self.ident, None)
        super().close()
        self.hub.collector = None

    def look(self) -> None:
        super().look()
        self.beyond = self.beyond or self.collector.beyond

    def go(self) -> bool:
        self.profile.off()
        self.collects = True
        try:
            well = super().go()
        finally:
            self.collects = False
        self.beyond = self.beyond or self.collector.beyond
        self.complete = not self.beyond and self._ended_by_itself()
        return well

    def _ended_by_itself(self) -> bool:
        """Whether no task was cut off. A callback may have been, when the last task had ended: it
        counts as one more step, which may come before that."""
        gate, controller = self.gate, self.hub.controller
        if controller.limit is not None:
            return False
        callbacks = self.callbacks.number
        able = {number for number, place in gate.ready.items() if place <= gate.first}
        if callbacks in able and all(map(self.done, self.order)):
            self._callback(self.ready.line[0][0])
            self.collector.end()
            able.discard(callbacks)
        return not able and (not controller.essential or self.next_time() is None)

    def _lined(self, handle: object) -> bool:
        """Whether a task cancels what stands in the line."""
        inside = self.gate.inside
        return inside != self.callbacks.number and any(
            one is handle for _, one, _ in self.ready.line
        )

    # --- steps -------------------------------------------------------------------------------
    def done(self, worker: TaskWorker) -> bool:
        return worker.task is None or asyncio.Task.done(worker.task)

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        if context is not None or kwargs:  # it may share its variables, or begin at once
            self.collector.beyond = True
        with self.collector.ours:
            return super().start(worker, name, context, **kwargs)

    def run_step(self, worker: TaskWorker) -> None:
        collector, ready, number = self.collector, self.ready, worker.number
        if not self.collects:
            ready.places.pop(number, None)
            super().run_step(worker)
            return
        starts = bool(ready.line) and ready.line[0][2] == number
        collector.begin(number, ready.places.pop(number), lines=starts)
        collector.touch(("pc", number), True)
        self.profile.on()
        super().run_step(worker)
        self.profile.off()
        task = worker.task
        if asyncio.Task.done(task):
            collector.touch(("done", number), True)
            collector.touch(END, False)
        elif type(task._fut_waiter) not in _KNOWN:
            collector.beyond = True

    def _callback(self, place: int) -> None:
        self.collector.begin(self.callbacks.number, place, lines=True)
        self.collector.touch(END, True)

    def run_callbacks(self) -> None:
        if not self.collects:
            super().run_callbacks()
            return
        self._callback(self.ready.line[0][0])
        self.profile.on()
        super().run_callbacks()
        self.profile.off()

    def fire_timers(self) -> None:
        if self.collects:
            self.collector.begin(self.timers.number, -1, last=True)
        super().fire_timers()
        self.collector.end()

    def leave(self) -> None:
        super().leave()
        self.collector.end()


@contextmanager
def collected(hub: Hub) -> Iterator[None]:
    """While this is entered, schedules may be run whose steps tell what they touch."""
    with ExitStack() as stack:
        stack.enter_context(NamesTold(hub))
        stack.enter_context(TellingRows())
        try:
            yield
        finally:
            hub.collector = None
            COLLECTORS.clear()
