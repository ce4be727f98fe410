"""Searches of real code that other processes share, or that are kept in a file.

The process that asked runs the first schedules, which show most of what there is to learn of the
program. Then it lets go of it, so that its own threads are its own again, while others run chunks
of schedules, each with what was known by then; at the end it takes the program under control again,
with what is known now, and follows the traces of what went wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import INTERRUPTED, Interrupted, TimeUp
from tracelock.errors import LimitReached
from tracelock.explore.running import Executed
from tracelock.explore.search import FAILED, Budget, Key, Outcome, Progress, Searched, outcome_key
from tracelock.explore.spread.checkpoint import DAMAGED
from tracelock.explore.spread.coordinator import spread
from tracelock.explore.spread.relearning import Relearning
from tracelock.explore.spread.shards import Job, Seen, Shard, ShardResult
from tracelock.explore.spread.sources import (
    SLICE_HERE,
    LearningChunks,
    Levels,
    StepParts,
    Tree,
    make_source,
)
from tracelock.instrument.account.account import Account
from tracelock.instrument.loops.backend import LoopBackend
from tracelock.schedulers.dpor.step_part import StepPart, StepPartScheduler
from tracelock.schedulers.strategies import NUMBERED, SEEDED, TREE, strategy_named
from tracelock.session.elsewhere.keeping import files_of, gone_on, identity_of, written
from tracelock.session.elsewhere.knowledge import Noticed, add_noticed, known_to, noticed_by
from tracelock.session.elsewhere.programs import as_bytes
from tracelock.session.elsewhere.running import CodeJob, let_go, opened, run_code_shard, run_part
from tracelock.session.plan import Plan, Settings
from tracelock.session.python_schedulers import LOOK_FOR
from tracelock.session.spreading import Spreader, copied
from tracelock.trace.reading import load_trace_text

if TYPE_CHECKING:
    from tracelock.explore.spread.coordinator import Submit
    from tracelock.session.python_host import PythonHost

#: Schedules of one part.
CHUNK: Final = 64
#: Seconds of a search that this process makes alone, before it has others start.
ALONE: Final = 1.0
#: Seconds beyond the end of the search in which others have to have answered.
PATIENCE: Final = 60.0


class CodeSpreader(Spreader):
    """The searches of one exploration of real code, stage by stage."""

    host: PythonHost
    run = staticmethod(run_code_shard)

    def __init__(self, host: PythonHost, plan: Plan) -> None:
        self._chance = random.getstate()
        self._traces: dict[Key, str] = {}  # one of each way to end
        self._followed: set[Key] = set()  # those that this process has run itself
        self._noticed: Noticed | None = None  # in all
        self._kept: dict[str, tuple[LearningChunks | Relearning, Searched]] = {}
        self._limits: dict[str, int] = {}  # schedules that a stage may have had in all
        self._files: dict[str, list[str]] = {}  # what the program's code was read from
        super().__init__(host, plan)

    def executions(self, strategy: str) -> int:
        if strategy not in self._kept:
            return self.host.executions
        source, total = self._kept[strategy]
        if isinstance(source, LearningChunks):
            return total.schedules
        return source.executions + sum(one.schedules for one in source.cut_short)

    def search(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        plan, host = self.plan, self.host
        drawn = strategy_named(strategy).shards in (NUMBERED, SEEDED)
        why = "" if drawn else self._indivisible(strategy)
        if why:
            host.notes.append(why)
            if self.checkpoint is None:
                return host.search(
                    strategy, plan.seed or 0, plan.depth, budget, plan.every, progress
                )
        host.settle()
        host.program.aim.apply()
        found = Searched(strategy)
        end = None if budget.seconds is None else monotonic() + budget.seconds
        if strategy not in self._kept:
            source = self._source(strategy, drawn)
            total = Searched(strategy)
            self._limits[strategy] = 0
            if self._resume(strategy, source, found):
                self._go_on(source, found)
                if found.failures() and not plan.every:
                    found.stopped = "failure"
        else:
            source, total = self._kept[strategy]
            if isinstance(source, LearningChunks):
                source.known = known_to(host)
        self._kept[strategy] = source, total
        if budget.schedules is not None:
            self._limits[strategy] += budget.schedules
            source.limit = self._limits[strategy]
        else:
            source.limit = None

        def keep(*, now: bool = False) -> None:
            if self.checkpoint is not None and (now or self.checkpoint.due):
                whole = copied(total)
                whole.merge(copied(found))
                self._keep(strategy, source, whole)

        try:
            if not found.stopped:
                self._begin(source, found, end, progress, keep, alone=bool(why))
            if not found.stopped and not source.finished:
                self._share(source, found, end, progress, keep)
        except KeyboardInterrupt:
            found.stopped = "interrupted"
        finally:
            keep(now=True)
            whole = copied(total)
            whole.merge(copied(found))
            self._kept[strategy] = source, whole
        if isinstance(source, Relearning):
            for result in source.cut_short:  # told now, and to be done again by who goes on
                self._count(found, result)
                if found.stopped in ("", "schedules"):
                    found.stopped = source.over or result.stopped
        else:
            found.stopped = found.stopped or "schedules"
        found.exhaustive = not found.stopped and source.exhaustive
        if isinstance(source, Relearning) and source.lost:
            self.host.notes.append(f"the program is not deterministic. {LOOK_FOR}")
        self._follow(found)
        return found

    def _indivisible(self, strategy: str) -> str:
        """Why a systematic search is that of this process alone, "" where it is not."""
        if (
            self.how.spread and self.host.entangled
            and strategy_named(strategy).shards == TREE
        ):  # fmt: skip
            return (
                f"{strategy} searched in this process alone: what the steps of tasks have touched "
                "is known to the process that ran them"
            )
        return ""

    def _source(self, strategy: str, drawn: bool) -> LearningChunks | Relearning:
        known, job = known_to(self.host), self._job(strategy)
        if drawn:
            return LearningChunks(job, None, known)
        runner, here = self.host.runner, not self.how.spread

        def make() -> Tree | Levels:
            made = make_source(job, None, runner, here=here)
            assert isinstance(made, (Tree, Levels))
            return made

        if strategy_named(strategy).shards == TREE and self._goes_by_steps():
            return Relearning(lambda: StepParts(job, None, SLICE_HERE), known, make)
        return Relearning(make, known)

    def _goes_by_steps(self) -> bool:
        """Whether it can be known what the steps of the program's tasks touch."""
        backend = self.host.backend
        if not isinstance(backend, LoopBackend):
            return False
        with backend.searching(StepPartScheduler(StepPart()), self.host.settings.clock, True):
            return backend.by_steps

    def _job(self, strategy: str) -> Job:
        host, plan = self.host, self.plan
        limits = host.settings.bounds(host.target)
        settings = Settings(
            host.settings.backend, strategy, plan.seed, host.settings.clock, limits=limits,
            isolation=host.settings.isolation, interpreter=host.settings.interpreter,
        )  # fmt: skip
        code = CodeJob(
            as_bytes(host.program, host.sources.digests), settings, self._chance, self.how.jobs > 1
        )
        return Job(
            "", host.backend.rules.backend, strategy, plan.seed or 0, host.settings.clock, limits,
            every=plan.every, depth=plan.depth, chunk=CHUNK, code=code,
        )  # fmt: skip

    def _begin(
        self, source: LearningChunks | Relearning, found: Searched, end: float | None,
        progress: Callable[[Progress], None] | None, keep: Callable[[], None], *, alone: bool,
    ) -> None:  # fmt: skip
        """The first parts, in this process; ``alone``: all of them."""
        host, begun = self.host, monotonic()
        until = ALONE if self.how.jobs > 1 else 0.0 if self.how.spread else float("inf")
        until = float("inf") if alone else begun + until

        def tell(at: Progress) -> None:
            if progress is not None:
                count = found.schedules + at.schedules
                progress(replace(at, schedules=count, seconds=monotonic() - begun))

        def run(shard: Shard) -> ShardResult:
            return run_part(host, self._telling(shard), host.isolation.here(tell))

        if isinstance(source, Relearning):
            source.run_by(run)
        try:
            while not found.stopped and monotonic() < until:
                self._next(source, found, end, run)
                keep()
                if not found.stopped and source.finished:
                    break
        finally:
            self._made_here(source, found)

    def _next(
        self, source: LearningChunks | Relearning, found: Searched, end: float | None,
        run: Callable[[Shard], ShardResult],
    ) -> None:  # fmt: skip
        """One part, in this process."""
        shard = source.next(True)
        self._made_here(source, found)
        if found.stopped or source.finished:
            return
        if shard is None:
            found.stopped = "schedules"  # that is the bound
            return
        if end is not None:
            left = max(0.001, end - monotonic())
            shard = replace(shard, seconds=min(left, shard.seconds or left))
            if isinstance(source, Relearning):
                shard = source.within(shard, left)
        result = run(shard)
        for one in source.take(shard, result, False):
            self._count(found, one)
        if isinstance(source, Relearning) and source.cut_short:
            found.stopped = source.over or result.stopped
        if end is not None and monotonic() > end:
            found.stopped = found.stopped or "seconds"

    def _made_here(self, source: LearningChunks | Relearning, found: Searched) -> None:
        """Count what the source has run itself."""
        if isinstance(source, Relearning):
            for one in source.run_here():
                self._count(found, one)

    def _count(self, found: Searched, result: ShardResult) -> None:
        """Take in what came of a chunk that this process has run."""
        assert result.code is not None
        self._hear(result)
        self._sum(result)
        for seen in result.seen:
            known = found.outcomes.get(seen.key)
            if known is not None:
                known.count += seen.count
                continue
            place = found.schedules + seen.schedule
            if seen.executed is not None:
                self._followed.add(seen.key)
            found.outcomes[seen.key] = Outcome.of(_executed(seen), seen.count, place)
            if seen.trace is not None:
                self._traces.setdefault(seen.key, seen.trace)
        found.schedules += result.schedules
        found.redundant += result.redundant
        if result.stopped not in ("", "schedules", "seconds"):
            found.stopped = result.stopped
        if result.code.noticed.stuck:
            found.stopped = "stuck"

    def _share(
        self, source: LearningChunks | Relearning, found: Searched, end: float | None,
        progress: Callable[[Progress], None] | None, keep: Callable[[], None],
    ) -> None:  # fmt: skip
        """The other chunks, in other processes."""
        heard: list[ShardResult] = []

        def hear(result: ShardResult) -> None:
            heard.append(result)
            self._sum(result)

        def add(result: ShardResult, seen: Seen) -> None:
            if seen.trace is not None:
                self._traces.setdefault(seen.key, seen.trace)
            place = found.schedules + seen.schedule
            found.outcomes[seen.key] = Outcome.of(_executed(seen), seen.count, place)

        budget = Budget(None, None if end is None else max(0.001, end - monotonic()))
        with self._elsewhere(source), self._workers(found, progress, False) as (
            given_out, width, renew,
        ):  # fmt: skip

            def submit(shard: Shard) -> Future[ShardResult]:
                return given_out(self._telling(shard))

            if isinstance(source, Relearning):
                source.run_by(partial(_at_once, submit, renew, end))
            spread(
                source, found, self.host.runner, submit, budget, width=width,
                every=self.plan.every, progress=progress, renew=renew, add=add, hear=hear,
                keep=keep,
            )  # fmt: skip
        for result in heard:
            self._hear(result)

    def _telling(self, shard: Shard) -> Shard:
        """A part that need not bring a trace of what there is one of."""
        return replace(shard, told=frozenset(self._traces))

    def _hear(self, result: ShardResult | None) -> None:
        """Take in what was noticed of the program besides, with this process in control of it; None
        for all that a checkpoint says."""
        if result is None:
            if self._noticed is not None:
                add_noticed(self.host, self._noticed)
            return
        assert result.code is not None
        add_noticed(self.host, result.code.noticed)
        notes = self.host.notes
        notes += [note for note in result.code.notes if note not in notes]

    def _sum(self, result: ShardResult) -> None:
        """Keep what was noticed, for a checkpoint."""
        assert result.code is not None
        if self._noticed is None:
            self._noticed = Noticed(Account(result.code.noticed.account.noun))
        self._noticed.add(result.code.noticed)

    @contextmanager
    def _elsewhere(self, source: LearningChunks | Relearning) -> Iterator[None]:
        """While this is entered the program is not under control here. Afterwards there is another
        ``host``, which knows what is known by then."""
        before = self.host
        noticed = noticed_by(before)
        before.close()
        try:
            yield
        finally:
            let_go()  # an executor may run parts in this process
            self.host = host = opened(before.target, before.settings, source.known)
            bounds = before.backend.bounds
            host.backend.bounds.deadline = bounds.deadline
            if bounds.why(0.0) == INTERRUPTED:
                host.backend.bounds.interrupted()
            host.notes = before.notes
            host.executions = before.executions
            add_noticed(host, noticed)

    def _follow(self, found: Searched) -> None:
        """Run here what others have found."""
        host = self.host
        for key, outcome in found.outcomes.items():
            text = self._traces.get(key)
            if text is None or key in self._followed:
                continue
            self._followed.add(key)
            try:
                executed = host.retrace(load_trace_text(text, "the trace of another process"))
            except (Interrupted, TimeUp):
                continue
            if executed is not None and outcome_key(executed.verdict) == key:
                outcome.first = executed
            elif outcome.kind in FAILED:
                host.notes.append(
                    "the program is not deterministic: what went wrong in another process did not "
                    f"do so here. {LOOK_FOR}"
                )

    def _go_on(self, source: LearningChunks | Relearning, found: Searched) -> None:
        """Have the program under control with what a checkpoint says is known of it."""
        assert self.checkpoint is not None
        try:
            with self._elsewhere(source):
                pass
            self._hear(None)
        except DAMAGED as error:
            raise self.checkpoint.damaged(error) from error
        self._follow(found)

    # --- kept in a file ----------------------------------------------------------------------
    def identity(self) -> dict[str, Any]:
        return identity_of(self.host)

    def _keep(
        self, strategy: str, source: LearningChunks | Relearning, found: Searched
    ) -> None:  # fmt: skip
        assert self.checkpoint is not None
        for name, file in files_of(self.host).items():
            self._files.setdefault(name, file)  # as it was when it was run first
        self.checkpoint.put(
            strategy, written(source, found, self._traces, self._noticed, self._files)
        )

    def _resume(
        self, strategy: str, source: LearningChunks | Relearning, found: Searched
    ) -> bool:  # fmt: skip
        """Go on where the checkpoint says, if it says anything."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            return False
        self._files.update(files_of(self.host))
        kept = checkpoint.stages.get(strategy)
        if kept is None:
            return False
        self._noticed = gone_on(checkpoint, kept, source, found, self._traces)
        self._files.update(kept["files"])
        self.resumed = True
        return True


def _executed(seen: Seen) -> Executed:
    assert seen.verdict is not None
    return seen.executed or Executed(seen.picks, [], seen.verdict, 0)


def _at_once(
    submit: Submit, renew: Callable[[], None], end: float | None, shard: Shard
) -> ShardResult:
    """Have a few schedules run elsewhere, and wait for that. Raises LimitReached where nobody does
    so, long after ``end`` (on the monotonic clock)."""
    patience = max(end or 0.0, monotonic()) + PATIENCE
    while True:
        try:
            return submit(shard).result(timeout=max(0.1, patience - monotonic()))
        except BrokenExecutor:
            renew()
        except TimeoutError as error:
            raise LimitReached("the processes that share the search do not answer") from error
