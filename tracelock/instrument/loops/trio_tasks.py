"""The tasks of one trio run in one schedule.

trio promises nothing about the order of tasks that can go on: it shuffles each batch of them. Here
its queue is replaced, and a batch is the one task that was picked. The clock is virtual.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import trio
from trio._core import _entry_queue, _run, _thread_cache

from tracelock.instrument.contexts import identity, out_of_control
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.loops import trio_ways
from tracelock.instrument.loops.awaits import awaiting, frames
from tracelock.instrument.loops.cancelling import Way
from tracelock.instrument.loops.losing import of_trio
from tracelock.instrument.loops.losing.closing import ended
from tracelock.instrument.loops.own_order import SHUFFLED
from tracelock.instrument.loops.tasks import EPOCH, LoopTasks, TaskWorker
from tracelock.instrument.network.table import Network

#: The code of the task that calls what threads have sent.
_CALLS: Final = _entry_queue.EntryQueue.task.__code__
#: Where trio keeps what tasks hold until they end. Those that are ended from outside stay in it.
_BREAKERS: Final[dict[Any, Any]] = getattr(_run, "GLOBAL_PARKING_LOT_BREAKER", {})

#: Functions of trio in which a task waits for those that it has started.
_NURSERY: Final = frozenset({"__aexit__", "_nested_child_finished"})


class VirtualTrioClock(trio.abc.Clock):
    """The time of the schedule, which never has to be waited for."""

    def __init__(self, tasks: TrioTasks) -> None:
        self.tasks = tasks

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return EPOCH + self.tasks.hub.controller.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return max(0.0, deadline - self.current_time())


@dataclass(slots=True, eq=False)
class ControlledRunQueue:
    """Stands in for ``runner.runq``. Iterating yields the one task that was picked. ``count``: of
    the turns so far, the place in the line of all that one turn lets go on: trio takes them out of
    sets, or by the address of their scope, in an order that no schedule decides."""

    tasks: TrioTasks
    waiting: dict[int, Any] = field(default_factory=dict)  # by identity of the task
    picked: list[Any] = field(default_factory=list)
    count: int = 0

    def append(self, task: Any) -> None:
        if self.tasks.lost and identity(task) in self.tasks.exited:
            task._next_send_fn = task._next_send = None  # its host has crashed
            return
        self.waiting[identity(task)] = task
        self.tasks.task_ready(task, self.count)

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


class TaskObserver(trio.abc.Instrument):
    """Says which tasks are created and which exit."""

    def __init__(self, tasks: TrioTasks) -> None:
        self.tasks = tasks

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        try:
            self.tasks.task_created(task)
        except (
            ScheduleOver
        ):  # of which trio would log that it was raised here; the next step is cut
            trio.lowlevel.remove_instrument(self)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.tasks.exited.add(identity(task))


class TrioTasks(LoopTasks):
    """What runs in one controlled run of trio."""

    own_name = SHUFFLED
    cancelled_errors = (trio.Cancelled,)
    late_errors = (TimeoutError, trio.TooSlowError)

    def __init__(self, hub: Hub, baton: Any, prefix: str = "") -> None:
        super().__init__(hub, baton, prefix)
        self.workers: dict[int, TaskWorker] = {}  # by identity of the task
        self.all_tasks: list[Any] = []  # so that identities stay their own
        self.exited: set[int] = set()
        self.homes: dict[str, Any] = {}  # by host that has crashed the nursery it was started in
        self.starting: TaskWorker | None = None
        self.nursery: Any = None
        self.run_queue = ControlledRunQueue(self)
        self.system_tasks: list[Any] = []  # that can go on; of trio itself, say
        self.receivers = 0  # of signals
        self.running = False
        self.gen: Any = None
        self.begin()

    # --- the run -------------------------------------------------------------------------------
    def begin(self) -> None:
        """A run whose main task keeps a nursery for the workers."""
        forget_threads()
        self._start(VirtualTrioClock(self), (), {}, self._keep)
        while self.nursery is None:
            self._system_steps()

    def _start(
        self, clock: Any, instruments: Any, options: dict[str, bool], main: Any, *arguments: Any
    ) -> None:
        """Begin a run, with the task that trio begins each with."""
        keys = "restrict_keyboard_interrupt_to_checkpoints", "strict_exception_groups"
        with out_of_control():  # what trio makes for itself
            runner: Any = _run.setup_runner(
                clock, [TaskObserver(self), *instruments], *(options.get(key, True) for key in keys)
            )
            runner.runq = self.run_queue
            self.runner = runner
            self.gen = cast("Any", _run.unrolled_run)(runner, main, arguments)
            self.running = True
            self.gen.send(None)

    async def _keep(self) -> None:
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await trio.sleep_forever()

    # --- tasks -------------------------------------------------------------------------------
    def task_created(self, task: Any) -> None:
        """trio has created a task."""
        self.all_tasks.append(task)
        if _system(task) or not self.counts(task):
            return
        worker = self.starting
        if worker is None:
            parent: Any = contexts.get(get_ident()) or self.callbacks
            worker = self.spawned(task.coro, None, parent)
        self.starting = None
        worker.coro = task.coro
        worker.task = task
        task._counter = worker.number  # sets of tasks are sorted by this
        self.workers[identity(task)] = worker
        self.order.append(worker)
        self.aimed(worker, task.context)
        worker.at = worker.at or awaiting(task.coro).at
        self.hub.controller.ask(worker.number, self.op(worker.at))

    def counts(self, task: Any) -> bool:
        """Whether ``task``, which is none of trio's own, is one of the program's."""
        return self.nursery is not None

    def start(
        self, worker: TaskWorker, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        """Start the task of a worker that has been entered; its result is kept in ``worker``."""
        self.starting = worker
        _run.GLOBAL_RUN_CONTEXT.task = self.nursery.parent_task
        self.nursery.start_soon(_guarded, worker, work, arguments, name=worker.label)

    def task_ready(self, task: Any, place: int) -> None:
        """``task`` can go on."""
        worker = self.workers.get(identity(task))
        if worker is not None:
            self.gate.ready[worker.number] = place
        else:
            self.system_tasks.append(task)
            self.system_ready(place)

    def system_ready(self, place: int) -> None:
        """trio itself has something to do: what threads have sent, for example."""
        number = self.callbacks.number
        if number not in self.gate.ready and self.hub.phase is not Phase.UNWIND:
            self.gate.ready[number] = place
            if self.gate.inside != number:
                self.hub.controller.ask(number, self.op("(trio):0"))

    def done(self, worker: TaskWorker) -> bool:
        return worker.task is None or identity(worker.task) in self.exited

    def ways(self, worker: TaskWorker) -> Iterator[Way]:
        return trio_ways.ways(self, worker)

    def wind_up(self, worker: TaskWorker) -> None:
        if worker.scope is not None:
            worker.scope.cancel()

    # --- a host that crashes -----------------------------------------------------------------
    def keeps(self, gone: set[int]) -> str:
        """Why these tasks cannot be gone, with a host that has crashed; "" where they can."""
        other = of_trio.survivor(self, gone)
        return other and (
            f"{other} is not on it, and is in a nursery of one of its tasks, which nobody would "
            "leave: start it in a nursery of another task"
        )

    def lose(self, gone: set[int], host: str, buried: list[Any]) -> None:
        """Some of the tasks are gone (see ``losing``)."""
        of_trio.lose_tasks(self, gone, host)

    def start_on(self, main: Callable[..., Any], arguments: tuple[Any, ...], context: Any) -> Any:
        """Start a task of a host again."""
        return of_trio.start_on(self, main, arguments, context)

    # --- timers, input and output ----------------------------------------------------------------
    def next_deadline(self) -> tuple[float, str] | None:
        deadline = self.runner.deadlines.next_deadline()
        if deadline == math.inf:
            return None
        return deadline - EPOCH, "(deadline):0"

    def watches(self) -> bool:
        statistics = self.runner.io_manager.statistics()
        own = 1  # of trio itself
        waits = statistics.tasks_waiting_read > own or statistics.tasks_waiting_write
        return bool(waits) or self._serves()

    def _serves(self) -> bool:
        """Whether all tasks that are left wait for somebody to connect, or for such tasks."""
        network = self.hub.known(Network)
        told = [] if network is None else network.accepting()
        accepting = {identity(getattr(one, "task", None)) for one in told}
        left = [worker for worker in self.order if not self.done(worker)]
        return any(identity(one.task) in accepting for one in left) and all(
            identity(one.task) in accepting
            or any(frame.f_code.co_name in _NURSERY for frame in frames(one.coro))
            for one in left
        )

    def signals(self) -> bool:
        return self.receivers > 0

    def poll(self) -> None:
        runner = self.runner
        if not len(self.run_queue) and runner.waiting_for_idle:
            self._pass()
        if runner.entry_queue.queue or runner.entry_queue.idempotent_queue:
            self.system_ready(self.run_queue.count)
        self.set_timer()

    # --- a step ------------------------------------------------------------------------------
    def _pass(self) -> None:
        """One turn of trio's loop: input and output, deadlines, and the batch that was picked."""
        self.run_queue.count += 1
        events = self.runner.io_manager.get_events(0)
        try:
            self.gen.send(events)
        except StopIteration:
            self.running = False
        except trio.TrioInternalError as error:
            self.running = False
            if isinstance(error.__cause__, ScheduleOver):  # it came in the middle of trio's code
                raise error.__cause__ from None
            raise

    def _system_steps(self) -> None:
        """Let trio's own tasks go on until they have nothing to do."""
        if not self.system_tasks:
            self._pass()
        while self.system_tasks and self.running:
            task = self.system_tasks.pop(0)
            self.run_queue.pick(task)
            self._pass()

    fire_timers = _pass

    def run_callbacks(self) -> None:
        number = self.callbacks.number
        del self.gate.ready[number]
        self.hub.controller.rest(number)
        self._system_steps()

    def callbacks_ran(self) -> None:
        number = self.callbacks.number
        self.gate.ready.pop(number, None)
        self.hub.controller.rest(number)
        if self.system_tasks:
            self.system_ready(self.run_queue.count)

    def run_step(self, worker: TaskWorker) -> None:
        self.run_queue.pick(worker.task)
        self._pass()

    def waits(self, worker: TaskWorker) -> bool:
        return worker.number not in self.gate.ready

    def error_of(self, worker: TaskWorker) -> BaseException | None:
        error, worker.error = worker.error, None
        return error

    # --- the end -----------------------------------------------------------------------------
    def wake_all(self) -> None:
        super().wake_all()
        if self.system_tasks:
            self.system_ready(self.run_queue.count)

    def close(self) -> None:
        """End the coroutines that are in the middle of their code."""
        nurseries = [nursery for task in self.all_tasks for nursery in task._child_nurseries]
        self.close_lost()
        for worker in self.order:
            if not self.done(worker):
                self.close_coroutine(worker)
        contexts.pop(self.ident, None)
        if self.running:
            with warnings.catch_warnings(), contextlib.suppress(BaseException):
                warnings.simplefilter("ignore")
                self.gen.close()
        for task in self.all_tasks:
            if identity(task) not in self.exited and identity(task) not in self.workers:
                ended(task.coro)
            _BREAKERS.pop(task, None)
        for nursery in nurseries:
            nursery._children.clear()  # these have ended, though trio was not told

    def close_lost(self) -> None:
        """End the coroutines that are gone with a host."""
        for worker in self.lost:
            self.close_coroutine(worker)
            for nursery in worker.task._child_nurseries:
                nursery._children.clear()


def forget_threads() -> None:
    """Threads that trio has kept from an earlier schedule."""
    _thread_cache.THREAD_CACHE._idle_workers.clear()
    _thread_cache.name_counter = itertools.count()


def _system(task: Any) -> bool:
    """Whether this is a task of trio's own, which begins and ends the run and calls what threads
    have sent."""
    return task.parent_nursery is None or getattr(task.coro, "cr_code", None) is _CALLS


async def _guarded(
    worker: TaskWorker, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """A worker: its error does not end the others, and it can be cancelled by itself."""
    with trio.CancelScope() as scope:
        worker.scope = scope
        try:
            worker.result = await work(*arguments)
        except trio.Cancelled:
            raise
        except BaseException as error:
            worker.error = error
