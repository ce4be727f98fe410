"""Searches of real code that other processes share, or that are kept in a file.

The process that asked runs the first schedules, which show most of what there is to learn of the
program. Then it lets go of it, so that its own threads are its own again, while others run chunks
of schedules, each with what was known by then; at the end it takes the program under control again,
with what is known now, and follows the traces of what went wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import INTERRUPTED, Interrupted, TimeUp
from tracelock.errors import UsageError
from tracelock.explore.running import Executed
from tracelock.explore.search import Budget, Outcome, Progress, Searched, outcome_key
from tracelock.explore.spread.coordinator import spread
from tracelock.explore.spread.shards import Job, Seen, ShardResult
from tracelock.explore.spread.sources import LearningChunks
from tracelock.schedulers.strategies import NUMBERED, SEEDED, strategy_named
from tracelock.session.elsewhere.knowledge import add_noticed, known_to, noticed_by
from tracelock.session.elsewhere.programs import as_bytes
from tracelock.session.elsewhere.running import CodeJob, opened, run_code_shard, run_part
from tracelock.session.plan import Plan, Settings
from tracelock.session.python_schedulers import LOOK_FOR
from tracelock.session.spreading import Spreader, copied
from tracelock.trace.reading import load_trace_text

if TYPE_CHECKING:
    from tracelock.session.python_host import PythonHost

#: Schedules of one part.
CHUNK: Final = 64
#: Seconds of a search that this process makes alone, before it has others start.
ALONE: Final = 1.0


class CodeSpreader(Spreader):
    """The searches of one exploration of real code, stage by stage."""

    host: PythonHost
    run = staticmethod(run_code_shard)

    def __init__(self, host: PythonHost, plan: Plan) -> None:
        self._chance = random.getstate()
        self._traces: dict[int, str] = {}  # by the identity of what was executed
        self._kept: dict[str, tuple[LearningChunks, Searched]] = {}
        if plan.spreading.checkpoint is not None:
            raise UsageError("a search of Python code cannot be kept in a checkpoint yet")
        super().__init__(host, plan)

    def executions(self, strategy: str) -> int:
        if strategy in self._kept:
            return self._kept[strategy][1].schedules
        return self.host.executions

    def search(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        plan, host = self.plan, self.host
        if strategy_named(strategy).shards not in (NUMBERED, SEEDED):
            host.notes.append(
                f"{strategy} searched in this process alone: what it has left of real code cannot "
                "be given to others"
            )
            return host.search(strategy, plan.seed or 0, plan.depth, budget, plan.every, progress)
        host.settle()
        host.program.aim.apply()
        if strategy not in self._kept:
            source = LearningChunks(self._job(strategy), None, b"")
            self._kept[strategy] = source, Searched(strategy)
        source, total = self._kept[strategy]
        source.known = known_to(host)
        found = Searched(strategy)
        end = None if budget.seconds is None else monotonic() + budget.seconds
        limit = None if budget.schedules is None else source.done + budget.schedules
        source.limit = limit
        try:
            self._begin(source, found, limit, end, progress)
            if not found.stopped:
                self._share(source, found, end, progress)
        finally:
            whole = copied(total)
            whole.merge(copied(found))
            self._kept[strategy] = source, whole
        self._follow(found)
        return found

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
        self, source: LearningChunks, found: Searched, limit: int | None, end: float | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        """The first chunks, in this process."""
        host, begun = self.host, monotonic()
        alone = ALONE if self.how.jobs > 1 else 0.0

        def tell(at: Progress) -> None:
            if progress is not None:
                count = found.schedules + at.schedules
                progress(replace(at, schedules=count, seconds=monotonic() - begun))

        while not found.stopped and monotonic() < begun + alone:
            if limit is not None and source.done >= limit:
                found.stopped = "schedules"
                return
            shard = source.next(True)
            if shard is None:
                return
            if end is not None:
                shard = replace(shard, seconds=max(0.001, end - monotonic()))
            result = run_part(host, shard, host.isolation.here(tell))
            for one in source.take(shard, result, False):
                self._count(found, one)

    def _count(self, found: Searched, result: ShardResult) -> None:
        """Take in what came of a chunk that this process has run."""
        assert result.code is not None
        self._hear(result)
        for seen in result.seen:
            known = found.outcomes.get(seen.key)
            if known is not None:
                known.count += seen.count
                continue
            assert seen.executed is not None
            place = found.schedules + seen.schedule
            found.outcomes[seen.key] = Outcome.of(seen.executed, seen.count, place)
        found.schedules += result.schedules
        if result.stopped not in ("", "schedules"):
            found.stopped = result.stopped
        if result.code.noticed.stuck:
            found.stopped = "stuck"

    def _share(
        self, source: LearningChunks, found: Searched, end: float | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        """The other chunks, in other processes."""
        heard: list[ShardResult] = []

        def add(result: ShardResult, seen: Seen) -> None:
            verdict = seen.verdict
            assert verdict is not None
            executed = seen.executed or Executed(seen.picks, [], verdict, 0)
            if seen.trace is not None:
                self._traces[id(executed)] = seen.trace
            place = found.schedules + seen.schedule
            found.outcomes[seen.key] = Outcome.of(executed, seen.count, place)

        budget = Budget(None, None if end is None else max(0.001, end - monotonic()))
        with self._elsewhere(source), self._workers(found, progress, False) as (
            submit, width, renew,
        ):  # fmt: skip
            spread(
                source, found, self.host.runner, submit, budget, width=width,
                every=self.plan.every, progress=progress, renew=renew, add=add, hear=heard.append,
            )  # fmt: skip
        for result in heard:
            self._hear(result)

    def _hear(self, result: ShardResult) -> None:
        """Take in what was noticed of the program besides, with this process in control of it."""
        assert result.code is not None
        add_noticed(self.host, result.code.noticed)
        notes = self.host.notes
        notes += [note for note in result.code.notes if note not in notes]

    @contextmanager
    def _elsewhere(self, source: LearningChunks) -> Iterator[None]:
        """While this is entered the program is not under control here. Afterwards there is another
        ``host``, which knows what is known by then."""
        before = self.host
        noticed = noticed_by(before)
        before.close()
        try:
            yield
        finally:
            self.host = host = opened(before.target, before.settings, source.known)
            bounds = before.backend.bounds
            host.backend.bounds.deadline = bounds.deadline
            if bounds.why(0.0) == INTERRUPTED:
                host.backend.bounds.interrupted()
            host.notes = before.notes
            host.executions = before.executions
            add_noticed(host, noticed)

    def _follow(self, found: Searched) -> None:
        """Run here what went wrong elsewhere."""
        host = self.host
        for key, outcome in found.outcomes.items():
            text = self._traces.pop(id(outcome.first), None)
            if text is None:
                continue
            try:
                executed = host.retrace(load_trace_text(text, "the trace of another process"))
            except (Interrupted, TimeUp):
                continue
            if executed is not None and outcome_key(executed.verdict) == key:
                outcome.first = executed
            else:
                host.notes.append(
                    "the program is not deterministic: what went wrong in another process did not "
                    f"do so here. {LOOK_FOR}"
                )
