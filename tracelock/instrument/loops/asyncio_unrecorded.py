"""The tasks of one asyncio loop in a schedule of which no record is kept."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from tracelock.instrument.hub import Phase
from tracelock.instrument.loops.asyncio_loop import ControlledTask
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.cancel_ways import redelivers
from tracelock.instrument.loops.tasks import EPOCH, TaskWorker
from tracelock.instrument.loops.unrecorded import UnrecordedTasks
from tracelock.schedulers.base import LAST

_new: Final[Any] = asyncio.Task.__new__
_begin: Final[Any] = asyncio.Task.__init__


class UnrecordedAsyncioTasks(UnrecordedTasks, AsyncioTasks):
    """What runs on one loop of asyncio in a schedule of which no record is kept."""

    def close(self) -> None:
        super().close()
        # without circles all this goes at once, and not with a collection of many such
        for worker in self.order:
            worker.task = worker.coro = None
        self.order.clear()
        self.members.clear()
        self.loop = self.ready = None  # type: ignore[assignment]

    def reported(self, context: dict[str, Any]) -> bool:
        return self.loop is not None and super().reported(context)

    def look(self) -> None:
        if self.loop._selector.used:  # input and output is waited for
            self.beyond = True

    def next_time(self) -> float | None:
        handle: Any = self.loop.next_timer()
        if handle is not None and handle._when != math.inf:
            return float(handle._when - EPOCH)
        self.beyond = self.beyond or bool(self.ready.asleep)
        return None

    def let_go(self, worker: TaskWorker) -> None:
        self._ended = worker

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        hub = self.hub
        if hub.phase is not Phase.RUN:
            return super().start(worker, name, context, **kwargs)
        self._created += 1
        self.order.append(worker)
        # as ``ControlledTask`` does it, with one function less
        task: Any = _new(ControlledTask)
        task.worker = worker
        _begin(
            task, worker.coro, loop=self.loop, context=context,
            name=f"Task-{self._created}" if name is None else name, **kwargs,
        )  # fmt: skip
        worker.task = task
        hub.controller.pending[worker.number] = self.plain_step
        return task  # type: ignore[no-any-return]

    def worker_of(self, task: Any) -> TaskWorker:
        if task.__class__ is ControlledTask:
            return task.worker  # type: ignore[no-any-return]
        self.beyond = True
        return super().worker_of(task)

    def on_another_thread(self, what: str) -> None:
        self.beyond = True

    def callbacks_come(self, place: int, handle: Any) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_come(place, handle)
            return
        gate, number = self.gate, self.callbacks.number
        gate.first = gate.ready[number] = place
        if redelivers(handle):
            self.beyond = True

    def callbacks_gone(self) -> None:
        if self.hub.phase is not Phase.RUN:
            super().callbacks_gone()
            return
        self.gate.first = LAST
        self.gate.ready.pop(self.callbacks.number, None)
