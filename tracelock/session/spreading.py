"""Searches that are more than one loop here: spread, kept in a file, or below a prefix."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from tracelock.errors import InternalError, UsageError
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.dpor.wakeup import Step
from tracelock.schedulers.strategies import WHOLE, strategy_named

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from tracelock.explore.running import Runner
    from tracelock.explore.search import Budget, Progress, Searched
    from tracelock.explore.spread.checkpoint import Checkpoint
    from tracelock.explore.spread.coordinator import Submit
    from tracelock.explore.spread.shards import Job
    from tracelock.explore.spread.sources import Source
    from tracelock.session.exploring import Exploration, Plan
    from tracelock.trace import Trace

#: Runs shards in threads of this process, or wherever ``Plan.executor`` takes them, at a time.
WIDTH = 4


@dataclass(frozen=True, slots=True)
class Prefix:
    """Explore only what begins with the first ``events`` of ``trace``; ``name`` is for messages."""

    trace: Trace
    events: int
    name: str = "the trace"


@dataclass(slots=True)
class Spreading:
    """How a search is spread and kept, see ``explore``. ``width``: shards that ``executor``
    runs at a time."""

    jobs: int = 1
    dask: str | None = None
    executor: Executor | None = None
    width: int = WIDTH
    checkpoint: str | None = None
    prefix: Prefix | None = None

    @property
    def used(self) -> bool:
        """Whether there is anything to it."""
        return self.spread or self.checkpoint is not None or self.prefix is not None

    @property
    def spread(self) -> bool:
        """Whether other processes or machines take part."""
        return self.jobs > 1 or self.dask is not None or self.executor is not None

    def check(self, plan: Plan) -> None:
        """Raises UsageError for what does not go together."""
        if self.jobs < 1:
            raise UsageError(f"a search needs at least one job, not {self.jobs}")
        if (self.jobs > 1) + (self.dask is not None) + (self.executor is not None) > 1:
            raise UsageError("jobs, dask and executor are three ways to spread one search: one")
        if self.spread and plan.engine == "real":
            raise UsageError("--jobs and --dask spread the simulated engine, not the real one")
        if strategy_named(plan.strategy).shards == WHOLE and self.used:
            raise UsageError(
                f"the {plan.strategy} strategy keeps one set of states: it can be neither spread, "
                "nor kept in a checkpoint, nor begun at a prefix"
            )


@dataclass(slots=True)
class Base:
    """A prefix as picks, and as the transitions that DPOR thinks in."""

    picks: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def base_of(runner: Runner, prefix: Prefix) -> Base:
    """The first events of a trace under ``runner``'s rules.

    An event that ends in the middle of what a task does between two suspensions stands for all
    of that. Raises UsageError where there are not so many, Divergence where they cannot be had.
    """
    from tracelock.explore.running import Tape
    from tracelock.explore.shrink.trials import follow_trace

    there = len(prefix.trace.events)
    if not 0 <= prefix.events <= there:
        raise UsageError(f"{prefix.name} has {there:,} events, not {prefix.events:,}")
    followed, picks, _ = follow_trace(runner, prefix.trace)
    if followed.clock != runner.clock:
        raise UsageError(
            f"a timer of {prefix.name} fires early: explore it with the adversarial clock"
        )
    base = Base()
    cut = False

    class Cut(Tape):
        def pick(self, choice: Choice) -> int:
            nonlocal cut
            cut = cut or (choice.kind is WORKER and choice.seq >= prefix.events)
            at = len(self.picks)
            picked = picks[at] if at < len(picks) else choice.options[0]
            self.picks.append(picked)
            if not cut and at < len(picks):
                base.picks.append(picked)
                if choice.kind is WORKER:
                    base.steps.append((picked, (), -1, -1))
                else:
                    worker, data, reads, writes = base.steps[-1]
                    base.steps[-1] = (worker, (*data, picked), reads, writes)
            return picked

    from tracelock.schedulers.simple import RoundRobinScheduler

    runner.run(Cut(RoundRobinScheduler()), lambda _: True)
    return base


class Spreader:
    """The searches of one exploration, stage by stage."""

    def __init__(self, exploration: Exploration, how: Spreading) -> None:
        self.exploration = exploration
        self.how = how
        self.base = Base()
        self._stages: dict[str, tuple[Source, Searched]] = {}
        if how.prefix is not None:
            self.base = base_of(exploration.runner, how.prefix)
        self.checkpoint: Checkpoint | None = None
        if how.checkpoint is not None:
            from tracelock.explore.spread.checkpoint import Checkpoint

            self.checkpoint = Checkpoint(how.checkpoint, self._identity())

    def _identity(self) -> dict[str, Any]:
        from tracelock.explore.spread.checkpoint import digest, rules_digest

        plan, session = self.exploration.plan, self.exploration.session
        return {
            "scenario": digest(session.data),
            "name": self.exploration.scenario.name,
            "backend": plan.backend,
            "rules": rules_digest(session.rules),
            "clock": plan.clock,
            "strategy": plan.strategy,
            "seed": plan.seed,
            "depth": plan.depth,
            "steps": plan.limits.steps,
            "engine": plan.engine,
            "prefix": digest(self.base.picks)[:16] if self.base.picks else None,
        }

    def _job(self, strategy: str) -> Job:
        from tracelock.explore.spread.shards import Job
        from tracelock.session.exploring import watched

        plan, session = self.exploration.plan, self.exploration.session
        groups = tuple(tuple(group) for group in watched(self.exploration.program))
        return Job(
            json.dumps(session.data), session.rules.backend, strategy, plan.seed, plan.clock,
            plan.limits, plan.allow_call, plan.every, groups, tuple(self.base.picks),
            len(self.base.steps), plan.depth,
        )  # fmt: skip

    def executions(self, strategy: str) -> int:
        """How many schedules a stage has made, those of earlier sittings too."""
        return self._stages[strategy][1].schedules

    def search(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        """One stage: go on where the checkpoint says, spread it, and keep it.

        What was found since it was last asked for the stage: the first time, that is all of it.
        """
        from tracelock.explore.search import Searched
        from tracelock.explore.spread.coordinator import spread
        from tracelock.explore.spread.sources import make_source

        runner, plan = self.exploration.runner, self.exploration.plan
        here = not self.how.spread or strategy == "auto"  # a few samples are not worth sending
        checkpoint = self.checkpoint
        first = strategy not in self._stages
        if first:
            base = self.base.steps
            source = make_source(self._job(strategy), None, runner, here=here, base=base)
            total = Searched(strategy)
            if checkpoint is not None:
                total = checkpoint.resume(strategy, source, runner, base)
            self._stages[strategy] = (source, total)
        source, total = self._stages[strategy]
        source.limit = budget.schedules
        if not first and budget.schedules is not None:
            source.limit = total.schedules + budget.schedules
        found = total if first else Searched(strategy)
        if total.exhaustive or (total.failures() and not plan.every):
            found.exhaustive = total.exhaustive
            found.stopped = "" if total.exhaustive else "failure"
            return found

        def keep(now: bool = False) -> None:
            if checkpoint is not None:
                checkpoint.keep(strategy, whole(), source, now=now)

        def whole() -> Searched:
            both = copied(total)
            if not first:
                both.merge(copied(found))
            return both

        try:
            with self._workers(found, progress, here) as (submit, width):
                spread(
                    source, found, runner, submit, budget, width=width, every=plan.every,
                    progress=None if here else progress, keep=keep,
                )  # fmt: skip
        except BrokenExecutor as error:
            raise InternalError(
                "a process that ran a part of the search died (killed, or out of memory)"
            ) from error
        finally:
            keep(now=True)
            # what is returned is merged into what others found: it must not be what is kept here
            self._stages[strategy] = (source, copied(whole()))
        return found

    @contextmanager
    def _workers(
        self, found: Searched, progress: Callable[[Progress], None] | None, here: bool
    ) -> Generator[tuple[Submit, int]]:
        from tracelock.explore.spread import executors

        how = self.how
        if here:
            begun = monotonic()

            def tell(at: Progress) -> None:
                if progress is not None:
                    seconds = found.seconds + monotonic() - begun
                    failures = len(found.failures()) + at.failures
                    count = found.schedules + at.schedules
                    progress(replace(at, schedules=count, seconds=seconds, failures=failures))

            yield executors.here(self.exploration.runner, tell), 1
        elif how.dask is not None:
            with executors.dask(how.dask) as workers:
                yield workers
        elif how.executor is not None:
            yield executors.on(how.executor), how.width
        else:
            with executors.processes(how.jobs) as submit:
                yield submit, how.jobs


def copied(found: Searched) -> Searched:
    """What has been found, to be added to by itself."""
    return replace(found, outcomes={key: replace(one) for key, one in found.outcomes.items()})


def below(executions: int, prefix: Prefix, backend: str) -> str:
    """What an exhaustive search below a prefix may claim: no more than that."""
    return (
        f"verified below this prefix: {executions:,} executions, every inequivalent "
        f"interleaving on {backend}'s rules that begins with the first {prefix.events:,} events "
        f"of {prefix.name} passes; nothing is claimed of others"
    )
