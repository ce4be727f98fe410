"""What the backends of asyncio and trio have in common: coroutine functions as tasks of one loop.

The loop lives on a thread of its own, anew for each schedule. Threads that tasks start (executors,
``to_thread``) are workers of the same schedule. The thread that called ``explore`` waits meanwhile.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Generic, TypeVar

from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, TIME_UP, RunLimits
from tracelock.engine.open import OpenController
from tracelock.engine.verdicts import going_round
from tracelock.instrument.backend import PythonBackend
from tracelock.instrument.crashes.points import run_or_crash
from tracelock.instrument.failures import hear
from tracelock.instrument.given_up import Stuck
from tracelock.instrument.hub import Phase, ScheduleOver, contexts, get_ident, new_baton
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.loops import awaits
from tracelock.instrument.loops.own_order import FIRST_COME, OwnOrder
from tracelock.instrument.loops.recording import tell
from tracelock.instrument.loops.retelling import Retelling, StepRetelling
from tracelock.instrument.loops.starving import judge
from tracelock.instrument.loops.tasks import LoopTasks, TaskWorker
from tracelock.instrument.program import PythonProgram, is_awaitable
from tracelock.instrument.threads.aside import LoopAside
from tracelock.instrument.threads.pool import PooledThread
from tracelock.instrument.worker import Main, MainBlocked, Worker
from tracelock.schedulers.base import Scheduler

TasksT = TypeVar("TasksT", bound=LoopTasks)
#: Steps that cancelled tasks may make at the end of a schedule.
LAST_STEPS: Final = 10_000


#: What is not tried where a loop and other threads go on in one schedule, and why.
_HELD: Final = (
    "timers that fire while another thread is at work",
    'they wait for it; clock="adversarial" tries them at any time',
)


class LoopBackend(PythonBackend, Generic[TasksT]):
    """Runs the schedules of one program of coroutine functions."""

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        super().__init__(program, limits)
        self.no_choice = OwnOrder()
        self.tasks: TasksT
        self._baton: Any = None
        self._more = True
        self._raised: BaseException | None = None
        self._left_behind = False
        #: Which schedules are run without a record; None: none is.
        self.retelling: Retelling | None = None
        #: Whether these tell what each step touches, for a search that goes by that.
        self.by_steps = False
        self._told = True  # see ``_tell``

    def take_control(self, live: LiveObjects) -> None:
        super().take_control(live)
        awaits.learn(self.waiting)

    settles = True

    # --- the loop's own order ------------------------------------------------------------------
    one_loop = True
    own_name = FIRST_COME

    def own_order(self) -> Scheduler:
        """The order in which the loop itself would go on."""
        return OwnOrder(once=True)

    noun = "task"

    # --- what differs between the libraries ----------------------------------------------------
    #: Coroutine methods of the library, and the op in which each waits.
    waiting: tuple[tuple[Any, str, int], ...] = ()

    def make_tasks(self) -> TasksT:
        """A loop, for one schedule, in its thread."""
        raise NotImplementedError

    def make_unrecorded(self) -> Any:
        """The same for a schedule of which no record is kept."""
        raise NotImplementedError

    def tells_steps(self) -> bool:
        """Whether the unrecorded schedules of this program can tell what each step touches."""
        return False

    def collecting(self) -> AbstractContextManager[None]:
        """While this is entered, they do."""
        raise NotImplementedError

    def running(self, tasks: TasksT) -> AbstractContextManager[None]:
        """While this is entered, the loop is the one that runs on this thread."""
        return contextlib.nullcontext()

    def start(self, tasks: TasksT, worker: TaskWorker, work: Any, arguments: Any) -> None:
        """Start the task of ``worker``, which calls ``work`` and awaits what it gives."""
        raise NotImplementedError

    def result(self, worker: TaskWorker) -> Any:
        """What the task of ``worker`` gave; raises what ended it."""
        raise NotImplementedError

    def finish(self, controller: OpenController, tasks: TasksT) -> None:
        """The check has been made: what the loop does at its end."""

    @contextlib.contextmanager
    def searching(self, scheduler: Scheduler, clock: str, ours: bool) -> Iterator[None]:
        program = self.program
        recorded = (
            not ours or program.collections or program.injected or self.names.mortal
            or clock != "virtual" or self.hub.invariants.any
        )  # fmt: skip
        self.by_steps = scheduler.by_steps and not recorded and self.tells_steps()
        if scheduler.systematic:
            recorded = not self.by_steps
        if not recorded:
            self.retelling = StepRetelling(scheduler) if self.by_steps else Retelling()
        try:
            with contextlib.ExitStack() as entered:
                if self.by_steps:
                    entered.enter_context(self.collecting())
                    entered.enter_context(self.account.throughout())
                yield
        finally:
            self.retelling = None
            self.by_steps = False

    def _tell(self, told: bool) -> None:
        """Whether the library's own objects tell what is done to them in the next schedule."""
        if told is not self._told:
            self._told = told
            tell(told)

    def close(self) -> None:
        self._tell(True)
        super().close()
        self._baton = None
        vars(self).pop("tasks", None)  # the last schedule's are garbage by now

    def begin_apart(self, patient: bool) -> None:
        super().begin_apart(patient)
        self._left_behind = False  # that thread is not here
        self.retelling = None  # what is sent back is the record

    def _progress(self) -> None:
        """Nothing for the watchdog: the main thread looks at the loop's thread itself."""

    # --- schedules ---------------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        """Run schedules until ``controller.begin()`` is False or ``done(controller)`` is True.

        They are run in the thread of the loop, one after the other; this thread waits.
        """
        assert isinstance(controller, OpenController)
        self._more = True
        self.hub.controller = controller
        self.no_choice.attach(controller)
        while self._more and not self.stuck:
            back = new_baton()
            back.acquire()
            self._raised = None
            pooled = self._pooled(0)
            keeper = Worker(self.hub, self.setup_number, back)
            pooled.lend(keeper, partial(self._many, controller, done, pooled, back))
            try:
                self._await(back)
            except Stuck:  # with the thread of the loop
                self._left_behind = True
                controller.scheduler.end(len(controller.log))
                done(controller)
                return
            if self._raised is not None:
                raise self._raised

    def _many(
        self,
        controller: OpenController,
        done: Callable[[Any], bool],
        pooled: PooledThread,
        back: Any,
    ) -> None:
        """Schedules, in the thread of the loop; one only, where each needs a new thread."""
        try:
            while self._more and not self.stuck:
                self.bounds.check()
                self.names.begin()
                if not controller.begin():
                    self._more = False
                    break
                self.kept.put_back()
                self.hub.through(self._schedule, controller)
                controller.scheduler.end(controller.unrecorded or len(controller.log))
                over = self.bounds.why()
                if over:
                    controller.limit = over
                if done(controller) or controller.limit in (INTERRUPTED, TIME_UP):
                    self._more = False
                if pooled.once:
                    break
                pooled.tidy()
        except BaseException as error:
            self._raised = error
        finally:
            back.release()

    def _schedule(self, controller: OpenController) -> None:
        self._sweep()
        self.hub.begin(controller)
        retelling = self.retelling
        if retelling is None or self.hub.recorder is not None or not retelling.tries():
            self.recorded(controller)
        else:
            retelling.run(self, controller)

    def unrecorded(self, controller: OpenController) -> Any:
        """Run a schedule of which no record is kept; its tasks, which say whether it is known to
        have gone well. Another one is to follow, with a record, where it has not."""
        if self._told is not self.by_steps:
            self._tell(self.by_steps)
        if self.by_steps:  # what steps share without telling so is looked for in each schedule
            self.hub.recorder = self.account.begin(always=True)
        self._begin_life(controller, self.make_unrecorded, self._without_record)
        tasks: Any = self.tasks
        tasks.well = tasks.well and self.hub.error is None
        self.hub.phase = Phase.IDLE
        if self.hub.recorder is not None:
            self.account.end(controller)
        self.afresh.end()
        return tasks

    def begin_again(self, controller: OpenController) -> None:
        """The same schedule comes once more."""
        self.names.begin()
        controller.begin()
        self.kept.put_back()
        self._sweep()
        self.hub.begin(controller)

    def _begin_life(self, controller: OpenController, make: Any, phases: Any) -> None:
        controller.settles = self.settles
        self.program.outcome.failure = None
        baton = self._baton = new_baton()
        baton.acquire()
        self.hub.batons[-1] = baton  # the worker that finds the schedule over wakes the loop
        contextvars.Context().run(self._life, controller, make, phases)
        self._go_on()

    def recorded(self, controller: OpenController) -> None:
        """Run a schedule with its record."""
        hub = self.hub
        self._tell(True)
        with self.account.on_one_thread():
            self._begin_life(controller, self.make_tasks, self._phases)
            self._unwind(controller)
        if controller.held:
            hub.names.doubts.setdefault(*_HELD)
        self.kept.ran()

    def _life(self, controller: OpenController, make: Any, phases: Any) -> None:
        """One schedule, in the thread of the loop."""
        hub = self.hub
        hub.phase = Phase.SETUP
        try:
            tasks = self.tasks = make()
            with self.running(tasks):
                try:
                    phases(controller, tasks)
                finally:
                    hub.phase = Phase.UNWIND
                    tasks.close()
        except ScheduleOver:
            pass
        except BaseException as error:
            hub.error = hub.error or error
        finally:
            hub.phase = Phase.UNWIND
            contexts.pop(get_ident(), None)
            if hub.recorder is not None:
                hub.recorder.profile.off()

    def _go_on(self) -> None:
        """A thread that was given up, and comes back, leaves the process alone: by now another
        exploration may run in it. Raises Stuck."""
        if self._left_behind:
            raise Stuck

    def _start_workers(self, controller: OpenController, tasks: TasksT) -> Any:
        """Call ``setup`` and start the tasks of the workers; the state."""
        hub, program = self.hub, self.program
        state = self._set_up(controller)
        if self._left_behind:
            raise Stuck
        self.kept.set_up()
        hub.phase = Phase.RUN
        if program.setup is None:  # whose end leaves it so
            tasks.leave()
        if hub.recorder is not None:
            hub.recorder.profile.on()
        tasks.wake_all()
        arguments = program.arguments(state)
        for number, work in enumerate(program.workers):
            worker = tasks.task_worker(hub, number, tasks, None, True)
            tasks.enter(worker)
            controller.essential.add(number)
            self.start(tasks, worker, work, arguments)
        return state

    def _without_record(self, controller: OpenController, tasks: Any) -> None:
        """The same as ``_phases``, as long as all goes well."""
        state = self._start_workers(controller, tasks)
        well = tasks.go()
        if self._left_behind:
            raise Stuck
        self.hub.over = True
        controller.active.clear()
        self.kept.ran()
        if not well:
            return
        if self.program.check is not None or self.hub.at_exit:
            self._check(controller, state)
            self._go_on()
            self.kept.checked()
            self._exit(controller)
            self._go_on()
        tasks.failed = self.program.outcome.failure is not None and not tasks.beyond
        if not (tasks.errors or tasks.raised or tasks.unretrieved() or tasks.beyond):
            tasks.well = self.well(controller)

    def _phases(self, controller: OpenController, tasks: TasksT) -> None:
        hub = self.hub
        state = self._start_workers(controller, tasks)
        crashed = run_or_crash(tasks, self._go_on)
        hub.over = True
        if controller.limit is not None and len(controller.log) >= controller.max_steps:
            controller.limit += going_round(controller)
        if controller.active and controller.limit is None:
            tasks.show_waits()
        hub.block_loops()
        if judge(self, controller, [tasks, *hub.own_loops]):
            self._starved(controller, tasks)
        self.kept.ran()
        completed = self._completed(controller)
        if completed:
            self._check(controller, state)
            self._go_on()
            self.kept.checked()
            self._exit(controller)
            self._go_on()
        for loop in () if crashed else (tasks, *hub.own_loops):
            hear(self, controller, loop)
        if completed and not crashed and self.well(controller):
            self.finish(controller, tasks)

    def _starved(self, controller: OpenController, tasks: TasksT) -> None:
        """Nobody can go on after a cancellation, as it should be (see ``starving``): the others are
        cancelled too, and the schedule has come to its end."""
        left = [worker for worker in tasks.order if not tasks.done(worker)]
        errors, raised = len(tasks.errors), len(tasks.raised)
        with self._aside(controller, Phase.CHECK) as main:
            most, controller.max_steps = controller.max_steps, LAST_STEPS
            tasks.gate.inside = -1
            controller.essential.discard(main.number)
            controller.essential.update(worker.number for worker in left)
            for worker in left:
                tasks.wind_up(worker)
            tasks.run()
            controller.max_steps = most
            controller.essential.difference_update(worker.number for worker in left)
            controller.essential.add(main.number)
            self.hub.over = False
            tasks.gate.inside = main.number
        del tasks.errors[errors:], tasks.raised[raised:]
        tasks.unretrieved()  # what has died by that is no failure
        controller.active.clear()
        controller.essential.clear()
        controller.left = [worker.number for worker in left if not tasks.done(worker)]

    def _call(self, main: Main, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``function``, and await what it gives where it is a coroutine."""
        result = function(*arguments)
        if not is_awaitable(result):
            return result
        tasks, hub = self.tasks, self.hub
        number = main.number
        worker = TaskWorker(hub, number, tasks, None, False)
        tasks.enter(worker)
        self.start(tasks, worker, _awaited, (result,))
        tasks.order.remove(worker)
        tasks.gate.inside = -1
        tasks.run()
        hub.over = False
        tasks.gate.inside = number
        del tasks.members[number], hub.controller.loops[number]
        if not tasks.done(worker):
            worker.coro.close()
            raise MainBlocked
        return self.result(worker)

    # --- before and after --------------------------------------------------------------------
    def _aside(self, controller: OpenController, phase: int) -> LoopAside:
        return LoopAside(self, controller, phase)


async def call_work(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a worker that is no coroutine function; its result may be awaitable."""
    result = work(*arguments)
    return await result if is_awaitable(result) else result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
