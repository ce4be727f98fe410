"""The backend that runs coroutine functions as tasks of a controlled trio run."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

import sniffio

from tracelock.instrument.callers import place_of_function
from tracelock.instrument.loops.backend import TRIES, LoopBackend, call_work
from tracelock.instrument.loops.own_order import Batches
from tracelock.instrument.loops.tasks import TaskWorker
from tracelock.instrument.loops.trio_patches import WAITING, sends_to
from tracelock.instrument.loops.trio_tasks import TrioTasks
from tracelock.instrument.patches import COMMON, LOOPING
from tracelock.schedulers.base import Scheduler


class TrioLoopBackend(LoopBackend[TrioTasks]):
    """Runs the schedules of one program on trio."""

    patch_groups = (*COMMON, *LOOPING)
    waiting = WAITING
    own_name = "trio's own order (batches of all that can go on, shuffled)"

    def own_orders(self, cancellations: int) -> Iterator[Scheduler]:
        for seed in range(TRIES // 4):
            first = Batches(seed)
            yield first
            for place in range(min(first.places, 8) if cancellations else 0):
                yield Batches(seed, place)

    def make_tasks(self) -> TrioTasks:
        return TrioTasks(self.hub, self._baton)

    @contextlib.contextmanager
    def running(self, tasks: TrioTasks) -> Iterator[None]:
        library: Any = sniffio.thread_local
        before, library.name = library.name, "trio"
        try:
            with sends_to(tasks):
                yield
        finally:
            library.name = before

    def start(self, tasks: TrioTasks, worker: TaskWorker, work: Any, arguments: Any) -> None:
        worker.at = place_of_function(work)
        if not inspect.iscoroutinefunction(work):
            work = partial(call_work, work)
        tasks.start(worker, work, arguments)

    def result(self, worker: TaskWorker) -> Any:
        error, worker.error = worker.error, None
        if error is not None:
            raise error
        return worker.result
