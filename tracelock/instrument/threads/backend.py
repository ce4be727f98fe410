"""The backend that runs real code on threads, one at a time, under a controller."""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.cores import one_core
from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import LimitReached, StepFailure, UsageError
from tracelock.instrument.contexts import WorkerContext
from tracelock.instrument.failures import failure_of
from tracelock.instrument.hub import Hub, Phase, RunToCompletion, ScheduleOver, contexts
from tracelock.instrument.naming import ObjectNames
from tracelock.instrument.patches import COMMON, Patches
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.threads.locks import StandIns
from tracelock.instrument.threads.starting import Pooled, interrupt
from tracelock.instrument.threads.watchdog import Watchdog
from tracelock.instrument.worker import Main, MainBlocked, Worker

#: How often the waiting main thread looks whether the workers still get on, in seconds.
LOOK: Final = 0.25
#: Schedules after which garbage is collected, between two of them.
SWEEP: Final = 200


class PythonBackend:
    """Runs the schedules of one :class:`PythonProgram`. A context manager: patches are made when
    it is entered and undone when it is left.

    ``stuck``: why no further schedule can be run, "" as long as one can. ``patch_groups``: those
    of the table of patches that are applied.
    """

    patch_groups: tuple[str, ...] = COMMON

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        self.program = program
        self.limits = limits
        self.names = ObjectNames(program.layout)
        self.hub = Hub(self.names)
        self.hub.expected = program.expected
        self.hub.collections = program.collections
        self.hub.pool = self._pooled
        self.hub.stand_in = StandIns(self.hub)
        self.hub.stall = min(limits.stall, limits.seconds) * 0.8
        self.ended_by_timeout: dict[tuple[str, str], int] = {}  # worker and place -> schedules
        self.setup_number = program.layout.worker("setup")
        self.stuck = ""
        self.interrupted = False
        self.cut_daemons = False
        self._pool: list[Pooled] = []
        self._no_choice = RunToCompletion()
        self._stack = contextlib.ExitStack()
        self._since_sweep = 0

    def __enter__(self) -> PythonBackend:
        if Patches.active is not None:
            raise UsageError("tracelock is at work already: an exploration inside of another one")
        self._stack.enter_context(one_core())
        patches = Patches(self.hub, self.program.instrument, self.patch_groups)
        self._patches = self._stack.enter_context(patches)
        self._stack.enter_context(no_collections())
        self._stack.enter_context(quiet_unwinding())
        patience = min(self.limits.stall, self.limits.seconds)
        self._dog = self._stack.enter_context(Watchdog(self._progress, MainBlocked, patience))
        return self

    def __exit__(self, *exc: object) -> None:
        for pooled in self._pool:
            pooled.close()
        self._pool = []
        self._stack.close()

    def close(self) -> None:
        """End the threads of the pool and undo all patches. Safe to call twice."""
        self.__exit__()

    # --- schedules ---------------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        """Run schedules until ``controller.begin()`` is False or ``done(controller)`` is True."""
        assert isinstance(controller, OpenController)
        while not self.stuck:
            self.names.begin()
            if not controller.begin():
                return
            self._schedule(controller)
            controller.scheduler.end(len(controller.log))
            if done(controller) or controller.limit is INTERRUPTED:
                return

    def _schedule(self, controller: OpenController) -> None:
        hub, program = self.hub, self.program
        self._sweep()
        hub.begin(controller)
        program.outcome.failure = None
        state = self._set_up(controller)
        hub.phase = Phase.RUN
        try:
            hub.launch_all(self._workers(state))
            self._await()
        except Stuck:
            pass
        self.cut_daemons = self.cut_daemons or controller.cut_daemons
        self._unwind(controller)
        if (
            controller.failure is None
            and controller.limit is None
            and not controller.active
            and program.check is not None
        ):
            self._check(controller, state)

    def _unwind(self, controller: OpenController) -> None:
        """The schedule is over: end what is left of it."""
        hub = self.hub
        for number, op in controller.rescues:
            key = (self.program.layout.workers[number].name, op.at)
            self.ended_by_timeout[key] = self.ended_by_timeout.get(key, 0) + 1
        stuck = hub.unwind()
        hub.phase = Phase.IDLE
        if hub.relays:
            self._reap()
        if stuck:
            self._give_up(controller, stuck[0])
        if hub.error is not None:
            raise hub.error

    def _workers(self, state: Any) -> Iterator[tuple[Worker, Callable[[], object]]]:
        for number, work in enumerate(self.program.workers):
            worker = Worker(self.hub, number)
            body = self._body(self._patches.now(work), state)
            yield worker, partial(self._pooled(number).take, worker, body)

    def _body(self, work: Callable[..., Any], state: Any) -> Callable[[], Any]:
        if inspect.iscoroutinefunction(work):
            raise UsageError("coroutine functions are workers of the asyncio and trio backends")
        return (lambda: work(state)) if self.program.takes_state(work) else work

    def _pooled(self, number: int) -> Pooled:
        while len(self._pool) <= number:
            self._pool.append(Pooled(self._patches.locals))
        return self._pool[number]

    def _sweep(self) -> None:
        """Collect garbage now and then, where no schedule is under way."""
        self._since_sweep += 1
        if self._since_sweep >= SWEEP or self.hub.collections:
            self._since_sweep = 0
            gc.collect()

    def _reap(self) -> None:
        from tracelock.instrument.processes.forking import reap

        reap(self.hub)

    # --- before and after --------------------------------------------------------------------
    @contextlib.contextmanager
    def _quiet(self, controller: OpenController, phase: Phase) -> Iterator[Main]:
        """The main thread runs user code: nothing is chosen, and the record stays as it is."""
        hub = self.hub
        main = Main(hub, self.setup_number, hub.main)
        kept = controller.scheduler, controller.observer, controller.log, controller.max_steps
        controller.scheduler, controller.observer, controller.log = self._no_choice, None, []
        ended = controller.ended[main.number]
        controller.ended[main.number] = False
        controller.essential.add(main.number)
        hub.enter(main.number, main)
        hub.over = False
        hub.phase = phase
        main.own_thread = False
        main.attach()
        try:
            yield main
        finally:
            contexts.pop(main.ident, None)
            controller.ask(main.number, None)
            controller.ended[main.number] = ended
            del hub.workers[main.number], hub.batons[main.number]
            hub.phase = Phase.IDLE
            hub.over = False
            controller.scheduler, controller.observer, controller.log, _ = kept
            controller.current = -1

    def _set_up(self, controller: OpenController) -> Any:
        program = self.program
        state = None
        if program.setup is not None:
            with self._quiet(controller, Phase.SETUP):
                try:
                    state = self._patches.now(program.setup)()
                except (MainBlocked, KeyboardInterrupt) as error:
                    if isinstance(error, KeyboardInterrupt) and not self._dog.bitten:
                        raise
                    raise UsageError(f"setup never ends: {self._ends_not(controller)}") from None
                except Exception as error:
                    raise UsageError(f"setup failed: {failure_of(error).message}") from error
            if inspect.isawaitable(state):
                raise UsageError("an async setup needs the asyncio or trio backend")
        self.names.walk(state)
        return state

    def _check(self, controller: OpenController, state: Any) -> None:
        program = self.program
        check = program.check
        assert check is not None
        with self._quiet(controller, Phase.CHECK):
            try:
                result = check(state) if program.takes_state(check) else check()
            except (MainBlocked, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt) and not self._dog.bitten:
                    raise
                message = f"the check never ends: {self._ends_not(controller)}"
                program.outcome.failure = StepFailure("finally", message, program.outcome.at)
            except LimitReached as limit:
                controller.limit = str(limit)
            except Exception as error:
                failure = failure_of(error, "finally")
                failure.at = program.outcome.at
                program.outcome.failure = failure
            else:
                if result is False:
                    message = f"{program.outcome.text} returned False"
                    program.outcome.failure = StepFailure("finally", message, program.outcome.at)

    def _why(self, controller: OpenController) -> str:
        from tracelock.engine.verdicts import blocked_of, story

        pending = {w: op for w in controller.active if (op := controller.pending[w]) is not None}
        return story(blocked_of(controller.layout, pending, controller.models, controller.waiting))

    def _progress(self) -> int | None:
        """For the watchdog: how far ``setup`` or ``check`` is, None while neither runs."""
        hub = self.hub
        if hub.phase not in (Phase.SETUP, Phase.CHECK):
            return None
        return hub.schedule * 1_000_000 + len(hub.controller.log)

    def _ends_not(self, controller: OpenController) -> str:
        """Why ``setup`` or ``check`` does not end."""
        if self._dog.bitten:
            return f"it is stuck:\n{self._dog.bitten}"
        return self._why(controller)

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
                self.interrupted = True
                controller.limit = INTERRUPTED
                continue
            controller = hub.controller
            steps = (hub.schedule, len(getattr(controller, "log", ())))  # none before the first
            still = still + LOOK if steps == seen else 0.0
            seen = steps
            if still < min(limits.stall, limits.seconds):
                continue
            worker = hub.launching or hub.workers.get(getattr(controller, "current", -1))
            if worker is None:
                continue
            if not warned:
                warned, still = True, 0.0
                controller.limit = controller.limit or self._stuck_message(worker)
                if not self.names.suspect(worker.last):
                    self.stuck = controller.limit
                interrupt(worker)  # a loop in Python can be ended, a call into C cannot
                continue
            self._give_up(controller, worker)
            raise Stuck

    def _stuck_message(self, worker: WorkerContext) -> str:
        frame = sys._current_frames().get(worker.ident)
        where = "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
        return f"{worker.label} is stuck outside tracelock's control:\n{where}"

    def _give_up(self, controller: OpenController, worker: WorkerContext) -> None:
        """A thread cannot be ended: it is left behind, and so is this exploration."""
        hub = self.hub
        self.stuck = controller.limit or self._stuck_message(worker)
        controller.limit = self.stuck
        contexts.pop(worker.ident, None)
        hub.workers.pop(worker.number, None)
        hub.unwind()
        hub.main = worker.baton  # whatever it still hands over reaches nobody


class Stuck(Exception):
    """A worker does not come back."""


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep the cyclic collector away: it would run finalizers at points that nobody chose."""
    was = gc.isenabled()
    gc.disable()
    gc.freeze()  # a collection looks at what the program has made, not at all that there is
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


@contextlib.contextmanager
def quiet_unwinding() -> Iterator[None]:
    """A finalizer that was waiting when its schedule ended is no news to anybody."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, ScheduleOver):
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = before
