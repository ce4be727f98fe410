"""Explore and replay real Python code: the same search, shrinker and traces, on another backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace as changed_copy
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.engine.verdicts import verdict_of
from tracelock.errors import UsageError
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, Searched
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.rewrite.sources import Sources
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.session.explored import Explored, summarise
from tracelock.session.exploring import Exploration, Plan
from tracelock.session.python_parts import (
    InOrder,
    Keeping,
    PythonRunner,
    PythonSession,
    Restarting,
    differ,
    steps_of,
)
from tracelock.session.python_program import default_limits, make_program

if TYPE_CHECKING:
    from tracelock.explore.running import Executed
    from tracelock.explore.search import Progress
    from tracelock.trace import Trace

#: What ``explore`` does unless told otherwise: so many schedules, for so long.
SCHEDULES: Final = 1_000
SECONDS: Final = 60.0


class PythonExploration(Exploration):
    """One exploration of one Python program. A context manager."""

    def __init__(self, program: PythonProgram, plan: Plan) -> None:
        from tracelock.session.python_backends import make_python_backend

        plan.engine = "real"
        if plan.strategy == "states":
            raise UsageError("the states strategy needs a scenario: real code cannot be copied")
        if (plan.schedules is not None and plan.schedules < 1) or (
            plan.seconds is not None and plan.seconds <= 0
        ):
            raise UsageError("a budget has to be more than nothing")
        self.plan = plan
        self.python = program
        self.program = program  # type: ignore[assignment]
        self.spreader = None
        self.states = 0
        self.executions = 0
        self._spins = False
        self.notes: list[str] = []
        self.sources = Sources(program.instrument)
        self.backend = make_python_backend(program, plan)
        self.names = self.backend.names
        self.session = PythonSession(program, self.backend, plan, self.sources)  # type: ignore
        self.runner = PythonRunner(program, self.backend, plan.clock, plan.limits)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> PythonExploration:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.sources)
            stack.enter_context(self.backend)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # --- the search --------------------------------------------------------------------------
    def earlier(self, traces: Sequence[Trace]) -> Searched | None:
        from tracelock.session.python_running import earlier

        return earlier(self, traces)

    def search(self, progress: Callable[[Progress], None] | None) -> Searched:
        begun = monotonic()
        found = self._warm_up()
        if found.stopped in ("failure", "interrupted"):
            return found
        if self.backend.stuck:
            found.stopped = "stuck"
            return found
        plan = self.plan
        spent = found.schedules
        budget = plan.schedules
        seconds = None
        if plan.seconds is not None:
            seconds = max(0.05, plan.seconds - (monotonic() - begun))
        if budget is not None and spent >= budget:
            found.stopped = "schedules"
            return found
        self.plan = changed_copy(
            plan, schedules=None if budget is None else budget - spent, seconds=seconds
        )
        try:
            more = super().search(progress)
        finally:
            self.plan = plan
        found.merge(more)
        found.strategy = more.strategy
        found.exhaustive = more.exhaustive and not self.backend.cut_daemons
        if self.backend.stuck:
            found.exhaustive = False
            found.stopped = "stuck"
        if more.exhaustive and self.backend.cut_daemons:
            self.notes.append(
                "daemon threads were cut off when the others had ended: what they would have done "
                "later was not tried, so nothing is proved"
            )
        return found

    def _warm_up(self) -> Searched:
        """Schedules without preemption, the first worker first and the last worker first: what is
        imported or filled at first use is there then, and most of what is shared is known. Then
        the first of them twice more: a program that depends on the schedule alone does the same.
        """
        from tracelock.explore.search import search

        found = Searched("warm-up")
        seen: list[list[tuple[Any, ...]]] = []
        own: Callable[[], Scheduler] = getattr(self.backend, "own_order", lambda: InOrder(False))
        for number, make in enumerate((own, lambda: InOrder(True), own, own)):
            self.names.held = number > 2
            try:
                scheduler = Keeping(make())
                part = search(self.runner, scheduler, Budget(1), every=self.plan.every)
                if part.stopped == "failure" and self.names.news:
                    # once more, with the accesses that are known now, for the story
                    settled = self.names.settle()
                    again = search(self.runner, Keeping(make()), Budget(1), every=self.plan.every)
                    if again.stopped == "failure":
                        part = again
                    else:
                        self.names.unsettle(settled)
            finally:
                self.names.held = False
            if number < 2:
                found.merge(part)
            else:
                seen.append(steps_of(self.python.layout, scheduler.log))
            if part.stopped in ("failure", "interrupted") or self.backend.stuck:
                return found
        difference = differ(*seen)
        if difference:
            self.notes.append(f"the program is not deterministic: {difference}")
        return found

    def _auto(self, budget: Budget, progress: Callable[[Progress], None] | None) -> Searched:
        """As for scenarios; but whatever tasks of one loop do depends on one another, so that what
        the exhaustive search cannot do in a fourth of the budget it will not do at all, and the
        rest is better spent on samples."""
        plan = self.plan
        if not hasattr(self.backend, "own_orders") or budget.schedules is None:
            return super()._auto(budget, progress)
        begun = monotonic()
        share = max(1, budget.schedules // 4)
        found = self._schedules("auto", Budget(share, budget.seconds), progress)
        found.strategy = "auto"
        for strategy, count in (("dpor", share), ("auto", budget.schedules - 2 * share)):
            seconds = budget.seconds
            if seconds is not None:
                seconds = max(0.05, seconds - (monotonic() - begun))
            if self._enough(found, budget) or found.exhaustive or count < 1:
                break
            found.stopped = ""
            self.plan = changed_copy(plan, seed=plan.seed + 1)
            try:
                part = self._schedules(strategy, Budget(count, seconds), progress)
            finally:
                self.plan = plan
            self._join(found, part)
        return found

    def warm(self) -> None:
        """One schedule of no account: what is imported or filled at first use is there then, as
        it was when a trace was recorded."""
        own: Callable[[], Scheduler] = getattr(self.backend, "own_order", lambda: InOrder(False))
        scheduler = own()
        controller = self.runner.controller(scheduler)
        scheduler.attach(controller)
        self.backend.controlled(controller, lambda _: True)

    def _schedules(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        from tracelock.explore.search import search
        from tracelock.session.settings import make_scheduler

        def make() -> Scheduler:
            if strategy == "auto" and hasattr(self.backend, "own_orders"):
                from tracelock.schedulers.portfolio import ROUND_OF_TASKS, PortfolioScheduler

                return PortfolioScheduler(self.plan.seed, "", ROUND_OF_TASKS)
            return make_scheduler(strategy, self.plan.seed, depth=self.plan.depth)

        names = self.names
        names.settle()
        scheduler: Scheduler
        if strategy in ("dpor", "preemption", "delay"):
            scheduler = Restarting(make, names)
            names.held = True
        elif self.python.collections or self.python.cancellations:
            scheduler = InjectingScheduler(make(), self.plan.seed)
        else:
            scheduler = make()
        try:
            found = search(self.runner, scheduler, budget, every=self.plan.every, progress=progress)
        finally:
            names.held = False
        if names.news and found.exhaustive:
            found.exhaustive = False
        if isinstance(scheduler, Restarting) and scheduler.lost and not self.notes:
            self.notes.append(
                "the program is not deterministic: a worker that went on at some point could not "
                "do so again after the same steps"
            )
        if strategy == "dpor":
            self.executions = scheduler.executions
        return found

    # --- afterwards --------------------------------------------------------------------------
    def finish(self, found: Searched, seconds: float) -> Explored:
        heard = dict(getattr(self.backend, "heard", {}))
        explored = super().finish(found, seconds)
        cut = any(one.kind == "unfinished" for one in found.outcomes.values())
        if self.backend.stuck and explored.verdict != "failed":
            explored.verdict = "unfinished"
            explored.summary = f"unfinished: {self.backend.stuck.splitlines()[0]}"
            explored.notes.append(self.backend.stuck)
        elif explored.verdict == "unfinished" and (
            found.stopped in ("schedules", "seconds")
            or (not found.stopped and self.backend.cut_daemons)
        ):
            if not cut:
                explored.verdict = "passed"
                explored.summary = summarise(explored, self.plan, self.executions)
        elif explored.verdict == "verified" and self.python.collections:
            explored.verdict = "passed"
            explored.summary = summarise(explored, self.plan, self.executions)
        explored.summary = explored.summary.replace("this scenario", "this program")
        for told, count in sorted(heard.items()):
            explored.notes.append(f"in {count} of {explored.schedules} schedules: {told}")
        for (worker, at), count in sorted(self.backend.rescued.items()):
            explored.notes.append(
                f"in {count} of {explored.schedules} schedules {worker} got on at {at} only "
                "because its wait timed out: nobody was left to wake it, so that without the "
                "timeout it would hang (a lost wake-up that the timeout hides?)"
            )
        return explored

    def simulated(self) -> Runner:
        return self.runner

    def show(self, explored: Explored, outcome: Any) -> None:
        names = self.names
        names.held = True
        try:
            super().show(explored, outcome)
            if explored.trace is not None and hasattr(self.backend, "own_orders"):
                self.notes.append(self._own_order(explored.trace))
        finally:
            names.held = False

    def _own_order(self, trace: Trace) -> str:
        """Whether a loop that goes on in its own order fails like that too, in one sentence."""
        backend = self.backend
        injected = sum(event.op == "cancelled" for event in trace.events)
        runner = self.runner.with_clock("virtual")
        for scheduler in backend.own_orders(injected):
            controller = runner.controller(scheduler)
            scheduler.attach(controller)
            backend.controlled(controller, lambda _: True)
            verdict = verdict_of(controller, self.python.finally_)
            if (verdict.kind, verdict.failure) == (trace.verdict.kind, trace.verdict.failure):
                return f"{backend.own_name} reaches this too"
        more = " with the same cancellations elsewhere" if injected else ""
        return (
            f"{backend.own_name}{more} does not reach this: it takes other timing, a task that "
            "goes on later than it could (after input or output, or slow work of another)"
        )

    def trace_of(self, executed: Executed) -> Trace:
        strategy = {"name": self.plan.strategy, "seed": self.plan.seed}
        return self.session.trace(executed.log, strategy, executed.verdict)

    def confirm(self, trace: Trace) -> str:
        from tracelock.session.python_replaying import follow

        times = self.plan.confirm
        for number in range(times):
            result = follow(self, trace)
            if not result.reproduced:
                why = result.diverged or f"it ended {result.verdict.kind}: {result.verdict.message}"
                self.notes.append(
                    "the program is not deterministic: the failing schedule did not fail again "
                    f"({why}). Look for unseeded random numbers, the wall clock, the order of a "
                    "set or of ids, or state that setup does not make anew"
                )
                return f"{number}/{times}"
        return f"{times}/{times}"


def explore_python(
    *,
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any] | None = None,
    check: Callable[..., Any] | None = None,
    instrument: Sequence[str] | None = None,
    backend: str | None = None,
    strategy: str = "auto",
    schedules: int | None = SCHEDULES,
    seconds: float | None = SECONDS,
    seed: int = 0,
    clock: str = "virtual",
    cancellations: int = 0,
    gc: bool | int = False,
    every: bool = False,
    shrink: bool = True,
    confirm: int = 3,
    expected_errors: Sequence[type[BaseException]] = (),
    first: Sequence[Trace] = (),
    limits: RunLimits | None = None,
    progress: Callable[[Progress], None] | None = None,
    source: dict[str, Any] | None = None,
    name: str = "",
) -> Explored:
    """Search the schedules of real Python code; see ``tracelock.explore``."""
    program = make_program(
        workers, setup, check, instrument, expected_errors, cancellations, gc, source, name
    )
    return explore_program(
        program, backend=backend, strategy=strategy, schedules=schedules, seconds=seconds,
        seed=seed, clock=clock, every=every, shrink=shrink, confirm=confirm, first=first,
        limits=limits, progress=progress,
    )  # fmt: skip


def explore_program(
    program: PythonProgram,
    *,
    backend: str | None = None,
    strategy: str = "auto",
    schedules: int | None = SCHEDULES,
    seconds: float | None = SECONDS,
    seed: int = 0,
    clock: str = "virtual",
    every: bool = False,
    shrink: bool = True,
    confirm: int = 3,
    first: Sequence[Trace] = (),
    limits: RunLimits | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Explored:
    """Search the schedules of a program; see ``tracelock.explore``."""
    plan = Plan(
        backend or program.natural_backend(), strategy, schedules, seconds, seed, clock, every,
        shrink, confirm, "real", None, limits or default_limits(),
    )  # fmt: skip
    with PythonExploration(program, plan) as exploration:
        return exploration.run(first, progress)
