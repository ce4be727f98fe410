"""The backend that runs coroutine functions as tasks of a controlled trio run."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

import sniffio

from tracelock.instrument.callers import place_of_function
from tracelock.instrument.loops.backend import LoopBackend, call_work
from tracelock.instrument.loops.own_order import SHUFFLED
from tracelock.instrument.loops.tasks import TaskWorker
from tracelock.instrument.loops.trio_patches import WAITING, sends_to
from tracelock.instrument.loops.trio_tasks import TrioTasks
from tracelock.instrument.loops.unrecorded import UnrecordedTasks
from tracelock.instrument.patches import COMMON, LOOPING


class UnrecordedTrioTasks(UnrecordedTasks, TrioTasks):
    """What runs in one run of trio in a schedule of which no record is kept."""

    def look(self) -> None:
        runner = self.runner
        if not len(self.run_queue) and runner.waiting_for_idle:
            self._pass()
        if runner.entry_queue.queue or runner.entry_queue.idempotent_queue or self.watches():
            self.beyond = True

    def next_time(self) -> float | None:
        found = self.next_deadline()
        self.beyond = self.beyond or self.signals()
        return None if found is None else found[0]


class TrioLoopBackend(LoopBackend[TrioTasks]):
    """Runs the schedules of one program on trio."""

    patch_groups = (*COMMON, *LOOPING)
    waiting = WAITING
    own_name = SHUFFLED

    def make_tasks(self) -> TrioTasks:
        return TrioTasks(self.hub, self._baton)

    def make_unrecorded(self) -> UnrecordedTrioTasks:
        return UnrecordedTrioTasks(self.hub, self._baton)

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
