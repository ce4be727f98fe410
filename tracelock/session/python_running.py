"""Controlled runs of real code, failing schedules of earlier explorations, and shrinking.

There is no free run of real code here: what is not under control is not recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import Divergence, TracelockError, UsageError
from tracelock.schedulers.base import Scheduler
from tracelock.session.exploring import Plan
from tracelock.session.python import PythonExploration
from tracelock.session.python_program import default_limits
from tracelock.session.running import Outcome

if TYPE_CHECKING:
    from tracelock.explore.running import Executed
    from tracelock.explore.search import Searched
    from tracelock.instrument.program import PythonProgram
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.settings import Settings
    from tracelock.session.shrinking import ShrunkTrace
    from tracelock.trace import Trace, Verdict


class PythonRuns:
    """Controlled runs of one program: what ``Session`` is for a scenario. A context manager.

    Before the first run two schedules are run that nobody hears of: what workers share is learnt
    from them, and only accesses to that are scheduling points.
    """

    def __init__(self, program: PythonProgram, settings: Settings, scenario: Scenario) -> None:
        assert settings.strategy is not None and settings.seed is not None
        self.settings = settings
        self.scenario = scenario
        plan = Plan(
            settings.backend, "random", None, None, settings.seed, settings.clock, shrink=False,
            engine="real", limits=settings.limits,
        )  # fmt: skip
        self.exploration = PythonExploration(program, plan)
        self.program = program

    def __enter__(self) -> PythonRuns:
        self.exploration.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.exploration.__exit__(*exc)

    def each(self, runs: int, record: bool = True) -> Iterator[Outcome]:
        """Run ``runs`` times and give each outcome as it comes; see ``Session.each``."""
        from tracelock.engine.verdicts import verdict_of
        from tracelock.schedulers.injecting import InjectingScheduler
        from tracelock.session.settings import make_scheduler

        settings, exploration, program = self.settings, self.exploration, self.program
        assert settings.strategy is not None and settings.seed is not None
        exploration._warm_up()
        exploration.names.settle()
        scheduler: Scheduler = make_scheduler(settings.strategy, settings.seed)
        if program.collections or program.cancellations:
            scheduler = InjectingScheduler(scheduler, settings.seed)
        controller = exploration.runner.controller(scheduler)
        for _ in range(runs):
            outcomes: list[Outcome] = []

            def done(controller: Any, outcomes: list[Outcome] = outcomes) -> bool:
                verdict = verdict_of(controller, program.finally_)
                log, strategy = list(controller.log), scheduler.describe()

                def trace() -> Trace:
                    return exploration.session.trace(log, strategy, verdict)

                outcomes.append(Outcome(verdict, len(log), trace, log))
                return True

            exploration.backend.controlled(controller, done)
            yield from outcomes
            if not outcomes or controller.limit == INTERRUPTED or exploration.backend.stuck:
                return


def run_python(
    program: PythonProgram,
    scenario: Scenario,
    *,
    backend: str | None = None,
    strategy: str | None = None,
    seed: int | None = None,
    clock: str = "virtual",
    limits: RunLimits | None = None,
) -> Trace:
    """One controlled run of real code (by the strategy ``random`` unless told otherwise)."""
    settings = python_settings(program, backend, strategy, seed, clock, limits)
    with PythonRuns(program, settings, scenario) as runs:
        for outcome in runs.each(1):
            return outcome.trace()
    raise UsageError("the strategy has no schedule to run")


def python_settings(
    program: PythonProgram,
    backend: str | None,
    strategy: str | None,
    seed: int | None,
    clock: str,
    limits: RunLimits | None,
) -> Settings:
    """How to run real code. Raises UsageError for what makes no sense there."""
    from tracelock.session.settings import Settings

    where = backend or program.natural_backend()
    refuse_simulated(where)
    settings = Settings(
        where, strategy or "random", seed, clock, limits=limits or default_limits()
    )  # fmt: skip
    settings.check()
    return settings


def refuse_simulated(backend: str) -> None:
    """Raises UsageError for the backend that runs nothing."""
    if backend == "simulated":
        raise UsageError(
            "the simulated backend has models of objects alone: Python code runs on threading, "
            "multiprocessing, asyncio or trio"
        )


# --- earlier failures --------------------------------------------------------------------------
def know(exploration: PythonExploration, trace: Trace) -> bool:
    """Let the names of a trace be known in this exploration: its workers, and what is shared.

    False where its workers are not those of this program.
    """
    layout = exploration.python.layout
    given = len(exploration.python.workers)
    if list(trace.workers[:given]) != layout.known()[:given]:
        return False
    for place, name in enumerate(trace.workers):
        if layout.worker(name) != place:
            return False
    names = exploration.names
    frozen = names.frozen
    targets = {event.target for event in trace.events if event.op in ("read", "write")}
    names.preset(sorted(target for target in targets if target is not None))
    names.frozen = frozen
    return True


def retrace(exploration: PythonExploration, trace: Trace) -> Executed | None:
    """Execute the schedule of a trace in an exploration; None where it cannot be followed."""
    from tracelock.engine.replaying import EndOfTrace
    from tracelock.engine.verdicts import verdict_of
    from tracelock.explore.running import Executed, preemptions
    from tracelock.instrument.following import PythonReplay

    if not know(exploration, trace):
        return None
    recorded = trace.scenario.get("python", {})
    follower = PythonReplay(
        trace.events, trace.verdict, exploration.python.layout, exploration.runner.rules,
        changed=exploration.sources.changed(recorded.get("sources", {})),
        places=recorded.get("places", {}), function=exploration.sources.function,
    )  # fmt: skip
    from tracelock.explore.running import Tape

    picked = Tape(follower)
    controller = exploration.runner.with_clock(trace.clock).controller(picked)
    follower.follow(controller)
    try:
        exploration.backend.controlled(controller, lambda _: True)
    except EndOfTrace:
        if controller.failure is None:
            return None
    except Divergence:
        return None
    verdict: Verdict = verdict_of(controller, exploration.python.finally_)
    log = list(controller.log)
    return Executed(picked.picks, log, verdict, preemptions(log))


def earlier(exploration: PythonExploration, traces: Sequence[Trace]) -> Searched | None:
    """Try the failing schedules of earlier explorations; None where none of them fails now."""
    from tracelock.explore.search import Searched, add_outcome

    found = Searched("first")
    for trace in traces:
        try:
            executed = retrace(exploration, trace)
        except TracelockError:
            continue
        if executed is None:
            continue
        found.schedules += 1
        outcome = add_outcome(found, executed)
        if outcome.kind in ("failed", "deadlock", "crashed") and not exploration.plan.every:
            found.stopped = "failure"
            return found
    return found if found.failures() else None


def first_schedule(program: PythonProgram, plan: Plan) -> Verdict:
    """How the schedule ends in which each worker, first one first, goes on as long as it can."""
    from tracelock.engine.verdicts import verdict_of
    from tracelock.session.python_parts import InOrder

    with PythonExploration(program, plan) as exploration:
        controller = exploration.runner.controller(InOrder(False))
        exploration.backend.controlled(controller, lambda _: True)
        return verdict_of(controller, program.finally_)


def shrink_python(trace: Trace, program: PythonProgram, confirm: int) -> ShrunkTrace:
    """The smallest schedule of real code that fails as ``trace`` does; see ``shrink``."""
    from tracelock.explore.shrink.schedule import shrink
    from tracelock.explore.shrink.twin import passing_twin
    from tracelock.session.shrinking import finish

    plan = Plan(
        trace.backend, "random", clock=trace.clock, confirm=confirm, engine="real",
        limits=default_limits(),
    )  # fmt: skip
    with PythonExploration(program, plan) as exploration:
        executed = retrace(exploration, trace)
        if executed is None or (executed.verdict.kind, executed.verdict.failure) != (
            trace.verdict.kind, trace.verdict.failure,
        ):  # fmt: skip
            raise UsageError("the trace does not fail any more as it did: see tracelock replay")
        exploration.names.held = True
        return finish(exploration, shrink(exploration.runner, executed), passing_twin, confirm)
