"""Explore: is there a schedule that goes wrong? Search, shrink, confirm, and say what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import Interrupted, TimeUp
from tracelock.errors import InternalError, TracelockError, UsageError
from tracelock.explore.estimating import estimate_of
from tracelock.explore.running import Executed
from tracelock.explore.search import FAILED, Budget, Outcome, Progress, Searched, add_outcome
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.strategies import STRATEGIES
from tracelock.session.explored import DistinctEnding, Explored, but_unchecked, summarise
from tracelock.session.host import Opened, own_order
from tracelock.session.interpreters.preferring import prefer
from tracelock.session.interpreters.which import called, mark
from tracelock.session.plan import Plan
from tracelock.session.replaying import follow
from tracelock.session.target import Target
from tracelock.session.targets import spreader_for, target_for
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.explore.estimate import Estimate
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.spreading import Spreader

#: Schedules that ``auto`` samples before it searches exhaustively.
SAMPLES: Final = 400
#: Seconds that are left at least to make a failing schedule small, and again to confirm it.
AFTERWARDS: Final = 1.5
#: Seconds of the first look that it takes with optimal DPOR.
LOOK: Final = 1.5


def explore_target(
    target: Target | Scenario,
    plan: Plan,
    first: Sequence[Trace] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Explored:
    """Search the schedules of a target as ``plan`` says. ``first``: failing traces of earlier runs,
    tried before anything else. See ``tracelock.explore`` for what is raised."""
    with Exploration(target, plan) as exploration:
        return exploration.run(first, progress)


class Exploration(Opened):
    """One exploration of one target. A context manager. ``plan``: the completed one."""

    def __init__(self, target: Target | Scenario, plan: Plan) -> None:
        self.target = target_for(target, allow_call=plan.allow_call)
        self.plan = plan = plan.completed(self.target)
        self.host = self.target.open(plan)
        self.runner = self.host.runner
        self.spreader: Spreader | None = None
        if plan.spreading.used:
            self.spreader = spreader_for(self.host, plan)
        self.executions = 0
        self._end: float | None = None  # of all, on the monotonic clock
        self._executed: Executed
        self._tree: Scheduler | None = None  # of the last search by DPOR
        self._spins = False  # some schedule of the search was cut by the bound on its steps

    @property
    def states(self) -> int:
        """How many states were searched."""
        return self.host.states

    # --- the search --------------------------------------------------------------------------
    def run(
        self, first: Sequence[Trace] = (), progress: Callable[[Progress], None] | None = None
    ) -> Explored:
        """Search, then shrink and confirm what was found."""
        begun = monotonic()
        end = None if self.plan.seconds is None else begun + self.plan.seconds
        self.host.until(end)
        found = self.earlier(first)
        if found is None or (self.plan.every and not found.stopped):
            if found is None:
                found = self.search(progress, end)
            else:
                found.merge(self.search(progress, end))
        self.afterwards(end)
        seconds, estimate = monotonic() - begun, self.estimate(found)
        explored = self.finish(found, seconds)
        explored.estimate = estimate
        return explored

    def afterwards(self, end: float | None) -> None:
        """The search is over: what is done with a failure has until ``end`` (on the monotonic
        clock, None: no bound), and some time in any case."""
        if end is not None:
            self._end = max(end, monotonic() + AFTERWARDS)
            self.host.until(self._end)

    def estimate(self, found: Searched) -> Estimate | None:
        """How much a search has seen that did not finish; see ``estimate_of``."""
        host, plan = self.host, self.plan
        if not plan.estimate or host.stuck or not host.settled or plan.spreading.partial:
            return None
        return estimate_of(
            found, plan.strategy_name, plan.depth, sum(map(bool, host.workers)),
            seed=plan.seed or 0, tree=self._tree, executions=self.executions,
            search=lambda probes, left: host.search(probes, 0, None, left, False, None),
        )  # fmt: skip

    def earlier(self, traces: Sequence[Trace]) -> Searched | None:
        """Try the failing schedules of earlier runs; None where none of them fails now."""
        found = Searched("first")
        for trace in traces:
            try:
                executed = self.host.retrace(trace)
            except InternalError:
                raise
            except TimeUp:
                break
            except Interrupted:
                found.stopped = "interrupted"
                return found
            except TracelockError:
                continue
            if executed is None:
                continue
            found.schedules += 1
            outcome = add_outcome(found, executed)
            if outcome.kind in FAILED and not self.plan.every:
                found.stopped = "failure"
                return found
        return found if found.failures() else None

    def search(
        self, progress: Callable[[Progress], None] | None, end: float | None = None
    ) -> Searched:
        """Run what has to be run before, then the strategy, within the budget; with ``end`` its
        seconds are those until then, on the monotonic clock."""
        plan, host = self.plan, self.host
        begun = monotonic()
        seconds = plan.seconds if end is None else max(0.05, end - begun)
        found = host.warm_up(plan.every)
        if found.stopped in ("failure", "interrupted", "killed", "seconds"):
            return found
        if host.stuck:
            found.stopped = "stuck"
            return found
        budget = Budget(plan.schedules, seconds)
        if found.schedules:
            budget = self._left(budget, found.schedules, begun)
            if budget.schedules == 0:
                found.stopped = "schedules"
                return found
        more = self._strategy(budget, progress)
        host.qualify(more)
        found.merge(more)
        found.strategy = more.strategy
        return found

    @staticmethod
    def _left(budget: Budget, spent: int, begun: float, share: float = 1.0) -> Budget:
        """What is left of a budget after so many schedules, and the time since ``begun``; of the
        time that is left a share."""
        schedules, seconds = budget.schedules, budget.seconds
        if schedules is not None:
            schedules = max(0, schedules - spent)
        if seconds is not None:
            seconds = max(0.05, (seconds - (monotonic() - begun)) * share)
        return Budget(schedules, seconds)

    def _strategy(self, budget: Budget, progress: Callable[[Progress], None] | None) -> Searched:
        plan = self.plan
        assert plan.strategy is not None
        if self.host.one_schedule and isinstance(plan.strategy, str):
            if plan.strategy == "auto":
                found = self.schedules("dpor", budget, progress)
                if found.exhaustive or found.stopped:
                    found.strategy = "auto (dpor)"
                    return found
            elif not STRATEGIES[plan.strategy].systematic:
                budget = replace(budget, schedules=1)
        if plan.strategy == "auto":
            if self.host.chancy:
                return self.schedules("auto", budget, progress)
            if self.host.has_loops and budget.schedules is not None:
                return self._auto_entangled(budget, budget.schedules, progress)
            return self._auto(budget, progress)
        if plan.entry is not None and plan.entry.machines:
            return self.host.search_states(budget, plan.every, progress)
        return self.schedules(plan.strategy, budget, progress)

    def schedules(
        self, strategy: str | Scheduler, budget: Budget,
        progress: Callable[[Progress], None] | None = None, more_seed: int = 0,
    ) -> Searched:  # fmt: skip
        """Run the schedules of one strategy. ``more_seed`` is added to the plan's seed."""
        plan = self.plan
        seed = (plan.seed or 0) + more_seed
        if self.spreader is not None:
            assert isinstance(strategy, str)
            try:
                found = self.spreader.search(strategy, budget, progress)
            finally:
                self.host = self.spreader.host  # which may be another one now
                self.runner = self.host.runner
            executions = self.spreader.executions(strategy)
            tree: Scheduler | None = self.host.scheduler(strategy, seed, plan.depth)
        else:
            found = self.host.search(strategy, seed, plan.depth, budget, plan.every, progress)
            executions = self.host.executions
            tree = self.host.searched
        if strategy == "dpor":
            self.executions, self._tree = executions, tree
        return found

    def _auto(self, budget: Budget, progress: Callable[[Progress], None] | None) -> Searched:
        """A short portfolio of samplers, then optimal DPOR, then the state space."""
        begun = monotonic()
        samples = SAMPLES
        if budget.schedules is not None:
            samples = min(SAMPLES, max(1, budget.schedules // 4))
        found = self.schedules("auto", replace(budget, schedules=samples), progress)
        found.strategy = "auto"
        # states are those of the models, from the start
        states = self.plan.engine == "simulated" and self.plan.spreading.prefix is None
        # A spin loop makes schedules without end and few states, many workers make many states
        # and few inequivalent schedules: a short look tells which of the two this is.
        parts = [("dpor", 0.5, LOOK), ("states", 0.6, None), ("dpor", 1.0, None)]
        for strategy, share, most in parts if states else parts[2:]:
            if self._enough(found, budget) or found.exhaustive:
                break
            rest = self._left(budget, found.schedules, begun, share)
            if most is not None:
                rest.seconds = min(most, rest.seconds or most)
            if strategy == "states":
                seconds = Budget(None, rest.seconds or 60.0)
                part = self.host.search_states(seconds, self.plan.every, progress)
            else:
                if self._spins:
                    break
                part = self.schedules("dpor", rest, progress)
                self._spins = any(one.kind == "unfinished" for one in part.outcomes.values())
            self._join(found, part)
        return found

    def _auto_entangled(
        self, budget: Budget, schedules: int, progress: Callable[[Progress], None] | None
    ) -> Searched:
        """As ``_auto``; but whatever tasks of one loop do depends on one another, so that what the
        exhaustive search cannot do in a fourth of the budget it will not do at all, and the rest is
        better spent on samples."""
        begun = monotonic()
        share = max(1, schedules // 4)
        found = self.schedules("auto", Budget(share, budget.seconds), progress)
        found.strategy = "auto"
        for strategy, count in (("dpor", share), ("auto", schedules - 2 * share)):
            if self._enough(found, budget) or found.exhaustive or count < 1:
                break
            found.stopped = ""
            part = self._left(Budget(count, budget.seconds), 0, begun)
            self._join(found, self.schedules(strategy, part, progress, more_seed=1))
        return found

    def _enough(self, found: Searched, budget: Budget) -> bool:
        if found.stopped in ("failure", "interrupted", "killed"):
            return True
        if budget.schedules is not None and found.schedules >= budget.schedules:
            found.stopped = "schedules"
            return True
        return False

    def _join(self, found: Searched, part: Searched) -> None:
        strategy = part.strategy
        found.merge(part)
        found.strategy = f"auto ({strategy})" if part.exhaustive or part.failures() else "auto"

    # --- afterwards --------------------------------------------------------------------------
    def finish(self, found: Searched, seconds: float) -> Explored:
        """Shrink, confirm and sum up."""
        host, plan = self.host, self.plan
        failures = found.failures()
        explored = Explored(
            self.verdict(found), found.strategy, found.schedules, found.redundant, host.states,
            seconds, [self.way(one) for one in found.outcomes.values()], stopped=found.stopped,
            notes=host.notes, account=host.account,
        )  # fmt: skip
        account = explored.account
        explored.executions = self.executions
        explored.interpreter = called(plan.interpreter)
        explored.lasting = host.lasting
        explored.withheld = list(host.withheld)
        if found.exhaustive and account is not None:
            explored.whole = not account.clean or bool(explored.withheld)
        remarks = host.remarks(found.schedules)
        if failures:
            self.show(explored, self._chosen(explored, failures[0]))
        host.notes += remarks
        explored.summary = summarise(
            explored, self.executions, plan.backend, self.target, host.stuck
        )
        prefix = plan.spreading.prefix
        if prefix is not None and found.exhaustive and not failures:
            from tracelock.session.spreading import below

            explored.summary = below(self.executions or explored.schedules, prefix, plan.backend)
            explored.summary += but_unchecked(explored, self.target)
        return explored

    def verdict(self, found: Searched) -> str:
        """What may be claimed of the target after this search."""
        strategy = self.plan.strategy
        name = found.strategy.split(" ")[0]
        if isinstance(strategy, Scheduler):
            systematic = strategy.systematic
        else:
            systematic = name in STRATEGIES and STRATEGIES[name].systematic
        bounded = any(one.kind == "unfinished" for one in found.outcomes.values())
        verdict = "passed"
        if found.failures():
            verdict = "failed"
        elif found.exhaustive:
            # of what lies below a prefix alone it would say too much
            verdict = "verified" if self.plan.spreading.prefix is None else "passed"
        elif systematic or bounded or found.stopped == "interrupted" or not found.schedules:
            verdict = "unfinished"
        return self.host.claim(verdict, found)

    def way(self, outcome: Outcome) -> DistinctEnding:
        """An outcome of the search, with its trace on request."""
        return DistinctEnding(
            outcome.kind, outcome.failure, outcome.message, outcome.state, outcome.count,
            lambda: self.trace_of(outcome.first),
        )  # fmt: skip

    def trace_of(self, executed: Executed) -> Trace:
        """The trace of a schedule of this search, as of the backend whose rules it followed."""
        strategy: dict[str, Any] = {"name": self.plan.strategy_name, "seed": self.plan.seed}
        return self.host.trace(executed.log, strategy, executed.verdict)

    def _chosen(self, explored: Explored, outcome: Outcome) -> Outcome:
        """The failure to show: one that the running interpreter can make, if one is found."""
        if outcome.kind == "livelock":
            return outcome
        found = prefer(self.host, outcome, self.plan.seed or 0, self._end)
        explored.preferred = found
        return found.outcome

    def show(self, explored: Explored, outcome: Outcome) -> None:
        """Shrink a failing schedule, find its twin, and confirm it on the real backend."""
        self._executed = outcome.first
        livelock = outcome.kind == "livelock"  # it never ends: there is nothing to cut or replay
        with self.host.held():
            try:
                if self.plan.shrink and not livelock and not self.host.lasts(outcome.first.verdict):
                    chosen = explored.preferred
                    possible = chosen is not None and chosen.possible
                    with self.host.holding() if possible else nullcontext():
                        self._make_small(explored)
            except (TimeUp, Interrupted) as over:
                self._cut_short("the failing schedule is not as small as it could be", over)
            explored.switches = self._executed.switches
            explored.trace = trace = self.trace_of(self._executed)
            if not livelock:
                self._tell_switches(explored, trace)
            missing = "the failing schedule was not run again"
            if self._end is not None:  # whatever was left: whether it fails again is always told
                self.host.until(max(self._end, monotonic() + AFTERWARDS))
            try:
                if self.plan.confirm and not livelock:
                    explored.confirmed[self.plan.backend] = self.confirm(trace)
                if self.host.own_name:
                    missing = f"whether {self.host.own_name} reaches this too was not tried"
                    self.host.notes += own_order(self.host, trace)
            except (TimeUp, Interrupted) as over:
                self._cut_short(missing, over)

    def _tell_switches(self, explored: Explored, trace: Trace) -> None:
        """Put the class of each switch into the trace, and into words."""
        try:
            mark(trace, self.host.switched(self._executed))
            explored.needs = self._needs(explored, trace)
        except (TimeUp, Interrupted) as over:
            self._cut_short("what the switches of the failing schedule take was not told", over)

    def _needs(self, explored: Explored, trace: Trace) -> str:
        from tracelock.analysis.derived.switches import switches_of

        if not switches_of(trace):
            return ""
        from tracelock.instrument.source_lines import source_lines
        from tracelock.report.switching import verdict_line

        chosen = explored.preferred
        tried, every = (chosen.tried, chosen.all) if chosen is not None else (0, False)
        return verdict_line(trace, source_lines(trace), tried, every=every)

    def _make_small(self, explored: Explored) -> None:
        """Shrink the failing schedule, and find its passing twin."""
        from tracelock.explore.shrink.best import Effort
        from tracelock.explore.shrink.known import KnownSchedules
        from tracelock.explore.shrink.schedule import shrink
        from tracelock.explore.shrink.twin import passing_twin

        host, effort = self.host, Effort()
        known: KnownSchedules[Any] = KnownSchedules()  # of these models, which are held as they are
        if self._end is not None and effort.seconds is not None:
            effort.seconds = min(effort.seconds, max(0.1, (self._end - monotonic()) / 2))
        try:
            explored.shrunk = shrunk = shrink(
                host.models, self._executed, effort=effort, known=known
            )
            self._executed = shrunk.executed
            explored.minimum = shrunk.minimum
            left = None if self._end is None else max(0.1, (self._end - monotonic()) / 2)
            explored.twin = passing_twin(host.models, self._executed, seconds=left, known=known)
        except UsageError as error:
            host.notes.append(host.not_confirmed(str(error), 0, 1))

    def _cut_short(self, what: str, over: BaseException) -> None:
        why = "interrupted" if isinstance(over, Interrupted) else "the time was up"
        self.host.notes.append(f"{what}: {why}")

    def confirm(self, trace: Trace) -> str:
        """Replay a failing trace on the real backend: ``"3/3"``. Raises InternalError where models
        and backend disagree."""
        times = self.plan.confirm
        for number in range(times):
            with self.host.confirming(trace) as host:
                result = follow(host, trace)
            if not result.reproduced and result.killed:
                self.host.notes.append(f"a confirmation was cut off: {result.killed}")
                return f"{number}/{times}"
            if not result.reproduced:
                why = result.diverged or f"it ended {result.verdict.kind}: {result.verdict.message}"
                self.host.notes.append(self.host.not_confirmed(str(why), number + 1, times))
                return f"{number}/{times}"
        return f"{times}/{times}"
