"""The backend that runs coroutine functions as tasks of a controlled trio run."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import sniffio

from tracelock.engine.open import OpenController
from tracelock.instrument.callers import place_of_function
from tracelock.instrument.loops.backend import TRIES, LoopBackend
from tracelock.instrument.loops.own_order import Batches
from tracelock.instrument.loops.tasks import LoopTasks, TaskWorker
from tracelock.instrument.loops.trio_patches import WAITING, sends_to
from tracelock.instrument.loops.trio_tasks import TrioTasks
from tracelock.instrument.patches import COMMON
from tracelock.schedulers.base import Scheduler


class TrioLoopBackend(LoopBackend):
    """Runs the schedules of one program on trio."""

    patch_groups = (*COMMON, "trio")
    waiting = WAITING
    own_name = "trio's own order (batches of all that can go on, shuffled)"

    def own_orders(self, cancellations: int) -> Iterator[Scheduler]:
        for seed in range(TRIES // 4):
            first = Batches(seed)
            yield first
            for place in range(min(first.places, 8) if cancellations else 0):
                yield Batches(seed, place)

    def make_tasks(self) -> LoopTasks:
        return TrioTasks(self.hub, self._baton, self.program.cancellations)

    @contextlib.contextmanager
    def running(self, tasks: LoopTasks) -> Iterator[None]:
        assert isinstance(tasks, TrioTasks)
        library: Any = sniffio.thread_local
        before, library.name = library.name, "trio"
        try:
            with sends_to(tasks):
                yield
        finally:
            library.name = before

    def start(self, tasks: LoopTasks, worker: TaskWorker, work: Any, arguments: Any) -> None:
        assert isinstance(tasks, TrioTasks)
        if not inspect.iscoroutinefunction(work):
            inner = work

            async def work(*arguments: Any) -> Any:
                result = inner(*arguments)
                return await result if inspect.isawaitable(result) else result

            worker.at = place_of_function(inner)
        else:
            worker.at = place_of_function(work)
        tasks.start(worker, work, arguments)

    def result(self, worker: TaskWorker) -> Any:
        error, worker.error = worker.error, None
        if error is not None:
            raise error
        return worker.result

    def wind_up(self, controller: OpenController, tasks: LoopTasks) -> None:
        """Nothing: no task of trio outlives the one that has started it."""
