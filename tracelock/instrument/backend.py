"""What the backends of real code have in common: schedules one after the other, with ``setup``
and ``check`` around the workers, and what happens when one of them gets stuck."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.cores import one_core
from tracelock.engine.limits import INTERRUPTED, TIME_UP, RunLimits
from tracelock.engine.open import OpenController
from tracelock.engine.verdicts import blocked_of, story
from tracelock.errors import InternalError, LimitReached, UsageError
from tracelock.instrument.account.keeping import AccountKeeper
from tracelock.instrument.afresh import Afresh, temporary_names
from tracelock.instrument.bounds import HURRY, Bounds
from tracelock.instrument.contexts import out_of_control
from tracelock.instrument.crashes.checking import final_checks
from tracelock.instrument.failures import failure_of
from tracelock.instrument.given_up import GivenUp, Stuck, stuck_message
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, new_baton
from tracelock.instrument.invariants.watching import Invariants
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.naming import ObjectNames
from tracelock.instrument.patches import COMMON, Patches
from tracelock.instrument.program import PythonProgram, is_awaitable, name_of
from tracelock.instrument.scanning.garbage import Garbage
from tracelock.instrument.state.program import KeptState
from tracelock.instrument.threads.aside import Aside
from tracelock.instrument.threads.finalizers import finalizers_heard
from tracelock.instrument.threads.futures import ends_untold
from tracelock.instrument.threads.locks import StandIns
from tracelock.instrument.threads.pool import PooledThread
from tracelock.instrument.threads.watchdog import Watchdog, raise_and_wait, take_back
from tracelock.instrument.worker import Main, MainBlocked, Worker
from tracelock.objects import Rules
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.in_order import InOrder, RunToCompletion

#: How often the waiting main thread looks whether the workers still get on, in seconds.
LOOK: Final = 0.25


class PythonBackend:
    """Runs the schedules of one :class:`PythonProgram`. A context manager: patches are applied
    when it is entered and undone when it is left.

    ``stuck``: why no further schedule can be run, "" as long as one can. ``patch_groups``: those
    of the table of patches that are applied.
    """

    patch_groups: tuple[str, ...] = COMMON
    #: What its objects are like; set by the one that creates it.
    rules: Rules
    #: Whether all workers are tasks of one loop.
    one_loop = False
    #: Whether background threads come to rest when the workers have ended, before the check.
    settles = False
    #: Whether the program has started loops of its own.
    own_loops = False
    #: The order that its loops have of themselves: see ``loops.own_order``.
    own_name = ""
    #: What its workers are.
    noun = "thread"
    #: A schedule of the search has failed, and went well when it was run again.
    unlike = False

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        self.program = program
        self.limits = limits
        self.names = ObjectNames(program.layout)
        self.hub = Hub(self.names)
        self.account = self.hub.account = AccountKeeper(self.hub, self.noun, len(program.workers))
        self.account.one_loop = self.one_loop
        self.hub.program, self.hub.expected, self.hub.aim = program, program.expected, program.aim
        self.hub.listens, self.hub.collections = program.listens, program.collections
        self.hub.invariants = Invariants(self.hub, program)
        self.hub.pool = self._pooled
        self.hub.stand_in = self._stand_ins = StandIns()
        self.hub.stall = min(limits.stall, limits.seconds) * 0.8
        self.ran = 0  # schedules that are counted
        self.ended_by_timeout: dict[tuple[str, str], int] = {}  # worker and place -> schedules
        self.starved = 0  # schedules whose end was that all waited for what a cancelled one gives
        #: What else was reported (by the exception handler of a loop), and in how many schedules.
        self.heard: dict[str, int] = {}
        #: Whether the schedule is one of the search, of which is told in how many what happened.
        self.counted = True
        self.setup_number = program.layout.worker("setup")
        self.stuck = ""
        #: The worker that was left behind, which no exception ends: it is in C.
        self.given_up: GivenUp | None = None
        self.patient = self.apart = False  # apart: a forked process, which ends if it goes wrong
        #: Called when a worker that is stuck is being seen to, which takes its time.
        self.sees_to_it: Callable[[], None] = lambda: None
        self.bounds = Bounds(self._stop)
        self.cut_daemons = False
        self._pool: list[PooledThread] = []
        self._locals: list[Any] = []  # the thread-local objects that there are
        self.no_choice: Scheduler = RunToCompletion()
        self._garbage = Garbage()
        self._stack = contextlib.ExitStack()

    def take_control(self, live: LiveObjects) -> None:
        """Put the process under control, until ``close``."""
        if Patches.active is not None:
            raise UsageError("tracelock is at work already: an exploration inside of another one")
        self._stack.enter_context(one_core())
        self.afresh = Afresh()
        self._stack.callback(self.afresh.close)
        self._patches = Patches(self.hub, self.program.instrument, self.patch_groups)
        self._stack.callback(self._patches.undo)
        self._patches.apply(live)
        self.account.take(live)
        if self.program.cancellations:
            self.program.aim.look(self.program.modules())
        self._locals = live.locals
        self._stack.enter_context(finalizers_heard(self.hub))
        self._stack.enter_context(ends_untold())
        self._stack.callback(self.names.forget)
        self.hub.thread_hook = threading.excepthook
        self._watch()
        self.kept = KeptState(self.program, self.names)
        self._stack.callback(self.kept.close)
        self.hub.take_in = self._take_in

    def _take_in(self, modules: list[str]) -> None:
        """A worker has imported these modules."""
        with out_of_control():
            self._patches.take_in(modules)
            self.kept.imported()

    def close(self) -> None:
        """End the threads of the pool and undo all patches. Safe to call twice."""
        self.rest()
        self._locals = []
        self._stack.close()
        self._stand_ins.forget()
        self.hub.let_go(self.given_up)

    def _watch(self) -> None:
        """Have the thread that runs ``setup`` and ``check``, this one, watched."""
        patience = min(self.limits.stall, self.limits.seconds)
        self._watchdog = self._stack.enter_context(
            Watchdog(self._progress, MainBlocked, patience, self.bounds)
        )

    def begin_apart(self, patient: bool) -> None:
        """This is a forked copy of the process that has control: its other threads are not here.
        ``patient``: a worker counts as stuck only after twice as long."""
        self.apart, self.patient = True, patient
        self._pool = []
        self.hub.main = new_baton()
        self.hub.main.acquire()
        self.stuck, self.given_up = "", None
        temporary_names()
        self._watch()

    def rest(self) -> None:
        """End the threads of the pool; the next schedule makes new ones."""
        for pooled in self._pool:
            pooled.close()
        self._pool = []

    def own_order(self) -> Scheduler:
        """One schedule without preemption; of tasks in the order of their loop."""
        return InOrder(backwards=False)

    @contextlib.contextmanager
    def searching(self, scheduler: Scheduler, clock: str, ours: bool) -> Iterator[None]:
        """While this is entered, only how schedules end has to be known: those that go wrong, and
        the first that ends in some state, are kept with their record. ``ours``: the scheduler is
        no user's, who may look at the record."""
        yield

    # --- schedules ---------------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        """Run schedules until ``controller.begin()`` is False or ``done(controller)`` is True."""
        assert isinstance(controller, OpenController)
        while not self.stuck:
            self.bounds.check()
            self.names.begin()
            if not controller.begin():
                return
            self.kept.put_back()
            self.hub.through(self._schedule, controller)
            controller.scheduler.end(len(controller.log))
            if done(controller) or controller.limit in (INTERRUPTED, TIME_UP):
                return

    def _stop(self, why: str) -> None:
        """End the schedule that runs at its next step."""
        controller: Any = getattr(self.hub, "controller", None)
        if controller is not None:
            controller.limit = why

    def _schedule(self, controller: OpenController) -> None:
        """Run one schedule: ``setup``, the workers, and ``check``."""
        raise NotImplementedError

    def _unwind(self, controller: OpenController) -> None:
        """The schedule is over: end what is left of it."""
        hub = self.hub
        self.ran += self.counted
        self.cut_daemons = self.cut_daemons or controller.cut_daemons
        names = self.program.layout.workers
        rescues = {(names[number].name, op.at) for number, op in controller.rescues}
        for key in rescues if self.counted else ():  # schedules are counted, not waits
            self.ended_by_timeout[key] = self.ended_by_timeout.get(key, 0) + 1
        stuck = hub.unwind()
        if hub.own_loops:
            self.own_loops = True
            self.own_name = self.own_name or hub.own_loops[0].own_name
            if not stuck:
                hub.abandon_loops()
        hub.phase = Phase.IDLE
        self.account.end(controller)
        self.afresh.end()
        if hub.relays:
            self._reap()
        if stuck and self.apart:  # it is thrown away with all that is in it
            self.stuck = f"{stuck[0].label} could not be ended"
        elif stuck:
            self._give_up(controller, stuck[0])
        if hub.error is not None:
            raise hub.error

    def _pooled(self, number: int) -> PooledThread:
        while len(self._pool) <= number:
            self._pool.append(PooledThread(self._locals))
        return self._pool[number]

    def _sweep(self) -> None:
        """Before a schedule: put the process in order, and collect garbage now and then."""
        self.afresh.begin()
        self._garbage.sweep(always=bool(self.hub.collections))

    def _reap(self) -> None:
        from tracelock.instrument.processes.forking import reap

        reap(self.hub)

    # --- setup and check ---------------------------------------------------------------------
    def _aside(self, controller: OpenController, phase: int) -> Aside:
        """While this is entered, user code may run that is no worker's."""
        return Aside(self, controller, phase)

    def _call(self, main: Main, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the user's ``setup`` or ``check``."""
        return function(*arguments)

    def _set_up(self, controller: OpenController) -> Any:
        program, state = self.program, None
        if program.setup is not None:
            now = self._patches.now(program.setup)
            with self._aside(controller, Phase.SETUP) as main:
                try:
                    state = self.bounds.catching(self._call, main, now)
                except (MainBlocked, KeyboardInterrupt) as error:
                    self.bounds.check()
                    if controller.crashed:
                        raise UsageError(f"setup failed: {controller.crashed[0][1]}") from None
                    why = self._blocked(controller, error)
                    raise UsageError(f"setup never ends: {why}") from None
                except (ScheduleOver, UsageError):
                    raise
                except BaseException as error:
                    raise UsageError(f"setup failed: {failure_of(error).message}") from error
            if is_awaitable(state):
                raise UsageError("an async setup needs the asyncio or trio backend")
        self.names.walk(state)
        if self.hub.invariants.given:
            self.hub.invariants.made(program.arguments(state), self._patches.now)
        return state

    def _check(self, controller: OpenController, state: Any) -> None:
        """Call ``check``, or what recovers from a crash, after a schedule that has come to its
        end."""
        program, outcome = self.program, self.program.outcome
        for what, name, check, given in final_checks(self.hub, program, program.arguments(state)):
            if outcome.failure is None and self._finally(controller, what, check, *given) is False:
                outcome.fail(f"{name} returned False")

    def _exit(self, controller: OpenController) -> None:
        """After that, what the program has registered to be called at its exit."""
        for function, arguments, keywords in reversed(self.hub.at_exit):
            if self.program.outcome.failure is not None or controller.limit is not None:
                return
            told = f"{name_of(function)}, which is registered with atexit,"
            self._finally(controller, told, self._unexpected, function, arguments, keywords)

    def _unexpected(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        with contextlib.suppress(*self.hub.expected):
            function(*arguments, **keywords)

    def _finally(
        self, controller: OpenController, what: str, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Call this after a schedule: what it raises is a failure."""
        outcome = self.program.outcome
        result: Any = None
        if self.settles:
            controller.active[:] = controller.left  # what is in the background lives on
        limit: LimitReached | None = None
        with self._aside(controller, Phase.CHECK) as main:
            try:
                result = self.bounds.catching(self._call, main, function, *arguments)
            except (MainBlocked, KeyboardInterrupt) as error:
                over = self.bounds.why(0.0)
                if over:
                    controller.limit = over
                if over or controller.crashed:
                    return None
                outcome.fail(f"{what} never ends: {self._blocked(controller, error)}")
            except LimitReached as error:
                limit = error
            except ScheduleOver:
                raise
            except BaseException as error:  # a CancelledError too
                outcome.fail(failure_of(error).message)
        if limit is not None:
            controller.limit = str(limit)
        if self.settles:
            controller.active.clear()
        return result

    def _completed(self, controller: OpenController) -> bool:
        """Whether all workers have ended, and none by a failure."""
        return controller.failure is None and controller.limit is None and not controller.active

    def well(self, controller: OpenController) -> bool:
        """Whether the schedule that has just ended went well."""
        return (
            controller.failure is None and controller.limit is None and not controller.active
            and self.program.outcome.failure is None
        )  # fmt: skip

    def _blocked(self, controller: OpenController, error: BaseException) -> str:
        """Why ``setup`` or ``check`` does not end. Raises a KeyboardInterrupt of the user's."""
        if self._watchdog.stack:
            return f"it is stuck:\n{self._watchdog.stack}"
        if isinstance(error, KeyboardInterrupt):
            raise error
        if controller.limit is not None:
            return controller.limit
        pending = {w: op for w in controller.active if (op := controller.pending[w]) is not None}
        return story(blocked_of(controller.layout, pending, controller.models, controller.waiting))

    def _progress(self) -> int | None:
        """For the watchdog: how far ``setup`` or ``check`` is, None while neither runs."""
        hub = self.hub
        if hub.onlooker.paused or hub.phase not in (Phase.SETUP, Phase.CHECK):
            return None
        return hub.schedule * 1_000_000 + len(hub.controller.log)

    # --- waiting -----------------------------------------------------------------------------
    def _await(self, baton: Any = None) -> None:
        """Wait for the baton; a worker that gets stuck ends the schedule instead."""
        hub, limits = self.hub, self.limits
        baton = baton or hub.main
        controller = hub.controller
        seen, still, warned = (-1, 0), 0.0, False
        while True:
            try:
                if baton.acquire(timeout=LOOK):
                    return
            except KeyboardInterrupt:
                self.bounds.interrupted()
            controller = hub.controller
            over = self.bounds.why()
            if over:
                controller.limit = over
            done = len(getattr(controller, "log", ())) + getattr(controller, "unrecorded", 0)
            steps = (hub.schedule, done)  # none before the first
            if hub.phase is Phase.IDLE:  # a strategy looks at the schedule that has ended: it works
                steps = (hub.schedule, int(process_time() * 20))  # while the processor is used
            still = still + LOOK if steps == seen and not hub.onlooker.paused else 0.0
            seen = steps
            if still < (HURRY if over else min(limits.stall, limits.seconds)):
                continue
            worker = hub.launching or hub.workers.get(getattr(controller, "current", -1))
            if worker is None:
                raise InternalError("the schedule does not go on, and no worker is running")
            if not warned:
                warned, still = True, 0.0
                self.sees_to_it()
                controller.limit = controller.limit or stuck_message(worker)
                if not over and not self.names.suspect(worker.last):
                    self.stuck = controller.limit
                # a loop in Python can be ended, a call into C cannot
                told = hub.recorder is not None and hub.recorder.ended(worker.ident)
                if not told and raise_and_wait(worker.ident, ScheduleOver, baton, HURRY):
                    return
                # where that would be told as a failure, twice as long
                if self.apart and self.patient and not over and baton.acquire(timeout=limits.stall):
                    return
                continue
            self._give_up(controller, worker)
            raise Stuck

    def _give_up(self, controller: OpenController, worker: Worker) -> None:
        """A thread cannot be ended: it is left behind, and so is this exploration."""
        hub = self.hub
        self.sees_to_it()
        self.given_up, hub.left_behind = GivenUp.of(controller, worker), True
        take_back(worker.ident)
        self.stuck = controller.limit or stuck_message(worker)
        controller.limit = self.stuck
        contexts.pop(worker.ident, None)
        hub.workers.pop(worker.number, None)
        hub.unwind()
        hub.main = worker.baton  # should it still hand over its baton, no worker gets that
