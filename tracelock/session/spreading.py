"""Searches that are more than one loop here: spread, kept in a file, or below a prefix."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from tracelock.errors import UsageError
from tracelock.explore.spread.shards import run_shard
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.dpor.wakeup import Step
from tracelock.session.host import Host
from tracelock.session.plan import Plan, Prefix

if TYPE_CHECKING:
    from tracelock.explore.running import Runner
    from tracelock.explore.search import Budget, Progress, Searched
    from tracelock.explore.spread.checkpoint import CheckpointFile
    from tracelock.explore.spread.coordinator import Submit
    from tracelock.explore.spread.shards import Shard, ShardResult
    from tracelock.explore.spread.sources import Source


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
    """The searches of one exploration, stage by stage. ``run``: what runs a shard elsewhere."""

    run = staticmethod(run_shard)

    def __init__(self, host: Host, plan: Plan) -> None:
        # a program that is under control keeps to one core, which others are not to share
        self._cores = frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())
        self.host = host
        self.plan = plan
        self.how = plan.spreading
        self.base = Base()
        self._stages: dict[str, tuple[Source, Searched]] = {}
        if self.how.prefix is not None:
            self.base = base_of(host.runner, self.how.prefix)
        self.resumed = False  # a stage goes on from the checkpoint: what it does is what that says
        self.checkpoint: CheckpointFile | None = None
        if self.how.checkpoint is not None:
            from tracelock.explore.spread.checkpoint import CheckpointFile, digest

            self.checkpoint = CheckpointFile(self.how.checkpoint, {
                **self.identity(), "strategy": plan.strategy, "seed": plan.seed,
                "depth": plan.depth,
                "prefix": digest(self.base.picks)[:16] if self.base.picks else None,
            })  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """What a checkpoint knows the target by."""
        return self.host.identity()

    def executions(self, strategy: str) -> int:
        """How many schedules a stage has made, those before the checkpoint too."""
        return self._stages[strategy][1].schedules

    def search(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        """One stage: go on where the checkpoint says, spread it, and keep it.

        What was found since it was last asked for the stage: the first time, that is all of it.
        """
        from tracelock.explore.search import Searched
        from tracelock.explore.spread.checkpoint import DAMAGED
        from tracelock.explore.spread.coordinator import spread
        from tracelock.explore.spread.sources import make_source

        runner, plan = self.host.runner, self.plan
        here = not self.how.spread or strategy == "auto"  # a few samples are not worth sending
        checkpoint = self.checkpoint
        first = strategy not in self._stages
        if first:
            base = self.base.steps
            job = replace(
                self.host.job(plan, strategy), prefix=tuple(self.base.picks), floor=len(base)
            )
            source = make_source(job, None, runner, here=here, base=base)
            total = Searched(strategy)
            if checkpoint is not None:
                self.resumed |= strategy in checkpoint.stages
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

        damaged = False
        try:
            with self._workers(found, progress, here) as (submit, width, renew):
                spread(
                    source, found, runner, submit, budget, width=width, every=plan.every,
                    progress=None if here else progress, keep=keep, renew=renew,
                    local=None if here else self._local(),
                )  # fmt: skip
        except DAMAGED as error:
            if checkpoint is None or not self.resumed:
                raise
            damaged = True
            raise checkpoint.damaged(error) from error
        finally:
            if not damaged:  # a file that cannot be gone on from is left as it is
                keep(now=True)
            # what is returned is merged into what others found: it must not be what is kept here
            self._stages[strategy] = (source, copied(whole()))
        return found

    def _local(self) -> Callable[[Shard], ShardResult] | None:
        """What runs a shard in this process, where processes of this machine have to start."""
        if self.how.jobs < 2:
            return None
        from tracelock.explore.spread.shards import run_on

        return lambda shard: run_on(self.host.runner, shard)

    @contextmanager
    def _workers(
        self, found: Searched, progress: Callable[[Progress], None] | None, here: bool
    ) -> Generator[tuple[Submit, int, Callable[[], None]]]:
        from tracelock.explore.spread import executors
        from tracelock.explore.spread.coordinator import given_up

        how = self.how
        if here:
            begun = monotonic()

            def tell(at: Progress) -> None:
                if progress is not None:
                    seconds = found.seconds + monotonic() - begun
                    failures = len(found.failures()) + at.failures
                    count = found.schedules + at.schedules
                    progress(replace(at, schedules=count, seconds=seconds, failures=failures))

            yield executors.here(self.host.runner, tell), 1, given_up
        elif how.dask is not None:
            with executors.dask(how.dask, self.run) as (submit, width):
                yield submit, width, given_up
        elif how.executor is not None:
            yield executors.on(how.executor, self.run), how.width, given_up
        else:
            with executors.Processes(
                how.jobs, self.host.notes.append, self.run, self._cores
            ) as pool:
                yield pool.submit, how.jobs, pool.renew


def copied(found: Searched) -> Searched:
    """What has been found, to be added to by itself."""
    outcomes = {key: replace(one) for key, one in found.outcomes.items()}
    return replace(found, outcomes=outcomes, drawn=found.drawn and found.drawn.copy())


def below(executions: int, prefix: Prefix, backend: str) -> str:
    """What an exhaustive search below a prefix may claim: no more than that."""
    return (
        f"verified below this prefix: {executions:,} executions, every inequivalent "
        f"interleaving on {backend}'s rules that begins with the first {prefix.events:,} events "
        f"of {prefix.name} passes; nothing is claimed of others"
    )
