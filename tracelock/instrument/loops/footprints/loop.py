"""A loop of asyncio that tells what is asked of it, and its line."""

from __future__ import annotations

from asyncio import events
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tracelock.instrument.hub import get_ident
from tracelock.instrument.loops.asyncio_loop import (
    ControlledLoop,
    ControlledReadyQueue,
    ControlledTask,
    stepping,
)
from tracelock.instrument.loops.footprints.collecting import LINE, Collector
from tracelock.instrument.loops.footprints.rows import WAKES
from tracelock.instrument.loops.sampled.queue import SampledQueue, is_step
from tracelock.instrument.loops.tasks import EPOCH


@dataclass(slots=True, eq=False)
class CollectingQueue(SampledQueue):
    """The line of the loop: who takes a place in it is told. ``places``: of tasks that could go
    on."""

    places: dict[int, int] = field(default_factory=dict)

    def clear(self) -> None:
        SampledQueue.clear(self)
        self.places.clear()

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

    _debug: bool
    _closed: bool

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
        task = getattr(callback, "__self__", None)
        tasks = self.tasks
        if (
            task.__class__ is ControlledTask and context is not None and is_step(callback)
            and (task.worker.begun or task.worker.given)
            and not (self._debug or self._closed) and get_ident() == tasks.ident
        ):  # fmt: skip
            number = task.worker.number
            ready = self._ready
            ready.calls[number] = (callback, args, context)
            place = ready.count = ready.count + 1
            ready.places[number] = tasks.gate.ready[number] = place
            tasks.hub.collector.wakes(place, number)
            return None  # which nobody looks at, of those who go on with a task
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
