"""A Python program on a backend: what is shared is learnt, and only that is scheduled."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from tracelock.engine.limits import Interrupted, TimeUp
from tracelock.engine.open import OpenController
from tracelock.engine.recording import places_in, record_log
from tracelock.engine.replaying import EndOfTrace
from tracelock.engine.verdicts import STUCK
from tracelock.errors import Divergence, InternalError, UsageError
from tracelock.explore.running import Executed, Tape
from tracelock.explore.search import Budget, Searched, search
from tracelock.instrument.account.account import Account, listed
from tracelock.instrument.callers import header_hints
from tracelock.instrument.files.access import FILE
from tracelock.instrument.following import PythonReplay
from tracelock.instrument.isolation.where import Isolation
from tracelock.instrument.live_objects import no_collections
from tracelock.instrument.patches import table
from tracelock.instrument.rewrite.loading import Sources
from tracelock.instrument.scanning.process import looking
from tracelock.ops import ON_WORKER
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.in_order import InOrder
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.session import python_remarks
from tracelock.session.backends import make_python_backend
from tracelock.session.host import Host, OnProgress, run_once
from tracelock.session.interpreters.which import Interpreted
from tracelock.session.looking import Looking
from tracelock.session.plan import Settings
from tracelock.session.python_runner import PythonRunner
from tracelock.session.python_schedulers import (
    LOOK_FOR,
    NOT_AGAIN,
    Restarting,
    difference,
    no_choice,
    of_tasks,
    steps_of,
    with_accesses,
)
from tracelock.trace import Trace, Verdict

if TYPE_CHECKING:
    from tracelock.session.python import PythonTarget

#: How often a schedule is run again because it has run modules that were not looked into.
_AGAIN: Final = 3
#: Schedules in which a failure of the first ones is looked for again, for its story.
_FOR_STORY: Final = 40
#: How a search has ended that is not gone on with.
_OVER: Final = ("failure", "interrupted", "killed", "seconds")


class PythonHost(Interpreted, Host):
    """One program on one backend, whose patches are made when this is entered.

    ``names``: what the objects are called, and which of their parts are shared. Which those are is
    found out while schedules run; while it is ``held`` what is new does not count yet.
    """

    batch = 1
    target: PythonTarget

    def __init__(self, target: PythonTarget, settings: Settings) -> None:
        super().__init__()
        self.target, self.settings = target, settings
        # another layout, which grows as it runs
        self.program = program = replace(target.program, found=list(target.program.found))
        limits = settings.bounds(target)
        self.sources = Sources([*program.instrument, *program.found], program.owns)
        self.backend = make_python_backend(settings.backend, program, limits)
        self.backend.account.looked = self.sources.looked
        self.looking = Looking(program, self.sources, self.backend)
        self.names = self.backend.names
        self.passed_over = self.backend.hub.onlooker.passed_over
        self.share = self.looking.share  # type: ignore[method-assign]
        self.entangled = self.backend.one_loop
        self.isolation = Isolation(self.backend, self.sources, settings.isolation)
        self.runner = self.models = PythonRunner(
            program, self.backend.rules, clock=settings.clock, limits=limits,
            backend=self.isolation, kind=OpenController,
        )  # fmt: skip
        self.hold_as(settings.interpreter)
        self._known: Trace | None = None
        self._used = self._alone = False  # first use is over; no schedule so far had a choice
        self._stack = ExitStack()

    def knowing(self, trace: Trace) -> Self:
        """This host, for a replay: once entered it knows what the trace has, and has run once."""
        self._known = trace
        self._died(trace)
        self.looking.fixed = True
        self.program.layout.make_room(len(trace.workers))
        for name in trace.workers:
            self.program.layout.worker(name)
        self.looking.as_in(trace)
        spawned = {event.target for event in trace.events if event.op == "spawn"}
        heard = {trace.workers[event.worker] for event in trace.events}
        for name in trace.workers[len(self.program.workers) :]:
            if name in heard or name in spawned:
                self.backend.hub.named(name)
        return self

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.sources.import_all()
            stack.enter_context(self.backend.bounds)  # Ctrl-C leaves nothing half done
            stack.enter_context(no_collections())
            table(*self.backend.patch_groups, loaded=True)  # what that imports is seen by the look
            live = looking.look()
            stack.callback(self.sources.close)
            self.sources.install(live)
            self.names.mortal = self.sources.mortal
            stack.callback(self.backend.close)
            self.backend.take_control(live)
            del live  # objects die when the program lets go of them
            self.looking.preset(self._known)
            self.isolation.begin()
            if self._known is not None:
                self._look()
                self._first_use()
            self._stack = stack.pop_all()
        return self

    def settle_in(self, *, used: bool = False) -> None:
        """Processes are forked with what is set up at first use (``used``: so is this one). Where
        there is no time for that, there is none for a schedule either."""
        self._look()
        if (used or self.isolation.apart) and not self._used:
            with contextlib.suppress(Interrupted, TimeUp):
                self._first_use()

    def _look(self) -> None:
        """Find out whether schedules have to run apart, before any has run here."""

        def run() -> None:
            with self.isolation.together():
                run_once(self, self.backend.own_order())

        with contextlib.suppress(Interrupted, TimeUp):
            for name in self.isolation.look(run):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)

    def _died(self, trace: Trace) -> None:
        """A trace that ends with the death of the process is not followed in this one."""
        if trace.verdict.kind == "crashed" and self.settings.backend != "multiprocessing":
            self.isolation.separate()

    def _first_use(self) -> None:
        """Run one schedule: what is imported or filled at first use is there then, as it was when
        a trace was recorded, and in all processes that are forked. Nothing is learnt."""
        names, backend, isolation = self.names, self.backend, self.isolation
        self._used = True
        if isolation.leaks:
            return  # what it is run in has to stay as it is
        frozen, names.frozen = names.frozen, True
        backend.counted = False
        try:
            verdict = run_once(self, backend.own_order())
            if isolation.apart and verdict.kind == "passed":
                with isolation.together():
                    run_once(self, backend.own_order())
        finally:
            names.frozen = frozen
            backend.counted = True
        backend.kept.put_back()
        backend.rest()

    def close(self) -> None:
        self._stack.close()

    @property
    def stuck(self) -> str:
        return self.backend.stuck

    @property
    def account(self) -> Account:
        account = self.backend.account.account
        account.unseen.update(self.names.told())
        if self.backend.heard:
            account.chance.add("errors that nobody received")
        return account

    # --- traces ------------------------------------------------------------------------------
    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        program, settings = self.program, self.settings
        program.instrument = self.looking.modules()
        events, known = record_log(program.layout, log), program.layout.known()
        named = {name for one in verdict.blocked for name in (one.worker, *one.holder)}
        last = max(
            len(program.workers) - 1,
            *(entry[0] for entry in log),
            *(entry[4][-1] for entry in log if entry[4]),
            *(entry[2].target for entry in log if entry[1] in ON_WORKER),
            *(place for place, name in enumerate(known) if name in named),
            -1,
        )
        sources, places = self.sources.of(places_in(log))
        return Trace(
            program.to_data(sources, places, log), settings.backend, "controlled", strategy,
            settings.clock, python_remarks.environment_of(self.account), known[: last + 1], events,
            verdict, extra=header_hints(events, known),
        )  # fmt: skip

    def follower(self, trace: Trace) -> PythonReplay:
        recorded = trace.scenario.get("python", {})
        return PythonReplay(
            trace.events, trace.verdict, self.program.layout, self.runner.rules,
            changed=self.sources.changed(recorded.get("sources", {})),
            places=recorded.get("places", {}), function=self.sources.function,
        )  # fmt: skip

    def retrace(self, trace: Trace) -> Executed | None:
        if not self._know(trace):
            return None
        self._died(trace)
        self.settle_in()
        follower = self.follower(trace)
        tape = Tape(follower)
        controller = self.runner.with_clock(trace.clock).controller(tape)
        follower.follow(controller)
        try:
            self.isolation.controlled(controller, lambda _: True)
        except EndOfTrace:
            if controller.failure is None:
                return None
        except Divergence:
            return None
        return self.runner.executed(controller, tape.picks)

    def _know(self, trace: Trace) -> bool:
        """Learn the names of a trace: its workers, and what is shared. False where its workers are
        not those of this program."""
        layout = self.program.layout
        given = len(self.program.workers)
        if list(trace.workers[:given]) != layout.known()[:given]:
            return False
        layout.make_room(len(trace.workers))
        if any(layout.worker(name) != place for place, name in enumerate(trace.workers)):
            return False
        self.looking.as_in(trace)
        frozen = self.names.frozen
        self.looking.preset(trace)
        self.names.frozen, self.names.recorded_sets = frozen, None
        return True

    def lasts(self, verdict: Verdict) -> bool:
        return verdict.kind == "crashed" and STUCK in verdict.message

    def shrinkable(self, trace: Trace) -> Executed | Trace:
        executed = self.retrace(trace)
        wanted = (trace.verdict.kind, trace.verdict.failure)
        if executed is None or (executed.verdict.kind, executed.verdict.failure) != wanted:
            raise UsageError("the trace does not fail any more as it did: see tracelock replay")
        return executed

    def confirming(self, trace: Trace) -> AbstractContextManager[Host]:
        return contextlib.nullcontext(self)

    def not_confirmed(self, why: str, number: int, times: int) -> str:
        imported = listed(sorted(self.backend.hub.imports_waited_for))
        if imported:
            return (
                f"it failed as {imported} was first imported, which is done once in a process, and "
                f"did not fail again in this one ({why})"
            )
        told = f"the failing schedule did not fail again ({why})"
        return python_remarks.unlike(f"{told}. {LOOK_FOR}", self.chancy)

    # --- searches ----------------------------------------------------------------------------
    def warm_up(self, every: bool) -> Searched:
        """Schedules without preemption, the first worker first and the last worker first: what is
        imported or filled at first use is there then, and most of what is shared is known. Then
        the first of them twice more: a program that depends on the schedule alone does the same.
        """
        self.settle_in()
        found = Searched("warm-up")
        seen: list[list[tuple[Any, ...]]] = []
        choice = False
        own: Callable[[], Scheduler] = self.backend.own_order
        for number, make in enumerate((own, lambda: InOrder(backwards=True), own, own)):
            self.names.deferring = number > 2
            self.backend.counted = number < 2
            try:
                part = search(self.runner, make(), Budget(1), every=every)
                for _ in range(_AGAIN if number < 2 else 0):
                    if part.stopped in _OVER or self.stuck:
                        break
                    if not (self.program.layout.short or self.looking.further()):
                        break
                    part = search(self.runner, make(), Budget(1), every=every)
                if part.failures() and self.names.pending:
                    self.backend.counted = False
                    others = self.scheduler("auto", 0, None)
                    orders = ((make(), 1), (self.injecting(others, 0), _FOR_STORY))
                    part = with_accesses(part, self.names, self.runner, every, orders)
            finally:
                self.names.deferring = False
                self.backend.counted = True
            logs = [outcome.first.log for outcome in part.outcomes.values()]
            choice = choice or not logs or not all(map(no_choice, logs))
            if number < 2 or part.stopped in ("interrupted", "killed"):
                found.merge(part)
            else:
                seen.append(steps_of(self.program.layout, logs[0] if logs else ()))
            if part.stopped in _OVER or self.stuck:
                return found
        told = difference(*seen)
        if told:
            self.notes.append(python_remarks.unlike(told, self.chancy))
        self._alone = not choice and not told and not found.failures()
        return found

    @property
    def one_schedule(self) -> bool:  # type: ignore[override]
        """Whether all schedules are the one that was run. It is not known where a timer, a
        collection or a cancellation may come in, where schedules leave something behind for one
        another, and where not all that they do is seen."""
        program, backend, account = self.program, self.backend, self.account
        return (
            self._alone and account.workers < 2 and account.clean and not backend.afresh.drew
            and not (program.collections or program.injected or self.isolation.apart)
            and self.settings.clock == "virtual" and not (self.notes or backend.kept.lasting)
            and not any(
                one.writers for name, one in self.names.variables.items() if name.startswith(FILE)
            )
        )  # fmt: skip

    @property
    def has_loops(self) -> bool:  # type: ignore[override]
        return self.entangled or self.backend.own_loops

    def scheduler(self, strategy: str | Scheduler, seed: int, depth: int | None) -> Scheduler:
        self.watched = self.backend.hub.invariants.groups(strategy)
        made = of_tasks(strategy, seed, self.watched) if self.entangled else None
        return made or super().scheduler(strategy, seed, depth)

    def injecting(self, scheduler: Scheduler, seed: int) -> Scheduler:
        if self.program.collections or self.program.injected:
            return InjectingScheduler(scheduler, seed, max(2, self.program.injected))
        return scheduler

    def search(
        self, strategy: str | Scheduler, seed: int, depth: int | None, budget: Budget,
        every: bool, progress: OnProgress | None,
    ) -> Searched:  # fmt: skip
        make, names = partial(self.scheduler, strategy, seed, depth), self.names
        names.apply_pending()
        learners = (self.program.aim, self.backend.hub.invariants)
        self.program.aim.apply()
        self.backend.hub.invariants.apply()
        scheduler = make()
        if not scheduler.systematic:
            scheduler = self.injecting(scheduler, seed)
        elif isinstance(strategy, str):  # one that the user made cannot be made again
            scheduler = Restarting(make, names, *learners)
        self.searched, names.deferring = scheduler, scheduler.systematic
        ours = isinstance(strategy, str) or strategy.by_steps
        try:
            with self.backend.searching(scheduler, self.settings.clock, ours):
                found = search(
                    self.runner, scheduler, budget, every=every,
                    progress=self.isolation.here(progress),
                )  # fmt: skip
        finally:
            names.deferring = False
        found = with_accesses(found, names, self.runner, every)
        if self.backend.unlike and not found.failures():
            raise InternalError(self.not_confirmed("it went well when it was run again", 1, 1))
        if found.exhaustive and (names.pending or any(one.pending for one in learners)):
            found.exhaustive = False
        if isinstance(scheduler, Restarting) and scheduler.lost and not self.notes:
            self.notes.append(f"the program is not deterministic: {NOT_AGAIN}")
        self.executions = scheduler.executions
        return found

    def qualify(self, found: Searched) -> None:
        self.account.chance |= python_remarks.chance_of(self.backend, self.notes)
        self.notes += python_remarks.hashed_of(self.account) if found.failures() else []
        if found.exhaustive and self.backend.cut_daemons:
            self.notes.append(
                "daemon threads were cut off when the others had ended: what they would have done "
                "later was not tried, so nothing is proved"
            )
            found.exhaustive = False
        if self.stuck:
            found.exhaustive = False
            found.stopped = "stuck"

    def claim(self, verdict: str, found: Searched) -> str:
        if verdict == "failed" or not found.schedules:
            return verdict
        if self.stuck:
            self.notes.append(self.stuck)
            return "unfinished"
        spent = found.stopped in ("schedules", "seconds")
        if verdict == "unfinished" and (spent or (not found.stopped and self.backend.cut_daemons)):
            cut = any(one.kind == "unfinished" for one in found.outcomes.values())
            return "unfinished" if cut else "passed"
        self.looking.note_late()
        if verdict == "verified" and (self.withheld or not self.account.clean):
            return "passed"
        return verdict

    @property
    def withheld(self) -> list[str]:  # type: ignore[override]
        return python_remarks.withheld_of(self.backend)

    @property
    def lasting(self) -> list[str]:
        return [*self.backend.kept.lasting, *self.isolation.leaks]

    def remarks(self, schedules: int) -> list[str]:
        return [*python_remarks.remarks_of(self.backend), *filter(None, [self.isolation.why])]

    def until(self, deadline: float | None) -> None:
        self.backend.bounds.deadline = deadline

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.names.deferring = True
        try:
            yield
        finally:
            self.names.deferring = False

    @property
    def own_name(self) -> str:  # type: ignore[override]
        return self.backend.own_name
