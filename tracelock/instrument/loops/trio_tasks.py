"""The tasks of one trio run in one schedule.

trio promises nothing about the order of tasks that can go on: it shuffles each batch of them. Here
its queue is ours, and a batch is the one task that was picked. The clock is virtual.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import trio
from trio._core import _run, _thread_cache

from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Abandon, Hub, Phase, contexts, get_ident
from tracelock.instrument.loops.awaits import awaiting
from tracelock.instrument.loops.tasks import EPOCH, LoopTasks, TaskWorker
from tracelock.schedulers.base import LAST


class Clock(trio.abc.Clock):
    """Time of the schedule. It never has to be waited for."""

    def __init__(self, tasks: TrioTasks) -> None:
        self.tasks = tasks

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return EPOCH + self.tasks.hub.controller.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return max(0.0, deadline - self.current_time())


class Line:
    """Stands in for ``runner.runq``. trio takes out what iterating gives: who was picked."""

    __slots__ = ("count", "picked", "tasks", "waiting")

    def __init__(self, tasks: TrioTasks) -> None:
        self.tasks = tasks
        self.waiting: dict[int, tuple[int, Any]] = {}  # by id of the task
        self.picked: list[Any] = []
        self.count = 0

    def append(self, task: Any) -> None:
        place = self.count = self.count + 1
        self.waiting[identity(task)] = (place, task)
        self.tasks.queued(task, place)

    def pick(self, task: Any) -> None:
        """``task`` is the next batch."""
        del self.waiting[identity(task)]
        self.picked.append(task)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.picked)

    def clear(self) -> None:
        self.picked.clear()

    def __len__(self) -> int:
        return len(self.waiting) + len(self.picked)


class Watch(trio.abc.Instrument):
    """Tells of tasks that are started and ended."""

    def __init__(self, tasks: TrioTasks) -> None:
        self.tasks = tasks

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.tasks.born(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.tasks.gone.add(identity(task))


class TrioTasks(LoopTasks):
    """What runs in one controlled run of trio."""

    def __init__(self, hub: Hub, baton: Any, cancellations: int) -> None:
        super().__init__(hub, baton, cancellations)
        self.workers: dict[int, TaskWorker] = {}  # by id of the task
        self.kept: list[Any] = []  # so that these mean nothing else
        self.gone: set[int] = set()
        self.next_given: TaskWorker | None = None
        self.nursery: Any = None
        self.line = Line(self)
        self.own: list[Any] = []  # tasks of trio itself and of ours that can go on
        _thread_cache.THREAD_CACHE._idle_workers.clear()
        _thread_cache.name_counter = itertools.count()
        runner: Any = _run.setup_runner(Clock(self), [Watch(self)], True, True)
        runner.runq = self.line
        self.runner = runner
        self.gen: Any = cast("Any", _run.unrolled_run)(runner, self._keep, ())
        self.running = True
        self.next_pass: Any = None
        self.gen.send(None)
        while self.nursery is None:
            self._own_steps()

    async def _keep(self) -> None:
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await trio.sleep_forever()

    # --- tasks -------------------------------------------------------------------------------
    def born(self, task: Any) -> None:
        """trio has made a task."""
        self.kept.append(task)
        if self.nursery is None or task.parent_nursery is None or _system(task):
            return
        worker = self.next_given
        if worker is None:
            parent: Any = contexts.get(get_ident()) or self.callbacks
            worker = self.spawned(task.coro, None, parent)
        self.next_given = None
        worker.coro = task.coro
        worker.task = task
        task._counter = worker.number  # sets of tasks are sorted by this
        self.workers[identity(task)] = worker
        self.order.append(worker)
        worker.at = worker.at or awaiting(task.coro).at
        self.hub.controller.ask(worker.number, self.op(worker.at))

    def start(
        self, worker: TaskWorker, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        """Start the task of a worker that has been entered; its end is kept in ``worker``."""
        self.next_given = worker
        _run.GLOBAL_RUN_CONTEXT.task = self.nursery.parent_task
        self.nursery.start_soon(_guarded, worker, work, arguments, name=worker.label)

    def queued(self, task: Any, place: int) -> None:
        """``task`` can go on."""
        worker = self.workers.get(identity(task))
        if worker is not None:
            self.gate.ready[worker.number] = place
        else:
            self.own.append(task)
            self.own_comes(place)

    def own_comes(self, place: int) -> None:
        """trio itself has something to do: what threads have sent, for example."""
        number = self.callbacks.number
        if number not in self.gate.ready and self.hub.phase is not Phase.UNWIND:
            self.gate.ready[number] = place
            if self.gate.inside != number:
                self.hub.controller.ask(number, self.op("(trio):0"))

    def done(self, worker: TaskWorker) -> bool:
        return worker.task is None or identity(worker.task) in self.gone

    def cancelled(self, worker: TaskWorker) -> bool:
        return bool(worker.made["scope"].cancel_called)

    def cancel(self, worker: TaskWorker) -> None:
        worker.made["scope"].cancel()

    # --- time, and the world -------------------------------------------------------------------
    def next_deadline(self) -> tuple[float, str] | None:
        deadline = self.runner.deadlines.next_deadline()
        if deadline == math.inf:
            return None
        return deadline - EPOCH, "(deadline):0"

    def watches(self) -> bool:
        statistics = self.runner.io_manager.statistics()
        return bool(
            statistics.tasks_waiting_read > 1 or statistics.tasks_waiting_write
        )  # one is trio's own

    def look(self) -> None:
        runner = self.runner
        if not len(self.line) and runner.waiting_for_idle:
            self._pass()
        if runner.entry_queue.queue or runner.entry_queue.idempotent_queue:
            self.own_comes(self.line.count)
        self.wind()

    # --- a step ------------------------------------------------------------------------------
    def _pass(self) -> None:
        """One turn of trio's loop: input and output, deadlines, and the batch that was picked."""
        events = self.runner.io_manager.get_events(0)
        try:
            self.gen.send(events)
        except StopIteration:
            self.running = False

    def _own_steps(self) -> None:
        """Let trio's own tasks go on until they have nothing to do."""
        if not self.own:
            self._pass()
        while self.own and self.running:
            task = self.own.pop(0)
            self.line.pick(task)
            self._pass()

    def advance(self, number: int) -> None:
        gate = self.gate
        del gate.ready[number]
        if number == self.timers.number:
            self.hub.controller.rest(number)
            self._pass()
            return
        worker = self.mine[number]
        gate.inside = number
        contexts[self.ident] = worker
        if number == self.callbacks.number:
            self.hub.controller.rest(number)
            self._own_steps()
            if self.hub.over:
                raise Abandon
            self.leave()
            gate.ready.pop(number, None)
            self.hub.controller.rest(number)
            if self.own:
                self.own_comes(self.line.count)
            return
        self.line.pick(worker.task)
        worker.begun = True
        self._pass()
        if self.hub.over:
            raise Abandon
        if self.done(worker):
            error = worker.error
            worker.error = None
            self.ended(worker, error)
        else:
            waits = number not in gate.ready
            self.suspended(worker, waits)
        self.leave()

    # --- the end -----------------------------------------------------------------------------
    def wake_all(self) -> None:
        super().wake_all()
        if self.own:
            self.own_comes(self.line.count)
        self.gate.first = LAST

    def finish(self) -> None:
        """All workers have ended: so does the run."""
        self.hub.phase = Phase.CHECK
        self.nursery.cancel_scope.cancel()
        for _ in range(1_000):
            if not self.running:
                return
            self._own_steps()

    def close(self) -> None:
        """End the coroutines that are in the middle of their code."""
        nurseries = [nursery for task in self.kept for nursery in task._child_nurseries]
        for worker in self.order:
            if not self.done(worker):
                contexts[self.ident] = worker
                try:
                    worker.coro.close()
                except BaseException as error:  # whatever its finally clauses make of it
                    del error
        contexts.pop(self.ident, None)
        if self.running:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self.gen.close()
                except BaseException as error:
                    del error
        for task in self.kept:
            if identity(task) not in self.gone:
                try:
                    task.coro.close()
                except BaseException as error:
                    del error
        for nursery in nurseries:
            nursery._children.clear()  # which are gone, though they never said so


def _system(task: Any) -> bool:
    return bool(task.parent_nursery is task._runner.system_nursery)


async def _guarded(
    worker: TaskWorker, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """A worker: what ends it does not end the others, and it can be cancelled by itself."""
    with trio.CancelScope() as scope:
        worker.made["scope"] = scope
        try:
            worker.made["result"] = await work(*arguments)
        except trio.Cancelled:
            raise
        except BaseException as error:
            worker.error = error
