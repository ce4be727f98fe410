"""Explore: is there a schedule that goes wrong? Search, shrink, confirm, and say what is known."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import RunLimits
from tracelock.errors import Divergence, InternalError, TracelockError, UsageError
from tracelock.schedulers.strategies import STRATEGIES, explore_names, strategy_named
from tracelock.session.explored import Explored, SearchFailed, Way, summarise
from tracelock.session.replaying import replay
from tracelock.session.running import Session, simulated_call
from tracelock.session.settings import Settings, make_scheduler
from tracelock.session.spreading import Spreader, Spreading, below

if TYPE_CHECKING:
    from tracelock.explore.running import Executed, Runner
    from tracelock.explore.search import Budget, Progress, Searched
    from tracelock.explore.search import Outcome as Seen
    from tracelock.scenario.language.models import Scenario
    from tracelock.scenario.program import Program
    from tracelock.trace import Trace

__all__ = [
    "EXPLORERS", "Exploration", "Explored", "Plan", "SearchFailed", "Way", "explore",
]  # fmt: skip

#: What ``explore`` can search by; ``auto`` is samplers first, then exhaustive searches.
EXPLORERS: Final = explore_names()
#: Events of one schedule of a search: a spin loop under an unfair schedule ends there.
SEARCH_STEPS: Final = 5_000
SECONDS: Final = 60.0
#: Schedules that ``auto`` samples before it searches exhaustively.
SAMPLES: Final = 400
#: Seconds of the first look that it takes with optimal DPOR.
LOOK: Final = 1.5


@dataclass(slots=True)
class Plan:
    """How to explore; see :func:`explore` for the meanings."""

    backend: str = "threading"
    strategy: str = "auto"
    schedules: int | None = None
    seconds: float | None = SECONDS
    seed: int = 0
    clock: str = "virtual"
    every: bool = False
    shrink: bool = True
    confirm: int = 3
    engine: str = "simulated"
    depth: int | None = None
    limits: RunLimits = field(default_factory=lambda: RunLimits(steps=SEARCH_STEPS))
    allow_call: bool = False
    start_method: str | None = None
    spreading: Spreading = field(default_factory=Spreading)


def explore(
    scenario: Scenario,
    *,
    backend: str = "threading",
    strategy: str = "auto",
    schedules: int | None = None,
    seconds: float | None = SECONDS,
    seed: int = 0,
    clock: str = "virtual",
    every: bool = False,
    shrink: bool = True,
    confirm: int = 3,
    engine: str = "simulated",
    first: Sequence[Trace] = (),
    limits: RunLimits | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    spreading: Spreading | None = None,
) -> Explored:
    """Search the schedules of a scenario under a backend's rules for one that goes wrong.

    ``strategy``: one of ``EXPLORERS``. ``schedules``, ``seconds``: the budget (None: unbounded).
    ``seed``: of samplers; schedule k of it is always the same. ``every``: do not stop at the first
    failure. ``shrink``: reduce a failing schedule to the smallest. ``confirm``: how often a failing
    trace is replayed on the real backend before it is reported (0: not at all). ``engine``:
    ``simulated``, or ``real`` to drive the backend's own threads, processes or tasks. ``first``:
    failing traces of earlier runs, tried before anything else. ``limits``: of each schedule.
    ``spreading``: processes, machines or an executor to share the work with, a checkpoint file to
    go on from, a prefix to stay below.

    Raises what :func:`run` raises; InternalError where a failure that the models show cannot be
    confirmed on the real backend.
    """
    plan = Plan(
        backend, strategy, schedules, seconds, seed, clock, every, shrink, confirm, engine, None,
        limits or RunLimits(steps=SEARCH_STEPS), allow_call, start_method,
        spreading or Spreading(),
    )  # fmt: skip
    with Exploration(scenario, plan) as exploration:
        return exploration.run(first, progress)


class Exploration:
    """One exploration of one scenario. A context manager. See :func:`explore`."""

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        from tracelock.explore.running import Runner

        strategy = strategy_named(plan.strategy, explore_names())
        if plan.engine not in ("simulated", "real"):
            raise UsageError(f"unknown engine {plan.engine!r}: it is simulated or real")
        if plan.engine == "real" and strategy.machines:
            raise UsageError(
                f"the {plan.strategy} strategy needs worker machines: --engine simulated"
            )
        if (plan.schedules is not None and plan.schedules < 1) or (
            plan.seconds is not None and plan.seconds <= 0
        ):
            raise UsageError("a budget has to be more than nothing")
        plan.spreading.check(plan)
        self.plan = plan
        self.scenario = scenario
        settings = Settings(
            plan.backend, "round-robin", 0, plan.clock, plan.start_method, plan.allow_call,
            plan.limits,
        )  # fmt: skip
        self.session = Session(scenario, settings)
        self.program: Program = self.session.program
        self.runner: Runner = Runner(
            self.program,
            self.session.rules,
            clock=plan.clock,
            limits=plan.limits,
            backend=self.session.backend if plan.engine == "real" else None,
            call=simulated_call if plan.allow_call else None,
        )
        self.spreader = Spreader(self, plan.spreading) if plan.spreading.used else None
        self.states = 0
        self.executions = 0
        self._spins = False  # some schedule of the search was cut by the bound on its steps
        self.notes: list[str] = []

    def __enter__(self) -> Exploration:
        return self

    def __exit__(self, *exc: object) -> None:
        self.session.__exit__(*exc)

    # --- the search --------------------------------------------------------------------------
    def run(
        self, first: Sequence[Trace] = (), progress: Callable[[Progress], None] | None = None
    ) -> Explored:
        """Search, then shrink and confirm what was found."""
        begun = monotonic()
        found = self.earlier(first)
        if found is None or (self.plan.every and not found.stopped):
            searched = self.search(progress)
            if found is not None:
                found.merge(searched)
            else:
                found = searched
        return self.finish(found, monotonic() - begun)

    def earlier(self, traces: Sequence[Trace]) -> Searched | None:
        """Try the failing schedules of earlier runs; None where none of them fails now."""
        from tracelock.explore.search import Searched, add_outcome
        from tracelock.explore.shrink.trials import follow_trace

        found = Searched("first")
        for trace in traces:
            try:
                _, picks, _ = follow_trace(self.runner, trace)
            except (Divergence, TracelockError):
                continue
            executed = self.runner.execute(picks)
            if executed is None:
                continue
            found.schedules += 1
            outcome = add_outcome(found, executed)
            if outcome.kind in ("failed", "deadlock", "crashed") and not self.plan.every:
                found.stopped = "failure"
                return found
        return found if found.failures() else None

    def search(self, progress: Callable[[Progress], None] | None) -> Searched:
        """Run the strategy within the budget."""
        from tracelock.explore.search import Budget

        plan = self.plan
        budget = Budget(plan.schedules, plan.seconds)
        if plan.strategy == "auto":
            return self._auto(budget, progress)
        if plan.strategy == "states":
            return self._states(budget, progress)
        return self._schedules(plan.strategy, budget, progress)

    def _schedules(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        from tracelock.explore.search import search

        if self.spreader is not None:
            found = self.spreader.search(strategy, budget, progress)
            if strategy == "dpor":
                self.executions = self.spreader.executions(strategy)
            return found
        scheduler = make_scheduler(
            strategy, self.plan.seed, depth=self.plan.depth, watched=watched(self.program)
        )
        found = search(self.runner, scheduler, budget, every=self.plan.every, progress=progress)
        if strategy == "dpor":
            self.executions = found.schedules
        return found

    def _auto(self, budget: Budget, progress: Callable[[Progress], None] | None) -> Searched:
        """A short portfolio of samplers, then optimal DPOR, then the state space."""
        begun = monotonic()

        def left(share: float = 1.0) -> float | None:
            if budget.seconds is None:
                return None
            return max(0.05, (budget.seconds - (monotonic() - begun)) * share)

        samples = SAMPLES
        if budget.schedules is not None:
            samples = min(SAMPLES, max(1, budget.schedules // 4))
        found = self._schedules("auto", replace(budget, schedules=samples), progress)
        found.strategy = "auto"
        # states are those of the models, from the start
        states = self.plan.engine == "simulated" and self.plan.spreading.prefix is None
        # A spin loop makes schedules without end and few states, many workers make many states
        # and few inequivalent schedules: a short look tells which of the two this is.
        shares = (("dpor", LOOK), ("states", 0.6), ("dpor", 1.0)) if states else (("dpor", 1.0),)
        for strategy, share in shares:
            if self._enough(found, budget) or found.exhaustive:
                break
            seconds = left(share) if share <= 1.0 else min(share, left(0.5) or share)
            if seconds is None and strategy == "states":
                seconds = 60.0
            if strategy == "states":
                part = self._states(replace(budget, schedules=None, seconds=seconds), progress)
            else:
                if self._spins:
                    break
                remaining = None
                if budget.schedules is not None:
                    remaining = budget.schedules - found.schedules
                part = self._schedules(
                    "dpor", replace(budget, schedules=remaining, seconds=seconds), progress
                )
                self._spins = any(one.kind == "unfinished" for one in part.outcomes.values())
            self._join(found, part)
        return found

    def _enough(self, found: Searched, budget: Budget) -> bool:
        if found.stopped in ("failure", "interrupted"):
            return True
        if budget.schedules is not None and found.schedules >= budget.schedules:
            found.stopped = "schedules"
            return True
        return False

    def _join(self, found: Searched, part: Searched) -> None:
        strategy = part.strategy
        found.merge(part)
        found.strategy = f"auto ({strategy})" if part.exhaustive or part.failures() else "auto"

    def _states(self, budget: Budget, progress: Callable[[Progress], None] | None) -> Searched:
        from tracelock.explore.search import Outcome, Progress, Searched
        from tracelock.explore.states.search import StateSearch, StatesProgress

        def tell(at: StatesProgress) -> None:
            if progress is not None:
                progress(Progress(at.states, at.seconds, at.failures, None))

        plan = self.plan
        search = StateSearch(
            self.program, self.session.rules, clock=plan.clock, limits=plan.limits,
            every=plan.every,
        )  # fmt: skip
        states = search.run(budget, tell)
        found = Searched("states")
        found.outcomes = states.outcomes
        found.seconds = states.seconds
        found.exhaustive = states.exhaustive
        found.stopped = states.stopped
        self.states += states.states
        self.notes += states.notes
        for livelock in states.livelocks:
            verdict = replace(livelock.executed.verdict, message=livelock.message)
            executed = replace(livelock.executed, verdict=verdict)
            found.outcomes["livelock", len(livelock.picks)] = Outcome(
                "livelock", None, None, livelock.message, verdict.state, 1, executed, 1
            )
        return found

    # --- afterwards --------------------------------------------------------------------------
    def finish(self, found: Searched, seconds: float) -> Explored:
        """Shrink, confirm and sum up."""
        failures = found.failures()
        explored = Explored(
            "passed", found.strategy, found.schedules, found.redundant, self.states, seconds,
            [self.way(one) for one in found.outcomes.values()], stopped=found.stopped,
        )  # fmt: skip
        name = found.strategy.split(" ")[0]
        systematic = name in STRATEGIES and STRATEGIES[name].systematic
        bounded = any(one.kind == "unfinished" for one in found.outcomes.values())
        if failures:
            explored.verdict = "failed"
            self.show(explored, failures[0])
        elif found.exhaustive:
            # of what lies below a prefix alone it would say too much
            explored.verdict = "verified" if self.plan.spreading.prefix is None else "passed"
        elif systematic or bounded or found.stopped == "interrupted":
            explored.verdict = "unfinished"
        explored.notes = self.notes
        explored.summary = summarise(explored, self.plan, self.executions)
        prefix = self.plan.spreading.prefix
        if prefix is not None and found.exhaustive and not failures:
            explored.summary = below(
                self.executions or explored.schedules, prefix, self.plan.backend
            )
        return explored

    def way(self, outcome: Seen) -> Way:
        """An outcome of the search, with its trace on request."""
        return Way(
            outcome.kind, outcome.failure, outcome.message, outcome.state, outcome.count,
            lambda: self.trace_of(outcome.first),
        )  # fmt: skip

    def trace_of(self, executed: Executed) -> Trace:
        """The trace of a schedule of this search, as of the backend whose rules it followed."""
        strategy = {"name": self.plan.strategy, "seed": self.plan.seed}
        return self.session.trace(executed.log, strategy, executed.verdict)

    def show(self, explored: Explored, outcome: Seen) -> None:
        """Shrink a failing schedule, find its twin, and confirm it on the real backend."""
        from tracelock.explore.shrink.schedule import shrink
        from tracelock.explore.shrink.twin import passing_twin

        executed = outcome.first
        livelock = outcome.kind == "livelock"  # it never ends: there is nothing to cut or replay
        if self.plan.shrink and not livelock:
            explored.shrunk = shrunk = shrink(self.simulated(), executed)
            executed = shrunk.executed
            explored.minimum = shrunk.minimum
            explored.twin = passing_twin(self.simulated(), executed)
        explored.switches = executed.switches
        explored.trace = self.trace_of(executed)
        if self.plan.confirm and not livelock:
            explored.confirmed[self.plan.backend] = self.confirm(explored.trace)

    def simulated(self) -> Runner:
        """The runner that shrinks: the models, whatever drove the search."""
        from tracelock.explore.running import Runner

        if self.plan.engine == "simulated":
            return self.runner
        return Runner(
            self.program, self.session.rules, clock=self.plan.clock, limits=self.plan.limits
        )

    def confirm(self, trace: Trace) -> str:
        """Replay a failing trace on the real backend: ``"3/3"``. Raises InternalError otherwise."""
        times = self.plan.confirm
        for number in range(times):
            result = replay(
                trace, allow_call=self.plan.allow_call, start_method=self.plan.start_method
            )
            if not result.reproduced:
                why = result.diverged or f"it ended {result.verdict.kind}: {result.verdict.message}"
                raise InternalError(
                    f"a failure that the models show was not confirmed on {self.plan.backend} "
                    f"(replay {number + 1} of {times}): {why}"
                )
        return f"{times}/{times}"


def watched(program: Program) -> list[list[int]]:
    """The variables of each ``always`` expression: writes of them may not be commuted."""
    layout = program.layout
    groups = []
    for check in program.always:
        numbers: set[int] = set()
        for node in ast.walk(ast.parse(check.text.strip(), mode="eval")):
            if isinstance(node, ast.Name) and node.id in layout.arrays:
                start, length = layout.arrays[node.id]
                numbers.update(range(start, start + (1 if length is None else length)))
        groups.append(sorted(numbers))
    return groups
