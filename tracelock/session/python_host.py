"""A Python program on a backend: what is shared is learnt, and only that is scheduled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tracelock.engine.open import OpenController
from tracelock.engine.recording import record_log
from tracelock.engine.replaying import EndOfTrace
from tracelock.errors import Divergence, UsageError
from tracelock.explore.running import Executed, Runner, Tape
from tracelock.explore.search import Budget, Searched, search
from tracelock.instrument.account.account import Account
from tracelock.instrument.following import PythonReplay
from tracelock.instrument.in_order import InOrder
from tracelock.instrument.live_objects import LiveObjects, no_collections
from tracelock.instrument.rewrite.loading import Sources
from tracelock.ops import ON_WORKER
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.session.backends import make_python_backend
from tracelock.session.host import Host, OnProgress, run_once
from tracelock.session.plan import Settings
from tracelock.session.python_schedulers import (
    LOOK_FOR,
    Restarting,
    difference,
    steps_of,
)
from tracelock.trace import Trace, Verdict, environment

if TYPE_CHECKING:
    from tracelock.session.python import PythonTarget


class PythonHost(Host):
    """One program on one backend, whose patches are made when this is entered.

    ``names``: what the objects are called, and which of their parts are shared. Which those are is
    found out while schedules run; while it is ``held`` what is new does not count yet.
    """

    batch = 1

    def __init__(self, target: PythonTarget, settings: Settings) -> None:
        super().__init__()
        self.target = target
        self.settings = settings
        self.program = program = replace(target.program)  # another layout, which grows as it runs
        limits = settings.bounds(target)
        self.sources = Sources(program.instrument)
        self.backend = make_python_backend(settings.backend, program, limits)
        self.backend.account.looked = self.sources.looked
        self.names = self.backend.names
        self.entangled = self.backend.one_loop
        self.own_name = self.backend.own_name
        self.runner = self.models = Runner(
            program, self.backend.rules, clock=settings.clock, limits=limits,
            backend=self.backend, kind=OpenController,
        )  # fmt: skip
        self._known: Trace | None = None
        self._stack = ExitStack()

    def knowing(self, trace: Trace) -> Self:
        """This host, for a replay: when it is entered it knows what the trace has, and has run
        once."""
        self._known = trace
        for name in trace.workers:
            self.program.layout.worker(name)
        spawned = {event.target for event in trace.events if event.op == "spawn"}
        heard = {trace.workers[event.worker] for event in trace.events}
        for name in trace.workers[len(self.program.workers) :]:
            if name in heard or name in spawned:
                self.backend.hub.named(name)
        return self

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.sources.import_all()
            live = LiveObjects()
            stack.enter_context(no_collections())
            stack.callback(self.sources.close)
            self.sources.install(live)
            stack.callback(self.backend.close)
            self.backend.take_control(live)
            del live  # objects die when the program lets go of them
            if self._known is not None:
                self.names.preset(shared_in(self._known))
                # what is imported or filled at first use is there then, as it was when recorded
                run_once(self, self.backend.own_order())
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        self._stack.close()

    @property
    def stuck(self) -> str:
        return self.backend.stuck

    @property
    def account(self) -> Account:
        account = self.backend.account.account
        if self.backend.heard:
            account.chance.add("errors that nobody received")
        return account

    # --- traces ------------------------------------------------------------------------------
    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        program = self.program
        events = record_log(program.layout, log)
        known = program.layout.known()
        named = {name for one in verdict.blocked for name in (one.worker, *one.holder)}
        last = max(
            len(program.workers) - 1,
            *(entry[0] for entry in log),
            *(entry[4][-1] for entry in log if entry[4]),
            *(entry[2].target for entry in log if entry[1] in ON_WORKER),
            *(place for place, name in enumerate(known) if name in named),
            -1,
        )
        sources, places = self.sources.of({entry[2].at for entry in log})
        return Trace(
            program.to_data(sources, places), self.settings.backend, "controlled", strategy,
            self.settings.clock, environment(None), known[: last + 1], events, verdict,
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
        follower = self.follower(trace)
        tape = Tape(follower)
        controller = self.runner.with_clock(trace.clock).controller(tape)
        follower.follow(controller)
        try:
            self.backend.controlled(controller, lambda _: True)
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
        if any(layout.worker(name) != place for place, name in enumerate(trace.workers)):
            return False
        frozen = self.names.frozen
        self.names.preset(shared_in(trace))
        self.names.frozen = frozen
        return True

    def shrinkable(self, trace: Trace) -> Executed | Trace:
        executed = self.retrace(trace)
        wanted = (trace.verdict.kind, trace.verdict.failure)
        if executed is None or (executed.verdict.kind, executed.verdict.failure) != wanted:
            raise UsageError("the trace does not fail any more as it did: see tracelock replay")
        return executed

    def confirming(self, trace: Trace) -> AbstractContextManager[Host]:
        return contextlib.nullcontext(self)

    def not_confirmed(self, why: str, number: int, times: int) -> str:
        return (
            "the program is not deterministic: the failing schedule did not fail again "
            f"({why}). {LOOK_FOR}"
        )

    # --- searches ----------------------------------------------------------------------------
    def warm_up(self, every: bool) -> Searched:
        """Schedules without preemption, the first worker first and the last worker first: what is
        imported or filled at first use is there then, and most of what is shared is known. Then
        the first of them twice more: a program that depends on the schedule alone does the same.
        """
        found = Searched("warm-up")
        seen: list[list[tuple[Any, ...]]] = []
        own: Callable[[], Scheduler] = self.backend.own_order
        for number, make in enumerate((own, lambda: InOrder(backwards=True), own, own)):
            self.names.deferring = number > 2
            try:
                part = search(self.runner, make(), Budget(1), every=every)
                if part.stopped == "failure" and self.names.pending:
                    # once more, with the accesses that are known now, for the story
                    settled = self.names.apply_pending()
                    again = search(self.runner, make(), Budget(1), every=every)
                    if again.stopped == "failure":
                        part = again
                    else:
                        self.names.revert(settled)
            finally:
                self.names.deferring = False
            if number < 2:
                found.merge(part)
            else:
                logs = [outcome.first.log for outcome in part.outcomes.values()]
                seen.append(steps_of(self.program.layout, logs[0] if logs else ()))
            if part.stopped in ("failure", "interrupted", "seconds") or self.stuck:
                return found
        told = difference(*seen)
        if told:
            self.notes.append(f"the program is not deterministic: {told}")
        return found

    def settle(self) -> None:
        self.names.apply_pending()

    def scheduler(self, strategy: str | Scheduler, seed: int, depth: int | None) -> Scheduler:
        if strategy == "auto" and self.entangled:
            from tracelock.schedulers.portfolio import ROUND_OF_TASKS, PortfolioScheduler

            return PortfolioScheduler(seed, "", ROUND_OF_TASKS)
        return super().scheduler(strategy, seed, depth)

    def injecting(self, scheduler: Scheduler, seed: int) -> Scheduler:
        if self.program.collections or self.program.cancellations:
            return InjectingScheduler(scheduler, seed, max(2, self.program.cancellations))
        return scheduler

    def search(
        self, strategy: str | Scheduler, seed: int, depth: int | None, budget: Budget,
        every: bool, progress: OnProgress | None,
    ) -> Searched:  # fmt: skip
        make = partial(self.scheduler, strategy, seed, depth)
        names = self.names
        names.apply_pending()
        self.program.aim.apply()
        scheduler = make()
        if not scheduler.systematic:
            scheduler = self.injecting(scheduler, seed)
        elif isinstance(strategy, str):  # one that the user made cannot be made again
            scheduler = Restarting(make, names, self.program.aim)
        names.deferring = scheduler.systematic
        try:
            found = search(self.runner, scheduler, budget, every=every, progress=progress)
        finally:
            names.deferring = False
        if (names.pending or self.program.aim.pending) and found.exhaustive:
            found.exhaustive = False
        if isinstance(scheduler, Restarting) and scheduler.lost and not self.notes:
            self.notes.append(
                "the program is not deterministic: a worker that went on at some point could not "
                "do so again after the same steps"
            )
        self.executions = scheduler.executions
        return found

    def qualify(self, found: Searched) -> None:
        if self.backend.afresh.drew:  # one sequence of numbers was tried
            self.account.chance.add("random")
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
        if verdict == "verified" and self.names.mortals.doubts:
            self.notes += sorted(self.names.mortals.doubts)
            return "passed"
        unsure = self.program.collections or self.backend.own_loops
        if verdict == "verified" and (unsure or not self.account.clean):
            return "passed"
        return verdict

    def remarks(self, schedules: int) -> list[str]:
        remarks = [
            f"in {count} of {schedules} schedules: {told}"
            for told, count in sorted(self.backend.heard.items())
        ]
        lasting = self.backend.kept.lasting
        if lasting:
            shown = ", ".join(list(lasting)[:5])
            more = f" and {len(lasting) - 5} more" if len(lasting) > 5 else ""
            remarks.append(f"state that lives on from schedule to schedule: {shown}{more}")
        if self.backend.starved:
            remarks.append(
                f"in {self.backend.starved} of {schedules} schedules others waited for what a "
                "cancelled one would have given, and were cancelled too: that is no failure"
            )
        for (worker, at), count in sorted(self.backend.ended_by_timeout.items()):
            remarks.append(
                f"in {count} of {schedules} schedules {worker} got on at {at} only "
                "because its wait timed out: nobody was left to wake it, so that without the "
                "timeout it would hang (a lost wake-up that the timeout hides?)"
            )
        return remarks

    def until(self, deadline: float | None) -> None:
        self.backend.bounds.deadline = deadline

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.names.deferring = True
        try:
            yield
        finally:
            self.names.deferring = False

    def own_orders(self, cancellations: int) -> Iterable[Scheduler]:
        return self.backend.own_orders(cancellations)


def shared_in(trace: Trace) -> list[str]:
    """The shared parts of objects that a trace has accesses to, by their names."""
    targets = {event.target for event in trace.events if event.op in ("read", "write")}
    for event in trace.events:
        if event.op == "atomic":  # one operation on several files
            targets.update(*(part for part in (event.value, event.result) if part))
    known = {event.target for event in trace.events}
    for target in known:  # a queue whose mutex was used is the library's own code
        queue, _, part = (target or "").rpartition(".")
        if part == "mutex" and queue not in known:
            targets.add(f"{queue} from outside")
    return sorted(target for target in targets if target is not None)
